/** A command to copy. */

import { e, h, replace } from "./dom.js";

/** Return text with a button that copies it */
export function copied(text) {
  const button = h("button.quiet", {
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(text);
        replace(button, "Copied");
      } catch {
        getSelection().selectAllChildren(code); // the reader's own keys copy it
      }
    },
  }, "Copy");
  const code = h("pre.value", { tabindex: "0" }, text);
  return e("div.copied", code, button);
}
