/** Which runs are shown: chips above the list, all of them in the address. */

import { dim, e, h, replace } from "./dom.js";
import { count, foreign, line } from "./format.js";
import { STATUSES, symbol } from "./status.js";

const HOUR = 3_600_000;
const AGES = [
  ["", "Any age"], ["1h", "Last hour", HOUR], ["24h", "Last 24 hours", 24 * HOUR],
  ["7d", "Last 7 days", 168 * HOUR], ["30d", "Last 30 days", 720 * HOUR],
];

/** Return what GET /runs is asked, by the address's query */
export function filtersOf(query) {
  const span = AGES.find(([name]) => name && name === query.get("age"))?.[2];
  return {
    status: STATUSES.includes(query.get("status")) ? query.get("status") : null,
    key: query.get("key"),
    text: query.get("text"),
    since: span ? Math.floor(Date.now() - span) : null,
  };
}

/** Return whether a query takes away any runs */
export function isFiltered(query) {
  return ["status", "key", "text", "age"].some((name) => query.get(name));
}

/** Make the bar of filters; `set` changes parts of the address's query. */
export function filterBar(set) {
  let shown = new URLSearchParams();
  const numbers = new Map(STATUSES.map((status) => [status, e("span.chip-number")]));
  const chips = new Map(STATUSES.map((status) => [status, h("button.chip", {
    "aria-pressed": "false",
    onclick: () => set({ status: shown.get("status") === status ? null : status }),
  }, symbol(status), status, numbers.get(status))]));
  const ages = h("select", { "aria-label": "Age", onchange: () => set({ age: ages.value }) },
    ...AGES.map(([name, text]) => h("option", { value: name }, text)));
  const field = h("input", {
    type: "search", class: "find", placeholder: "Find text, or key:…", "aria-label":
    "Find text in runs; key: and a key finds the runs of that key", spellcheck: "false",
  });
  const find = h("form", {
    role: "search",
    onsubmit: (event) => {
      event.preventDefault();
      const text = field.value.trim();
      if (!text) return;
      field.value = "";
      set(text.startsWith("key:") ? { key: text.slice(4).trim() } : { text });
    },
  }, field);
  const given = e("div.chips.given");
  const element = e("div.filters",
    h("div.chips", { role: "group", "aria-label": "Status" }, ...chips.values()),
    e("div.filters-rest", given, ages, find));

  return {
    element,
    focus: () => field.focus(),

    /** Show what a query asks for. */
    show(query) {
      shown = query;
      for (const [status, chip] of chips) {
        chip.setAttribute("aria-pressed", String(query.get("status") === status));
      }
      ages.value = AGES.some(([name]) => name === query.get("age")) ? query.get("age") : "";
      replace(given, ...["key", "text"].filter((name) => query.get(name)).map((name) =>
        h("button.chip.is-given", {
          "aria-label": `Without ${name} ${line(query.get(name), 80)}`,
          onclick: () => set({ [name]: null }),
        }, dim(name), foreign(line(query.get(name), 40)), h("span", { "aria-hidden": "true" }, "×"))));
    },

    /** Show how many runs stand how. */
    counts(runs) {
      for (const [status, number] of numbers) replace(number, runs[status] ? count(runs[status]) : "");
    },
  };
}
