/**
 * What is new in the job, told to all who show it: one stream a page. While a screen reads a stream
 * of its own this one is closed, and goes on behind its last position afterwards.
 */

import { follow } from "./stream.js";

/** Owns: the job's stream. */
export class JobStream {
  /** @param state told how the page's stream stands */
  constructor(state) {
    this.state = state;
    this.listeners = new Set();
    this.stream = null;
    this.last = "";
    this.others = 0;
  }

  /** Be told of changes: `runs`, `statuses`, `all`: read everything. Return what ends it. */
  subscribe(listener) {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Begin, or go on. */
  open() {
    if (this.stream || this.others) return;
    const tell = (change) => this.listeners.forEach((listener) => listener(change));
    const everything = () => tell({ runs: [], statuses: true, all: true });
    this.stream = follow("/stream", {
      after: this.last,
      state: this.state,
      on: {
        position: everything,
        reset: everything,
        change: (data) => tell({ ...data, all: false }),
      },
    });
  }

  /** Follow another stream in this one's place; as `follow`. */
  follow(path, options) {
    this.others += 1;
    this.pause();
    const told = (name, why) => {
      this.state(name, why);
      options.state?.(name, why);
    };
    const other = follow(path, { ...options, state: told });
    let isOpen = true;
    const close = () => {
      if (!isOpen) return;
      isOpen = false;
      other.close();
      this.others -= 1;
      this.open();
    };
    return { close, last: other.last };
  }

  pause() {
    if (!this.stream) return;
    this.last = this.stream.last();
    this.stream.close();
    this.stream = null;
  }
}
