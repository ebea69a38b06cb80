/** How a run is started, to copy. */

import { e, h, replace } from "./dom.js";

export function howToStart({ job, base }) {
  if (!job.is_served) return [e("p.dim", "This job has no runs yet.")];
  return [e("p.dim", "No runs yet. Start one:"), copied(
    `curl ${new URL("runs", base)} -H "Authorization: Bearer $TOKEN" --json \\\n`
    + `    '{"key": "first", "value": "hello", "id": "first-1", "wait": true}'`)];
}

/** Return text with a button that copies it */
function copied(text) {
  const button = h("button.quiet", {
    onclick: async () => {
      try {
        await navigator.clipboard.writeText(text);
        replace(button, "Copied");
      } catch {
        getSelection().selectAllChildren(code); // the reader's own keys copy it
      }
    },
  }, "Copy");
  const code = h("pre.value", { tabindex: "0" }, text);
  return e("div.copied", code, button);
}
