// The overview: is it working, where do calls go, what happened.

import { changeWeight, holdProvider, releaseProvider } from "../actions.js";
import { latencyChart, shownPart, sum, trafficChart } from "../charts.js";
import { h } from "../dom.js";
import { count, duration, percent, plural, span, usd, weight } from "../format.js";
import { choice, figure, providerBadge, section, shareBar, table } from "../parts.js";
import { set, state } from "../store.js";
import { callTable } from "./calls.js";

const RECENT = 5;

export function overview() {
  const { alarms, calls, providers, status, traffic } = state.sections;
  const shown = shownPart(traffic, status);
  const by = state.ui.by ?? "ending";
  return [
    headline(),
    alarms.length ? alarmList(alarms) : null,
    figures(traffic),
    section("Providers", null, providerTable(providers, traffic)),
    h(
      "div",
      { class: "columns", key: "charts" },
      section("Traffic", choice("Stack calls by", [["ending", "Outcome"], ["provider", "Provider"]], by, (value) => set("by", value)), trafficChart(shown, by, providers.map((one) => one.provider))),
      section("Latency", h("span", { class: "legend" }, h("span", {}, h("span", { class: "swatch p50" }), "median"), h("span", {}, h("span", { class: "swatch p95" }), "p95")), latencyChart(shown)),
    ),
    section("Last calls", h("a", { href: "#/calls" }, "All calls"), callTable(calls.slice(0, 8))),
  ];
}

function headline() {
  const { fleet, providers, routes, status } = state.sections;
  const usable = providers.filter((one) => one.available > 0).length;
  const diverted = routes.filter((route) => route.diverted_for !== null);
  let tone = "good";
  let text = usable === providers.length ? (usable === 1 ? "The provider is available." : `All ${usable} providers are available.`) : `${usable} of ${providers.length} providers ${usable === 1 ? "is" : "are"} available.`;
  if (!usable) [tone, text] = ["bad", providers.length ? "No provider is available." : "There are no providers."];
  else if (usable < providers.length || diverted.length || fleet?.connected === false) tone = "warn";
  const details = providers.filter((one) => one.available < one.processes && one.text).map((one) => `${one.provider}: ${one.text}.`);
  details.push(...diverted.map((route) => `${route.route} has not been answered by its first choice (${route.first_choice.join(", ")}) for ${span(route.diverted_for)}.`));
  if (fleet?.connected === false) details.push("There is no connection to the shared state: this process works alone.");
  if (status.waiting) details.push(`${plural(status.waiting, "call")} waiting for a provider.`);
  return h("div", { class: "headline", key: "headline" }, h("h1", {}, h("span", { class: `beacon ${tone}`, "aria-hidden": "true" }), text), details.length ? h("p", { class: "muted" }, details.join(" ")) : null);
}

function alarmList(alarms) {
  return h(
    "section",
    { class: "alarms", "aria-label": "Alarms", key: "alarms" },
    h("ul", {}, alarms.map((alarm) => h("li", { key: `${alarm.alarm}/${alarm.subject}` }, h("strong", {}, alarm.alarm.replaceAll("_", " ")), h("span", {}, alarm.text), h("span", { class: "muted" }, `for ${span(alarm.firing_for)}`)))),
  );
}

function figures(traffic) {
  const { at, since } = state.sections.status;
  const minutes = Math.max(1, Math.min(RECENT, (at - since) / 60));
  const last = traffic.counts.slice(-RECENT);
  const recent = sum(last.map((counts) => sum(Object.values(counts))));
  const hour = traffic.hour.counts;
  const total = sum(Object.values(hour));
  const answered = (hour.answered ?? 0) + (hour.failed_over ?? 0);
  const counted = answered + (hour.failed ?? 0);
  return h(
    "dl",
    { class: "figures", key: "figures" },
    figure("Calls per minute", count(recent / minutes), minutes < RECENT ? "since the start" : `last ${RECENT} min`),
    figure("Answered", percent(counted ? answered / counted : null), "last hour", counted && answered / counted < 0.99 ? "bad" : ""),
    figure("Failures hidden from callers", count(hour.failed_over ?? 0), total ? `${percent((hour.failed_over ?? 0) / total)} of calls` : "last hour"),
    figure("Errors seen by callers", count(hour.failed ?? 0), "last hour", hour.failed ? "bad" : ""),
    figure("Median latency", duration(traffic.hour.p50), `p95 ${duration(traffic.hour.p95)}`),
    figure("Cost", usd(traffic.hour.cost), `${count(traffic.hour.tokens)} tokens`),
  );
}

function providerTable(providers, traffic) {
  const recent = traffic.providers.slice(-RECENT);
  const answers = (name) => sum(recent.map((counts) => counts[name] ?? 0));
  const all = sum(providers.map((one) => answers(one.provider)));
  const columns = [
    { label: "Provider", class: "name" },
    { label: "Circuit", class: "circuit" },
    { label: "Share of answers", class: "wide", title: `Share of the answered calls of the last ${RECENT} minutes` },
    { label: "In flight", class: "number" },
    { label: "Failed", class: "number", title: "Failed attempts in the circuit's window" },
    { label: "Median", class: "number", title: "Median latency" },
    { label: "p99", class: "number", title: "99th percentile of the latency" },
    { label: "Weight", class: "number weight" },
    { label: "Last failure", class: "text wide" },
    { label: "Actions", class: "actions wide" },
  ];
  const rows = providers.map((one) => ({
    key: one.provider,
    cells: [
      one.provider,
      [providerBadge(one), modelStates(one), learnedLimits(one)],
      shareBar(all ? answers(one.provider) / all : null, null),
      count(one.in_flight),
      one.calls ? h("span", { class: one.failures ? "bad-text" : "" }, percent(one.failures / one.calls), h("span", { class: "muted" }, ` of ${count(one.calls)}`)) : null,
      duration(one.p50),
      duration(one.p99),
      weight(one.weight),
      one.last_failure || "none",
      h(
        "span",
        { class: "row-actions" },
        one.hold
          ? h("button", { type: "button", class: "small", "aria-label": `Release ${one.provider}`, onclick: () => releaseProvider(one.provider) }, "Release…")
          : h("button", { type: "button", class: "small", "aria-label": `Hold ${one.provider}`, onclick: () => holdProvider(one.provider) }, "Hold…"),
        h("button", { type: "button", class: "small", "aria-label": `Change the weight of ${one.provider}`, onclick: () => changeWeight(one.provider, one.weight) }, "Weight…"),
      ),
    ],
  }));
  return table("Providers", columns, rows, "No providers are configured.", "stats");
}

function modelStates(one) {
  const models = Object.entries(one.models);
  return models.length ? h("span", { class: "below muted" }, models.map(([model, circuit]) => `${model}: ${circuit.replace("_", "-")}`).join(", ")) : null;
}

/** What the provider's answers tell of its limits, with the source: headers or 429s. */
function learnedLimits(one) {
  const known = one.learned_limits.filter((limit) => limit.source === "429s" || limit.remaining !== null);
  return known.length ? h("span", { class: "below muted" }, known.map(learnedLimit).join(", ")) : null;
}

function learnedLimit(limit) {
  const source = limit.model === null ? limit.source : `${limit.model}, ${limit.source}`;
  if (limit.remaining === null) return `${limit.name.replaceAll("_", " ")}: ${count(limit.limit)} (${source})`;
  const whole = limit.limit === null ? "" : ` of ${count(limit.limit)}`;
  return `${count(limit.remaining)}${whole} ${limit.unit} left (${source})`;
}
