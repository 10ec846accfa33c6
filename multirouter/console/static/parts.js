// Small pieces that several views share.

import { h } from "./dom.js";
import { left, percent, UNKNOWN } from "./format.js";

const ENDINGS = {
  answered: { label: "Answered", tone: "good", text: "at the first attempt" },
  failed_over: { label: "After failover", tone: "over", text: "answered after a failed attempt" },
  failed: { label: "Failed", tone: "bad", text: "without an answer" },
  rejected: { label: "Rejected", tone: "quiet", text: "the request was at fault" },
  cancelled: { label: "Cancelled", tone: "left", text: "the caller left" },
};

export const ENDING_NAMES = Object.keys(ENDINGS);
export const ending = (name) => ENDINGS[name] ?? { label: name, tone: "quiet", text: "" };

export function badge(tone, text, title) {
  return h("span", { class: `badge ${tone}`, title }, h("span", { class: "mark", "aria-hidden": "true" }), text);
}

/** The state of a provider in one badge: the strongest reason not to use it comes first. */
export function providerBadge(one) {
  const partly = one.processes > 1 && one.available > 0 && one.available < one.processes;
  const where = partly ? ` in ${one.processes - one.available} of ${one.processes}` : "";
  if (one.hold) return badge("hold", `Held ${one.hold.replace("_", " ")}`, "A hold overrides the circuit until it is released");
  if (one.state === "open") return badge("bad", `Open${where}${one.half_open_in ? `, tried ${left(one.half_open_in)}` : ""}`, one.text);
  if (one.state === "half_open") return badge("warn", `Half-open${where}, on trial`, one.text);
  if (one.cooldown_remaining > 0) return badge("warn", `Cooldown${where}, ends ${left(one.cooldown_remaining)}`, one.text);
  if (one.available === 0) return badge("warn", one.text || "Not available");
  if (one.degraded) return badge("warn", "Degraded", "Its success rate is low: attempted after the others");
  return badge("good", "Closed", "Attempts are admitted");
}

/** How a call ended, with the status where it says more. */
export function endingBadge(call) {
  const { label, tone, text } = ending(call.ending);
  const code = call.ending === "failed" || call.ending === "rejected" ? ` ${call.status}` : "";
  return badge(tone, label + code, text);
}

/** A share as a bar and a number; the mark on the bar is the planned share. */
export function shareBar(share, planned, label) {
  return h(
    "span",
    { class: "share" },
    h(
      "span",
      { class: "bar", "aria-hidden": "true" },
      h("span", { class: "fill", style: { width: `${(share ?? 0) * 100}%` } }),
      planned === null || planned === undefined ? null : h("span", { class: "plan", style: { left: `${planned * 100}%` } }),
    ),
    h("span", { class: "number", title: label }, percent(share)),
  );
}

/** A used-up part of a limit. */
export function meter(value, limit, text) {
  const share = limit ? Math.min(1, value / limit) : 0;
  const tone = share >= 1 ? "bad" : share >= 0.8 ? "warn" : "";
  return h("span", { class: "share" }, h("span", { class: `bar ${tone}`, "aria-hidden": "true" }, h("span", { class: "fill", style: { width: `${share * 100}%` } })), h("span", { class: "number wide" }, text));
}

/** The trail of a call in one line: the providers in order, each with its result. */
export function trailLine(trail) {
  if (!trail.length) return h("span", { class: "muted" }, "no attempt");
  return h(
    "span",
    { class: "trail" },
    trail.map((attempt, number) => [
      number ? h("span", { class: "arrow", "aria-hidden": "true" }, "→") : null,
      h(
        "span",
        { class: attempt.verdict === "success" ? "ok" : attempt.verdict === "cancelled" ? "muted" : "no", title: attempt.reason ?? attempt.verdict },
        attempt.provider,
        attempt.verdict === "success" ? null : h("span", { class: "verdict" }, attempt.verdict.replaceAll("_", " ")),
      ),
    ]),
  );
}

export function section(title, extra, ...children) {
  const id = `s-${title.toLowerCase().replace(/[^a-z]+/g, "-")}`;
  return h("section", { class: "card", "aria-labelledby": id, key: id }, h("div", { class: "card-head" }, h("h2", { id }, title), extra), children);
}

/** A table that becomes a list of cards on a narrow screen. Cells: { label, value, numeric }. */
export function table(caption, columns, rows, empty, kind) {
  if (!rows.length) return h("p", { class: "empty" }, empty);
  return h(
    "div",
    { class: "table-wrap", key: caption },
    h(
      "table",
      { class: kind },
      h("caption", { class: "visually-hidden" }, caption),
      h("thead", {}, h("tr", {}, columns.map((column) => h("th", { scope: "col", class: column.class, title: column.title }, column.label)))),
      h("tbody", {}, rows.map((row) => h("tr", { key: row.key, class: row.class }, columns.map((column, place) => cell(column, row.cells[place], place))))),
    ),
  );
}

function cell(column, value, place) {
  const content = value === null || value === undefined ? UNKNOWN : value;
  const unknown = content === UNKNOWN ? "unknown" : "";
  return h(place === 0 ? "th" : "td", { scope: place === 0 ? "row" : undefined, class: [column.class, unknown].filter(Boolean).join(" ") || undefined, "data-label": column.label }, content);
}

export function figure(label, value, note, tone) {
  return h("div", { class: `figure ${tone ?? ""}` }, h("dt", {}, label), h("dd", {}, value, note ? h("span", { class: "note" }, note) : null));
}

export function facts(pairs) {
  return h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== null && value !== undefined && value !== "").map(([name, value]) => h("div", {}, h("dt", {}, name), h("dd", {}, value))));
}

/** A group of buttons of which one is pressed. */
export function choice(label, options, chosen, choose) {
  return h(
    "div",
    { class: "choice", role: "group", "aria-label": label },
    options.map(([value, text]) => h("button", { type: "button", "aria-pressed": String(value === chosen), onclick: () => choose(value) }, text)),
  );
}
