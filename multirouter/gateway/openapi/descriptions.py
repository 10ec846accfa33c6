"""What each endpoint takes and answers, for the OpenAPI document."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from multirouter.gateway.endpoints.operations import OPERATIONS, WITH_FILES

KEY_ERRORS = (400, 401, 403)
"""Statuses of a request that is rejected before it is read, on endpoints with a key."""

MODEL_ERRORS = (400, 401, 403, 404, 408, 413, 415, 422, 429, 500, 502, 503, 504)
"""Statuses of a request that names a model; what each means: docs/reference/gateway.md."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Description:
    """One operation of the document.

    Attributes:
        summary: one line.
        tag: its group.
        request: name of the schema of its body; "" for none.
        answer: name of the schema of its answer; "" for one that is no JSON.
        content: content types of an answer that is no JSON, or of a stream.
        errors: statuses of its errors.
        success: status of its answer.
        form: whether its body may be a form with files.
    """

    summary: str
    tag: str
    request: str = ""
    answer: str = ""
    content: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
    success: int = 200
    form: bool = False


_EVENTS = ("text/event-stream",)
_MEDIA = ("text/event-stream", "audio/mpeg", "application/octet-stream", "text/plain")


def _operation(path: str, operation: str) -> Description:
    embedding = operation == "embeddings"
    return Description(
        summary=f"{operation.replace('_', ' ')} in OpenAI's format: {path}",
        tag="openai",
        request="EmbeddingRequest" if embedding else "OperationRequest",
        answer="EmbeddingResponse" if embedding else "OperationAnswer",
        content=_MEDIA if operation in {*WITH_FILES, "speech"} else _EVENTS,
        errors=MODEL_ERRORS,
        form=operation in WITH_FILES,
    )


DESCRIPTIONS: Mapping[tuple[str, str], Description] = {
    ("POST", "/v1/chat/completions"): Description(
        summary="a chat completion in OpenAI's format",
        tag="openai",
        request="ChatRequest",
        answer="ChatCompletion",
        content=_EVENTS,
        errors=MODEL_ERRORS,
    ),
    **{("POST", path): _operation(path, operation) for path, operation in OPERATIONS.items()},
    ("POST", "/v1/messages"): Description(
        summary="a message in Anthropic's format",
        tag="anthropic",
        request="MessagesRequest",
        answer="MessagesAnswer",
        content=_EVENTS,
        errors=MODEL_ERRORS,
    ),
    ("POST", "/v1/messages/count_tokens"): Description(
        summary="tokens of a message in Anthropic's format",
        tag="anthropic",
        request="CountTokensRequest",
        answer="Count",
        errors=MODEL_ERRORS,
    ),
    ("POST", "/v1/responses"): Description(
        summary="a response in the format of OpenAI's Responses",
        tag="openai",
        request="OperationRequest",
        answer="OperationAnswer",
        content=_EVENTS,
        errors=MODEL_ERRORS,
    ),
    ("GET", "/v1/responses"): Description(
        summary="a WebSocket, whose messages are requests to the same path",
        tag="openai",
        errors=(400, 405),
    ),
    ("POST", "/v1/responses/input_tokens"): Description(
        summary="tokens of a response in the format of OpenAI's Responses",
        tag="openai",
        request="OperationRequest",
        answer="Count",
        errors=MODEL_ERRORS,
    ),
    ("GET", "/v1/responses/{name}"): Description(
        summary="a response that is kept",
        tag="openai",
        answer="OperationAnswer",
        errors=(*KEY_ERRORS, 404),
    ),
    ("GET", "/v1/responses/{name}/input_items"): Description(
        summary="the conversation of a response that is kept",
        tag="openai",
        answer="OperationAnswer",
        errors=(*KEY_ERRORS, 404),
    ),
    ("DELETE", "/v1/responses/{name}"): Description(
        summary="deletes a response that is kept",
        tag="openai",
        answer="OperationAnswer",
        errors=(*KEY_ERRORS, 404),
    ),
    ("POST", "/v1/responses/{name}/cancel"): Description(
        summary="cancels a response that is kept: it has ended",
        tag="openai",
        errors=(400, *KEY_ERRORS, 404),
    ),
    ("POST", "/admin/chat"): Description(
        summary="a chat completion for the console",
        tag="console",
        request="ChatRequest",
        answer="ChatCompletion",
        content=_EVENTS,
        errors=MODEL_ERRORS,
    ),
    **{
        key: description
        for version in ("v1", "v1beta")
        for key, description in {
            ("POST", f"/{version}/models/{{model}}:generateContent"): Description(
                summary="content in Gemini's format",
                tag="gemini",
                request="GenerateContentRequest",
                answer="GenerateContentAnswer",
                errors=MODEL_ERRORS,
            ),
            ("POST", f"/{version}/models/{{model}}:streamGenerateContent"): Description(
                summary="content in Gemini's format, as an array or as events (?alt=sse)",
                tag="gemini",
                request="GenerateContentRequest",
                content=("application/json", "text/event-stream"),
                errors=MODEL_ERRORS,
            ),
            ("GET", f"/{version}/models"): Description(
                summary="the models that the key may use",
                tag="models",
                answer="Models",
                errors=KEY_ERRORS,
            ),
            ("GET", f"/{version}/models/{{model}}"): Description(
                summary="one model", tag="models", answer="Model", errors=(*KEY_ERRORS, 404)
            ),
        }.items()
    },
    ("GET", "/healthz"): Description(
        summary="whether the process answers", tag="monitoring", answer="Alive"
    ),
    ("GET", "/readyz"): Description(
        summary="whether a provider is available", tag="monitoring", answer="Ready", errors=(503,)
    ),
    ("GET", "/metrics"): Description(
        summary="Prometheus metrics", tag="monitoring", content=("text/plain",)
    ),
    ("GET", "/openapi.json"): Description(
        summary="this document", tag="monitoring", answer="OperationAnswer"
    ),
}
"""Descriptions by method and path; a path in braces is a parameter."""


def described(method: str, path: str) -> dict[tuple[str, str], Description]:
    """The operations that an endpoint of the table has in the document.

    Args:
        method: its method.
        path: its path; `*` or `**` in it is a parameter.
    """
    if path.startswith(("/v1/models/", "/v1beta/models/")):
        start, colon = path.partition("**")[0], ":" in path
        return {
            key: description
            for key, description in DESCRIPTIONS.items()
            if key[0] == method and key[1].startswith(start) and (":" in key[1]) is colon
        }
    named = path.replace("**", "*").replace("*", "{name}")
    known = DESCRIPTIONS.get((method, named))
    if known is None:  # the console and its API, which have no other clients
        errors = (*KEY_ERRORS, 404, 413, 415, 500)
        known = Description(summary=f"{method} {path}", tag="console", errors=errors)
    return {(method, named): known}
