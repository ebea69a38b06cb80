// The screen of one run: fetches it, follows it while it goes on, and acts on it.

import { runPath } from "./api.js";
import { exact, valueOf } from "./format.js";
import { FINAL } from "./status.js";
import { RunSheet } from "./run/sheet.js";

export const title = "Run";

const LIVE_EVERY = 1000; // ms between two looks at the calls under way
const RECORDS = 500; // of the journal at once
const PATIENCE = 3; // a run is read again no sooner than so many times as long as it took

/** Show a run; see the page's router. */
export function show(place, params, context) {
  const screen = new RunScreen(place, params, context);
  screen.start();
  return { update: (next) => screen.update(next), dispose: () => screen.dispose() };
}

class RunScreen {
  constructor(place, params, context) {
    this.place = place;
    this.context = context;
    this.id = params.path[1];
    this.query = Object.fromEntries(params.query);
    this.stop = new AbortController();
    this.calls = null;
    this.skew = 0; // ms that the server's clock is ahead
  }

  get path() {
    return runPath(this.id);
  }

  async start() {
    await this.#read();
    if (this.stop.signal.aborted || !this.detail) return;
    this.#follow();
    this.#look();
  }

  update(params) {
    const query = Object.fromEntries(params.query);
    if (!this.sheet || this.sheet.isChanging) return;
    if ((query.call ?? null) !== (this.sheet.timeline.selected ?? null)) {
      this.sheet.timeline.select(query.call ?? null, { reveals: true });
    }
  }

  get isOpen() {
    return !FINAL.has(this.detail.run.status);
  }

  get now() {
    return this.isOpen ? Date.now() + this.skew : undefined;
  }

  /** Read the run, and show it. */
  async #read() {
    const began = performance.now();
    try {
      const signal = this.stop.signal;
      this.detail = await this.context.api.get(`${this.path}/detail`, {}, { signal });
    } catch (error) {
      if (!this.stop.signal.aborted) this.#failed(error);
      return;
    }
    this.took = performance.now() - began;
    if (this.stop.signal.aborted) return;
    this.context.setTitle(`${this.detail.run.title} · ${this.detail.run.status}`);
    this.sheet ??= new RunSheet(this.place, this.#source(), this.#options());
    this.#show();
  }

  #failed(error) {
    if (this.sheet) this.context.say(error.message, "error");
    else this.place.textContent = error.message;
  }

  #show() {
    this.sheet?.show(this.detail, { now: this.now, calls: this.calls });
  }

  #source() {
    const { api } = this.context;
    return {
      records: (after) => api.get(`${this.path}/records`, { after, limit: RECORDS }),
      child: async (id) => {
        try {
          return await api.get(`${runPath(id)}/detail`, { cut: 1000 });
        } catch (error) {
          this.context.say(error.message, "error");
          return null;
        }
      },
    };
  }

  #options() {
    const { context } = this;
    return {
      context, query: this.query, actions: this.#actions(),
      changed: (query) => context.setQuery(query, { replace: true }),
      go: (id) => context.go(["runs", id]),
    };
  }

  /** Return what the viewer's token may do here. */
  #actions() {
    if (!this.context.may("operate")) return null;
    const post = async (what, body, done) => {
      try {
        await this.context.api.post(`${this.path}/${what}`, body);
        this.context.say(done, "done");
      } catch (error) {
        this.context.say(error.message, "error");
      }
      document.activeElement?.blur();
      this.#soon(0);
      if (!this.stream) this.#follow();
    };
    return {
      approve: (wait, approved, comment) =>
        post("approve", { name: wait.name, approved, ...(comment ? { comment } : {}) }, approved ? "Approved" : "Refused"),
      signal: (wait, text) => post("signal", { name: wait.name, value: valueOf(text) }, `Sent ${wait.name}`),
      cancel: () => post("cancel", {}, "Cancelled"),
      retry: () => post("retry", {}, "Put back into its key's queue"),
    };
  }

  /** Follow the run's records from those that were read: nothing is missed between the two. */
  #follow() {
    if (!this.isOpen) return;
    this.stream = this.context.stream(`${this.path}/stream`, {
      after: this.detail.records,
      on: {
        records: ({ status, records }) => {
          if (records.length || status !== this.detail.run.status) this.#soon();
        },
        reset: () => this.#soon(0),
        end: () => {
          this.stream?.close();
          this.stream = null;
          this.#soon(0);
        },
        problem: ({ detail }) => this.sheet.say(`The run cannot be followed: ${detail}`),
      },
      state: (state, why) => {
        this.lost = state === "lost" ? `The connection was lost (${why}); what is missed will be read.` : "";
        this.#say();
      },
    });
  }

  /** Read the run again soon: at once, where it was not read just now. */
  #soon(wait = Math.max((this.took ?? 0) * PATIENCE, 200)) {
    if (this.due || this.stop.signal.aborted) return;
    this.due = setTimeout(async () => {
      this.due = null;
      await this.#read();
    }, wait);
  }

  /** Look at the calls under way once a second, while the run goes on and the page is seen. */
  async #look() {
    this.looking = setTimeout(() => this.#look(), LIVE_EVERY);
    if (!this.isOpen || document.hidden) return;
    if (this.context.job.is_served) {
      try {
        const live = await this.context.api.get("/live", { run: this.detail.run.id });
        this.calls = live.is_visible ? live.calls : null;
        if (live.at) this.skew = Math.max(this.skew || -Infinity, live.at - Date.now());
      } catch {
        this.calls = null; // the next look tries again
      }
    }
    this.hasLooked = true;
    if (this.stop.signal.aborted || !this.isOpen) return;
    this.#say();
    this.#show();
  }

  #say() {
    const unseen = this.isOpen && this.calls === null && this.hasLooked;
    const since = unseen ? `Calls under way are not visible from here; the journal tells of ${exact(this.detail.span[1])}.` : "";
    this.sheet?.say(this.lost || since);
  }

  dispose() {
    this.stop.abort();
    clearTimeout(this.due);
    clearTimeout(this.looking);
    this.stream?.close();
    this.sheet?.dispose();
  }
}
