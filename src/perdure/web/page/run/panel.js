// The side panel: everything of the selected bar.

import { clock } from "../timeline/axis.js";
import { shortName } from "../timeline/bars.js";
import { eventName } from "../timeline/draw.js";
import { dim, e, h } from "../dom.js";
import { cost, count, duration, exact, tailOf } from "../format.js";
import { badge } from "../status.js";
import { valuePanel } from "../value.js";
import { documentsOf, isChat, messagesOf } from "./conversation.js";
import { ownFrames } from "./frames.js";

/**
 * Return the panel of a bar, as nodes.
 *
 * @param context of the page, for values in full; null: nothing more can be had.
 * @param listeners `close()`, `open(child id)`, `go(run id)`.
 */
export function panelOf(bar, context, listeners) {
  const parts = { call: callParts, action: actionParts, wait: waitParts, sleep: sleepParts, child: childParts };
  const [title, sub] = titleOf(bar);
  return [
    e("header.panel-head",
      e("div",
        e("h2", title),
        sub && e("p.dim.mono", sub),
      ),
      h("button.quiet", { "aria-label": "Close", onclick: listeners.close }, "×"),
    ),
    ...parts[bar.kind](bar, context, listeners),
  ];
}

function titleOf(bar) {
  if (bar.kind === "call") {
    const identity = bar.call?.function ?? bar.now.function;
    return [shortName(identity), identity === shortName(identity) ? "" : identity];
  }
  if (bar.kind === "action") return [bar.action.name, `action on ${eventName(bar.action.event_type)}, event ${bar.action.event}`];
  if (bar.kind === "child") return [`Run ${bar.child.run.title}`, "started by this action"];
  return [bar.label, `in ${bar.action.name}`];
}

/** Return facts as a list: [name, value] each; those without value are left out. */
export function facts(rows) {
  const known = rows.filter(([, value]) => value);
  return e("dl.facts", known.map(([name, value]) => [e("dt", name), e("dd", value)]));
}

function section(title, ...children) {
  return e("section", e("h3", title), ...children);
}

function shown(form, run, context) {
  return valuePanel(form, { context, run: run.id });
}

function moment(ms) {
  return ms ? h("time", { title: exact(ms) }, clock(ms, 1)) : null;
}

function callParts(bar, context) {
  const call = bar.call;
  const found = [standing(bar, stateBadge(bar)), e("p.durable", durability(bar)), facts(timesOf(bar))];
  if (call?.error) found.push(errorPart(call.error, call.status === "retrying" ? "Last attempt failed" : "Error"));
  if (call && isChat(bar)) found.push(...chatParts(bar));
  else {
    const given = call?.arguments ?? bar.now.arguments;
    if (given) found.push(section("Arguments", e("pre.value", given)));
  }
  if (call?.outcome && !(isChat(bar) && "value" in call.outcome)) found.push(resultPart(call.outcome, bar, context));
  return found;
}

function stateBadge(bar) {
  const state = bar.now ? bar.now.state : bar.status;
  const kinds = { returned: "completed", raised: "failed", "in doubt": "waiting", retrying: "waiting", "backing off": "waiting", limited: "waiting", queued: "queued" };
  return badge(kinds[state] ?? "running", state);
}

/** Return how something stands, and for how long it was. */
function standing(bar, status) {
  return e("p.panel-status", status, dim(duration(bar.end - bar.begin)));
}

/** Say whether a crash would have the call made again. */
function durability(bar) {
  const { call } = bar;
  if (call?.superseded) return "Superseded: a retry or a re-execution made this call again.";
  if (call?.settled_at) {
    const replayed = bar.replayed ? ` Process ${bar.replayed} replayed it.` : "";
    return ["In the journal since ", moment(call.settled_at), `; would not be made again.${replayed}`];
  }
  if (bar.now?.state === "committing") return "Executed, and not in the journal yet: a crash now would make it again.";
  if (call?.status === "in doubt") return "Begun, and its outcome is not known: its reconciler is asked before it is made again.";
  return "Not in the journal yet: a crash now would make it again.";
}

function timesOf(bar) {
  const { call, now } = bar;
  const { thread, limit, retries } = call?.waited ?? {};
  return [
    ["held by a limit", limit && duration(limit)],
    ["queued for a thread", thread && duration(thread)],
    ["ran", call?.settled_at && call.attempts === 1 && duration(call.settled_at - call.started_at)],
    ["backed off", retries && duration(retries)],
    ["attempts", call?.attempts > 1 && `${call.attempts} (drawn evenly: the journal has the sum of the pauses)`],
    ["began", moment(call ? call.started_at : bar.begin)],
    ["settled", moment(call?.settled_at)],
    ["next attempt", moment(call?.due_at || now?.due)],
    ["now", now ? `${now.state} for ${duration(Math.max(bar.end - now.since, 0))}` : ""],
    ["call", call ? `no. ${call.number} of ${bar.action.name}` : ""],
  ];
}

