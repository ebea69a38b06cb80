/** Inbox. Who waits for me? */

import { api } from "./api.js";
import { dim, e, h, replace } from "./dom.js";
import { age, count, foreign, line, oneLine } from "./format.js";
import { answerForm, Answer } from "./inbox_answer.js";
import { hashOf } from "./router.js";
import { badge, FINAL } from "./status.js";
import { soon } from "./timing.js";

export const title = "Inbox";

const MOST = 200; // items of one answer
const SUMMED = 100; // runs of one answer of summaries
const BETWEEN = 1000; // ms between two looks at what changed

/** Return how many wait, for the navigation */
export async function number() {
  return (await api.get("/inbox", { limit: 1 })).count;
}

/** See `screens.js`. */
export function show(place, _params, context) {
  const screen = new InboxScreen(place, context);
  screen.look();
  return screen;
}

/** Owns: its items, which stay where they are until the screen is left, also when answered. */
class InboxScreen {
  constructor(place, context) {
    this.context = context;
    this.items = new Map();
    this.mayAnswer = context.may("operate");
    this.words = h("p.dim", { role: "status" });
    this.list = h("ol.inbox", { "aria-label": "What waits for an answer" });
    this.keys = (event) => this.onKey(event);
    document.addEventListener("keydown", this.keys);
    this.empty = h("p.note", { hidden: true }, "Nobody waits for you.");
    replace(place, e("div.narrow",
      e("div.title-line", e("h1", "Inbox"), this.words), this.hint(), this.list, this.empty));
    this.abort = new AbortController();
    this.lookSoon = soon(BETWEEN, () => this.look());
    this.unsubscribe = context.onChange(() => this.lookSoon());
  }

  dispose() {
    document.removeEventListener("keydown", this.keys);
    this.abort.abort();
    this.lookSoon.cancel();
    this.unsubscribe();
  }

  hint() {
    const { job } = this.context;
    if (this.mayAnswer) {
      return e("p.faint.keys", e("kbd", "↓"), e("kbd", "↑"), " choose ", e("kbd", "y"),
        " approve ", e("kbd", "n"), " refuse ", e("kbd", "c"), " comment ");
    }
    if (!job.is_served) {
      return e("p.dim", "This page only shows a store. ", e("code", "perdure inbox"), " answers.");
    }
    return e("p.dim", `Your token may ${job.token.role}: to answer, open this page with one that may operate.`);
  }

  /** Read what waits, and how the runs of all items stand. */
  async look() {
    const { signal } = this.abort;
    try {
      const { count: all, waits } = await api.get("/inbox", { limit: MOST }, { signal });
      this.take(waits, all);
      await this.lookAtRuns(signal);
    } catch (error) {
      if (error.name === "AbortError") return;
      replace(this.words, error.message);
      this.lookSoon();
    }
  }

  take(waits, all) {
    const seen = new Set();
    for (const wait of waits) {
      const id = idOf(wait);
      seen.add(id);
      const known = this.items.get(id);
      if (known && !known.isGone) continue;
      known?.element.remove(); // it waits once more
      const item = new Item(wait, this.context, this.mayAnswer, () => this.lookSoon());
      this.items.set(id, item);
      this.list.append(item.element);
    }
    // What is not there among all that there are has its answer.
    if (waits.length === all) {
      for (const [id, item] of this.items) if (!seen.has(id)) item.gone();
    }
    this.empty.hidden = this.items.size > 0;
    replace(this.words, all > waits.length ? `${count(all)} wait; these wait longest` : all ? `${count(all)} ${all === 1 ? "waits" : "wait"}` : "");
  }

  async lookAtRuns(signal) {
    const ids = [...new Set([...this.items.values()].filter((item) => item.isWanting).map(({ wait }) => wait.run))];
    while (ids.length) {
      const { runs, left } = await api.get("/summaries", { runs: ids.splice(0, SUMMED).join(",") }, { signal });
      const heads = new Map(runs.map((head) => [head.id, head]));
      for (const item of this.items.values()) item.showRun(heads.get(item.wait.run));
      ids.push(...left);
    }
  }

  onKey(event) {
    const isElsewhere = event.target.closest("input, textarea, select, dialog");
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || isElsewhere) return;
    const items = [...this.items.values()];
    const at = items.findIndex(({ element }) => element.contains(event.target));
    const step = { ArrowDown: 1, ArrowUp: -1, j: 1, k: -1 }[event.key];
    if (step) {
      event.preventDefault();
      items[at + step]?.element.focus();
    } else if (items[at]?.onKey(event.key)) {
      event.preventDefault();
    }
  }
}

function idOf(wait) {
  return JSON.stringify([wait.run, wait.event, wait.action, wait.name, wait.since]);
}

/** One that waits: its question, what it is about, its answer. */
class Item {
  constructor(wait, context, mayAnswer, onAnswered) {
    this.wait = wait;
    this.isGone = false;
    this.isWanting = true; // how its run stands is not known, or is to change
    this.answer = new Answer(wait, context, (said) => {
      this.said(said);
      onAnswered();
    });
    this.input = e("p.inbox-input");
    this.outcome = h("p.inbox-outcome", { role: "status", hidden: true });
    this.form = mayAnswer ? answerForm(this.answer) : null;
    const question = wait.question ?? `${wait.kind} ${wait.name}`;
    this.element = h("li.inbox-item", { tabindex: "0", "aria-label": line(question, 200) },
      e("div.inbox-head",
        h("h2", { dir: "auto" }, question),
        dim(age(wait.since))),
      e("p.inbox-about",
        h("a", { href: hashOf(["runs", wait.run]) }, foreign(line(wait.title, 120))),
        e("span", "key ", foreign(oneLine({ value: wait.key }, 80))),
        e("span", `${wait.kind} `, foreign(line(wait.name, 80))),
        e("span", "action ", foreign(line(wait.action, 80)))),
      this.input, this.form?.element, this.outcome);
  }

  onKey(key) {
    return this.isGone || !this.form ? false : this.form.onKey(key);
  }

  showRun(head) {
    if (!head) return;
    replace(this.input, foreign(oneLine(head.input, 600)));
    this.isWanting = this.isGone && !FINAL.has(head.status);
    if (this.isGone) {
      replace(this.outcome, this.words, " ", badge(head.status));
    }
  }

  said(words) {
    this.words = words;
    this.end();
  }

  /** It no longer waits, and was not answered here. */
  gone() {
    if (this.isGone) return;
    this.words = "It no longer waits: answered elsewhere, or stopped.";
    this.end();
  }

  end() {
    this.isGone = this.isWanting = true;
    this.element.classList.add("is-gone");
    if (this.form) {
      const had = this.form.element.contains(document.activeElement);
      this.form.element.remove();
      if (had) this.element.focus();
    }
    this.outcome.hidden = false;
    replace(this.outcome, this.words);
  }
}
