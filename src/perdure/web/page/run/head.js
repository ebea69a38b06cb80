// The head of a run: how it stands, what it waits for and how to end that, and where its time went.

import { dim, e, h } from "../dom.js";
import { clock, day } from "../timeline/axis.js";
import { age, cost, count, duration, oneLine, tailOf } from "../format.js";
import { badge } from "../status.js";

/**
 * Return the head as nodes.
 *
 * @param actions what the viewer may do: `{approve(wait, approved, comment), signal(wait, text),
 *   cancel(), retry()}`, each may be missing; null: this only shows.
 */
export function headOf(detail, summary, actions) {
  const { run } = detail;
  return [titleRow(run, actions), ...waitRows(run, actions), errorRow(detail), sumsRow(detail, summary)];
}

function titleRow(run, actions) {
  const since = run.finished_at ?? run.waits[0]?.since ?? run.admitted_at;
  const isOver = Boolean(run.finished_at);
  return e("div.run-title",
    badge(run.status),
    e("h1", e("bdi", run.title)),
    run.title !== run.id && dim(run.id),
    e("span.pair.cut", dim("key "), e("bdi", oneLine(run.key))),
    dim(isOver || run.waits.length ? "since " : "started ", shortly(since), " · ", age(since)),
    run.attempts > 1 && dim(`put back ${run.attempts - 1} ×`),
    e("span.room"),
    !isOver && actions?.cancel && h("button.quiet", { onclick: actions.cancel }, "Cancel run"),
    ["failed", "cancelled"].includes(run.status) && actions?.retry &&
      h("button.primary", { onclick: actions.retry }, "Retry"),
  );
}

/** Return a time of today as such, others with their day. */
function shortly(at) {
  const isToday = day(at) === day(Date.now());
  return isToday ? clock(at, 1000) : `${day(at)}, ${clock(at, 60_000)}`;
}

function waitRows(run, actions) {
  if (run.due) return [e("div.run-wait", "Waits for its time: due ", age(run.due))];
  if (run.status === "waiting" && !run.waits.length) {
    return [e("div.run-wait", "Waits for time: a timer or the next attempt of a call.")];
  }
  return run.waits.map((wait) => {
    const isApproval = wait.kind === "approval";
    const field = h("input", {
      type: "text", placeholder: isApproval ? "comment" : 'value, such as {"paid": true}',
      "aria-label": isApproval ? "Comment" : `Value of signal ${wait.name}`,
    });
    const controls = isApproval ? actions?.approve && [
      field,
      h("button.primary", { onclick: () => actions.approve(wait, true, field.value) }, "Approve"),
      h("button", { onclick: () => actions.approve(wait, false, field.value) }, "Refuse"),
    ] : actions?.signal && [
      field,
      h("button.primary", { onclick: () => actions.signal(wait, field.value) }, "Send"),
    ];
    return h("div.run-wait", { "data-name": wait.name },
      e("span.run-wait-for", isApproval ? "Waits for a person" : "Waits for signal ", !isApproval && e("b", wait.name)),
      wait.question && e("bdi.question", wait.question),
      dim(isApproval ? `${wait.name}, ` : "", age(wait.since)),
      e("span.room"),
      controls,
    );
  });
}

function errorRow({ run }) {
  if (!run.error) return null;
  return h("div.run-error", { role: "note" },
    e("strong", run.error.type.split(".").at(-1)),
    e("bdi", run.error.message),
    run.error.place && e("span.dim.mono", tailOf(run.error.place)),
  );
}

/** Say where the time went: the answer to "why was it slow", and the key to the bars' shapes. */
export function sumsRow(detail, summary) {
  const item = (kind, name, ms) => ms >= 0.5 && e("span.sum", h("i", { class: `swatch swatch-${kind}` }), `${name} `, e("b", duration(ms)));
  let [inputs, outputs, money, models] = [0, 0, 0, 0];
  for (const action of detail.actions) {
    for (const { usage } of action.calls) {
      if (!usage) continue;
      models += 1;
      inputs += usage.input_tokens;
      outputs += usage.output_tokens;
      money += usage.cost ?? 0;
    }
  }
  return e("div.run-sums",
    e("span.sum", "took ", e("b", duration(summary.whole))),
    e("span.sum", e("b", count(summary.calls)), summary.calls === 1 ? " call" : " calls"),
    summary.overlap > 0 && h("span.sum", { title: "time of all calls together, by the time in which any was under way" }, "overlap ", e("b", `${summary.overlap.toFixed(1)} ×`)),
    item("running", "ran", summary.running),
    item("held", "held by a limit", summary.held),
    item("queued", "queued for a thread", summary.queued),
    item("backoff", "backed off", summary.backoff),
    item("wait", "slept and waited", summary.waiting),
    models > 0 && e("span.sum", e("b", `${count(inputs)} → ${count(outputs)}`), " tokens"),
    money > 0 && e("span.sum", e("b", cost(money))),
  );
}
