/** The screens that there are: what the navigation shows, and where addresses lead. */

import * as failures from "./failures.js";
import * as inbox from "./inbox.js";
import * as now from "./now.js";
import * as run from "./run.js";
import * as runs from "./runs.js";

/** In the order of the navigation; `name` is the first part of the address. */
export const SCREENS = [
  { name: "now", screen: now },
  { name: "runs", screen: runs },
  { name: "inbox", screen: inbox },
  { name: "failures", screen: failures },
];

/** Return what an address leads to */
export function screenOf(path) {
  if (path[0] === "runs" && path.length === 2) return { name: "runs", screen: run };
  if (path.length === 0) return SCREENS[0];
  return (path.length === 1 && SCREENS.find((each) => each.name === path[0])) || null;
}
