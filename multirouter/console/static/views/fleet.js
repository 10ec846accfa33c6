// The fleet: the processes that share their state, what each believes, and what all know.

import { changeWeight, holdProvider, releaseProvider } from "../actions.js";
import { h } from "../dom.js";
import { duration, left, plural, weight } from "../format.js";
import { badge, section, table } from "../parts.js";
import { state } from "../store.js";

const BELIEFS = {
  closed: { label: "Closed", tone: "good" },
  cooling_down: { label: "Cooldown", tone: "warn" },
  half_open: { label: "Half-open", tone: "warn" },
  open: { label: "Open", tone: "bad" },
};

/** What a process believes about a provider; one that it does not list is simply closed. */
function belief(member, provider) {
  const found = member.providers[provider];
  if (!found) return { ...BELIEFS.closed, plain: true };
  if (found.hold) return { label: `Held ${found.hold.replace("_", " ")}`, tone: "hold" };
  if (found.state === "closed" && found.cooling_down) return BELIEFS.cooling_down;
  return BELIEFS[found.state] ?? { label: found.state, tone: "quiet" };
}

export function fleetView() {
  const { fleet, providers } = state.sections;
  if (!fleet) return [heading("No fleet", null, "This process shares its state with no other. ", h("code", {}, "sharing"), " in the configuration connects processes over Redis.")];
  return [
    fleet.connected ? connected(fleet) : alone(fleet),
    section("Providers", null, providerTable(fleet, providers)),
    section("Processes", null, memberTable(fleet, providers)),
    section("What is known", null, factTable(fleet)),
  ];
}

function heading(title, tone, ...details) {
  return h("div", { class: "headline", key: "headline" }, h("h1", {}, tone ? h("span", { class: `beacon ${tone}`, "aria-hidden": "true" }) : null, title), h("p", { class: "muted" }, details));
}

function connected(fleet) {
  const hosts = fleet.hosts > 1 ? ` on ${plural(fleet.hosts, "host")}` : "";
  const title = fleet.processes === 1 ? "One process is connected." : `${plural(fleet.processes, "process", "processes")}${hosts} share their state.`;
  const lag = fleet.lag === null ? "" : ` The last message took ${duration(fleet.lag)}.`;
  return heading(title, fleet.processes === 1 ? "warn" : "good", "The state of ", h("strong", {}, fleet.fleet), " is at ", h("code", {}, fleet.to), `, under the prefix ${fleet.namespace}.${lag} Holds and weights that are set here act on all processes.`);
}

function alone(fleet) {
  return heading("No connection to the shared state.", "bad", "This process works alone, and tries again to connect to ", h("code", {}, fleet.to), ". Holds and weights that are set here act on this process now, and on the others once it is connected.");
}

function providerTable(fleet, providers) {
  const columns = [
    { label: "Provider", class: "name" },
    { label: "In the fleet", class: "wide" },
    { label: "Weight", class: "number weight" },
    { label: "Actions", class: "actions wide" },
  ];
  const rows = providers.map((one) => {
    const held = fleet.members.some((member) => member.providers[one.provider]?.hold);
    return {
      key: one.provider,
      cells: [
        one.provider,
        agreement(fleet.members.map((member) => belief(member, one.provider))),
        weight(one.weight),
        h(
          "span",
          { class: "row-actions" },
          held
            ? h("button", { type: "button", class: "small", "aria-label": `Release ${one.provider} in all processes`, onclick: () => releaseProvider(one.provider) }, "Release…")
            : h("button", { type: "button", class: "small", "aria-label": `Hold ${one.provider} in all processes`, onclick: () => holdProvider(one.provider) }, "Hold…"),
          h("button", { type: "button", class: "small", "aria-label": `Change the weight of ${one.provider} in all processes`, onclick: () => changeWeight(one.provider, one.weight) }, "Weight…"),
        ),
      ],
    };
  });
  return table("Providers in the fleet", columns, rows, "No providers are configured.");
}

/** One badge when all agree, else one for each belief with the number of processes. */
function agreement(beliefs) {
  const groups = new Map();
  for (const one of beliefs) groups.set(one.label, { ...one, number: (groups.get(one.label)?.number ?? 0) + 1 });
  const all = groups.size === 1;
  return h("span", { class: "badges" }, [...groups.values()].map((one) => badge(one.tone, `${one.label} in ${all ? (one.number === 1 ? "the only one" : `all ${one.number}`) : `${one.number} of ${beliefs.length}`}`)));
}

function memberTable(fleet, providers) {
  const columns = [{ label: "Process" }, { label: "Id", class: "text" }, { label: "Circuits", class: "wide" }];
  const rows = fleet.members.map((member) => {
    const known = [...new Set([...providers.map((one) => one.provider), ...Object.keys(member.providers)])];
    const notable = known.map((name) => [name, belief(member, name)]).filter(([, one]) => !one.plain);
    return {
      key: member.id,
      cells: [
        h("span", {}, nameOf(member), member.id === fleet.id ? h("span", { class: "tag" }, "this process") : null),
        h("code", {}, member.id),
        notable.length ? h("span", { class: "badges" }, notable.map(([name, one]) => badge(one.tone, `${name}: ${one.label.toLowerCase()}`))) : h("span", { class: "muted" }, "all closed"),
      ],
    };
  });
  return table("Processes", columns, rows, "No process is connected.");
}

const nameOf = (member) => (member.pid === null ? member.host : `${member.host}, pid ${member.pid}`);

function factTable(fleet) {
  const names = new Map(fleet.members.map((member) => [member.id, nameOf(member)]));
  const columns = [{ label: "About" }, { label: "What", class: "text" }, { label: "From", class: "text" }, { label: "Ends", class: "number" }];
  const rows = fleet.facts.map((fact) => ({
    key: `${fact.kind}/${fact.subject}/${fact.by}`,
    cells: [fact.kind === "revoked" ? h("code", {}, fact.subject) : fact.subject, factText(fact), names.get(fact.by) ?? "a process that has left", fact.left === null ? "when changed" : left(fact.left)],
  }));
  return table("Facts", columns, rows, "Nothing but the configuration: no circuit has opened, and nothing was set.");
}

function factText({ kind, value }) {
  if (kind === "open") return `circuit open (${value.reason.replaceAll("_", " ")}), ${plural(value.failures, "failure")}, opened ${value.openings === 1 ? "once" : `${value.openings} times in a row`}`;
  if (kind === "closed") return "circuit closed, because its trials passed";
  if (kind === "failing") return `${plural(value, "failure")} in a row`;
  if (kind === "cooldown") return value ? "cooldown after a rate limit" : "cooldown";
  if (kind === "hold") return value === null ? "hold released" : `held ${value.replace("_", " ")}`;
  if (kind === "weight") return value === null ? "weight as configured" : `weight ${weight(value)}`;
  return kind === "revoked" ? "key revoked" : kind;
}
