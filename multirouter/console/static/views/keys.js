// The gateway keys: rights, limits, and what is used.

import { h } from "../dom.js";
import { count, span, usd } from "../format.js";
import { meter, section, table } from "../parts.js";
import { state } from "../store.js";

export function keysView() {
  const keys = state.sections.keys ?? [];
  const columns = [
    { label: "Name" },
    { label: "Id", class: "text" },
    { label: "May use", class: "text" },
    { label: "Requests per min", class: "number" },
    { label: "Tokens per min", class: "number" },
    { label: "Under way", class: "number" },
    { label: "Budget", class: "text" },
  ];
  const rows = keys.map((key) => ({
    key: key.id,
    cells: [
      key.name,
      h("code", {}, key.id),
      key.admin ? "the console and /admin" : key.routes.length ? key.routes.join(", ") : "all routes",
      limit(key.requests_per_minute),
      limit(key.tokens_per_minute),
      key.concurrent === null ? count(key.under_way ?? 0) : `${count(key.under_way ?? 0)} of ${count(key.concurrent)}`,
      (key.budgets ?? []).length ? key.budgets.map((budget) => meter(budget.spent, budget.usd, `${usd(budget.spent)} of ${usd(budget.usd)}, resets in ${span(budget.ends_in)}`)) : key.budget ?? "no limit",
    ],
  }));
  return [
    h("div", { class: "headline", key: "headline" }, h("h1", {}, "Keys"), h("p", { class: "muted" }, "Keys are made and revoked with ", h("code", {}, "multirouter keys"), "; their secret parts are stored nowhere.")),
    section("Keys in force", null, table("Keys", columns, rows, "There are no keys.")),
  ];
}

const limit = (value) => (value === null ? "no limit" : count(value));
