// What wheel, pointer, touch and keys do to a timeline.

import { AXIS } from "./draw.js";

const CLICK = 4; // px that a click may move
const KEY_PAN = 0.15; // of the width
const KEY_ZOOM = 1.5;

/** The listeners of one timeline's canvas. Lifecycle: `dispose`. */
export class Gestures {
  constructor(timeline) {
    this.timeline = timeline;
    this.pointers = new Map();
    this.stop = new AbortController();
    const { canvas } = timeline;
    const on = (name, work, options = {}) =>
      canvas.addEventListener(name, work, { signal: this.stop.signal, ...options });
    on("wheel", (event) => this.#wheel(event), { passive: false });
    on("pointerdown", (event) => this.#down(event));
    on("pointermove", (event) => this.#move(event));
    on("pointerup", (event) => this.#up(event));
    on("pointercancel", (event) => this.#end(event));
    on("pointerleave", () => this.#leave());
    on("dblclick", (event) => this.#double(event));
    on("keydown", (event) => this.#key(event));
    canvas.style.touchAction = "pan-y pinch-zoom";
  }

  #point(event) {
    const box = this.timeline.canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  #wheel(event) {
    const { timeline } = this;
    const { window } = timeline;
    const unit = event.deltaMode === 1 ? 16 : 1; // lines of a mouse, or px
    const [x] = this.#point(event);
    if (event.ctrlKey || event.metaKey) {
      window.zoom(Math.exp((-event.deltaY * unit) / 250), x);
    } else if (event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY)) {
      window.pan((event.deltaX || event.deltaY) * unit, 0);
    } else if (window.scrolls && this.#hasRoom(event.deltaY)) {
      window.pan(0, event.deltaY * unit);
    } else {
      return; // the page scrolls
    }
    event.preventDefault();
    timeline.moved();
  }

  #hasRoom(by) {
    const { window } = this.timeline;
    return by < 0 ? window.top > 0 : window.top < window.layout.height - window.height - 0.5;
  }

  #down(event) {
    if (event.button !== 0) return;
    const [x, y] = this.#point(event);
    this.timeline.canvas.setPointerCapture(event.pointerId);
    this.pointers.set(event.pointerId, [x, y]);
    const selects = event.shiftKey || y < AXIS; // a range of time, to zoom to
    if (this.pointers.size === 1) this.drag = { x, y, moved: 0, selects };
    else this.drag = { ...this.drag, moved: CLICK + 1, selects: false };
  }

  #move(event) {
    const { timeline } = this;
    const [x, y] = this.#point(event);
    const before = this.pointers.get(event.pointerId);
    if (!before) {
      if (timeline.layout) {
        timeline.pointer = x;
        timeline.hover(timeline.at(x, y).bar, x, y);
        timeline.draw();
      }
      return;
    }
    if (this.pointers.size === 2) this.#pinch(event.pointerId, x);
    else if (this.drag.selects) timeline.pointer = x;
    else timeline.window.pan(before[0] - x, before[1] - y);
    this.pointers.set(event.pointerId, [x, y]);
    this.drag.moved += Math.abs(before[0] - x) + Math.abs(before[1] - y);
    if (this.drag.selects) timeline.draw();
    else timeline.moved();
    timeline.tip.hidden = true;
  }

  /** Two fingers: what was between them stays between them. */
  #pinch(id, x) {
    const [other] = [...this.pointers].filter(([each]) => each !== id).map(([, at]) => at[0]);
    const before = this.pointers.get(id)[0];
    const factor = Math.abs(x - other) / Math.max(Math.abs(before - other), 1);
    this.timeline.window.zoom(Math.min(Math.max(factor, 0.5), 2), (x + other) / 2);
  }

  #up(event) {
    const { timeline, drag } = this;
    const [x, y] = this.#point(event);
    this.#end(event);
    if (!drag) return;
    if (drag.moved <= CLICK) {
      const { bar } = timeline.at(x, y);
      timeline.select(bar?.id ?? null);
      if (bar?.kind === "child") timeline.listeners.open?.(bar.child.id);
    } else if (drag.selects) {
      const [from, to] = [drag.x, x].sort((a, b) => a - b);
      if (to - from > CLICK) timeline.window.show(timeline.timeAt(from), timeline.timeAt(to));
      timeline.moved();
    }
  }

  #end(event) {
    this.pointers.delete(event.pointerId);
    if (!this.pointers.size) this.drag = null;
  }

  #leave() {
    this.timeline.pointer = null;
    this.timeline.hover(null, 0, 0);
    this.timeline.draw();
  }

  #double(event) {
    const { bar } = this.timeline.at(...this.#point(event));
    if (bar) this.timeline.select(bar.id, { zooms: true });
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { timeline } = this;
    const { window } = timeline;
    const middle = window.width / 2;
    const works = {
      ArrowLeft: () => window.pan(-window.width * KEY_PAN, 0),
      ArrowRight: () => window.pan(window.width * KEY_PAN, 0),
      ArrowUp: () => window.pan(0, -60),
      ArrowDown: () => window.pan(0, 60),
      PageUp: () => window.pan(0, -window.height),
      PageDown: () => window.pan(0, window.height),
      Home: () => window.pan(-1e9, 0),
      End: () => window.pan(1e9, 0),
      "+": () => window.zoom(KEY_ZOOM, middle),
      "=": () => window.zoom(KEY_ZOOM, middle),
      "-": () => window.zoom(1 / KEY_ZOOM, middle),
      f: () => window.fit(),
      n: () => timeline.step(1),
      p: () => timeline.step(-1),
      z: () => timeline.selected && timeline.select(timeline.selected, { zooms: true }),
      i: () => timeline.foldIdle(!timeline.folds),
      Escape: () => timeline.select(null),
      Enter: () => timeline.listeners.enter?.(timeline.selected),
    };
    const work = works[event.key];
    if (!work || !timeline.layout) return;
    event.preventDefault();
    work();
    timeline.moved();
  }

  dispose() {
    this.stop.abort();
  }
}
