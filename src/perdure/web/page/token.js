/**
 * The token: taken from `#token=…` of the address, which then no longer has it, and kept for this
 * tab alone.
 */

import { decoded } from "./router.js";

/** Address of the service: the page's modules lie two folders below it, whatever the prefix. */
export const BASE = new URL("../../", import.meta.url);

const KEY = `perdure.token ${BASE.pathname}`;
let held = null;

/** Take the token out of the address, if it has one. */
export function takeToken() {
  const given = /^#token=([^&/]+)(.*)$/.exec(location.hash);
  if (!given) return;
  keepToken(decoded(given[1]));
  const rest = given[2].replace(/^[&/]+/, "");
  history.replaceState(null, "", `${location.pathname}${location.search}#/${rest}`);
}

/** Return the token; empty when there is none */
export function token() {
  if (held !== null) return held;
  try {
    held = sessionStorage.getItem(KEY) ?? "";
  } catch {
    held = ""; // no storage here: it lasts as long as the page
  }
  return held;
}

/** Keep a token for this tab. */
export function keepToken(text) {
  held = text;
  try {
    sessionStorage.setItem(KEY, text);
  } catch {
    // See `token`.
  }
}
