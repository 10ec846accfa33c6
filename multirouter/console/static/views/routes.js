// The routes: their tiers, the plan, and where calls really go.

import { h } from "../dom.js";
import { count, duration, percent, span, usd, weight } from "../format.js";
import { badge, meter, providerBadge, section, shareBar, table } from "../parts.js";
import { state } from "../store.js";

export function routesView() {
  const { providers, routes } = state.sections;
  const byName = new Map(providers.map((one) => [one.provider, one]));
  const own = (routes[0]?.budgets ?? []).filter(ofRouter);
  return [
    h("div", { class: "headline", key: "headline" }, h("h1", {}, "Routes"), h("p", { class: "muted" }, "The bar is where the calls of the last minutes were answered; its mark is the share of the next choice.")),
    own.length ? section("Budget of the router", null, h("div", { class: "stack" }, own.map(budgetLine))) : null,
    routes.map((route) => section(route.route, divertedBadge(route), routeTable(route, byName), budgets(route), route.remarks.map((remark) => h("p", { class: "remark" }, remark)))),
  ];
}

function divertedBadge(route) {
  return route.diverted_for === null ? null : badge("warn", `Diverted for ${span(route.diverted_for)}`, "Calls are answered by other providers than the first choice");
}

function routeTable(route, byName) {
  const columns = [
    { label: "Provider", class: "name" },
    { label: "Circuit", class: "circuit" },
    { label: "Tier", class: "number tier" },
    { label: "Answered by", class: "wide", title: "Share of the route's answers in the health window" },
    { label: "Next choice", class: "number", title: "Share of the next weighted choice; unknown where a strategy chooses, and in tiers that are not chosen from now" },
    { label: "Success", class: "number" },
    { label: "Median", class: "number" },
    { label: "p99", class: "number" },
    { label: "Limit", class: "number", title: "Time limit of one attempt" },
    { label: "Weight", class: "number" },
  ];
  // The next choice is made in the first tier that has an available provider.
  const next = route.tiers.findIndex((tier) => tier.some((member) => byName.get(member.provider)?.available > 0));
  const share = (member, number) => (number === next ? member.share : null);
  const rows = route.tiers.flatMap((tier, number) =>
    tier.map((member) => ({
      key: `${number}/${member.provider}`,
      cells: [
        h("span", {}, member.provider, route.first_choice.includes(member.provider) ? h("span", { class: "tag" }, "first choice") : null),
        byName.has(member.provider) ? providerBadge(byName.get(member.provider)) : null,
        String(number + 1),
        shareBar(member.answers, share(member, number)),
        percent(share(member, number)),
        member.recent_calls ? h("span", {}, percent(member.success_rate), h("span", { class: "muted" }, ` of ${count(member.recent_calls)}`)) : null,
        duration(member.p50),
        duration(member.p99),
        duration(member.timeout),
        weight(member.weight),
      ],
    })),
  );
  return table(`Providers of ${route.route}`, columns, rows, "This route has no providers.", "stats");
}

/** Every route lists the budgets of the router too, which are shown once. */
const ofRouter = (budget) => budget.owner === "router";

function budgets(route) {
  const own = route.budgets.filter((budget) => !ofRouter(budget));
  return own.length ? h("div", { class: "budgets" }, own.map(budgetLine)) : null;
}

function budgetLine(budget) {
  return h("div", { class: "budget" }, h("span", {}, `Per ${budget.per}`), meter(budget.spent, budget.usd, `${usd(budget.spent)} of ${usd(budget.usd)}, resets in ${span(budget.ends_in)}`));
}
