/** Runs. Which run is it? */

import { howToStart } from "./copied.js";
import { e, h, replace } from "./dom.js";
import { age, count, several } from "./format.js";
import { actBar } from "./runs_acts.js";
import { filterBar, filtersOf, isFiltered } from "./runs_filters.js";
import { RunList } from "./runs_list.js";
import { columns, markRow, rowElement, Rows } from "./runs_rows.js";
import { soon } from "./timing.js";

export const title = "Runs";

const AHEAD = 60; // rows from the end at which the next part is read
const BETWEEN = 1000; // ms between two looks at what changed
const SETTLED = 120; // ms without scrolling after which what is seen is read in full

/** See `screens.js`. */
export function show(place, params, context) {
  const screen = new RunsScreen(place, context);
  screen.update(params);
  return screen;
}

class RunsScreen {
  constructor(place, context) {
    this.context = context;
    this.chosen = new Set();
    this.lastChosen = null;
    this.mayAct = context.may("operate");
    this.filters = filterBar((changes) => context.setQuery(changes));
    this.acts = actBar(context, () => this.chosenHeads(), () => this.choose([]));
    this.foot = e("div.run-foot");
    this.news = h("button.news", { hidden: true, onclick: () => this.takeNews() });
    this.scrolled = h("div.run-scroll", {
      role: "table", "aria-label": "Runs", tabindex: "-1", onscroll: () => this.onScroll(),
      onkeydown: (event) => this.onKey(event),
    });
    this.rows = new Rows(this.scrolled, (row) => this.element(row));
    replace(this.scrolled,
      columns(this.mayAct, (isAll) => this.choose(isAll ? this.list.rows.map(({ head }) => head.id) : [])),
      this.rows.body, this.foot);
    replace(place, e("div.runs",
      e("div.title-line", e("h1", "Runs"), this.news), this.filters.element,
      this.scrolled, this.acts.element));
    this.size = new ResizeObserver(() => this.draw());
    this.size.observe(this.scrolled);
    this.renewSoon = soon(SETTLED, () => this.renew());
    this.lookSoon = soon(BETWEEN, () => this.look());
    this.isStale = true;
    this.unsubscribe = context.onChange((change) => this.onChange(change));
  }

  update({ query }) {
    this.query = query;
    this.list?.close();
    this.chosen.clear();
    this.filters.show(query);
    this.scrolled.scrollTop = 0;
    this.list = new RunList(this.context.api, filtersOf(query), () => this.draw());
    this.list.more();
    this.lookSoon();
  }

  dispose() {
    this.list.close();
    this.size.disconnect();
    this.unsubscribe();
    this.renewSoon.cancel();
    this.lookSoon.cancel();
  }

  onChange(change) {
    const hasOther = this.list.changed(change);
    this.isStale ||= hasOther;
    this.lookSoon();
  }

  /** Look at what changed: the numbers, the newest runs, the rows that are seen. */
  async look() {
    if (this.isStale) {
      this.isStale = false;
      try {
        const now = await this.context.api.get("/now");
        this.filters.counts(now.runs);
      } catch {
        // The head says that the service is away.
      }
      await this.list.lookForNew();
      // Rows move only where nobody reads or points at them.
      if (this.scrolled.scrollTop < 2 && !this.scrolled.matches(":hover, :focus-within")) this.takeNews();
    }
    this.renew();
  }

  takeNews() {
    this.scrolled.scrollTop = 0;
    if (this.list.pending.length) this.list.takePending();
  }

  async renew() {
    const { list } = this;
    if (await list.renew(this.seen())) {
      this.draw();
      this.renewSoon();
    }
  }

  seen() {
    return this.list.rows.slice(...this.rows.range(this.list.rows.length));
  }

  onScroll() {
    this.draw();
    this.renewSoon();
  }

