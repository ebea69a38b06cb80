/** The page: its head, its address, its one stream; the screens do the rest. */

import { api, onUnknown } from "./api.js";
import { e, h, replace } from "./dom.js";
import { renewAges } from "./format.js";
import { drawHead } from "./head.js";
import { JobStream } from "./job_stream.js";
import { askForToken } from "./prompt.js";
import { go, placeOf, setQuery } from "./router.js";
import { screenOf } from "./screens.js";
import { say } from "./toast.js";
import { BASE, takeToken, token } from "./token.js";

const CLOCK = 1000; // ms between two looks at the clock

class Page {
  constructor(job) {
    const head = drawHead(job);
    this.place = document.getElementById("screen");
    this.head = head;
    this.stream = new JobStream(head.state);
    this.job = job;
    this.shown = null;
  }

  begin() {
    window.addEventListener("hashchange", () => this.show());
    setInterval(() => document.hidden || renewAges(), CLOCK);
    this.head.watch(this.stream);
    this.stream.open();
    this.show();
  }

  show() {
    if (/^#token=/.test(location.hash)) {
      const before = token();
      takeToken();
      if (token() !== before) {
        location.reload(); // it may do something else
        return;
      }
    }
    const params = placeOf(location.hash);
    const key = params.path.join("/");
    if (this.shown?.key === key && this.shown.handle?.update) {
      this.shown.handle.update(params);
      return;
    }
    this.leave();
    const found = screenOf(params.path);
    replace(this.place);
    window.scrollTo(0, 0);
    this.head.mark(found?.name ?? "");
    if (!found) {
      this.setTitle("Nothing here");
      replace(this.place, e("p.note", "There is nothing here. ",
        h("a", { href: "#/runs" }, "All runs")));
      return;
    }
    this.setTitle(found.screen.title);
    const shown = { key, handle: null };
    this.shown = shown;
    shown.handle = found.screen.show(this.place, params, this.context());
  }

  leave() {
    this.shown?.handle?.dispose?.();
    this.shown = null;
  }

  setTitle(text) {
    document.title = `${text} · ${this.job.job} · perdure`;
  }

  /** Return what screens are given; see the fields */
  context() {
    return {
      api,
      job: this.job, // what GET /job says
      may: (role) => mayOf(this.job, role), // "run" or "operate"
      stream: (path, options) => this.stream.follow(path, options), // in place of the job's
      onChange: (listener) => this.stream.subscribe(listener), // of the job; see JobStream
      go,
      setQuery,
      setTitle: (text) => this.setTitle(text),
      say,
      base: BASE,
    };
  }
}

const ROLES = ["read", "run", "operate"];

function mayOf(job, role) {
  return job.is_served && ROLES.indexOf(job.token.role) >= ROLES.indexOf(role);
}

async function begin() {
  takeToken();
  onUnknown(askForToken);
  for (;;) {
    try {
      new Page(await api.get("/job")).begin();
      return;
    } catch (error) {
      replace(document.getElementById("screen"),
        h("p.note.error", { role: "alert" }, error.message));
      await new Promise((resolve) => setTimeout(resolve, 3000));
    }
  }
}

begin();
