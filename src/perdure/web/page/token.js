/**
 * The token: taken from `#token=…` of the address, which then no longer has it, and kept for this
 * tab alone.
 */

/** Address of the service: the page's modules lie two folders below it, whatever the prefix. */
export const BASE = new URL("../../", import.meta.url);

const KEY = `perdure.token ${BASE.pathname}`;
let held = null;

/** Take the token out of the address, if it has one. */
export function takeToken() {
  const given = /^#token=([^&/]+)(.*)$/.exec(location.hash);
  if (!given) return;
  let token = given[1];
  try {
    token = decodeURIComponent(token);
  } catch {
    // It has a % that stands for itself.
  }
  keepToken(token);
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
