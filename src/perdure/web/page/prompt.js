/** Asks for a token, where the page has none or a wrong one. */

import { h } from "./dom.js";
import { printable } from "./format.js";
import { keepToken } from "./token.js";

let asking = null;

/** Ask for a token until one is given; `detail` is what was wrong with the one before, if any. */
export function askForToken(detail) {
  asking ??= shown(detail).finally(() => (asking = null));
  return asking;
}

function shown(detail) {
  return new Promise((resolve) => {
    const field = h("input", {
      id: "token", type: "password", autocomplete: "off", spellcheck: "false", required: true,
    });
    const give = (event) => {
      event.preventDefault();
      const text = field.value.trim();
      if (!text) return;
      keepToken(text);
      dialog.close();
      dialog.remove();
      resolve();
    };
    const dialog = h("dialog", { class: "prompt", "aria-labelledby": "token-title" },
      h("form", { onsubmit: give },
        h("h2", { id: "token-title" }, detail ? "Another token, please" : "A token is needed"),
        detail && h("p", { class: "error", role: "alert" }, printable(detail)),
        h("p", null, "The command that serves this page printed it with its address, behind ",
          h("code", null, "#token="), ". It is kept for this tab alone."),
        h("label", { for: "token" }, "Token"), field,
        h("div", { class: "buttons" }, h("button", { class: "primary" }, "Open"))));
    dialog.addEventListener("cancel", (event) => event.preventDefault());
    document.body.append(dialog);
    dialog.showModal();
    field.focus();
  });
}
