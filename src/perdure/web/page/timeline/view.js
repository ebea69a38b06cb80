// The timeline as an element: a canvas that is zoomed, panned and selected in, and a hidden table.

import { e, h, replace } from "../dom.js";
import { duration } from "../format.js";
import { AXIS, draw, hit, positionAt } from "./draw.js";
import { clock } from "./axis.js";
import { HEADER, ROW, layOut } from "./layout.js";
import { Gestures } from "./gestures.js";
import { Window } from "./window.js";

const COLOURS = ("ground sunken line text dim faint accent running waiting failed replayed held queued"
  + " backoff committing on-bar bar").split(" ");
const TALLEST = 0.62; // of the screen
const LEAST_HEIGHT = 120; // px
const FOLD_NOTE = 26; // px below all lanes: how long what is folded was
const MOST_ROWS = 1000; // of the table
const TABLE_EVERY = 2000; // ms between two renewals of the table of a run that goes on

/** A timeline. Owns: its element and listeners. Lifecycle: `dispose`. */
export class Timeline {
  /**
   * @param listeners `select(bar or null)`; `move({from, to} or null where all is seen)`;
   *   `open(child id)`.
   */
  constructor(listeners) {
    this.listeners = listeners;
    this.window = new Window();
    this.selected = null;
    this.hovered = null;
    this.pointer = null;
    this.folds = true;
    this.counts = { bars: 0, lanes: 0, labels: 0, frames: 0 };
    this.#build();
    this.gestures = new Gestures(this);
    this.sizes = new ResizeObserver(() => this.#resize());
    this.sizes.observe(this.element);
    this.dark = matchMedia("(prefers-color-scheme: dark)");
    this.onTheme = () => this.#theme();
    this.dark.addEventListener("change", this.onTheme);
  }

  #build() {
    this.canvas = h("canvas.timeline-canvas", { tabindex: 0, role: "application", "aria-roledescription": "timeline" });
    this.tip = h("div.timeline-tip.cut", { hidden: true });
    this.said = h("div.unheard", { "aria-live": "polite" });
    this.table = e("table.unheard");
    this.element = e("div.timeline", this.canvas, this.tip, this.said, e("div.unheard", this.table));
    this.context = this.canvas.getContext("2d", { alpha: false });
  }

  /** Show a run, or its newest state: `options` of `layOut`, and `range` and `selected` to show. */
  show(detail, options = {}) {
    this.detail = detail;
    this.options = { ...this.options, ...options, range: undefined };
    if (options.selected !== undefined) this.selected = options.selected;
    this.shown = options.range ?? this.shown;
    this.#lay();
  }

