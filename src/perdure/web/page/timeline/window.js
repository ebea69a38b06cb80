// Which part of a timeline is seen: zoom and pan, never out of the run.

const CLOSEST = 0.02; // ms across the whole width: nothing is to be seen any closer

/** The window over a layout: positions `begin` to `end` of its axis, and `top` px. */
export class Window {
  constructor() {
    this.begin = 0;
    this.end = 1;
    this.top = 0;
    this.width = 1;
    this.height = 1;
    this.isFitted = true; // it follows the run as that grows
  }

  /** Take a layout or a size; what was seen stays in sight. */
  take(layout, width, height, shown) {
    this.layout = layout;
    this.width = Math.max(width, 1);
    this.height = Math.max(height, 1);
    if (shown) this.show(shown.from, shown.to);
    else if (this.isFitted) this.fit();
    else this.#keep();
  }

  /** Show all of the run. */
  fit() {
    this.isFitted = true;
    this.begin = 0;
    this.end = this.layout.axis.length;
    this.#keep();
  }

  /** Show a range of time, ms since the epoch. */
  show(from, to) {
    const { axis } = this.layout;
    this.begin = axis.position(from);
    this.end = Math.max(axis.position(to), this.begin + CLOSEST);
    this.isFitted = false;
    this.#keep();
  }

  /** Return the range that is seen as times. */
  get range() {
    return { from: this.layout.axis.time(this.begin), to: this.layout.axis.time(this.end) };
  }

  /** Zoom by a factor around a px; over 1 is closer. */
  zoom(factor, x) {
    const length = this.end - this.begin;
    const share = x / this.width;
    const next = Math.max(Math.min(length / factor, this.layout.axis.length), CLOSEST);
    this.begin += (length - next) * share;
    this.end = this.begin + next;
    this.isFitted = next >= this.layout.axis.length;
    this.#keep();
  }

  /** Move what is seen by px. */
  pan(x, y) {
    const shift = (x / this.width) * (this.end - this.begin);
    this.begin += shift;
    this.end += shift;
    this.top += y;
    if (x && this.end - this.begin < this.layout.axis.length) this.isFitted = false;
    this.#keep();
  }

  /** Bring a bar into sight; `zooms`: as large as the window. */
  reveal(bar, rowTop, rowHeight, zooms) {
    const { axis } = this.layout;
    const from = axis.position(bar.begin);
    const to = axis.position(bar.end);
    if (zooms) {
      const around = Math.max((to - from) * 0.15, CLOSEST);
      this.begin = from - around;
      this.end = to + around;
      this.isFitted = false;
    } else if (to < this.begin || from > this.end) {
      const length = this.end - this.begin;
      this.begin = from - length * 0.1;
      this.end = this.begin + length;
      this.isFitted = false;
    }
    if (rowTop < this.top) this.top = rowTop;
    else if (rowTop + rowHeight > this.top + this.height) this.top = rowTop + rowHeight - this.height;
    this.#keep();
  }

  /** Return whether there is more below or above than is seen. */
  get scrolls() {
    return this.layout.height > this.height;
  }

  #keep() {
    const whole = this.layout.axis.length;
    const length = Math.min(this.end - this.begin, whole);
    this.begin = Math.min(Math.max(this.begin, 0), whole - length);
    this.end = this.begin + length;
    this.top = Math.min(Math.max(this.top, 0), Math.max(this.layout.height - this.height, 0));
  }
}
