// Changes, each confirmed in a dialog: holds, weights, reload.

import { request } from "./api.js";
import { h, render } from "./dom.js";
import { plural, weight } from "./format.js";
import { announce, state } from "./store.js";

const HOLDS = [
  ["open", "Open", "Never attempted. Use it to take a provider out of service."],
  ["closed", "Closed", "Attempted whatever its failures."],
  ["disabled", "Disabled", "Attempted; the circuit does not count results."],
  ["metrics_only", "Metrics only", "Attempted; the circuit shows what it would do."],
];

/** Opens a dialog. `send` returns a promise; its error is shown, and the dialog stays open. */
function ask({ title, text, scope, fields, confirm, danger, send }) {
  const dialog = document.getElementById("dialog");
  let problem = "";
  let busy = false;
  const paint = () =>
    render(
      dialog,
      h(
        "form",
        {
          method: "dialog",
          onsubmit: async (event) => {
            event.preventDefault();
            if (busy) return;
            busy = true;
            problem = "";
            paint();
            try {
              const said = await send(new FormData(event.target));
              dialog.close();
              announce(said);
            } catch (error) {
              problem = error.message;
            }
            busy = false;
            paint();
          },
        },
        h("h2", { id: "dialog-title" }, title),
        text ? h("p", { class: "muted" }, text) : null,
        scope ? h("p", { class: "scope" }, scope) : null,
        fields,
        problem ? h("p", { class: "problem", role: "alert" }, problem) : null,
        h(
          "div",
          { class: "buttons" },
          h("button", { type: "button", class: "plain", onclick: () => dialog.close() }, "Cancel"),
          h("button", { type: "submit", class: danger ? "danger" : "primary", disabled: busy }, busy ? "Working…" : confirm),
        ),
      ),
    );
  render(dialog);
  paint();
  dialog.showModal();
}

/** Where a change acts. */
function everyProcess() {
  const { fleet, status } = state.sections;
  if (!fleet) return status.processes > 1 ? `Acts on all ${status.processes} processes.` : null;
  if (!fleet.connected) return "Acts on this process now, and on the rest of the fleet once it is connected again.";
  const hosts = fleet.hosts > 1 ? ` on ${plural(fleet.hosts, "host")}` : "";
  return fleet.processes > 1 ? `Acts on all ${fleet.processes} processes of the fleet${hosts}.` : "Acts on the fleet, which is this process alone now.";
}

export function holdProvider(provider) {
  ask({
    title: `Hold ${provider}`,
    text: "A hold overrides the circuit until it is released.",
    scope: everyProcess(),
    fields: h(
      "fieldset",
      {},
      h("legend", { class: "visually-hidden" }, "Kind of hold"),
      HOLDS.map(([value, label, meaning], place) => h("label", { class: "option" }, h("input", { type: "radio", name: "how", value, checked: place === 0 }), h("span", {}, h("strong", {}, label), h("span", { class: "muted" }, meaning)))),
    ),
    confirm: "Hold",
    danger: true,
    send: async (form) => {
      await request("POST", "/admin/hold", { provider, how: form.get("how") });
      return `${provider} is held ${form.get("how")}`;
    },
  });
}

export function releaseProvider(provider) {
  ask({
    title: `Release ${provider}`,
    text: "Its circuit decides again. One that was held open becomes half-open first.",
    scope: everyProcess(),
    confirm: "Release",
    send: async () => {
      await request("POST", "/admin/unhold", { provider });
      return `${provider} is released`;
    },
  });
}

export function changeWeight(provider, current) {
  ask({
    title: `Weight of ${provider}`,
    text: "Its share in the weighted choice, relative to the others. It lasts until the next reload.",
    scope: everyProcess(),
    fields: h("label", { class: "field" }, "Weight", h("input", { type: "number", name: "weight", min: "0", step: "any", required: true, value: weight(current) })),
    confirm: "Change",
    send: async (form) => {
      await request("POST", "/admin/weight", { provider, weight: Number(form.get("weight")) });
      return `The weight of ${provider} is ${form.get("weight")}`;
    },
  });
}

export function reloadConfiguration() {
  ask({
    title: "Reload the configuration",
    text: "Reads the configuration file again, in every process. Requests under way are not affected; weights that were changed here are reset. An invalid file changes nothing.",
    confirm: "Reload",
    send: async () => {
      await request("POST", "/admin/reload", {});
      return "The configuration is reloaded";
    },
  });
}