  #lay() {
    if (!this.detail || !this.element.isConnected) return;
    const width = this.element.clientWidth;
    if (!width) return;
    const options = { ...this.options, width, folds: this.folds };
    this.layout = layOut(this.detail, options);
    const screen = innerHeight;
    const most = Math.max(screen * TALLEST, LEAST_HEIGHT * 2);
    const height = Math.round(Math.min(Math.max(this.layout.height + (this.layout.axis.folds.length ? FOLD_NOTE : 0), LEAST_HEIGHT), most)) + AXIS;
    this.canvas.style.height = `${height}px`;
    this.window.take(this.layout, width, height - AXIS, this.shown);
    this.shown = undefined;
    const calls = this.layout.bars.size - this.layout.lanes.length;
    const about = `Timeline: ${this.layout.lanes.length} actions, ${calls} bars. Arrows pan, plus and minus zoom, f fits, n and p go from bar to bar, Enter opens.`;
    this.canvas.setAttribute("aria-label", about);
    const now = Date.now();
    if (!this.tabled || now - this.tabled > TABLE_EVERY || !this.options.now) {
      this.tabled = now;
      fillTable(this.table, this.layout);
    }
    this.draw();
  }

  #resize() {
    if (this.element.clientWidth !== this.window.width) this.#lay();
  }

  #theme() {
    this.colours = null;
    this.draw();
  }

  #readColours() {
    const style = getComputedStyle(this.element);
    const found = { sans: style.fontFamily };
    for (const name of COLOURS) found[name] = style.getPropertyValue(`--${name}`).trim() || style.color;
    found.onBar = found["on-bar"];
    return found;
  }

  /** Draw with the next frame. */
  draw() {
    if (this.frame || !this.layout) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = 0;
      this.paint();
    });
  }

  /** Draw now. */
  paint() {
    this.colours ??= this.#readColours();
    const ratio = devicePixelRatio || 1;
    const { width } = this.window;
    const height = this.window.height + AXIS;
    const [wide, high] = [Math.round(width * ratio), Math.round(height * ratio)];
    if (this.canvas.width !== wide || this.canvas.height !== high) {
      this.canvas.width = wide;
      this.canvas.height = high;
    }
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    const view = {
      begin: this.window.begin, end: this.window.end, top: this.window.top, width, height,
      selected: this.selected, hovered: this.hovered, pointer: this.pointer,
    };
    this.counts = { ...draw(this.context, this.layout, view, this.colours), frames: this.counts.frames + 1 };
    this.canvas.dataset.bars = String(this.counts.bars); // for tests
  }

  /** Return what is below a point of the canvas. */
  at(x, y) {
    return hit(this.layout, { ...this.window, height: this.window.height + AXIS }, x, y);
  }

  /** Return the time below a px. */
  timeAt(x) {
    return this.layout.axis.time(positionAt(this.window, x));
  }

  /** Select a bar by its id, or none. */
  select(id, { reveals = false, zooms = false } = {}) {
    const bar = id === null ? null : (this.layout?.bars.get(id) ?? null);
    this.selected = bar?.id ?? null;
    if (bar && (reveals || zooms)) {
      const top = bar.lane.y + (bar.kind === "action" ? 0 : HEADER + bar.row * ROW);
      this.window.reveal(bar, top, ROW + HEADER, zooms);
      this.moved();
    }
    this.said.textContent = bar ? this.words(bar) : "";
    this.listeners.select?.(bar);
    this.draw();
  }

  /** Select the bar before or behind the selected one, in order of time within its lane. */
  step(by) {
    const all = this.layout.lanes.flatMap((lane) => [
      lane.bar,
      ...[...lane.bars].sort((a, b) => a.begin - b.begin || a.order - b.order),
    ]);
    const at = all.findIndex((bar) => bar.id === this.selected);
    const next = all[Math.min(Math.max(at + by, 0), all.length - 1)];
    if (next) this.select(next.id, { reveals: true });
  }

  /** Say what is seen, for the address. */
  moved() {
    this.draw();
    this.listeners.move?.(this.window.isFitted ? null : this.window.range);
  }

  /** Show idle time as it is, or folded. */
  foldIdle(folds) {
    const { range, isFitted } = this.window;
    this.folds = folds;
    this.shown = isFitted ? undefined : range;
    this.#lay();
  }

  /** Say what a point is about; null hides it. */
  hover(bar, x, y) {
    const id = bar?.id ?? null;
    this.tip.hidden = !bar || bar.kind === "action";
    if (!this.tip.hidden) {
      if (id !== this.hovered) this.tip.textContent = this.words(bar);
      const left = Math.min(x + 14, this.window.width - this.tip.offsetWidth - 4);
      this.tip.style.transform = `translate(${Math.max(left, 0)}px, ${y + 18}px)`;
    }
    this.hovered = id;
    this.canvas.style.cursor = bar ? "pointer" : "";
  }

  /** Return a bar in one line. */
  words(bar) {
    const parts = bar.parts.filter((part) => WORDS[part.kind]).map(
      (part) => `${WORDS[part.kind]} ${duration(part.to - part.from)}`,
    );
    const whole = duration(bar.end - bar.begin);
    const told = parts.length > 1 && bar.notches.length === 0 ? ` (${parts.join(", ")})` : "";
    const tries = bar.notches.length && bar.call ? `, ${bar.call.attempts} attempts` : "";
    const replayed = bar.replayed ? `, replayed by process ${bar.replayed}` : "";
    const status = bar.status ? ` · ${bar.status}` : "";
    return `${bar.label}${status} · ${whole}${told}${tries}${replayed}`;
  }

  dispose() {
    this.sizes.disconnect();
    this.gestures.dispose();
    this.dark.removeEventListener("change", this.onTheme);
    cancelAnimationFrame(this.frame);
    this.element.remove();
  }
}

const WORDS = {
  held: "held by a limit", queued: "queued for a thread", running: "ran", backoff: "backed off",
  committing: "committing", failed: "failed",
};

/** Fill a table with the bars of a layout: the timeline in words, for screen readers. */
function fillTable(table, layout) {
  const row = (tag, cells) => e("tr", cells.map((text) => e(tag, text)));
  const rows = [row("th", ["action", "what", "status", "began", "took"])];
  let left = MOST_ROWS;
  let passed = 0;
  for (const lane of layout.lanes) {
    for (const bar of [lane.bar, ...lane.bars]) {
      if (left-- <= 0) {
        passed += 1;
        continue;
      }
      const took = duration(bar.end - bar.begin);
      rows.push(row("td", [lane.name, bar.label, bar.status, clock(bar.begin, 1), took]));
    }
  }
  if (passed) rows.push(row("td", [`and ${passed} more, in the tab Journal`]));
  replace(table, rows);
}
