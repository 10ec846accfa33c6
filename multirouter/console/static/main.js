// The page: signs in, follows the address, paints the view.

import { reloadConfiguration } from "./actions.js";
import { request } from "./api.js";
import { h, render } from "./dom.js";
import * as feed from "./feed.js";
import { plural, span } from "./format.js";
import { changed, onChange, state } from "./store.js";
import { nextTheme, themeName, useTheme } from "./theme.js";
import { apiView } from "./views/api.js";
import { callView } from "./views/call.js";
import { callsView } from "./views/calls.js";
import { fleetView } from "./views/fleet.js";
import { keysView } from "./views/keys.js";
import { overview } from "./views/overview.js";
import { playground } from "./views/playground.js";
import { routesView } from "./views/routes.js";

const VIEWS = {
  overview: { title: "Overview", show: overview },
  routes: { title: "Routes", show: routesView },
  calls: { title: "Calls", show: callsView },
  fleet: { title: "Fleet", show: fleetView },
  keys: { title: "Keys", show: keysView },
  playground: { title: "Playground", show: playground },
  api: { title: "API", show: apiView },
  call: { title: "Call", show: callView, parent: "calls" },
};

/** Names of routers that say nothing beside the brand. */
const UNNAMED = new Set(["default", "multirouter"]);

/** Views that only some gateways have. */
const SHOWN = {
  fleet: () => Boolean(state.sections.fleet),
  keys: () => state.hasKeys,
  playground: () => state.sections.status?.models.length > 0,
};

function readAddress() {
  const [, name, argument = ""] = location.hash.match(/^#\/([a-z]+)(?:\/(.*))?$/) ?? [null, "overview"];
  state.route = { name: VIEWS[name] ? name : "overview", argument: decodeURIComponent(argument) };
}

function paint() {
  const app = document.getElementById("app");
  if (state.admin === undefined) return render(app, h("p", { class: "notice" }, "Loading…"));
  if (state.admin === null) return render(app, signIn());
  const { name, argument } = state.route;
  const view = VIEWS[name];
  const { status, problem } = state.sections;
  document.title = `${view.title} · ${status?.router || "multirouter"}`;
  const content = feed.complete() ? view.show(argument) : h("p", { class: "notice" }, "Waiting for the first data…");
  render(app, header(name, status), h("main", { id: "main", tabindex: "-1", key: `main-${name}-${argument}` }, connectionNotice(problem), content), footer(status));
}

function header(name, status) {
  const current = VIEWS[name].parent ?? name;
  const tabs = Object.entries(VIEWS).filter(([key, view]) => !view.parent && (SHOWN[key]?.() ?? true));
  return h(
    "header",
    { class: "top", key: "top" },
    h("a", { class: "brand", href: "#/overview" }, h("img", { src: "/console/icon.svg", alt: "", width: 24, height: 24 }), h("span", {}, "multirouter"), status?.router && !UNNAMED.has(status.router) ? h("span", { class: "muted wide-only" }, status.router) : null),
    h("nav", { "aria-label": "Views" }, h("ul", {}, tabs.map(([key, view]) => h("li", {}, h("a", { href: `#/${key}`, "aria-current": key === current ? "page" : undefined }, view.title))))),
    h(
      "div",
      { class: "tools" },
      liveMark(status),
      h("button", { type: "button", class: "plain", title: "Colours of the page", onclick: () => (nextTheme(), changed()) }, h("span", { class: "wide-only" }, "Theme: "), themeName()),
      status?.reloads ? h("button", { type: "button", class: "plain", onclick: reloadConfiguration }, "Reload…") : null,
      state.hasKeys ? h("button", { type: "button", class: "plain", onclick: signOut }, "Sign out") : null,
    ),
  );
}

function liveMark(status) {
  const live = state.connection === "live";
  const text = status?.draining ? "Stopping" : live ? "Live" : state.connection === "lost" ? "Reconnecting" : "Connecting";
  return h("span", { class: `live ${live && !status?.draining ? "on" : ""}` }, h("span", { class: "dot", "aria-hidden": "true" }), text);
}

function connectionNotice(problem) {
  if (state.connection === "lost") return h("p", { class: "notice bad", key: "notice" }, "The connection to the gateway is lost. What you see is the last known state.");
  if (problem) return h("p", { class: "notice bad", key: "notice" }, `The state could not be read: ${problem.text}`);
  return null;
}

function footer(status) {
  if (!status) return null;
  const parts = [`multirouter ${status.version}`.trim(), plural(status.processes, "process", "processes"), `up ${span(status.at - status.since)}`];
  if (state.admin) parts.push(`signed in as ${state.admin}`);
  return h("footer", { key: "footer" }, h("p", {}, parts.join(" · ")));
}

// -- session ---------------------------------------------------------------------------------

function signIn() {
  return h(
    "main",
    { id: "main", class: "sign-in", key: "sign-in" },
    h(
      "form",
      { onsubmit: submitKey },
      h("img", { src: "/console/icon.svg", alt: "", width: 40, height: 40 }),
      h("h1", {}, "Sign in"),
      h("p", { class: "muted" }, "The console is for admins of this gateway."),
      // Password managers store a key under a name.
      h("input", { class: "visually-hidden", name: "username", autocomplete: "username", value: location.host, tabindex: "-1", "aria-hidden": "true", readonly: true }),
      h("label", { class: "field" }, "Admin key", h("input", { type: "password", name: "key", required: true, autocomplete: "current-password", autofocus: true, "aria-describedby": "sign-in-problem" })),
      h("p", { class: "problem", id: "sign-in-problem", role: "alert" }, state.signInError),
      h("button", { type: "submit", class: "primary" }, "Sign in"),
      h("p", { class: "muted small" }, "Make a key with ", h("code", {}, "multirouter keys new --admin NAME"), "."),
    ),
  );
}

async function submitKey(event) {
  event.preventDefault();
  const key = new FormData(event.target).get("key");
  try {
    await request("POST", "/admin/session", { key });
    state.signInError = "";
    await begin();
  } catch (error) {
    state.signInError = error.message;
    changed();
  }
}

async function signOut() {
  feed.stop();
  await request("DELETE", "/admin/session");
  state.admin = null;
  state.sections = {};
  state.connection = "connecting";
  changed();
}

async function begin() {
  const session = await request("GET", "/admin/session");
  state.admin = session.admin;
  state.hasKeys = session.keys;
  if (session.admin) feed.start();
  changed();
}

/** The tabs scroll on a phone. */
function showCurrentTab() {
  document.querySelector("nav a[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
}

addEventListener("hashchange", () => {
  readAddress();
  paint();
  document.getElementById("main")?.focus({ preventScroll: true });
  scrollTo(0, 0);
  showCurrentTab();
});
onChange(paint);
useTheme();
readAddress();
paint();
begin().then(() => requestAnimationFrame(showCurrentTab)).catch((error) => render(document.getElementById("app"), h("main", { id: "main", class: "sign-in" }, h("p", { class: "notice bad", role: "alert" }, error.message))));
