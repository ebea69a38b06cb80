/** One run: how it stands and what it was given. */

import { pathOf } from "./api.js";
import { h, replace } from "./dom.js";
import { valuePanel } from "./value.js";
import { badge } from "./status.js";

export const title = "Run";

/** See `screens.js`. */
export function show(place, params, context) {
  const [, id] = params.path;
  const read = async () => {
    try {
      const { run } = await context.api.get(pathOf("runs", id, "detail"), { cut: 4096 });
      context.setTitle(run.title);
      replace(place, h("h1", null, h("bdi", null, run.title), " ", badge(run.status)),
        valuePanel(run.input, { context, run: run.id }));
    } catch (error) {
      replace(place, h("p", { class: "note error" }, error.message));
    }
  };
  read();
  return { dispose() {} };
}
