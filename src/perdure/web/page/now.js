/** Now. Is all well? Does anything wait for me? */

import { howToStart } from "./copied.js";
import { dim, e, h, renew, replace, svg } from "./dom.js";
import { age, count, exact, foreign, HOUR, line, MINUTE, oneLine, tailOf } from "./format.js";
import { hashOf } from "./router.js";
import { beginningsOf } from "./timeline/processes.js";
import { watched } from "./timing.js";

export const title = "Now";

const EVERY = 5000; // ms between two looks: calls under way change nothing in the store
const HIGH = 100; // of the strip, which is as wide as an hour has ms

/** See `screens.js`. */
export function show(place, _params, context) {
  const words = h("p.dim", { role: "status" });
  const tiles = e("div.tiles");
  const [strip, waits, failed] = [1, 2, 3].map(() => e("section.card"));
  const start = e("div.run-foot");
  const all = e("div.now", tiles, strip, e("div.cards", waits, failed));
  replace(place, e("div.now", e("div.title-line", e("h1", title), words), start, all));

  const look = async () => {
    try {
      const since = new Date().setHours(0, 0, 0, 0);
      const [now, hour] = await Promise.all([context.api.get("/now"), context.api.get("/hour", { since })]);
      replace(words, !now.is_running ? "No process runs this job." : now.writes === false && "The store does not write now.");
      all.hidden = ["unfinished", "completed", "failed", "cancelled"].every((status) => !now.runs[status]);
      renew(start, all.hidden, (isEmpty) => isEmpty && howToStart(context));
      renew(tiles, [now.runs, now.waiting_for_people, hour.failed, now.calls], tilesOf);
      replace(strip, stripOf(hour));
      renew(waits, [now.longest_waiting, now.waiting_for_people], waitsOf);
      renew(failed, hour.failures, failuresOf);
    } catch (error) {
      replace(words, error.message);
    }
  };
  const timer = setInterval(() => document.hidden || look(), EVERY);
  const { dispose } = watched(context, look);
  return {
    dispose() {
      clearInterval(timer);
      dispose();
    },
  };
}

function tilesOf([runs, people, failed, calls]) {
  const tile = (path, query, number, name, kind, about) => h("a.tile", { href: hashOf(path, query) },
    h("b", { class: number > 0 && `is-${kind}` }, number === null ? "–" : count(number), about === "+" && about),
    e("span", name), about !== "+" && e("span.faint", about));
  const states = Object.entries(calls ?? {}).filter(([, number]) => number);
  return [
    tile("runs", { status: "running" }, runs.unfinished - runs.waiting, "running or queued", "running"),
    tile("inbox", {}, people, people === 1 ? "waits for a person" : "wait for people", "waiting"),
    tile("failures", {}, failed.runs, "failed today", "failed", failed.all ? null : "+"),
    tile("runs", {}, calls ? states.reduce((sum, [, number]) => sum + number, 0) : null, "calls in flight", "running",
      calls ? states.map(([state, number]) => `${count(number)} ${state}`).join(", ") : "not visible from here"),
  ];
}

/** Return the last hour: bars of calls by minute, lines where processes ended and began. */
function stripOf({ at, known_since: known, minutes, processes }) {
  const begin = Math.floor(at / MINUTE) * MINUTE - HOUR + MINUTE;
  const clock = (time) => exact(time).slice(11, 16);
  const most = Math.max(1, ...minutes.map(({ returned, raised }) => returned + raised));
  const sum = (kind) => count(minutes.reduce((all, minute) => all + minute[kind], 0));
  const told = `${sum("returned")} calls returned, ${sum("raised")} raised`;
  const bar = (kind, x, width, y, height, text) => width > 0 && height > 0
    && svg("rect", { class: kind, x, width, y, height }, svg("title", {}, text));
  const marks = beginningsOf({ processes, actions: [] }, at).filter((mark) => mark.at >= begin)
    .map(({ at: to, since, isCrash, label }) => ({
      to, kind: isCrash ? "failed" : "queued", text: `${isCrash ? "crash: " : ""}${label}`,
      since: Math.max(begin, since, ...minutes.map((minute) => minute.at + MINUTE).filter((end) => end <= to)), // it lived then
    }));
  return [
    e("div.title-line", e("h2", "The last hour"), dim(told)),
    svg("svg", { class: "hour", viewBox: `0 0 ${HOUR} ${HIGH}`, preserveAspectRatio: "none", role: "img", "aria-label": `In the last hour ${told}` },
      bar("hour-unknown", 0, known - begin, 0, HIGH, "Not read yet"),
      minutes.map(({ at: minute, returned, raised }) => {
        const low = raised && Math.max((raised / most) * HIGH, 3);
        const high = (returned / most) * (HIGH - low);
        const text = `${clock(minute)}: ${count(returned)} returned, ${count(raised)} raised`;
        const draw = (kind, y, height) => bar(kind, minute - begin, MINUTE * 0.8, y, height, text);
        return [draw("map-done", HIGH - high, high), draw("map-failed", HIGH - high - low, low)];
      }),
      marks.map(({ to, since, kind, text }) => [
        bar(`hour-${kind} hour-away`, since - begin, to - since, 0, HIGH, text),
        bar(`hour-${kind}`, to - begin, MINUTE / 8, 0, HIGH, text)])),
    e("p.hour-axis.faint", e("span", clock(begin)), e("span", `at most ${count(most)} a minute`), e("span", "now")),
    marks.slice(-3).map(({ kind, text, to }) => e(`p.is-${kind}`, text, " · ", age(to))),
  ];
}

/** Return what a card has: a head that leads on, and rows that do. */
function cardOf(href, name, about, rows, none) {
  return [e("h2", h("a", { href }, name), dim(about)),
    rows.map(([run, first, second]) => h("a.row", { href: hashOf(["runs", run]) }, e("span", first), dim(second))),
    !rows.length && e("p.dim", none)];
}

function waitsOf([waits, all]) {
  return cardOf("#/inbox", "Inbox", all > waits.length && ` the longest of ${count(all)}`, waits.map((wait) => [
    wait.run, foreign(line(wait.question ?? `${wait.kind} ${wait.name}`, 200)),
    [foreign(line(wait.title, 80)), " · key ", foreign(oneLine({ value: wait.key }, 80)), " · ", age(wait.since)],
  ]), "Nobody waits for you.");
}

function failuresOf(groups) {
  return cardOf("#/failures", "Newest failures", null, groups.map(({ type, message, place, count: all, last, example }) => [
    example, [e("b.is-failed", `${count(all)} × `), foreign(line(type, 120)), " ", foreign(line(message, 120), { class: "dim" })],
    [place && [foreign(line(tailOf(place))), " · "], "last ", age(last)],
  ]), "No run has failed.");
}
