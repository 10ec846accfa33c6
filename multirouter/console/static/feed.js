// The live data: server-sent events while the page is visible, and none while it is hidden.

import { request } from "./api.js";
import { announce, changed, state } from "./store.js";

const SECTIONS = ["status", "providers", "routes", "traffic", "calls", "alarms", "keys", "fleet", "problem"];
const HIDDEN_DELAY = 20000;

let source = null;
let hiddenTimer = 0;
let retryTimer = 0;

export function start() {
  // A browser keeps pages that were left, and their connections, of which it allows six.
  addEventListener("pagehide", stop);
  addEventListener("pageshow", (event) => {
    if (event.persisted && state.admin) connect();
  });
  document.addEventListener("visibilitychange", () => {
    clearTimeout(hiddenTimer);
    if (document.hidden) hiddenTimer = setTimeout(stop, HIDDEN_DELAY);
    else if (!source && state.admin) connect();
  });
  connect();
}

/** Whether all sections have come: the first data may arrive in parts. */
export function complete() {
  return SECTIONS.every((name) => name in state.sections);
}

export function stop() {
  source?.close();
  source = null;
}

function connect() {
  stop();
  clearTimeout(retryTimer);
  source = new EventSource("/admin/events");
  for (const name of SECTIONS) source.addEventListener(name, (event) => receive(name, event.data));
  source.onerror = () => {
    stop();
    setConnection("lost");
    retryTimer = setTimeout(reconnect, 2000);
  };
}

/** After a loss: the session may have ended, or the gateway may be restarting. */
async function reconnect() {
  if (document.hidden) return;
  try {
    const session = await request("GET", "/admin/session");
    if (session.admin) return connect();
    state.admin = null;
    changed();
  } catch {
    retryTimer = setTimeout(reconnect, 2000);
  }
}

function receive(name, data) {
  const before = state.sections[name];
  state.sections[name] = JSON.parse(data);
  setConnection("live");
  if (name === "providers" && before) announceChanges(before, state.sections.providers);
  if (name === "fleet" && before && state.sections.fleet) announceFleet(before, state.sections.fleet);
  if (name === "alarms" && before && state.sections.alarms.length > before.length) announce(`Alarm: ${state.sections.alarms.at(-1).text}`);
  changed();
}

function setConnection(value) {
  if (state.connection === value) return;
  if (value === "lost") announce("The connection to the gateway is lost.");
  state.connection = value;
  changed();
}

function announceFleet(before, after) {
  if (before.connected !== after.connected) announce(after.connected ? "Connected to the shared state." : "No connection to the shared state.");
  else if (before.processes !== after.processes) announce(`${after.processes} processes share their state.`);
}

function announceChanges(before, after) {
  const states = new Map(before.map((one) => [one.provider, one.state]));
  const texts = after
    .filter((one) => states.has(one.provider) && states.get(one.provider) !== one.state)
    .map((one) => `${one.provider}: circuit ${one.state.replace("_", "-")}`);
  if (texts.length) announce(texts.join(". "));
}