  draw() {
    const { list } = this;
    this.rows.show(list.rows);
    this.scrolled.setAttribute("aria-rowcount", String(list.hasMore ? -1 : list.rows.length + 1));
    const fresh = list.pending.length;
    this.news.hidden = !fresh;
    replace(this.news, `↑ ${fresh}${list.isGap ? " or more" : ""} new`);
    replace(this.foot, ...this.footWords());
    this.acts.show();
    const [, end] = this.rows.range(list.rows.length);
    // A search that finds little goes on when it is asked to, else it would never end.
    const isAsked = list.looked && list.rows.length < end + 1;
    if (list.hasBegun && !list.error && !isAsked && end > list.rows.length - AHEAD) list.more();
    if (this.seen().some((row) => row.isStale || !row.work)) this.renewSoon();
  }

  footWords() {
    const { list } = this;
    if (list.error) {
      return [h("p.error", { role: "alert" }, list.error.message),
        h("button", { onclick: () => { list.error = null; list.more(); } }, "Try again")];
    }
    if (list.isReading || !list.hasBegun) return [e("p.dim", "Reading…")];
    const looked = list.looked && e("p.dim", `Looked at ${count(list.looked.runs)} runs`,
      list.looked.oldest && [", back to ", age(list.looked.oldest)]);
    if (list.after !== null) {
      return [looked, h("button", { onclick: () => list.more() }, "Look further")];
    }
    if (!list.rows.length) return [looked, ...this.emptyWords()];
    return [looked, e("p.faint", `${several(list.rows.length, "run")}; these are all`)];
  }

  emptyWords() {
    if (isFiltered(this.query)) {
      return [e("p.dim", "No run fits all of this."),
        h("button", { onclick: () => this.context.go("runs") }, "Show all runs")];
    }
    return howToStart(this.context);
  }

  element(row) {
    const { id } = row.head;
    return rowElement(row, {
      isChosen: this.chosen.has(id),
      choose: this.mayAct ? (event) => this.toggle(id, event) : null,
      byKey: (key) => this.context.setQuery({ key }),
    });
  }

  toggle(id, event) {
    const rows = this.list.rows.map(({ head }) => head.id);
    const chosen = new Set(this.chosen);
    const from = event.shiftKey && this.lastChosen !== null ? rows.indexOf(this.lastChosen) : -1;
    const to = rows.indexOf(id);
    const ids = from < 0 ? [id] : rows.slice(Math.min(from, to), Math.max(from, to) + 1);
    const isOn = !this.chosen.has(id);
    for (const each of ids) {
      if (isOn) chosen.add(each);
      else chosen.delete(each);
    }
    this.lastChosen = id;
    this.choose(chosen);
  }

  choose(ids) {
    this.chosen = new Set(ids);
    for (const [id, { element }] of this.rows.drawn) markRow(element, this.chosen.has(id));
    this.acts.show();
  }

  chosenHeads() {
    return [...this.chosen].map((id) => this.list?.byId.get(id)?.head).filter(Boolean);
  }

  /** Up and down go from run to run, x chooses, / finds. */
  onKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const element = event.target.closest(".run-row[data-id]");
    const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
    if (element && step) {
      event.preventDefault();
      this.focusRow(this.list.rows.findIndex(({ head }) => head.id === element.dataset.id) + step);
    } else if (element && event.key === "x" && this.mayAct) {
      this.toggle(element.dataset.id, event);
    } else if (event.key === "/") {
      event.preventDefault();
      this.filters.focus();
    }
  }

  focusRow(index) {
    const row = this.list.rows[index];
    if (!row) return;
    const { height } = this.rows;
    const top = index * height;
    const room = this.scrolled.clientHeight - 2 * height;
    if (top < this.scrolled.scrollTop) this.scrolled.scrollTop = top;
    else if (top > this.scrolled.scrollTop + room) this.scrolled.scrollTop = top - room;
    this.draw();
    this.rows.drawn.get(row.head.id)?.element.querySelector('[data-part="run"]').focus({ preventScroll: true });
  }
}
