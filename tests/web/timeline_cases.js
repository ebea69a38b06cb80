// Cases of tests/web/test_timeline_layout.py: what a timeline is laid out like. Run by any engine.

import { Axis, clock, marks, merged } from "../../src/perdure/web/page/timeline/axis.js";
import { argumentsOf, shortName } from "../../src/perdure/web/page/timeline/bars.js";
import { layOut, summaryOf } from "../../src/perdure/web/page/timeline/layout.js";
import { Window } from "../../src/perdure/web/page/timeline/window.js";

const T = 1_795_600_000_000;
const HOUR = 3_600_000;

function equal(found, wanted, what = "") {
  const [a, b] = [JSON.stringify(found), JSON.stringify(wanted)];
  if (a !== b) throw new Error(`${what} is ${a}, not ${b}`);
}

function call(number, begin, end, more = {}) {
  return {
    number, function: "shop:look_up", arguments: `'B${number}'`, status: "returned", attempts: 1,
    outcome: { value: 1 }, error: null, usage: null, started_at: T + begin,
    settled_at: end === null ? null : T + end, due_at: null,
    waited: { thread: 0, limit: 0, retries: 0 }, superseded: false, ...more,
  };
}

function action(name, event, begin, end, calls, more = {}) {
  return {
    name, event, event_type: "_input_event", status: end === null ? "unfinished" : "completed",
    started_at: T + begin, finished_at: end === null ? null : T + end, cancelled_at: null,
    timers: [], calls, ...more,
  };
}

function process(number, begun, status = "running", seen = begun) {
  return {
    number, host: "vm", pid: number, begun_at: T + begun, seen_at: T + seen,
    ended_at: status === "ended" ? T + seen : null, code: null, status,
  };
}

function run(actions, more = {}) {
  const { status = "completed", waits = [], last = 10_000, ...rest } = more;
  const isOver = status === "completed" || status === "failed";
  return {
    run: {
      id: "r1", key: { value: "k" }, title: "r1", status, waits, error: null, due: null,
      admitted_at: T, finished_at: isOver ? T + last : null,
    },
    records: 9, span: [T, T + last], processes: [process(1, -10)], actions,
    events: [{ number: 0, type: "_input_event", attributes: { value: {} }, source_event: null, action: null }],
    memory: [], outputs: [], retried_at: [], signals: [], children: [], ...rest,
  };
}

const barsOfLane = (layout, index = 0) => layout.lanes[index].bars;
const parts = (bar) => bar.parts.map(({ kind, from, to }) => [kind, from - T, to - T]);

