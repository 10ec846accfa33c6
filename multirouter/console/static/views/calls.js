// The last calls, with filters.

import { h } from "../dom.js";
import { clock, count, duration, usd } from "../format.js";
import { choice, endingBadge, table, trailLine } from "../parts.js";
import { set, state } from "../store.js";

const FILTERS = [
  ["all", "All"],
  ["failed_over", "After failover"],
  ["failed", "Failed"],
  ["slow", "Slowest"],
];

export function callsView() {
  const filter = state.ui.filter ?? "all";
  const search = (state.ui.search ?? "").toLowerCase();
  const { calls } = state.sections;
  let shown = calls.filter((call) => matches(call, search));
  if (filter === "slow") shown = [...shown].sort((a, b) => b.ms - a.ms).slice(0, 20);
  else if (filter !== "all") shown = shown.filter((call) => call.ending === filter);
  return [
    h("div", { class: "headline", key: "headline" }, h("h1", {}, "Calls"), h("p", { class: "muted" }, `The last ${count(calls.length)} calls, without their content. Those that failed or failed over are kept longer.`)),
    h(
      "section",
      { class: "card", "aria-label": "Calls", key: "calls" },
      h(
        "div",
        { class: "card-head" },
        choice("Show calls", FILTERS, filter, (value) => set("filter", value)),
        h("input", { type: "search", class: "search", placeholder: "Route, model, provider, key or id", "aria-label": "Search calls", value: state.ui.search ?? "", oninput: (event) => set("search", event.target.value) }),
      ),
      callTable(shown, calls.length ? "No call matches." : undefined),
    ),
  ];
}

function matches(call, search) {
  if (!search) return true;
  const texts = [call.route, call.model, call.requested_model, call.provider, call.key, call.request_id, call.error_code];
  return texts.some((text) => text?.toLowerCase().includes(search));
}

export function callTable(calls, empty = "No calls yet. Send one in the playground, or point a client at this address.") {
  const columns = [
    { label: "Time", class: "time" },
    { label: "Outcome", class: "outcome" },
    { label: "Route", class: "route" },
    { label: "Model", class: "text model" },
    { label: "Trail", class: "text way" },
    { label: "Duration", class: "number duration" },
    { label: "Tokens", class: "number tokens" },
    { label: "Cost", class: "number cost" },
  ];
  const rows = calls.map((call) => ({
    key: call.request_id + call.time,
    class: "clickable",
    cells: [
      h("a", { href: `#/call/${encodeURIComponent(call.request_id)}` }, clock(call.time)),
      endingBadge(call),
      call.route,
      call.model || call.requested_model || null,
      trailLine(call.trail),
      duration(call.ms / 1000),
      call.tokens ? count(call.tokens) : null,
      call.cost_usd ? usd(call.cost_usd) : null,
    ],
  }));
  return table("Calls", columns, rows, empty, "calls");
}
