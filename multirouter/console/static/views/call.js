// One call: its attempts on a time line, and why each was made.

import { h } from "../dom.js";
import { count, dateTime, duration, usd } from "../format.js";
import { badge, endingBadge, facts } from "../parts.js";
import { state } from "../store.js";

export function callView(id) {
  const call = findCall(id);
  if (!call) {
    return h("div", { class: "headline" }, h("h1", {}, "Call not found"), h("p", { class: "muted" }, "Only the last calls are kept. ", h("a", { href: "#/calls" }, "Back to the calls")));
  }
  return [
    h("p", { class: "crumbs", key: "crumbs" }, h("a", { href: "#/calls" }, "Calls"), " / ", h("code", {}, call.request_id)),
    h("div", { class: "headline", key: "headline" }, h("h1", {}, sentence(call)), h("p", {}, endingBadge(call), h("span", { class: "muted" }, ` ${dateTime(call.time)}`))),
    h(
      "section",
      { class: "card", "aria-labelledby": "time-line", key: "time-line" },
      h("div", { class: "card-head" }, h("h2", { id: "time-line" }, "Attempts")),
      call.trail.length ? timeLine(call) : h("p", { class: "empty" }, "No provider was attempted."),
    ),
    h(
      "section",
      { class: "card", "aria-labelledby": "facts", key: "facts" },
      h("div", { class: "card-head" }, h("h2", { id: "facts" }, "Details")),
      facts([
        ["Request id", h("code", {}, call.request_id)],
        ["Path", call.path ? h("code", {}, call.path) : null],
        ["Route", call.route],
        ["Requested model", call.requested_model],
        ["Model", call.model],
        ["Provider", call.provider],
        ["Key", call.key],
        ["Status", call.status ? String(call.status) : null],
        ["Error", call.error_code],
        ["Duration", duration(call.ms / 1000)],
        ["Tokens", call.tokens ? count(call.tokens) : null],
        ["Cost", call.cost_usd ? usd(call.cost_usd) : null],
      ]),
    ),
  ];
}

/** A call that is open stays on the page when newer ones push it out of the list. */
function findCall(id) {
  const found = state.sections.calls.find((call) => call.request_id === id);
  if (found) state.ui.openCall = found;
  return found ?? (state.ui.openCall?.request_id === id ? state.ui.openCall : null);
}

function sentence(call) {
  const failed = call.trail.filter((attempt) => attempt.verdict !== "success" && attempt.verdict !== "cancelled");
  const after = failed.length ? ` after ${failed.map((attempt) => `${attempt.provider} failed (${attempt.verdict.replaceAll("_", " ")})`).join(" and ")}` : "";
  if (call.ending === "answered" || call.ending === "failed_over") return `Answered by ${call.provider} in ${duration(call.ms / 1000)}${after}`;
  if (call.ending === "cancelled") return `Cancelled by the caller after ${duration(call.ms / 1000)}`;
  return call.ending === "rejected" ? `Rejected: ${call.error_code || call.status}` : `Failed${after || `: ${call.error_code || call.status}`}`;
}

function timeLine(call) {
  const end = Math.max(call.ms, ...call.trail.map((attempt) => attempt.start_ms + attempt.ms), 0.1);
  const place = (ms) => `${Math.max(0, Math.min(100, (ms / end) * 100))}%`;
  return h(
    "div",
    { class: "time-line" },
    h(
      "ol",
      {},
      call.trail.map((attempt, number) =>
        h(
          "li",
          { key: String(number) },
          h("div", { class: "who" }, h("strong", {}, attempt.provider), attempt.role ? h("span", { class: "tag" }, attempt.role) : null, verdictBadge(attempt)),
          h(
            "div",
            { class: "lane", role: "img", "aria-label": `from ${duration(attempt.start_ms / 1000)} for ${duration(attempt.ms / 1000)}` },
            h("span", { class: `span ${attempt.verdict === "success" ? "good" : attempt.verdict === "cancelled" ? "quiet" : "bad"}`, style: { left: place(attempt.start_ms), width: `max(3px, ${place(attempt.ms)})` } }),
            attempt.first_content_ms === undefined ? null : h("span", { class: "first", title: `first content after ${duration(attempt.first_content_ms / 1000)}`, style: { left: place(attempt.start_ms + attempt.first_content_ms) } }),
          ),
          h("div", { class: "why" }, notes(attempt, waitBefore(call.trail, number))),
        ),
      ),
    ),
    h("div", { class: "lane-axis", "aria-hidden": "true" }, [0, 0.25, 0.5, 0.75, 1].map((part) => h("span", {}, part ? duration((end * part) / 1000) : "0"))),
  );
}

function verdictBadge(attempt) {
  if (attempt.verdict === "success") return badge("good", "success");
  return badge(attempt.verdict === "cancelled" ? "quiet" : "bad", attempt.verdict.replaceAll("_", " "));
}

/** Milliseconds in which no attempt was under way before this one. */
function waitBefore(trail, number) {
  const ends = trail.slice(0, number).map((attempt) => attempt.start_ms + attempt.ms);
  return trail[number].start_ms - Math.max(0, ...ends);
}

function notes(attempt, waited) {
  const parts = [`${duration(attempt.ms / 1000)}, started at ${duration(attempt.start_ms / 1000)}`];
  if (waited > 50) parts.push(`after a wait of ${duration(waited / 1000)}`);
  if (attempt.first_content_ms !== undefined) parts.push(`first content after ${duration(attempt.first_content_ms / 1000)}`);
  if (attempt.model) parts.push(attempt.model);
  if (attempt.input_tokens !== undefined) parts.push(`${count(attempt.input_tokens)} tokens in, ${count(attempt.output_tokens)} out`);
  if (attempt.cost_usd) parts.push(usd(attempt.cost_usd));
  if (attempt.retry_after !== undefined) parts.push(`asked to wait ${duration(attempt.retry_after)}`);
  const reason = attempt.reason ? ` ${attempt.reason}.` : "";
  return [h("span", {}, `Chosen because: ${attempt.why}.${reason ? " Failed because:" : ""}${reason}`), h("span", { class: "muted" }, parts.join(" · "))];
}
