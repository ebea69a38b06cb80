/** A command to copy. */

import { h, replace } from "./dom.js";

/** @returns {HTMLElement} text with a button that copies it */
export function copied(text) {
  const button = h("button", {
    type: "button", class: "quiet",
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(text);
        replace(button, "Copied");
      } catch {
        getSelection().selectAllChildren(code); // the reader's own keys copy it
      }
    },
  }, "Copy");
  const code = h("pre", { class: "value", tabindex: "0" }, text);
  return h("div", { class: "copied" }, code, button);
}
