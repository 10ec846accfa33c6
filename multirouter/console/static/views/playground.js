// The playground: one request, its answer as it streams, and its trail.

import { errorOf } from "../api.js";
import { h } from "../dom.js";
import { count, duration, usd } from "../format.js";
import { section, trailLine } from "../parts.js";
import { announce, changed, state } from "../store.js";

const run = { text: "", problem: "", busy: false, id: "", started: 0, first: null, total: null, abort: null, headers: {} };

export function playground() {
  const { models } = state.sections.status;
  const names = models.filter((name) => !/[*?[]/.test(name));
  const routes = state.sections.routes.map((route) => route.route);
  return [
    h("div", { class: "headline", key: "headline" }, h("h1", {}, "Playground"), h("p", { class: "muted" }, "Requests go to your providers, cost what they cost, and are logged under your name.")),
    h(
      "div",
      { class: "columns even", key: "playground" },
      section(
        "Request",
        null,
        h(
          "form",
          { class: "stack", onsubmit: submit },
          h("label", { class: "field" }, "Model", h("input", { name: "model", list: "models", required: true, value: names[0] ?? "auto", autocomplete: "off" }), h("datalist", { id: "models" }, names.map((name) => h("option", { value: name })))),
          h("label", { class: "field" }, "Route", h("select", { name: "route" }, h("option", { value: "" }, "as the model says"), routes.map((name) => h("option", { value: name }, name)))),
          h("label", { class: "field" }, "System prompt", h("textarea", { name: "system", rows: 2 })),
          h("label", { class: "field" }, "Message", h("textarea", { name: "message", rows: 5, required: true })),
          h("div", { class: "pair" }, h("label", { class: "field" }, "Maximum output tokens", h("input", { type: "number", name: "max_tokens", min: 1 })), h("label", { class: "field" }, "Temperature", h("input", { type: "number", name: "temperature", min: 0, max: 2, step: 0.1 }))),
          h("label", { class: "check" }, h("input", { type: "checkbox", name: "stream", checked: true }), "Stream the answer"),
          h("div", { class: "buttons" }, run.busy ? h("button", { type: "button", class: "plain", onclick: () => run.abort?.abort() }, "Stop") : null, h("button", { type: "submit", class: "primary", disabled: run.busy }, run.busy ? "Waiting…" : "Send")),
        ),
      ),
      section("Answer", null, answer()),
    ),
  ];
}

function answer() {
  const call = state.sections.calls.find((one) => one.request_id === run.id);
  return h(
    "div",
    { class: "answer" },
    run.problem ? h("p", { class: "problem", role: "alert" }, run.problem) : null,
    h("div", { class: "output", "aria-busy": String(run.busy), tabindex: "0", "aria-label": "Answer" }, run.text || (run.busy ? "…" : run.problem ? "" : "The answer appears here.")),
    run.first === null ? null : h("p", { class: "muted" }, [`first content after ${duration(run.first)}`, run.total === null ? null : `complete after ${duration(run.total)}`].filter(Boolean).join(" · ")),
    call ? h("p", {}, trailLine(call.trail), " ", h("a", { href: `#/call/${encodeURIComponent(call.request_id)}` }, "Details")) : null,
    call ? h("p", { class: "muted" }, [call.model, call.tokens ? `${count(call.tokens)} tokens` : "", call.cost_usd ? usd(call.cost_usd) : ""].filter(Boolean).join(" · ")) : null,
  );
}

async function submit(event) {
  event.preventDefault();
  const form = new FormData(event.target);
  const body = bodyOf(form);
  Object.assign(run, { text: "", problem: "", busy: true, id: "", first: null, total: null, started: performance.now(), abort: new AbortController() });
  changed();
  try {
    const response = await fetch("/admin/chat", { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body), signal: run.abort.signal });
    run.id = response.headers.get("X-Request-Id") ?? "";
    if (!response.ok) throw await errorOf(response);
    if (body.stream) await readStream(response.body);
    else add((await response.json()).choices[0].message.content ?? "");
    run.total = seconds();
    announce("The answer is complete.");
  } catch (error) {
    run.problem = error.name === "AbortError" ? "Stopped." : error.message;
  }
  run.busy = false;
  changed();
}

function bodyOf(form) {
  const messages = [{ role: "user", content: form.get("message") }];
  if (form.get("system")) messages.unshift({ role: "system", content: form.get("system") });
  const body = { model: form.get("model"), messages, stream: form.get("stream") === "on" };
  if (form.get("route")) body.route = form.get("route");
  for (const name of ["max_tokens", "temperature"]) if (form.get(name)) body[name] = Number(form.get(name));
  return body;
}

async function readStream(stream) {
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const lines = (rest + value).split("\n");
    rest = lines.pop();
    for (const line of lines) if (line.startsWith("data: ") && line !== "data: [DONE]") take(JSON.parse(line.slice(6)));
  }
}

function take(chunk) {
  if (chunk.error) throw new Error(chunk.error.message);
  add(chunk.choices?.[0]?.delta?.content ?? "");
}

function add(text) {
  if (!text) return;
  run.first ??= seconds();
  run.text += text;
  changed();
}

const seconds = () => (performance.now() - run.started) / 1000;