export const cases = {
  "calls that overlap stand below each other, others in one row"() {
    const calls = [call(1, 0, 500), call(2, 100, 400), call(3, 2000, 2400)];
    const layout = layOut(run([action("go", 0, 0, 3000, calls)]), { width: 2000 });
    equal(barsOfLane(layout).map((bar) => bar.row), [0, 1, 0]);
    equal(layout.lanes[0].rows.length, 2);
  },

  "bars of a row never overlap, and keep their order, for 5,000 calls"() {
    const calls = Array.from({ length: 5000 }, (_, i) => {
      const begin = Math.floor(i / 50) * 100 + ((i * 37) % 50);
      return call(i + 1, begin, begin + 20 + ((i * 61) % 150));
    });
    const layout = layOut(run([action("go", 0, 0, 11_000, calls)], { last: 11_000 }));
    let count = 0;
    for (const row of layout.lanes[0].rows) {
      count += row.length;
      for (let i = 1; i < row.length; i += 1) {
        if (row[i].begin < row[i - 1].end) throw new Error(`${row[i].id} begins before ${row[i - 1].id} ends`);
      }
    }
    equal(count, 5000);
  },

  "a bar is made of what happened to its call"() {
    const waited = { thread: 200, limit: 300, retries: 0 };
    const layout = layOut(run([action("go", 0, 0, 2000, [call(1, 600, 1500, { waited })])]));
    equal(parts(barsOfLane(layout)[0]), [["held", 100, 400], ["queued", 400, 600], ["running", 600, 1500]]);
  },

  "attempts are notches, and pauses between them lines"() {
    const waited = { thread: 0, limit: 0, retries: 400 };
    const again = call(1, 0, 1000, { attempts: 3, waited });
    const [bar] = barsOfLane(layOut(run([action("go", 0, 0, 2000, [again])])));
    equal(bar.notches.length, 2);
    equal(bar.parts.map((part) => part.kind), ["failed", "backoff", "failed", "backoff", "running"]);
    equal(bar.parts.filter((p) => p.kind === "backoff").reduce((sum, p) => sum + p.to - p.from, 0), 400);
  },

  "a call that raised ends in the colour of failure"() {
    const [bar] = barsOfLane(layOut(run([action("go", 0, 0, 900, [call(1, 0, 500, { status: "raised" })])])));
    equal(bar.parts.at(-1).kind, "failed");
  },

  "a call that waits for its next attempt is drawn until that is due"() {
    const retrying = call(1, 0, null, { status: "retrying", attempts: 2, due_at: T + 9000 });
    const detail = run([action("go", 0, 0, null, [retrying])], { status: "waiting", last: 500 });
    const [bar] = barsOfLane(layOut(detail, { now: T + 1000 }));
    equal([bar.end - T, bar.isOpen], [9000, true]);
  },

  "an open call of a run that has failed goes nowhere"() {
    const begun = call(1, 100, null, { status: "begun" });
    const detail = run([action("go", 0, 0, null, [begun], { status: "failed" })], { status: "failed" });
    equal(barsOfLane(layOut(detail))[0].end - T, 100);
  },

  "a crash is a line where the next process begins, with what was lost before it"() {
    const processes = [process(4, -10, "killed", 200), process(5, 5000, "running")];
    const calls = [call(1, 0, 900), call(2, 5100, 6000)];
    const layout = layOut(run([action("go", 0, 0, 6000, calls)], { processes }));
    const [crash] = layout.beginnings;
    equal([crash.at - T, crash.since - T, crash.isCrash, crash.label], [5000, 900, true, "process 5 begins"]);
  },

  "a process that ended in order is no crash"() {
    const processes = [process(1, -10, "ended", 3000), process(2, 5000)];
    const layout = layOut(run([action("go", 0, 0, 6000, [call(1, 0, 900)])], { processes }));
    equal(layout.beginnings.map((each) => each.isCrash), [false]);
  },

  "the last process was killed: it is marked where it was seen last"() {
    const detail = run([action("go", 0, 0, null, [call(1, 0, 700)])], {
      status: "running", processes: [process(1, -10, "killed", 100)], last: 700,
    });
    const [crash] = layOut(detail, { now: T + 9000 }).beginnings;
    equal([crash.at - T, crash.label], [700, "process 1 was killed"]);
  },

  "what was recorded before a later process began was replayed, if its action went on"() {
    const processes = [process(1, -10, "killed", 1500), process(2, 2000)];
    const done = action("first", 0, 0, 1000, [call(1, 0, 900)]);
    const going = action("second", 0, 0, 3000, [call(1, 0, 900), call(2, 2100, 2900)]);
    const layout = layOut(run([done, going], { processes }));
    equal(barsOfLane(layout, 0).map((bar) => bar.replayed), [0]);
    equal(barsOfLane(layout, 1).map((bar) => bar.replayed), [2, 0]);
  },

  "idle time is folded, and what is at work is not"() {
    const calls = [call(1, 0, 1000), call(2, 72 * HOUR, 72 * HOUR + 2000)];
    const layout = layOut(run([action("go", 0, 0, 72 * HOUR + 2000, calls)], { last: 72 * HOUR + 2000 }));
    const [fold] = layout.axis.folds;
    equal(layout.axis.folds.length, 1);
    if (fold.to - fold.from < 71.9 * HOUR) throw new Error(`folded ${fold.to - fold.from} ms`);
    const [first, second] = barsOfLane(layout);
    const shown = (bar) => layout.axis.position(bar.end) - layout.axis.position(bar.begin);
    equal([Math.round(shown(first)), Math.round(shown(second))], [1000, 2000]);
    if (layout.axis.length > 4000) throw new Error(`the axis is ${layout.axis.length} ms long`);
  },

  "without folds time is as it is"() {
    const axis = new Axis(T, T + HOUR, [[T, T + 10]], false);
    equal([axis.folds.length, axis.length], [0, HOUR]);
  },

  "positions and times of an axis are each other's inverse"() {
    const axis = new Axis(T, T + 9 * HOUR, [[T, T + 2000], [T + HOUR, T + HOUR + 500], [T + 8 * HOUR, T + 8 * HOUR + 9000]]);
    for (let share = 0; share <= 1; share += 0.01) {
      const position = share * axis.length;
      const back = axis.position(axis.time(position));
      if (Math.abs(back - position) > 0.01) throw new Error(`${position} comes back as ${back}`);
    }
    equal([axis.position(T - 5), axis.position(T + 99 * HOUR)], [0, axis.length]);
  },

  "marks of the axis are never in a fold, and apart"() {
    const axis = new Axis(T, T + 9 * HOUR, [[T, T + 2000], [T + 9 * HOUR - 4000, T + 9 * HOUR]]);
    const found = marks(axis, 0, axis.length, axis.length / 10);
    if (found.length < 3) throw new Error(`${found.length} marks`);
    for (const { time } of found) {
      if (axis.folds.some((fold) => time > fold.from && time < fold.to)) throw new Error(`${time} is folded`);
    }
  },

  "the window never leaves the run"() {
    const layout = layOut(run([action("go", 0, 0, 9000, [call(1, 0, 9000)])]));
    const seen = new Window();
    seen.take(layout, 1000, 400);
    seen.pan(-5000, -5000);
    equal([seen.begin, seen.top], [0, 0]);
    seen.zoom(4, 500);
    seen.pan(1e9, 1e9);
    equal([Math.round(seen.end), seen.top], [Math.round(layout.axis.length), 0]);
    seen.zoom(1e-9, 0);
    equal([seen.begin, seen.end, seen.isFitted], [0, layout.axis.length, true]);
  },

  "zooming leaves what is below the pointer where it is"() {
    const layout = layOut(run([action("go", 0, 0, 9000, [call(1, 0, 9000)])]));
    const seen = new Window();
    seen.take(layout, 1000, 400);
    const at = () => layout.axis.time(seen.begin + ((seen.end - seen.begin) * 300) / 1000);
    const before = at();
    seen.zoom(3, 300);
    if (Math.abs(at() - before) > 0.01) throw new Error(`${before} became ${at()}`);
  },

  "a window that was zoomed stays where it is when the run grows"() {
    const detail = run([action("go", 0, 0, null, [call(1, 0, 4000)])], { status: "running", last: 4000 });
    const seen = new Window();
    seen.take(layOut(detail, { now: T + 5000 }), 1000, 400);
    seen.show(T + 1000, T + 2000);
    seen.take(layOut(detail, { now: T + 5900 }), 1000, 400);
    const { from, to } = seen.range;
    if (Math.abs(from - T - 1000) > 60 || Math.abs(to - T - 2000) > 60) throw new Error(`${from - T} to ${to - T}`);
  },

  "labels tell the calls of one function apart"() {
    const calls = [0, 1, 2].map((n) => call(n + 1, 0, 10, { arguments: `'B17', page=${n}, size=9` }));
    const layout = layOut(run([action("go", 0, 0, 20, calls)]));
    equal(barsOfLane(layout).map((bar) => bar.label), [0, 1, 2].map((n) => `look_up(…, page=${n}, …)`));
  },

  "labels name the model of a chat, and the tool of a call"() {
    const usage = { model: "gpt-5-mini", input_tokens: 1, output_tokens: 1, cost: null };
    const calls = [
      call(1, 0, 10, { function: "chat:model", usage }),
      call(2, 0, 10, { function: "tool:price", arguments: "article='k'" }),
    ];
    const layout = layOut(run([action("go", 0, 0, 20, calls)]));
    equal(barsOfLane(layout).map((bar) => bar.label), ["chat gpt-5-mini", "price(article='k')"]);
  },

  "arguments end at commas outside of quotes and brackets"() {
    equal(argumentsOf("'a, \\'b', [1, 2], {'c': (3, 4)}, d=5"), ["'a, \\'b'", "[1, 2]", "{'c': (3, 4)}", "d=5"]);
    equal(argumentsOf(""), []);
    equal(argumentsOf("'cut, …").length, 1);
    equal(shortName("shop.orders:Desk.<locals>.look"), "Desk.look");
  },

  "labels have no control characters, line ends or marks that turn text around"() {
    const hostile = call(1, 0, 10, { arguments: "'\u202Eevil\u0007\n\u2028\u001b[31m'" });
    const layout = layOut(run([action("go\u202E\n", 0, 0, 20, [hostile])]));
    for (const text of [barsOfLane(layout)[0].label, layout.lanes[0].name]) {
      if (/[\p{Cc}\p{Cf}\p{Zl}]/u.test(text)) throw new Error(JSON.stringify(text));
    }
  },

  "what a run waits for is a line until now, with its question"() {
    const waits = [{ name: "refund", kind: "approval", question: "Pay?", since: T + 600, action: "go", event: 0 }];
    const detail = run([action("go", 0, 0, null, [call(1, 0, 500)])], { status: "waiting", waits, last: 600 });
    const bar = barsOfLane(layOut(detail, { now: T + 8000 })).at(-1);
    equal([bar.kind, bar.label, bar.begin - T, bar.end - T, bar.isOpen], ["wait", "waits: Pay?", 600, 8000, true]);
  },

  "a timer is a line from the last thing known before it"() {
    const slept = action("go", 0, 0, 5000, [call(1, 0, 500)], { timers: [T + 4000] });
    const bar = barsOfLane(layOut(run([slept]))).at(-1);
    equal([bar.kind, bar.begin - T, bar.end - T], ["sleep", 500, 4000]);
  },

  "calls under way come from the snapshot, also of actions that the journal does not know"() {
    const live = (name, number, state) => ({
      run: "r1", event: 0, action: name, number, function: "shop:pay", arguments: "1", state,
      since: T + 900, attempt: 1, due: null,
    });
    const detail = run([action("go", 0, 0, null, [call(1, 0, 500)])], { status: "running", last: 500 });
    const calls = [live("go", 2, "limited"), live("new", 1, "running"), { ...live("go", 9, "running"), run: "r2" }];
    const layout = layOut(detail, { now: T + 1000, calls });
    equal(layout.lanes.map((lane) => lane.name), ["go", "new"]);
    equal(barsOfLane(layout).map((bar) => [bar.call?.number ?? bar.now.number, bar.parts.at(-1).kind]), [[1, "running"], [2, "held"]]);
  },

  "a snapshot that is older than the journal adds no call twice"() {
    const calls = [{ run: "r1", event: 0, action: "go", number: 1, function: "shop:look_up", arguments: "", state: "committing", since: T, attempt: 1, due: null }];
    const detail = run([action("go", 0, 0, null, [call(1, 0, 500)])], { status: "running", last: 500 });
    equal(barsOfLane(layOut(detail, { now: T + 1000, calls })).length, 1);
  },

  "child runs open in place"() {
    const child = run([action("inner", 0, 100, 400, [call(1, 100, 300)])]);
    child.run = { ...child.run, id: "r2", title: "r2" };
    const children = [{ id: "r2", run: child.run, action: "go", event: 0, call: 1 }];
    const detail = run([action("go", 0, 0, 900, [call(1, 0, 10, { function: "perdure:submit" })])], { children });
    equal(layOut(detail).lanes.length, 1);
    const opened = layOut(detail, { children: new Map([["r2", child]]) });
    equal(opened.lanes.map((lane) => [lane.name, lane.depth]), [["go", 0], ["inner", 1]]);
    if (!opened.bars.has("r2~0/inner/0")) throw new Error([...opened.bars.keys()].join());
  },

  "what took the time is summed up by kind"() {
    const waited = { thread: 100, limit: 300, retries: 0 };
    const detail = run([action("go", 0, 0, 2000, [call(1, 400, 1400, { waited }), call(2, 0, 1400)])]);
    const sums = summaryOf(detail, layOut(detail));
    equal([sums.running, sums.held, sums.queued, sums.calls, sums.overlap], [2400, 300, 100, 2, 2]);
  },

  "a run without actions can be laid out"() {
    const layout = layOut(run([], { status: "queued", last: 0 }), { now: T + 500 });
    equal([layout.lanes.length, layout.height], [0, 0]);
    if (!(layout.axis.length > 0)) throw new Error("no axis");
  },

  "times of day are as exact as their mark"() {
    const time = new Date(2026, 10, 27, 9, 5, 7, 250).getTime();
    equal([clock(time, 60_000), clock(time, 1000), clock(time, 100), clock(time, 1)], ["09:05", "09:05:07", "09:05:07.2", "09:05:07.250"]);
  },

  "intervals are joined where they touch"() {
    equal(merged([[5, 6], [1, 2], [2, 3], [9, 8]]), [[1, 3], [5, 6]]);
  },
};

/** Run all cases: {name: null or what is wrong}. */
export function results() {
  return Object.fromEntries(Object.entries(cases).map(([name, work]) => {
    try {
      work();
      return [name, null];
    } catch (error) {
      return [name, String(error.stack ?? error)];
    }
  }));
}
