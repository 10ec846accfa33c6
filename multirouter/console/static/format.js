// Numbers and times as text. Unknown values are an en dash.

export const UNKNOWN = "–";

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const clockFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const minuteFormat = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const dateFormat = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit", second: "2-digit" });

const known = (value) => value !== null && value !== undefined;

export function count(value) {
  if (!known(value)) return UNKNOWN;
  return value >= 100000 ? short.format(value) : whole.format(value);
}

/** A duration given in seconds: 85 ms, 1.24 s, 12 s, 3 min. */
export function duration(seconds) {
  if (!known(seconds)) return UNKNOWN;
  if (seconds < 0.00005) return "0 ms";
  if (seconds < 0.9995) return `${seconds < 0.00995 ? (seconds * 1000).toFixed(1) : Math.round(seconds * 1000)} ms`;
  if (seconds < 9.995) return `${seconds.toFixed(2)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return span(seconds);
}

/** A long duration in its two largest units: 3 min, 2 h 5 min, 4 d 3 h. */
export function span(seconds) {
  if (!known(seconds)) return UNKNOWN;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 1) return `${Math.max(0, Math.round(seconds))} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 48) return minutes % 60 ? `${hours} h ${minutes % 60} min` : `${hours} h`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}

/** A countdown in whole seconds: "in 4 s". */
export function left(seconds) {
  return seconds < 1 ? "in under 1 s" : `in ${span(Math.ceil(seconds))}`;
}

export function percent(share) {
  if (!known(share)) return UNKNOWN;
  const value = share * 100;
  if (value === 0 || value === 100) return `${value}%`;
  if (value < 0.1) return "<0.1%";
  if (value > 99.9) return ">99.9%";
  return value < 10 || value > 90 ? `${value.toFixed(1)}%` : `${Math.round(value)}%`;
}

export function usd(value) {
  if (!known(value)) return UNKNOWN;
  if (value === 0) return "$0";
  if (value < 0.01) return `$${value.toFixed(6).replace(/0+$/, "")}`;
  return value < 100 ? `$${value.toFixed(2)}` : `$${whole.format(value)}`;
}

export const clock = (iso) => clockFormat.format(new Date(iso));
export const dateTime = (iso) => dateFormat.format(new Date(iso));
export const minute = (seconds) => minuteFormat.format(new Date(seconds * 1000));
export const weight = (value) => (known(value) ? String(Math.round(value * 1000) / 1000) : UNKNOWN);
export const plural = (number, one, many = `${one}s`) => `${count(number)} ${number === 1 ? one : many}`;
