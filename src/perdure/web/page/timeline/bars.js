// The bars of one action: its calls with what happened to each, its sleeps, waits and child runs.

import { line } from "../format.js";

const LONGEST = 200; // characters of a label
const STATES = {
  queued: "queued", limited: "held", running: "running", "backing off": "backoff",
  recording: "committing", committing: "committing",
};

/** Return the name of a function without its module. */
export function shortName(identity) {
  return identity.slice(identity.lastIndexOf(":") + 1).replaceAll("<locals>.", "");
}

/**
 * Return the bars of an action, in the order of its calls.
 *
 * @param scene `last`: the end of the timeline; `live`: calls under way of the run; `prefix` of
 *   ids; `replay`: of `replayedBy`; `options` of the layout.
 */
export function barsOf(detail, action, scene) {
  const at = `${scene.prefix}${action.event}/${encodeURIComponent(action.name)}`;
  const own = scene.live.filter((l) => l.event === action.event && l.action === action.name);
  const byNumber = new Map(own.map((call) => [call.number, call]));
  const telling = tellingArguments([...action.calls, ...own]);
  const found = action.calls.map((call, index) => {
    const now = call.superseded || call.settled_at ? undefined : byNumber.get(call.number);
    if (now) byNumber.delete(call.number);
    return callBar(detail, action, call, `${at}/${index}`, now, scene, telling);
  });
  for (const now of byNumber.values()) {
    if (action.calls.some((call) => call.number === now.number && call.settled_at)) continue;
    found.push(liveBar(detail, action, now, `${at}/live${now.number}`, scene, telling));
  }
  found.push(...sleepBars(detail, action, at));
  found.push(...waitBars(detail, action, at, scene));
  found.push(...childBars(detail, action, at, scene));
  found.forEach((bar, order) => Object.assign(bar, { order, label: line(bar.label, LONGEST) }));
  return found;
}

function callBar(detail, action, call, id, now, scene, telling) {
  const isOver = Boolean(call.settled_at);
  const { thread, limit, retries } = call.waited;
  const begin = call.attempts > 1 ? call.started_at : call.started_at - thread - limit;
  const end = Math.max(isOver ? call.settled_at : openEnd(detail, call, now, scene), begin);
  const bar = {
    id, kind: "call", label: labelOf(call, telling.get(call.function)), status: call.status,
    begin, end, call, action, detail,
    parts: [], notches: [], isBusy: true, isOpen: !isOver, now: now ?? null,
    replayed: call.superseded ? 0 : scene.replay(call.settled_at),
  };
  bar.parts = call.attempts > 1 ? attemptParts(bar, retries) : onceParts(bar, thread, limit);
  if (now) {
    const kind = STATES[now.state];
    const from = kind === "committing" ? end : Math.max(now.since || begin, begin);
    bar.parts = [...cutAt(bar.parts, from), { kind, from, to: end }];
  }
  return bar;
}

function openEnd(detail, call, now, scene) {
  const isGone = detail.run.status === "failed" || detail.run.status === "cancelled";
  if (now) return scene.last;
  if (call.due_at && !isGone) return Math.max(call.due_at, call.started_at);
  return isGone || call.superseded ? call.started_at : scene.last;
}

/** Return the parts of a call that was executed once: held, queued, running. */
function onceParts(bar, thread, limit) {
  const queued = bar.call.started_at - thread;
  const parts = [];
  if (limit > 0) parts.push({ kind: "held", from: bar.begin, to: queued });
  if (thread > 0) parts.push({ kind: "queued", from: queued, to: bar.call.started_at });
  parts.push({ kind: ended(bar.call), from: bar.call.started_at, to: bar.end });
  return parts;
}

/**
 * Return the parts of a call with several attempts. The journal has the sum of its back-offs alone,
 * so they are drawn evenly, and between them the attempts.
 */
function attemptParts(bar, retries) {
  const { call, begin, end } = bar;
  const isWaiting = call.status === "retrying";
  const gaps = isWaiting ? call.attempts : call.attempts - 1;
  const pause = Math.min(retries / Math.max(gaps, 1), (end - begin) / Math.max(gaps, 1));
  const work = (end - begin - pause * gaps) / call.attempts;
  const parts = [];
  let at = begin;
  for (let attempt = 1; attempt <= call.attempts; attempt += 1) {
    const isLast = attempt === call.attempts;
    if (attempt > 1) bar.notches.push(at);
    parts.push({ kind: isLast && !isWaiting ? ended(call) : "failed", from: at, to: at + work });
    at += work;
    if (pause > 0 && (!isLast || isWaiting)) parts.push({ kind: "backoff", from: at, to: at + pause });
    at += pause;
  }
  return parts;
}

function ended(call) {
  return call.status === "raised" ? "failed" : "running";
}

function cutAt(parts, time) {
  return parts.filter((part) => part.from < time).map((part) => ({ ...part, to: Math.min(part.to, time) }));
}

