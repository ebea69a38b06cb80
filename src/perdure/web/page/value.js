/** Values of a run, shown in full width: as lists have them, and whole when it is asked for. */

import { dim, e, h, replace } from "./dom.js";
import { bytes } from "./format.js";

const MOST = 1_000_000; // characters on the page of what was asked for

/** Make a panel of a value, as lists have it; `source`: where all of a cut one is had from. */
export function valuePanel(form, source = null) {
  const isCut = "cut" in form;
  const text = h("pre.value", { dir: "auto", tabindex: "0" }, isCut ? [form.cut, dim("…")] : written(form.value));
  const panel = e("div.value-panel", text);
  if (!isCut) return panel;
  if (!source?.context) {
    panel.append(e("p.dim", `It has ${bytes(form.bytes)}; this is how it begins.`));
    return panel;
  }
  const whole = async () => {
    more.disabled = true;
    try {
      const path = `/runs/run:${source.run}/value`;
      const value = written(await source.context.api.get(path, { path: form.path }));
      const rest = value.length - MOST;
      replace(text, value.slice(0, MOST),
        rest > 0 && dim(`… and ${bytes(rest)} more`));
      more.remove();
    } catch (error) {
      more.disabled = false;
      replace(more, `Again: ${error.message}`);
    }
  };
  const more = h("button.quiet", { onclick: whole },
    `All of it (${bytes(form.bytes)})`);
  panel.append(more);
  return panel;
}

/** Return a value as it is read: a text as it is, all else as JSON in lines */
export function written(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "null";
}
