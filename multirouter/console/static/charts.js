// Charts as SVG: at most the last hour, by the minute. Values can be read with the pointer or arrow keys.

import { h } from "./dom.js";
import { count, duration, minute, usd } from "./format.js";
import { ending, ENDING_NAMES } from "./parts.js";
import { set, state } from "./store.js";

const WIDTH = 720;
const HEIGHT = 150;
const PROVIDER_TONES = 6;

const WINDOWS = [10, 30];

/** The last 10 or 30 minutes of a process that has not run for longer; else the whole hour. */
export function shownPart(traffic, status) {
  const shown = WINDOWS.find((minutes) => status.at - status.since < minutes * 60);
  if (!shown) return traffic;
  const [counts, providers, p50, p95] = [traffic.counts, traffic.providers, traffic.p50, traffic.p95].map((values) => values.slice(-shown));
  return { ...traffic, counts, providers, p50, p95 };
}

/** Calls per minute, stacked by how they ended or by who answered. */
export function trafficChart(traffic, by, providerNames) {
  const groups = by === "provider" ? traffic.providers : traffic.counts;
  const names = by === "provider" ? providerNames : ENDING_NAMES;
  const shown = names.filter((name) => groups.some((minuteCounts) => minuteCounts[name]));
  // Half of it is whole: calls are counted.
  const top = 2 * niceTop(Math.max(1, ...groups.map((counts) => sum(Object.values(counts)) / 2)));
  const step = WIDTH / groups.length;
  const y = (value) => HEIGHT - (value / top) * HEIGHT;
  const chosen = state.ui.minute ?? null;
  const label = chosen === null ? hourText(traffic) : minuteText(traffic, chosen, groups, shown, by);
  return h(
    "figure",
    { class: "chart", key: "traffic" },
    h("p", { class: "readout", id: "readout" }, label),
    h(
      "div",
      { class: "plot" },
      h("div", { class: "y-axis", "aria-hidden": "true" }, h("span", {}, count(top)), h("span", {}, count(top / 2)), h("span", {}, "0")),
      h(
        "svg",
        {
          viewBox: `0 0 ${WIDTH} ${HEIGHT}`,
          preserveAspectRatio: "none",
          role: "img",
          tabindex: "0",
          "aria-label": `Calls per minute over the last ${groups.length} minutes. ${hourText(traffic)}`,
          "aria-describedby": "readout",
          onpointermove: (event) => set("minute", placeOf(event, groups.length)),
          onpointerleave: () => set("minute", null),
          onblur: () => set("minute", null),
          onkeydown: (event) => moveBy(event, groups.length),
        },
        [0, 0.5, 1].map((part) => h("line", { class: "grid", x1: 0, x2: WIDTH, y1: y(top * part), y2: y(top * part), "vector-effect": "non-scaling-stroke" })),
        chosen === null ? null : h("rect", { class: "cursor", x: chosen * step, y: 0, width: step, height: HEIGHT }),
        groups.map((counts, place) => {
          let base = 0;
          return shown.map((name, number) => {
            const value = counts[name] ?? 0;
            if (!value) return null;
            const rect = h("rect", { class: toneOf(by, name, number), x: place * step + step * 0.14, width: step * 0.72, y: y(base + value), height: Math.max(y(base) - y(base + value), 0.6) });
            base += value;
            return rect;
          });
        }),
      ),
    ),
    timeAxis(traffic.end, groups.length),
    h(
      "ul",
      { class: "legend", "aria-label": "Legend" },
      shown.map((name, number) => h("li", {}, h("span", { class: `swatch ${toneOf(by, name, number)}`, "aria-hidden": "true" }), by === "provider" ? name : ending(name).label, h("span", { class: "muted" }, ` ${count(sum(groups.map((counts) => counts[name] ?? 0)))}`))),
    ),
  );
}

