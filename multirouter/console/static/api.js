// Requests to the gateway. Errors have the gateway's own message.

export class ApiError extends Error {
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

export async function request(method, path, body) {
  let response;
  try {
    response = await fetch(path, {
      method,
      headers: body === undefined ? {} : { "Content-Type": "application/json" },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch {
    throw new ApiError("The gateway cannot be reached.", 0);
  }
  if (!response.ok) throw await errorOf(response);
  return response.json();
}

export async function errorOf(response) {
  let message = `The gateway answered with status ${response.status}.`;
  try {
    message = (await response.json()).error.message ?? message;
  } catch {
    // The body of a proxy's error is not JSON.
  }
  return new ApiError(message, response.status);
}
