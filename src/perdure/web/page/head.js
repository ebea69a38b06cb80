/** The page's head: whose job it is, the screens, whether what is shown is live. */

import { e, h, replace } from "./dom.js";
import { foreign, line } from "./format.js";
import { SCREENS } from "./screens.js";
import { soon } from "./timing.js";

const BETWEEN = 500; // ms between two looks at what changed
const MARK = new URL("icon.svg", import.meta.url);
const STATES = {
  connecting: ["connecting", "Connecting…"],
  live: ["live", "Live"],
  lost: ["lost", "Connection lost, trying again"],
  hidden: ["connecting", "Paused while hidden"],
  ended: ["ended", "Ended"],
};

/** Draw the head; `job` is what GET /job says. */
export function drawHead(job) {
  const links = new Map(SCREENS.map(({ name, screen }) => [name, linkTo(name, screen)]));
  const state = h("span.live.is-connecting", { role: "status" });
  const kind = job.is_served ? null : h("span.tag", {
    title: "This page shows a store, and changes nothing in it",
  }, "read-only");
  replace(document.getElementById("head"),
    h("a.brand", { href: "#/", "aria-label": "perdure, first screen" },
      h("span.mark", { style: { background: `url("${MARK}")` } }), e("span.brand-name", "perdure")),
    foreign(line(job.job, 80), { class: "job", title: `job ${line(job.job)}, store ${line(job.store)}` }),
    kind,
    h("nav", { "aria-label": "Screens" }, ...links.values()),
    state);

  return {
    /** Tell how the page's stream stands. */
    state(name, why = "") {
      const [look, words] = STATES[name];
      state.className = `live is-${look}`;
      state.title = why;
      replace(state, h("span.live-dot", { "aria-hidden": "true" }),
        e("span.live-words", words));
    },

    /** Mark a screen as the one that is shown. */
    mark(name) {
      for (const [each, link] of links) {
        if (each === name) link.setAttribute("aria-current", "page");
        else link.removeAttribute("aria-current");
      }
    },

    /** Keep the numbers beside the screens' names; `stream` tells when to look. */
    watch(stream) {
      for (const { name, screen } of SCREENS) {
        if (screen.number) watchNumber(links.get(name), screen.number, stream);
      }
    },
  };
}

function linkTo(name, screen) {
  return h("a", { href: `#/${name}` }, screen.title, h("span.number", { hidden: true }));
}

/** Show a number beside a name, read again when something changed. */
function watchNumber(link, read, stream) {
  const shown = link.querySelector(".number");
  const look = soon(BETWEEN, async () => {
    const number = await read().catch(() => 0); // the stream says what is wrong
    shown.hidden = !number;
    replace(shown, String(number));
  });
  stream.subscribe(look);
}
