// The tabs below the timeline: events, memory, journal, raw JSON. Each is made when it is shown.

import { clock } from "../timeline/axis.js";
import { eventName } from "../timeline/draw.js";
import { shortName } from "../timeline/bars.js";
import { dim, e, h, replace } from "../dom.js";
import { bytes, count, exact, oneLine } from "../format.js";

const MOST_EVENTS = 2000;
const RAW = 400_000; // characters of JSON that are shown
const NAMES = ["Events", "Memory", "Journal", "Raw JSON"];

/**
 * @param source `records(after)`: {records, after} of the journal, a promise.
 * @param listeners `select(id of a bar)`, `tab(name)`.
 */
export class Tabs {
  constructor(source, listeners, current = NAMES[0]) {
    this.source = source;
    this.listeners = listeners;
    this.current = NAMES.includes(current) ? current : NAMES[0];
    this.body = h("div.tab-body", { role: "tabpanel", tabindex: "-1" });
    this.bar = h("div.tabs", { role: "tablist", onkeydown: (event) => this.#key(event) });
    this.element = e("section.run-tabs", this.bar, this.body);
  }

  /** Show a run, or its newest state. */
  show(detail) {
    this.detail = detail;
    replace(this.bar, NAMES.map((name) =>
      h("button", {
        role: "tab", "aria-selected": String(name === this.current),
        tabindex: name === this.current ? "0" : "-1", onclick: () => this.open(name),
      }, name, this.#count(name))));
    this.#fill();
  }

  #count(name) {
    const { events, memory, records } = this.detail;
    const number = { Events: events.length, Memory: memory.length, Journal: records }[name];
    return number ? dim(` ${count(number)}`) : null;
  }

  open(name) {
    this.current = name;
    this.records = null;
    this.listeners.tab?.(name === NAMES[0] ? null : name);
    this.show(this.detail);
  }

  #key(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const next = (NAMES.indexOf(this.current) + by + NAMES.length) % NAMES.length;
    this.open(NAMES[next]);
    this.bar.children[next].focus();
  }

  #fill() {
    const parts = { Events: () => this.#events(), Memory: () => this.#memory(), Journal: () => this.#journal(), "Raw JSON": () => this.#raw() };
    parts[this.current]();
  }

  /** Events as a tree: an event, the actions that it triggered, the events that they sent. */
  #events() {
    const { detail } = this;
    const known = new Map(detail.events.map((event) => [event.number, event]));
    const rows = [];
    const add = (event, depth) => {
      if (rows.length >= MOST_EVENTS) return;
      rows.push(this.#eventRow(event, depth));
      for (const action of detail.actions) {
        if (action.event !== event.number) continue;
        rows.push(this.#actionRow(action, depth + 1));
        for (const each of known.values()) {
          if (each.source_event === action.event && each.action === action.name) add(each, depth + 2);
        }
      }
    };
    for (const event of known.values()) {
      if (event.source_event === null || !known.has(event.source_event)) add(event, 0);
    }
    replace(this.body, e("div.tree", rows));
  }

  #eventRow(event, depth) {
    return h("div.tree-row", { style: { "padding-left": `${depth * 18 + 12}px` } },
      dim("◇"),
      e("span", eventName(event.type), dim(` ${event.number}`)),
      e("bdi.cut.mono.dim", oneLine(event.attributes)),
    );
  }

  #actionRow(action, depth) {
    const id = `${action.event}/${encodeURIComponent(action.name)}`;
    return h("button.tree-row.tree-action", {
      style: { "padding-left": `${depth * 18 + 12}px` },
      onclick: () => this.listeners.select(id),
    },
    dim("→"),
    e("strong", action.name),
    h("span", { class: action.status === "failed" ? "failed" : "dim" }, action.status),
    dim(action.calls.length ? `${count(action.calls.length)} calls` : ""));
  }

  #memory() {
    const { memory } = this.detail;
    if (!memory.length) return replace(this.body, e("p.empty", "It wrote nothing to memory."));
    return replace(this.body, tableOf(["memory", "path", "value", "by"], memory.map((write) => e("tr",
      e("td.dim", write.memory),
      e("td.mono", write.path),
      e("td.cut.mono", write.deleted ? e("em", "deleted") : oneLine(write.written)),
      e("td", write.action),
    ))));
  }

  async #journal() {
    const { detail, source } = this;
    const table = tableOf(["no.", "at", "kind", "action", "call", "what", "size"]);
    const more = e("p.empty");
    replace(this.body, table, more);
    const load = async (after) => {
      const found = await source.records(after);
      table.lastChild.append(...found.records.map(recordRow));
      replace(more, found.after === null ? "" : h("button", { onclick: () => load(found.after) }, "More records"));
    };
    try {
      await load(0);
    } catch (error) {
      replace(more, `The journal of ${detail.run.id} could not be read: ${error.message ?? error.detail}`);
    }
  }

  #raw() {
    const text = JSON.stringify(this.detail, null, 2);
    const cut = text.length > RAW;
    replace(this.body,
      e("pre.value.raw", cut ? text.slice(0, RAW) : text),
      cut && e("p.empty", `${bytes(text.length)} in all: GET /runs/${this.detail.run.id}/detail, or perdure trace ${this.detail.run.id} --format json`));
  }
}

function tableOf(names, rows = []) {
  return e("table.plain", e("thead", e("tr", names.map((name) => h("th", { scope: "col" }, name)))), e("tbody", rows));
}

function recordRow(record) {
  return e("tr",
    e("td.figure.dim", String(record.number)),
    e("td.figure", h("time", { title: exact(record.at) }, clock(record.at, 1))),
    e("td", record.kind),
    e("td", record.action ?? ""),
    e("td.figure.dim", record.call ? String(record.call) : ""),
    e("td.cut.mono", record.function ? `${shortName(record.function)}(${record.detail ?? ""})` : record.detail ?? ""),
    e("td.figure.dim", record.size ? bytes(record.size) : ""),
  );
}
