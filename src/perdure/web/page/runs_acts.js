/** What is done to several runs at once. */

import { runPath } from "./api.js";
import { asked } from "./dialog.js";
import { e, h, replace } from "./dom.js";
import { several } from "./format.js";
import { FINAL } from "./status.js";

const AT_ONCE = 4; // requests under way

const ACTS = {
  retry: { word: "Retry", done: "put back", fits: ({ status }) => ["failed", "cancelled"].includes(status) },
  cancel: { word: "Cancel", done: "cancelled", fits: ({ status }) => !FINAL.has(status) },
};

/** Make the bar that acts on the runs whose heads `chosen` returns; `clear` chooses none. */
export function actBar(context, chosen, clear) {
  const words = h("span", { role: "status" });
  const buttons = new Map(Object.entries(ACTS).map(([name, act]) => [name, h("button", {
    class: name === "cancel" ? "danger" : "", onclick: () => ask(name),
  }, act.word)]));
  const element = h("div.act-bar", { hidden: true }, words, ...buttons.values(),
    h("button.quiet", { onclick: clear }, "Select none"));

  const show = () => {
    const heads = chosen();
    element.hidden = !heads.length;
    replace(words, `${heads.length} selected`);
    for (const [name, button] of buttons) {
      const fitting = heads.filter(ACTS[name].fits).length;
      button.disabled = !fitting;
      replace(button, fitting && fitting < heads.length ? `${ACTS[name].word} ${fitting}` : ACTS[name].word);
    }
  };

  const ask = async (name) => {
    const heads = chosen().filter(ACTS[name].fits);
    if (name === "cancel" && !(await asked(`Cancel ${several(heads.length, "run")}?`,
      e("p.dim", "They never complete. What they did stays done; a retry goes on from there."),
      "Cancel them", () => true, { word: "Keep", answer: false }))) return;
    for (const button of buttons.values()) button.disabled = true;
    await actOn(context, heads.map(({ id }) => id), name);
    clear();
  };
  return { element, show };
}

/** Retry or cancel runs, by `name`, and tell what came of it. */
export async function actOn(context, ids, name) {
  const waiting = [...ids];
  const refused = [];
  const work = async () => {
    for (let id = waiting.shift(); id !== undefined; id = waiting.shift()) {
      try {
        await context.api.post(`${runPath(id)}/${name}`);
      } catch (error) {
        refused.push(error.message);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  const done = ids.length - refused.length;
  if (done) context.say(`${several(done, "run")} ${ACTS[name].done}`);
  if (refused.length) {
    context.say(`${refused.length} not ${ACTS[name].done}: ${refused[0]}`, "error");
  }
}
