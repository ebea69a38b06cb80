/** Short words about what was just done; read out politely, gone after a while. */

import { e, h } from "./dom.js";
import { line } from "./format.js";

const SECONDS = { done: 5, error: 12 };

/** Say something that was "done", or an "error". */
export function say(text, kind = "done") {
  const close = () => toast.remove();
  const toast = h("div", { class: ["toast", `is-${kind}`] }, e("span", line(text, 400)),
    h("button.quiet", { "aria-label": "Dismiss", onclick: close }, "×"));
  document.getElementById("toasts").append(toast);
  setTimeout(close, SECONDS[kind] * 1000);
}
