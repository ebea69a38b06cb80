/** Failures. What is broken, and is it one thing? */

import { e, h, renew, replace } from "./dom.js";
import { age, count, foreign, line, several } from "./format.js";
import { hashOf } from "./router.js";
import { actOn } from "./runs_acts.js";
import { watched } from "./timing.js";

export const title = "Failures";

/** See `screens.js`. */
export function show(place, _params, context) {
  const words = h("p.dim", { role: "status" });
  const list = h("ol.inbox", { "aria-label": "Failures of one kind and place" });
  replace(place, e("div.narrow",
    e("div.title-line", e("h1", "Failures"), words), list));

  return watched(context, async () => {
    try {
      const { groups, looked } = await context.api.get("/failures");
      replace(words, looked.runs ? several(looked.runs, looked.all ? "failed run" : "newest failed run") : "No run has failed.");
      renew(list, groups, () => groups.map((group) => groupElement(group, context)));
    } catch (error) {
      replace(words, error.message);
    }
  });
}

function groupElement({ type, message, place, count: all, first, last, example, runs }, context) {
  const few = runs.length < all ? `the newest ${count(runs.length)}` : all > 1 && `all ${count(all)}`;
  const retry = (event) => {
    event.target.disabled = true;
    actOn(context, runs, "retry");
  };
  return e("li.inbox-item.failure",
    e("div.failure-told",
      e("h2", e("b", `${count(all)} ×`), foreign(line(type, 200))),
      e("p.failure-said", message),
      e("p.inbox-about", place && e("code", foreign(line(place))),
        e("span", "last ", age(last)), all > 1 && e("span", "first ", age(first)),
        h("a", { href: hashOf(["runs", example]) }, "the newest: ", example))),
    context.may("operate") && h("button", { onclick: retry }, "Retry ", few));
}
