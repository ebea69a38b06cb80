/** Asks for a token, where the page has none or a wrong one. */

import { asked } from "./dialog.js";
import { h } from "./dom.js";
import { printable } from "./format.js";
import { keepToken } from "./token.js";

let asking = null;

/** Ask for a token until one is given; `detail` is what was wrong with the one before, if any. */
export function askForToken(detail) {
  asking ??= shown(detail).finally(() => (asking = null));
  return asking;
}

async function shown(detail) {
  const field = h("input", {
    type: "password", autocomplete: "off", spellcheck: "false", required: true, autofocus: true,
  });
  keepToken(await asked(detail ? "Another token, please" : "A token is needed", [
    detail && h("p", { class: "error", role: "alert" }, printable(detail)),
    h("p", null, "The command that serves this page printed it with its address, behind ",
      h("code", null, "#token="), ". It is kept for this tab alone."),
    h("label", null, "Token ", field),
  ], "Open", () => field.value.trim() || undefined));
}
