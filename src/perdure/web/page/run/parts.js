// What several parts of a run's sheet are made of.

import { e } from "../dom.js";

/** Return text that stands back. */
export function dim(...children) {
  return e("span.dim", children);
}

/** Return the end of a file's path: its folder and its name. */
export function tailOf(path) {
  return path.split(/[\\/]/).slice(-2).join("/");
}