/** Median and 95th percentile of the latency as two lines. */
export function latencyChart(traffic) {
  const values = [...traffic.p50, ...traffic.p95].filter((value) => value !== null);
  const top = niceTop(Math.max(0.01, ...values));
  return h(
    "figure",
    { class: "chart small", key: "latency" },
    h(
      "div",
      { class: "plot" },
      h("div", { class: "y-axis", "aria-hidden": "true" }, h("span", {}, duration(top)), h("span", {}, duration(top / 2)), h("span", {}, "0")),
      h(
        "svg",
        { viewBox: `0 0 ${WIDTH} 70`, preserveAspectRatio: "none", role: "img", "aria-label": `Latency over the last ${traffic.p50.length} minutes; in the last hour: median ${duration(traffic.hour.p50)}, 95th percentile ${duration(traffic.hour.p95)}` },
        [0, 0.5, 1].map((part) => h("line", { class: "grid", x1: 0, x2: WIDTH, y1: 70 * part, y2: 70 * part, "vector-effect": "non-scaling-stroke" })),
        line(traffic.p95, top, "p95"),
        line(traffic.p50, top, "p50"),
      ),
    ),
    timeAxis(traffic.end, traffic.p50.length),
  );
}

/** Lines between neighbouring minutes that have calls; a minute that stands alone is a dash. */
function line(values, top, name) {
  const step = WIDTH / values.length;
  let path = "";
  values.forEach((value, place) => {
    if (value === null) return;
    const x = (place + 0.5) * step;
    const y = 70 - (value / top) * 70;
    const before = (values[place - 1] ?? null) !== null;
    const after = (values[place + 1] ?? null) !== null;
    if (!before && after) path += `M${x.toFixed(1)} ${y.toFixed(1)}`;
    else path += before ? `L${x.toFixed(1)} ${y.toFixed(1)}` : `M${(x - step * 0.3).toFixed(1)} ${y.toFixed(1)}L${(x + step * 0.3).toFixed(1)} ${y.toFixed(1)}`;
  });
  return h("path", { class: `line ${name}`, d: path || "M0 70", "vector-effect": "non-scaling-stroke" });
}

function timeAxis(end, minutes) {
  const marks = [0, 0.25, 0.5, 0.75, 1].map((part) => minute(end - Math.round((1 - part) * (minutes - 1)) * 60));
  return h("div", { class: "x-axis", "aria-hidden": "true" }, marks.map((text) => h("span", {}, text)));
}

function hourText(traffic) {
  const { counts, tokens, cost } = traffic.hour;
  const total = sum(Object.values(counts));
  if (!total) return "No calls in the last hour.";
  const parts = [`${count(total)} calls in the last hour`];
  if (tokens) parts.push(`${count(tokens)} tokens`);
  if (cost) parts.push(usd(cost));
  return `${parts.join(", ")}.`;
}

function minuteText(traffic, place, groups, names, by) {
  const at = minute(traffic.end - (groups.length - 1 - place) * 60);
  const counts = groups[place];
  const parts = names.filter((name) => counts[name]).map((name) => `${count(counts[name])} ${by === "provider" ? name : ending(name).label.toLowerCase()}`);
  if (!parts.length) return `${at}: no calls.`;
  return `${at}: ${parts.join(", ")}; median ${duration(traffic.p50[place])}, p95 ${duration(traffic.p95[place])}.`;
}

export function toneOf(by, name, number) {
  return by === "provider" ? `series-${number % PROVIDER_TONES}` : `tone-${ending(name).tone}`;
}

function placeOf(event, places) {
  const box = event.currentTarget.getBoundingClientRect();
  return Math.max(0, Math.min(places - 1, Math.floor(((event.clientX - box.left) / box.width) * places)));
}

function moveBy(event, places) {
  const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (!by) return;
  event.preventDefault();
  set("minute", Math.max(0, Math.min(places - 1, (state.ui.minute ?? places) + by)));
}

/** The next round number for the top of an axis: 1, 2 or 5 times a power of ten. */
function niceTop(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * power).find((top) => top >= value * 0.999);
}

export const sum = (values) => values.reduce((total, value) => total + value, 0);
