/** Dialogs: a title, what it says, and buttons that end it. */

import { e, h } from "./dom.js";

/**
 * Show a dialog until it is ended; return what `answer` gives then, which ends it unless it is
 * undefined. `refusal`: `word` of the button that refuses, and the `answer` then; null: none.
 */
export function asked(title, content, word, answer, refusal = null) {
  return new Promise((resolve) => {
    const end = (given) => {
      dialog.remove();
      resolve(given);
    };
    const send = (event) => {
      event.preventDefault();
      const given = answer();
      if (given !== undefined) end(given);
    };
    const cancel = (event) => {
      event.preventDefault();
      if (refusal) end(refusal.answer);
    };
    const dialog = h("dialog", { "aria-label": title, oncancel: cancel },
      h("form", { onsubmit: send }, e("h2", title), content, e("div.buttons",
        refusal && h("button", { onclick: cancel }, refusal.word),
        h("button.primary", { type: "submit" }, word))));
    document.body.append(dialog);
    dialog.showModal();
  });
}