function liveBar(detail, action, now, id, scene, telling) {
  const begin = Math.min(now.since || scene.last, scene.last);
  return {
    id, kind: "call", label: labelOf(now, telling.get(now.function)), status: now.state, begin,
    end: scene.last, call: null, action, detail, notches: [], isBusy: true, isOpen: true, now, replayed: 0,
    parts: [{ kind: STATES[now.state] ?? "running", from: begin, to: scene.last }],
  };
}

/** Return what is written on a call: its function, and what tells it from others of the action. */
function labelOf(call, telling = 0) {
  const name = shortName(call.function);
  if (call.function.startsWith("chat:")) return `chat ${call.usage?.model ?? name}`;
  if (call.usage?.model) return `${name} ${call.usage.model}`;
  const all = argumentsOf(call.arguments);
  if (!all.length) return name;
  const told = Math.min(telling, all.length - 1);
  return `${name}(${told ? "…, " : ""}${all[told]}${told + 1 < all.length ? ", …" : ""})`;
}

/** Return for each function of an action which of its arguments first differs between its calls. */
function tellingArguments(calls) {
  const functions = new Map();
  for (const call of calls) {
    if (!functions.has(call.function)) functions.set(call.function, []);
    functions.get(call.function).push(call.arguments);
  }
  const found = new Map();
  for (const [name, texts] of functions) {
    const lists = texts.slice(0, 50).map(argumentsOf);
    const most = Math.min(...lists.map((list) => list.length));
    let index = 0;
    while (index < most && lists.every((list) => list[index] === lists[0][index])) index += 1;
    found.set(name, lists.length > 1 && index < most ? index : 0);
  }
  return found;
}

/** Return arguments as they are written, one by one; commas in quotes and brackets end none. */
export function argumentsOf(text) {
  const found = [];
  let depth = 0;
  let quote = "";
  let from = 0;
  for (let index = 0; index < text.length; index += 1) {
    const sign = text[index];
    if (quote) {
      if (sign === "\\") index += 1;
      else if (sign === quote) quote = "";
    } else if (sign === "'" || sign === '"') quote = sign;
    else if ("([{".includes(sign)) depth += 1;
    else if (")]}".includes(sign)) depth -= 1;
    else if (sign === "," && depth <= 0) {
      found.push(text.slice(from, index).trim());
      from = index + 1;
    }
  }
  if (text.slice(from).trim()) found.push(text.slice(from).trim());
  return found.map((each) => (each.length > 60 ? `${each.slice(0, 59)}…` : each));
}

/** Return the last thing known of an action before a time: from then on it did nothing else. */
function before(action, time) {
  let found = action.started_at ?? time;
  const take = (each) => {
    if (each && each < time && each > found) found = each;
  };
  for (const call of action.calls) take(call.settled_at);
  action.timers.forEach(take);
  return found;
}

function thin(kind, id, label, begin, end, more) {
  return {
    id, kind, label, begin, end: Math.max(end, begin), parts: [], notches: [], isBusy: false,
    isOpen: false, status: "", ...more,
  };
}

function sleepBars(detail, action, at) {
  return action.timers.map((due, index) =>
    thin("sleep", `${at}/timer${index}`, "sleep", before(action, due), due, { action, detail }),
  );
}

function waitBars(detail, action, at, scene) {
  const isOwn = (each) => each.action === action.name && each.event === action.event;
  const taken = detail.signals.filter((signal) => isOwn(signal) && signal.taken_at);
  const found = taken.map((signal, index) => {
    const begin = Math.min(before(action, signal.taken_at), signal.came_at ?? signal.taken_at);
    const more = { action, detail, signal, notches: [signal.came_at], isBusy: false };
    const id = `${at}/signal${index}`;
    return thin("wait", id, `waited for ${signal.name}`, begin, signal.taken_at, more);
  });
  detail.run.waits.filter(isOwn).forEach((wait, index) => {
    const label = wait.question ? `waits: ${wait.question}` : `waits for ${wait.name}`;
    const more = { action, detail, wait, isOpen: true, status: "waiting" };
    const begin = wait.since ?? before(action, scene.last);
    found.push(thin("wait", `${at}/wait${index}`, label, begin, scene.last, more));
  });
  return found;
}

function childBars(detail, action, at, scene) {
  return detail.children
    .filter((child) => child.action === action.name && child.event === action.event && child.run)
    .map((child) => {
      const { run } = child;
      const isOpen = scene.options.children?.has(child.id) ?? false;
      const label = `${isOpen ? "▾" : "▸"} run ${run.title} ${run.status}`;
      const end = run.finished_at ?? scene.last;
      const more = {
        action, detail, child, status: run.status, isBusy: true, isOpen: !run.finished_at,
        parts: [{ kind: run.status === "failed" ? "failed" : "child", from: run.admitted_at, to: end }],
      };
      return thin("child", `${at}/run${child.id}`, label, run.admitted_at, end, more);
    });
}
