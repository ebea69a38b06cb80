/** The rows of the list: only those that are seen are in the document. */

import { e, h, svg } from "./dom.js";
import { age, cost, count, duration, exact, foreign, oneLine, tokens } from "./format.js";
import { hashOf } from "./router.js";
import { FINAL, symbol } from "./status.js";

const SPARE = 8; // rows above and below what is seen
const STEPS = 200; // of a map, along time

/** Draws rows of one height into a scrolled place, as many as are seen. */
export class Rows {
  /** `draw` makes the element of a row. */
  constructor(scrolled, draw) {
    this.scrolled = scrolled;
    this.draw = draw;
    this.body = h("div.run-rows", { role: "rowgroup" });
    this.drawn = new Map(); // id -> {row, element}
  }

  /** Return px of a row; the style sheet says it */
  get height() {
    return Number.parseFloat(getComputedStyle(this.scrolled).getPropertyValue("--row")) || 36;
  }

  /** Return the first row that is seen, and the one behind the last */
  range(length) {
    const { height } = this;
    const first = Math.floor(this.scrolled.scrollTop / height);
    const seen = Math.ceil(this.scrolled.clientHeight / height) + 1;
    return [Math.min(first, length), Math.min(first + seen, length)];
  }

  /** Draw what is seen of these rows; elements of rows that are the same objects stay. */
  show(rows) {
    const { height } = this;
    const [first, end] = this.range(rows.length);
    const from = Math.max(0, first - SPARE);
    const to = Math.min(rows.length, end + SPARE);
    this.body.style.height = `${rows.length * height}px`;
    const wanted = new Set();
    let below = null; // elements stand in the order of the rows: so they are read, and walked by keys
    for (let i = to - 1; i >= from; i -= 1) {
      const row = rows[i];
      const { id } = row.head;
      wanted.add(id);
      let known = this.drawn.get(id);
      if (known?.row !== row) {
        const element = this.draw(row);
        if (known) this.swap(known.element, element);
        else this.body.insertBefore(element, below);
        known = { row, element };
        this.drawn.set(id, known);
      }
      below = known.element;
      below.style.transform = `translateY(${i * height}px)`;
      below.setAttribute("aria-rowindex", String(i + 2));
    }
    for (const [id, { element }] of this.drawn) {
      if (wanted.has(id)) continue;
      element.remove();
      this.drawn.delete(id);
    }
  }

  /** Put one element in another's place; the focus within stays where it was. */
  swap(old, element) {
    const focused = old.contains(document.activeElement) && document.activeElement.dataset.part;
    old.replaceWith(element);
    if (focused) element.querySelector(`[data-part="${focused}"]`)?.focus();
  }
}

/** Return a run's row; `choose` and `byKey` are called by what is in it */
export function rowElement({ head, work }, { isChosen, choose, byKey }) {
  const title = oneLine({ value: head.title }, 80);
  return h("div", { class: ["run-row", isChosen && "is-chosen"], role: "row", dataset: { id: head.id } },
    choose && cell("choose", h("input", {
      type: "checkbox", "aria-label": `Select ${title}`, checked: isChosen, onclick: choose,
      dataset: { part: "choose" },
    })),
    cell("status", symbol(head.status)),
    cell("run", h("a", { href: hashOf(["runs", head.id]), dataset: { part: "run" }, title: head.id },
      foreign(title))),
    cell("key", h("button.key-button", {
      tabindex: "-1", title: "Only runs of this key",
      onclick: () => byKey(keyText(head.key)),
    }, foreign(oneLine(head.key, 80)))),
    cell("input", ...told(head)),
    cell("map", work && work.map.length > 0 && map(work)),
    cell("calls", work && (work.failed_calls
      ? h("span", { title: `${work.failed_calls} raised` }, count(work.calls), e("b.is-failed", "!"))
      : work.calls > 0 && count(work.calls))),
    cell("tokens", work && work.input_tokens + work.output_tokens > 0 && h("span", {
      title: `${count(work.input_tokens)} in, ${count(work.output_tokens)} out`,
    }, tokens(work.input_tokens + work.output_tokens))),
    cell("cost", work && cost(work.cost)),
    cell("took", FINAL.has(head.status) ? duration(head.finished_at - head.admitted_at) : waitsUntil(head)),
    cell("age", age(head.admitted_at)));
}

/** Return what a row has to say: why it failed, what it waits for, else its input */
function told(head) {
  const input = foreign(gist(head.input), { class: "cut", title: oneLine(head.input) });
  if (head.status === "failed" && head.error) {
    const { type, message } = head.error;
    return [input, foreign(oneLine({ value: `${type}: ${message}` }), { class: "cut reason is-failed" })];
  }
  const [wait] = head.waits;
  if (wait) {
    const text = wait.question ?? `${wait.kind} ${wait.name}`;
    return [input, foreign(oneLine({ value: text }), { class: "cut reason is-waiting" })];
  }
  if (head.activity) return [input, foreign(oneLine(head.activity), { class: "cut reason dim" })];
  return [input];
}

/** Return an input in one line: of an object its first text, which says most */
function gist(form) {
  const { value } = form;
  const fields = value && typeof value === "object" && !Array.isArray(value) ? Object.values(value) : [];
  const text = fields.find((field) => typeof field === "string" && field.trim());
  return oneLine(text === undefined ? form : { value: text });
}

function waitsUntil(head) {
  return head.due && h("span", { title: `due ${exact(head.due)}` }, "later");
}

function keyText({ value, cut }) {
  return typeof value === "string" ? value : cut ?? JSON.stringify(value);
}

function cell(name, ...children) {
  return h("div", { class: `run-${name}`, role: "cell" }, ...children);
}

/** Return a run's calls as bars: its whole time from left to right */
function map(work) {
  const lanes = Math.max(...work.map.map(([lane]) => lane)) + 1;
  const bar = 100 / Math.max(lanes, 2);
  return svg("svg", {
    class: "map", viewBox: `0 0 ${STEPS} 100`, preserveAspectRatio: "none", role: "img",
    "aria-label": `${work.calls} calls${work.failed_calls ? `, ${work.failed_calls} raised` : ""}`,
  },
  svg("rect", { class: "map-base", x: 0, y: 48, width: STEPS, height: 4 }),
  ...work.map.map(([lane, begin, end, kind]) => svg("rect", {
    class: `map-${kind}`, x: Math.min(begin, STEPS - 1.5), width: Math.max(end - begin, 1.5),
    y: lanes === 1 ? 25 : lane * bar, height: bar * 0.76,
  })));
}

/** Return the names of the columns */
export function columns(hasChoice, all) {
  const names = [
    ["status", ""], ["run", "Run"], ["key", "Key"], ["input", "Input"], ["map", "Calls over time"],
    ["calls", "Calls"], ["tokens", "Tokens"], ["cost", "Cost"], ["took", "Took"], ["age", "Age"],
  ];
  const heads = names.map(([name, text]) => h("div", { class: `run-${name}`, role: "columnheader" },
    text || e("span.unheard", "Status")));
  const choice = hasChoice && h("div.run-choose", { role: "columnheader" }, h("input", {
    type: "checkbox", "aria-label": "Select all that are loaded", onclick: (event) => all(event.target.checked),
  }));
  return h("div.run-row.run-columns", { role: "row", "aria-rowindex": "1" }, choice, ...heads);
}

/** Give a row other marks without drawing all of it; see `rowElement`. */
export function markRow(element, isChosen) {
  element.classList.toggle("is-chosen", isChosen);
  const box = element.querySelector('input[type="checkbox"]');
  if (box) box.checked = isChosen;
}

