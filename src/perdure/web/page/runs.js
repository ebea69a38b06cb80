/** All runs. */

import { h, replace } from "./dom.js";
import { age, foreign, oneLine } from "./format.js";
import { symbol } from "./status.js";

export const title = "Runs";

/** See `screens.js`. */
export function show(place, params, context) {
  const read = async () => {
    const { runs } = await context.api.get("/runs");
    replace(place, h("h1", null, "Runs"), h("ul", null, ...runs.map((run) => h("li", null,
      symbol(run.status), " ", h("a", { href: `#/runs/${run.id}` }, foreign(run.title)), " ",
      foreign(oneLine(run.input)), " ", age(run.admitted_at)))));
  };
  read();
  const end = context.onChange(read);
  return { dispose: end };
}
