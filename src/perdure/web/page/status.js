/** How a run stands: told by colour, by shape and by word. */

import { e, h } from "./dom.js";

const SHAPES = {
  queued: "○", running: "◐", waiting: "◌", completed: "●", failed: "✕", cancelled: "⊘",
  replayed: "↺",
};

/** All statuses that a run may have, in the order in which they are offered. */
export const STATUSES = ["running", "waiting", "queued", "failed", "completed", "cancelled"];
/** Those of a run that has ended. */
export const FINAL = new Set(["completed", "failed", "cancelled"]);

/** Return the shape of a status, in its colour; screen readers hear its name */
export function symbol(status) {
  return h("span", { class: `symbol is-${status}`, role: "img", "aria-label": status, title: status },
    SHAPES[status] ?? "•");
}

/** Return the shape of a status and a word, else its own. */
export function badge(status, word = status) {
  return e(`span.badge.is-${status}`, h("span.symbol", { "aria-hidden": "true" }, SHAPES[status] ?? "•"), word);
}
