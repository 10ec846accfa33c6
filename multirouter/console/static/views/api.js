// The OpenAPI document of the gateway, rendered: endpoints, parameters, bodies, answers. Without
// such a document, the endpoints alone.

import { request } from "../api.js";
import { h } from "../dom.js";
import { table } from "../parts.js";
import { changed } from "../store.js";

const METHODS = ["get", "post", "put", "patch", "delete"];
const MAX_DEPTH = 4;

const loaded = { asked: false, document: null, endpoints: null, problem: "" };

export function apiView() {
  if (!loaded.asked) load();
  const head = h(
    "div",
    { class: "headline", key: "headline" },
    h("h1", {}, loaded.document?.info?.title ?? "API"),
    h("p", { class: "muted" }, "Base URL for clients of OpenAI: ", h("code", {}, `${location.origin}/v1`), loaded.document ? [". The document: ", h("a", { href: "/openapi.json" }, "openapi.json")] : null),
  );
  if (loaded.problem) return [head, h("p", { class: "notice bad", key: "problem" }, loaded.problem)];
  if (loaded.document) return [head, Object.entries(loaded.document.paths ?? {}).flatMap(([path, item]) => operations(path, item))];
  if (loaded.endpoints) return [head, h("section", { class: "card", "aria-label": "Endpoints", key: "endpoints" }, h("ul", { class: "endpoints" }, loaded.endpoints.map((text) => h("li", { key: text }, ...summary(...text.split(" "), "")))))];
  return [head, h("p", { class: "notice", key: "loading" }, "Loading…")];
}

async function load() {
  loaded.asked = true;
  try {
    const root = await request("GET", "/");
    if (root.links.openapi) loaded.document = await request("GET", root.links.openapi);
    else loaded.endpoints = root.endpoints;
  } catch (error) {
    loaded.problem = error.message;
  }
  changed();
}

function operations(path, item) {
  return METHODS.filter((method) => item[method]).map((method) => operation(path, method, item[method], item.parameters ?? []));
}

function operation(path, method, found, shared) {
  const body = resolve(found.requestBody);
  return h(
    "details",
    { class: "card operation", key: `${method} ${path}` },
    h("summary", {}, ...summary(method.toUpperCase(), path, found.summary ?? "")),
    h(
      "div",
      { class: "operation-body" },
      found.description ? h("p", {}, found.description) : null,
      parameters([...shared, ...(found.parameters ?? [])].map(resolve)),
      body ? [h("h3", {}, "Request"), content(body)] : null,
      h("h3", {}, "Answers"),
      Object.entries(found.responses ?? {}).map(([status, answer]) => h("div", { class: "answer-of", key: status }, h("p", {}, h("code", {}, status), " ", resolve(answer).description ?? ""), content(resolve(answer)))),
    ),
  );
}

function summary(method, path, text) {
  return [h("span", { class: `method ${method.toLowerCase()}` }, method), h("code", {}, path), h("span", { class: "muted" }, text.includes("/") ? "" : text)];
}

function parameters(list) {
  if (!list.length) return null;
  const rows = list.map((one) => ({ key: `${one.in} ${one.name}`, cells: [h("code", {}, one.name), one.in, typeOf(one.schema), `${one.required ? "Required. " : ""}${one.description ?? ""}`] }));
  return [h("h3", {}, "Parameters"), table("Parameters", [{ label: "Name" }, { label: "In", class: "text" }, { label: "Type", class: "text" }, { label: "Meaning", class: "text" }], rows, "")];
}

/** The schemas of a body, by content type. */
function content(body) {
  return Object.entries(body.content ?? {}).map(([type, media]) => h("div", { key: type }, h("p", { class: "muted" }, type), fields(media.schema, 0)));
}

function fields(schema, depth) {
  const found = resolve(schema);
  const properties = Object.entries(found.properties ?? resolve(found.items).properties ?? {});
  if (!properties.length || depth >= MAX_DEPTH) return depth ? null : h("p", {}, h("code", {}, typeOf(schema)));
  const required = new Set(found.required ?? []);
  return h(
    "ul",
    { class: "fields" },
    properties.map(([name, property]) => {
      const { description } = resolve(property);
      const inner = fields(property, depth + 1);
      const line = [h("code", {}, name), h("span", { class: "muted" }, ` ${typeOf(property)}${required.has(name) ? ", required" : ""}`), description ? h("span", {}, ` ${description}`) : null];
      return h("li", { key: name }, inner ? h("details", {}, h("summary", {}, line), inner) : line);
    }),
  );
}

function typeOf(schema) {
  const found = resolve(schema);
  const choices = found.anyOf ?? found.oneOf;
  if (choices) return [...new Set(choices.map(typeOf))].join(" or ");
  if (found.enum) return found.enum.map((value) => JSON.stringify(value)).join(" or ");
  if (found.const !== undefined) return JSON.stringify(found.const);
  if (found.type === "array") return `list of ${typeOf(found.items)}`;
  return (Array.isArray(found.type) ? found.type.join(" or ") : found.type) ?? "any";
}

/** What a reference within the document points to; {} for nothing. */
function resolve(thing) {
  let found = thing ?? {};
  for (let hops = 0; found.$ref?.startsWith("#/") && hops < 8; hops++) {
    const names = found.$ref.slice(2).split("/").map((name) => name.replaceAll("~1", "/").replaceAll("~0", "~"));
    found = names.reduce((node, name) => node?.[name], loaded.document) ?? {};
  }
  return found;
}
