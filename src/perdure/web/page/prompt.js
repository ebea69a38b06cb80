/** Asks for a token, where the page has none or a wrong one. */

import { asked } from "./dialog.js";
import { e, h } from "./dom.js";
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
    detail && h("p.error", { role: "alert" }, detail),
    e("p", "The command that serves this page printed it with its address, behind ",
      e("code", "#token="), ". It is kept for this tab alone."),
    e("label", "Token ", field),
  ], "Open", () => field.value.trim() || undefined));
}
