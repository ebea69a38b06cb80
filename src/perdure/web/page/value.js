/** Values of a run, shown in full width: as lists have them, and whole when it is asked for. */

import { e, h, replace } from "./dom.js";
import { bytes } from "./format.js";

const MOST = 1_000_000; // characters on the page of what was asked for

/** Make a panel of a value, as lists have it; `source`: where all of a cut one is had from. */
export function valuePanel(form, source = null) {
  const text = h("pre.value", { dir: "auto", tabindex: "0" });
  if (!("cut" in form)) {
    replace(text, written(form.value));
    return e("div.value-panel", text);
  }
  replace(text, form.cut, e("span.dim", "…"));
  if (!source?.context) {
    return e("div.value-panel", text,
      e("p.dim", `It has ${bytes(form.bytes)}; this is how it begins.`));
  }
  const whole = async () => {
    more.disabled = true;
    try {
      const path = `/runs/${encodeURIComponent(source.run)}/value`;
      const value = written(await source.context.api.get(path, { path: form.path }));
      const rest = value.length - MOST;
      replace(text, value.slice(0, MOST),
        rest > 0 && e("span.dim", `… and ${bytes(rest)} more`));
      more.remove();
    } catch (error) {
      more.disabled = false;
      replace(more, `Again: ${error.message}`);
    }
  };
  const more = h("button.quiet", { onclick: whole },
    `All of it (${bytes(form.bytes)})`);
  return e("div.value-panel", text, more);
}

/** Return a value as it is read: a text as it is, all else as JSON in lines */
export function written(value) {
  return typeof value === "string" ? value : JSON.stringify(value, null, 2) ?? "null";
}
