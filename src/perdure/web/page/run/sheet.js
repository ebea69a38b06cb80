// A run on one sheet: head, timeline, panel, tabs. It fetches nothing: it shows what it is given.

import { summaryOf } from "../timeline/layout.js";
import { Timeline } from "../timeline/view.js";
import { e, h, replace } from "../dom.js";
import { headOf, sumsRow } from "./head.js";
import { panelOf } from "./panel.js";
import { Tabs } from "./tabs.js";

const STILL = 250; // ms
const HINT = "drag pans · Ctrl + wheel zooms · Shift + drag zooms to a range · f fits · n p next, previous · i idle time";

/** The sheet of a run. Owns: its timeline. Lifecycle: `dispose`. */
export class RunSheet {
  /**
   * @param source `records(after)`; `child(id)`: the detail of a child run, a promise or null.
   * @param options `actions` of `headOf`; `context` of the page, or null; `query`: {call, from, to, tab}
   *   to begin with; `changed(query)`: what the address should say; `go(run id)`.
   */
  constructor(place, source, options) {
    this.source = source;
    this.options = options;
    this.children = new Map();
    this.head = e("header.run-head");
    this.note = h("p.run-note.dim", { role: "status" });
    this.panel = h("aside.run-panel", { "aria-label": "Selected", tabindex: "-1", hidden: true });
    this.timeline = new Timeline({
      select: (bar) => this.#selected(bar),
      move: (range) => this.#moved(range),
      open: (id) => this.toggleChild(id),
      enter: () => this.panel.focus(),
    });
    const select = (id) => this.timeline.select(id, { reveals: true });
    const tab = (name) => this.#changed({ tab: name });
    this.tabs = new Tabs(source, { select, tab }, options.query?.tab);
    replace(place, e("div.run",
      this.head,
      e("div.run-body",
        e("div.run-main", this.timeline.element, e("p.run-hint.dim", HINT), this.note, this.tabs.element),
        this.panel,
      )));
  }

  /** Show a run, or its newest state; `now` and `calls` as `layOut` takes them. */
  show(detail, { now, calls = null } = {}) {
    const isFirst = !this.detail;
    const isNew = this.detail !== detail;
    this.detail = detail;
    this.state = { now, calls, children: this.children };
    const { query } = this.options;
    const given = isFirst && query ? { selected: query.call ?? null, range: rangeIn(query) } : {};
    this.timeline.show(detail, { ...this.state, ...given });
    if (!isNew && calls) this.head.lastChild?.replaceWith(sumsRow(detail, summaryOf(detail, this.timeline.layout)));
    if (isNew) {
      this.#drawHead();
      this.tabs.show(detail);
    }
    if (this.timeline.selected) this.#panel();
    if (isFirst && query?.call) this.timeline.select(query.call, { reveals: !query.from });
  }

  #drawHead() {
    const { head } = this;
    const field = head.contains(document.activeElement) ? document.activeElement : null;
    if (field?.tagName === "INPUT") return; // somebody writes an answer there
    const layout = this.timeline.layout;
    if (layout) replace(head, headOf(this.detail, summaryOf(this.detail, layout), this.options.actions));
  }

  /** Say something of what is seen, such as that calls under way are not. */
  say(text) {
    if (this.note.textContent !== text) this.note.textContent = text;
  }

  #selected(bar) {
    this.#changed({ call: bar?.id ?? null });
    this.#panel();
  }

  #moved(range) {
    const shown = range ? { from: range.from.toFixed(3), to: range.to.toFixed(3) } : { from: null, to: null };
    this.#changed(shown);
  }

  /** Have the address say what is seen, once it stands still: browsers refuse too many changes. */
  #changed(query) {
    this.changes = { ...this.changes, ...query };
    clearTimeout(this.changing);
    this.changing = setTimeout(() => {
      const { changes } = this;
      this.changes = null;
      this.options.changed?.(changes);
    }, STILL);
  }

  /** Return whether the address does not say yet what is seen. */
  get isChanging() {
    return Boolean(this.changes);
  }

  #panel() {
    const bar = this.timeline.layout?.bars.get(this.timeline.selected);
    this.panel.hidden = !bar;
    const key = bar ? `${bar.id} ${bar.status} ${bar.replayed} ${bar.now?.state} ${this.detail.records}` : "";
    if (key === this.panelled) return;
    this.panelled = key;
    if (!bar) return replace(this.panel);
    return replace(this.panel, panelOf(bar, this.options.context ?? null, {
      close: () => this.timeline.select(null),
      open: (id) => this.toggleChild(id),
      go: (id) => this.options.go?.(id),
    }));
  }

  /** Open a child run in place, or close it. */
  async toggleChild(id) {
    if (this.children.has(id)) this.children.delete(id);
    else {
      const found = await this.source.child?.(id);
      if (!found) return;
      this.children.set(id, found);
    }
    this.timeline.show(this.detail, this.state);
  }

  dispose() {
    clearTimeout(this.changing);
    this.timeline.dispose();
  }
}

/** Return the range of a query, or undefined. */
export function rangeIn(query) {
  const from = Number(query.from);
  const to = Number(query.to);
  return query.from && query.to && to > from ? { from, to } : undefined;
}
