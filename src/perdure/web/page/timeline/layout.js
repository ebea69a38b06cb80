// What a run's detail looks like as a picture: lanes of actions, below each its calls as bars.
//
// Pure: takes what `GET /runs/{run}/detail` answers, and gives rows and bars in ms and pixels. It
// draws nothing and knows no document.

import { line } from "../format.js";
import { FINAL } from "../status.js";
import { Axis, lengthOf, merged } from "./axis.js";
import { beginningsOf, replayedBy } from "./processes.js";
import { barsOf } from "./bars.js";

export const HEADER = 26; // px: the row of an action's name
export const ROW = 20; // px: a row of bars
export const STRIP = 20; // px: above all lanes, where processes began
const BELOW = 8; // px between lanes
const LABELLED = 80; // bars of a lane up to which each has room for its label
const CHARACTER = 6.6; // px, about
const MARGIN = 0.008; // of the busy time: free before the first bar, and twice behind the last
const LEAST_GAP = 2; // px between two bars of a row

/**
 * Lay out a run.
 *
 * @param options `now`: of a run that goes on, ms; `calls`: those under way, of `/live`, or null
 *   where that is not seen; `width` of the picture in px; `folds`: idle time; `children`: a map of
 *   ids to the details of child runs that are open.
 * @returns {axis, lanes, beginnings, height: px, bars: a map by id, first, last: ms}
 */
export function layOut(detail, options = {}) {
  const { width = 1000, folds = true } = options;
  const sections = sectionsOf(detail, options, 0, "");
  const bars = sections.flatMap((section) => section.bars);
  const last = Math.max(lastOf(detail, options), ...sections.map((each) => each.last));
  const first = Math.min(...sections.map((section) => section.first), firstOf(detail));
  const busy = bars.filter((bar) => bar.isBusy).map((bar) => [bar.begin, bar.end]);
  busy.push(...sections.map(({ first: at }) => [at, at]));
  const beginnings = beginningsOf(detail, last);
  busy.push(...beginnings.map(({ at }) => [at, at]));
  const margin = Math.min(last - first, lengthOf(merged(busy)) || 100);
  const axis = new Axis(first - margin * MARGIN, last + margin * 2 * MARGIN, busy, folds);
  let y = beginnings.length ? STRIP : 0;
  const lanes = sections.map((section) => {
    const lane = { ...section, y, rows: packed(section.bars, axis, width) };
    lane.height = HEADER + lane.rows.length * ROW + BELOW;
    y += lane.height;
    return lane;
  });
  const byId = new Map();
  for (const lane of lanes) {
    byId.set(lane.bar.id, lane.bar);
    lane.bar.lane = lane;
    for (const bar of lane.bars) byId.set(bar.id, Object.assign(bar, { lane }));
  }
  return { axis, lanes, beginnings, height: y, bars: byId, first, last };
}

/** Return whether a run goes on. */
export function isOpen(detail) {
  return !FINAL.has(detail.run.status);
}

function firstOf(detail) {
  return detail.span[0] ?? detail.run.admitted_at;
}

function lastOf(detail, options) {
  const known = detail.span[1] ?? firstOf(detail);
  return isOpen(detail) && options.now ? Math.max(known, options.now) : known;
}

/** Return a section for each action of a run, and below it those of its open child runs. */
function sectionsOf(detail, options, depth, prefix) {
  const last = lastOf(detail, options);
  const live = (options.calls ?? []).filter((call) => call.run === detail.run.id);
  const found = [];
  for (const action of actionsOf(detail, live)) {
    const replay = replayedBy(detail, action);
    const bars = barsOf(detail, action, { last, live, prefix, replay, options });
    const end = action.finished_at ?? action.cancelled_at ?? endOf(action, detail, bars, last);
    const id = `${prefix}${action.event}/${encodeURIComponent(action.name)}`;
    const first = action.started_at ?? last;
    const bar = {
      id, kind: "action", label: line(action.name), status: action.status, begin: first, end, action,
      detail, parts: [], notches: [], isBusy: false, isOpen: action.status === "unfinished",
    };
    found.push({
      name: line(action.name), event: action.event, type: line(action.event_type ?? ""), depth, action,
      detail, status: action.status, bar, bars, first, last: end, replay,
    });
    for (const child of bars.filter((each) => each.kind === "child")) {
      const inner = options.children?.get(child.child.id);
      if (inner && depth < 8) {
        found.push(...sectionsOf(inner, options, depth + 1, `${prefix}${child.child.id}~`));
      }
    }
  }
  return found;
}

/** Return the journaled actions, and those of which only calls under way are known. */
function actionsOf(detail, live) {
  const known = new Set(detail.actions.map((action) => `${action.event}/${action.name}`));
  const found = [...detail.actions];
  for (const call of live) {
    const key = `${call.event}/${call.action}`;
    if (known.has(key)) continue;
    known.add(key);
    const event = detail.events.find((each) => each.number === call.event);
    found.push({
      name: call.action, event: call.event, event_type: event?.type ?? "", status: "unfinished",
      started_at: call.since, finished_at: null, cancelled_at: null, timers: [], calls: [],
    });
  }
  return found;
}

function endOf(action, detail, bars, last) {
  if (action.status === "unfinished" && isOpen(detail)) return last;
  return bars.reduce((end, bar) => Math.max(end, bar.end), action.started_at ?? 0);
}

/** Put bars into as few rows as keep them apart: `rows`, each in order of time. */
function packed(bars, axis, width) {
  const scale = width / axis.length;
  const rows = [];
  const ends = [];
  const isLabelled = bars.length <= LABELLED;
  const inOrder = [...bars].sort((a, b) => a.begin - b.begin || a.order - b.order);
  for (const bar of inOrder) {
    const begin = axis.position(bar.begin) * scale;
    const end = Math.max(axis.position(bar.end) * scale, begin + 2);
    const room = isLabelled ? Math.min((bar.label.length + 1) * CHARACTER + 8, 260) : 0;
    const inside = end - begin >= room; // then its label is in it
    const isBefore = !inside && end + room > width; // then it stands before the bar
    const from = isBefore ? Math.max(begin - room, 0) : begin;
    let row = ends.findIndex((taken) => taken + LEAST_GAP <= from);
    if (row < 0) {
      row = rows.length;
      rows.push([]);
    }
    rows[row].push(bar);
    bar.row = row;
    ends[row] = inside || isBefore ? end : end + room;
  }
  return rows;
}

/** Return what of a run took how long, in ms, for one line: why it was slow. */
export function summaryOf(detail, layout) {
  const sums = { running: 0, queued: 0, held: 0, backoff: 0 };
  const spans = [];
  let calls = 0;
  for (const bar of layout.bars.values()) {
    if (bar.kind !== "call" || bar.detail !== detail) continue;
    calls += 1;
    spans.push([bar.begin, bar.end]);
    for (const part of bar.parts) if (part.kind in sums) sums[part.kind] += part.to - part.from;
  }
  const covered = lengthOf(merged(spans));
  const outside = [];
  for (const bar of layout.bars.values()) {
    if (bar.detail === detail && (bar.kind === "wait" || bar.kind === "sleep")) {
      outside.push([bar.begin, bar.end]);
    }
  }
  return {
    ...sums, calls, whole: layout.last - layout.first, covered,
    overlap: covered > 0 ? lengthOf(spans) / covered : 0,
    waiting: lengthOf(merged(outside)),
  };
}