/** Return an error: message, the user's own frames, and behind them all of the traceback. */
export function errorPart(error, title = "Error") {
  const frames = ownFrames(error.traceback);
  return e("section.error",
    e("h3", title),
    e("p.error-message", e("strong", error.type), " ", e("bdi", error.message)),
    (error.notes ?? []).map((note) => e("p.dim", note)),
    frames.length > 0 && e("ol.frames", frames.slice(0, 8).map((frame) =>
      e("li",
        e("span.mono", `${tailOf(frame.file)}:${frame.line}`),
        dim(` in ${frame.name}`),
        frame.code && e("pre", frame.code),
      ))),
    error.traceback && e("details", e("summary", "whole traceback"), e("pre.value", error.traceback)),
  );
}

function chatParts(bar) {
  const { usage } = bar.call;
  const said = messagesOf(bar, bar.detail).map((message) =>
    h("div", { class: `said said-${message.role}${message.isAnswer ? " said-answer" : ""}` },
      e("div.said-role", message.name ? `${message.role} ${message.name}` : message.role),
      message.reasoning && e("details", e("summary", "reasoning"), e("pre", message.reasoning)),
      message.text && e("div.said-text", message.text),
      message.calls.map(({ name, given }) =>
        e("div.said-call.mono", `→ ${name}(${JSON.stringify(given ?? {})})`)),
    ));
  return [
    usage && e("p.usage",
      usage.model && e("strong", usage.model),
      e("span", `${count(usage.input_tokens)} tokens in`),
      e("span", `${count(usage.output_tokens)} out`),
      usage.cost != null && e("span", cost(usage.cost)),
    ),
    section("Conversation", said.length ? said : e("p.dim", "The journal has no messages of it.")),
  ];
}

function resultPart(form, bar, context) {
  const documents = documentsOf(form);
  if (documents) {
    return section(`Documents (${documents.length})`, documents.map((each) =>
      e("article.document",
        e("header",
          e("span.mono", String(each.id ?? "")),
          typeof each.score === "number" && h("span.score", { title: "score" },
            h("i", { style: { width: `${Math.round(Math.min(Math.max(each.score, 0), 1) * 48)}px` } }), each.score.toFixed(3)),
        ),
        e("p", each.content),
        each.metadata && Object.keys(each.metadata).length > 0 && e("p.dim.mono", JSON.stringify(each.metadata)),
      )));
  }
  return section("Result", shown(form, bar.detail.run, context));
}

function actionParts(bar, context) {
  const { action, detail } = bar;
  const cause = detail.events.find((event) => event.number === action.event);
  const sent = detail.events.filter((e) => e.source_event === action.event && e.action === action.name);
  const failed = action.status === "failed" && detail.run.error;
  return [
    standing(bar, e("span", action.status)),
    facts([
      ["began", moment(action.started_at)],
      ["finished", moment(action.finished_at)],
      ["asked to stop", moment(action.cancelled_at)],
      ["calls", count(action.calls.length)],
      ["sent", sent.map((event) => `${eventName(event.type)} ${event.number}`).join(", ")],
    ]),
    failed && errorPart(failed),
    cause && section(`Event ${eventName(cause.type)}`, shown(cause.attributes, detail.run, context)),
  ];
}

function waitParts(bar, context) {
  const { wait, signal } = bar;
  if (wait) {
    return [
      standing(bar, badge("waiting")),
      wait.question && e("p.question", wait.question),
      facts([["for", `${wait.kind} ${wait.name}`], ["since", moment(wait.since)]]),
    ];
  }
  return [
    facts([["came", moment(signal.came_at)], ["taken", moment(signal.taken_at)]]),
    section("Value", shown(signal.sent, bar.detail.run, context)),
  ];
}

function sleepParts(bar) {
  return [
    e("p.durable", "A timer of the action: durable, it costs no thread."),
    facts([["from about", moment(bar.begin)], ["due", moment(bar.end)]]),
  ];
}

function childParts(bar, context, listeners) {
  const { run, id } = bar.child;
  return [
    standing(bar, badge(run.status)),
    e("p",
      h("button", { onclick: () => listeners.open(id) }, "Show in the timeline"), " ",
      h("button", { onclick: () => listeners.go(id) }, "Go to the run"),
    ),
    facts([["started", moment(run.admitted_at)], ["finished", moment(run.finished_at)]]),
    run.error && errorPart(run.error),
    section("Input", shown(run.input, run, context)),
  ];
}
