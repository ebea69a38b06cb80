/**
 * Event streams, read by `fetch`, since an EventSource sends no token.
 *
 * A stream is closed while the page is hidden, and goes on behind the last id when it is shown
 * again; so it does after a lost connection, with growing pauses. Nothing is missed, nothing twice.
 */

import { address, send } from "./api.js";

const FIRST_PAUSE = 500; // ms
const LONGEST_PAUSE = 15_000;
const LONGEST_SILENCE = 40_000; // the service sends a comment each 15 s

/**
 * Follow a stream.
 *
 * @param options `after`: id to go on behind; `on`: functions of data and id by the names
 *   of events; `state`: told "connecting", "live", "lost" with why, "hidden", "ended"
 * @returns {close(), last(): the last id}
 */
export function follow(path, { query = {}, after = "", on, state = () => {} }) {
  let last = String(after);
  let closed = false;
  let pause = FIRST_PAUSE;
  let abort = null;
  let wake = () => {};

  const onVisibility = () => {
    if (document.hidden) abort?.abort();
    wake();
  };
  document.addEventListener("visibilitychange", onVisibility);

  const close = () => {
    closed = true;
    document.removeEventListener("visibilitychange", onVisibility);
    abort?.abort();
    wake();
  };

  const receive = ({ name, data, id }) => {
    if (closed) return;
    pause = FIRST_PAUSE;
    if (id !== null) last = id;
    on[name]?.(JSON.parse(data), last);
    if (name === "end") {
      close();
      state("ended");
    }
  };

  const connect = async () => {
    abort = new AbortController();
    const { signal } = abort;
    const headers = { Accept: "text/event-stream" };
    if (last) headers["Last-Event-ID"] = last;
    const response = await send(address(path, query), { headers, signal });
    if (!closed) state("live");
    await readEvents(response.body, abort, receive);
  };

  const run = async () => {
    while (!closed) {
      if (document.hidden) {
        state("hidden");
        await new Promise((resolve) => (wake = resolve));
        continue;
      }
      let why = "the connection was lost";
      let retryAfter = 0;
      try {
        state("connecting");
        await connect();
      } catch (error) {
        if (closed || document.hidden) continue;
        why = error.message;
        retryAfter = (error.retryAfter ?? 0) * 1000;
        if ([400, 403, 404].includes(error.status)) {
          close();
          state("ended", why);
          return;
        }
      }
      if (closed || document.hidden) continue;
      state("lost", why);
      await sleep(Math.max(retryAfter, pause * (0.75 + Math.random() / 2)), (f) => (wake = f));
      pause = Math.min(pause * 2, LONGEST_PAUSE);
    }
  };

  run();
  return { close, last: () => last };
}

function sleep(ms, onWake) {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    onWake(() => {
      clearTimeout(timer);
      resolve();
    });
  });
}

/** Read a body's events until it ends; gives up where it is silent for too long. */
async function readEvents(body, abort, receive) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  const take = parser(receive);
  for (;;) {
    const timer = setTimeout(() => abort.abort(), LONGEST_SILENCE);
    try {
      const { done, value } = await reader.read();
      if (done) return;
      take(value);
    } finally {
      clearTimeout(timer);
    }
  }
}

/** Return what takes the text of a stream, as it comes, and has `receive` take its events. */
function parser(receive) {
  let rest = "";
  let event = { name: "message", data: "", id: null };
  const take = (line) => {
    if (line === "") {
      if (event.data) receive(event);
      event = { name: "message", data: "", id: null };
      return;
    }
    const [, field, value] = /^([^:]*):? ?(.*)$/.exec(line);
    if (field === "event") event.name = value;
    else if (field === "data") event.data += event.data ? `\n${value}` : value;
    else if (field === "id") event.id = value;
  };
  return (text) => {
    const lines = (rest + text).split(/\r?\n/);
    rest = lines.pop();
    lines.forEach(take);
  };
}
