/** How times, sizes, amounts and values are written. All times are ms since the epoch. */

import { e, h, printable } from "./dom.js";

export const SECOND = 1000;
export const MINUTE = 60 * SECOND;
export const HOUR = 60 * MINUTE;
export const DAY = 24 * HOUR;

const EXACT = new Intl.DateTimeFormat("sv-SE", {
  year: "numeric", month: "2-digit", day: "2-digit",
  hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3,
});
const COUNT = new Intl.NumberFormat("en-US");
const SHORT = new Intl.NumberFormat("en-US", { notation: "compact", maximumFractionDigits: 1 });

/** Return a span of ms: "0.4 ms", "12 ms", "3.25 s", "4 min 10 s", "2 h 5 min", "3 d 4 h" */
export function duration(ms) {
  if (ms == null || Number.isNaN(ms)) return "";
  if (ms < 0) return `−${duration(-ms)}`;
  if (ms < 10) return `${ms.toFixed(1)} ms`;
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 10 * SECOND) return `${(ms / SECOND).toFixed(2)} s`;
  if (ms < MINUTE - 50) return `${(ms / SECOND).toFixed(1)} s`;
  if (ms < HOUR - 500) return inTwo(Math.round(ms / SECOND), 60, "min", "s");
  if (ms < DAY - MINUTE / 2) return inTwo(Math.round(ms / MINUTE), 60, "h", "min");
  return inTwo(Math.round(ms / HOUR), 24, "d", "h");
}

function inTwo(small, each, large, unit) {
  const rest = small % each;
  const whole = COUNT.format(Math.floor(small / each));
  return rest ? `${whole} ${large} ${rest} ${unit}` : `${whole} ${large}`;
}

/** Return how long ago: "now", "12 s", "5 min", "3 h", "12 d"; "in 5 min" of the future */
export function ago(at, now = Date.now()) {
  const ms = now - at;
  if (ms < -SECOND) return `in ${roughly(-ms)}`;
  return ms < 2 * SECOND ? "now" : roughly(ms);
}

function roughly(ms) {
  if (ms < MINUTE) return `${Math.floor(ms / SECOND)} s`;
  if (ms < HOUR) return `${Math.floor(ms / MINUTE)} min`;
  if (ms < 2 * DAY) return `${Math.floor(ms / HOUR)} h`;
  return `${COUNT.format(Math.floor(ms / DAY))} d`;
}

/** Return a point in time, as the reader's clock has it, to the ms */
export function exact(at) {
  return at == null ? "" : EXACT.format(at).replace(",", ".");
}

/** Make an element that says how long ago something was, and keeps saying so; hovering tells when. */
export function age(at) {
  if (at == null) return e("span");
  return h("time", { datetime: new Date(at).toISOString(), title: exact(at), dataset: { at } }, ago(at));
}

/** Renew all ages on the page; the page's one clock calls it. */
export function renewAges(root = document) {
  const now = Date.now();
  for (const element of root.querySelectorAll("time[data-at]")) {
    const text = ago(Number(element.dataset.at), now);
    if (element.textContent !== text) element.textContent = text;
  }
}

/** Return "812 B", "81 kB", "9.8 MB" */
export function bytes(n) {
  if (n < 1000) return `${n} B`;
  if (n < 999_500) return `${Math.round(n / 1000)} kB`;
  return `${(n / 1e6).toFixed(1)} MB`;
}

/** Return a number with commas between the thousands */
export function count(n) {
  return COUNT.format(n);
}

/** Return how many of a name there are: "1 run", "1,200 runs" */
export function several(n, name) {
  return `${count(n)} ${name}${n === 1 ? "" : "s"}`;
}

/** Return an amount of tokens: "812", "12.3K" */
export function tokens(n) {
  return n < 1000 ? String(n) : SHORT.format(n);
}

/** Return dollars: "$0.0012", "$1.20"; "" where it is not known */
export function cost(n) {
  if (n == null) return "";
  if (n > 0 && n < 0.0001) return "<$0.0001";
  return `$${n.toFixed(n < 0.1 ? 4 : 2)}`;
}

/** Return text in one line, printable, of so many characters at most */
export function line(text, most = 300) {
  const short = text.length > most ? `${text.slice(0, most)}…` : text;
  return printable(short).replace(/\s+/g, " ").trim();
}

/** Return a value, as lists have it, in one line: a text as it is, all else as JSON */
export function oneLine(form, most = 300) {
  if (!form) return "";
  if ("cut" in form) return line(form.cut.replace(/^"/, ""), most);
  const { value } = form;
  return line(typeof value === "string" ? value : JSON.stringify(value) ?? "", most);
}

/** Return the end of a file's path: its folder and its name. */
export function tailOf(path) {
  return path.split(/[\\/]/).slice(-2).join("/");
}

/** Make an element of text that comes from outside: it reads its own way, and turns nothing else. */
export function foreign(text, attributes = null) {
  return h("bdi", attributes, text);
}

/** Return the value that somebody wrote: JSON, or else the text as it is; null of an empty one. */
export function valueOf(text) {
  try {
    return text.trim() ? JSON.parse(text) : null;
  } catch {
    return text;
  }
}
