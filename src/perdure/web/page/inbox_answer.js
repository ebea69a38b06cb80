/** An answer to a run that waits: approval or refusal with a comment, or the value of a signal. */

import { runPath } from "./api.js";
import { h, replace } from "./dom.js";
import { valueOf } from "./format.js";

/** Gives one answer to one wait. */
export class Answer {
  /** `onSaid` is told the outcome in words, once it counts. */
  constructor(wait, context, onSaid) {
    this.wait = wait;
    this.context = context;
    this.onSaid = onSaid;
    this.isBusy = false;
  }

  get isApproval() {
    return this.wait.kind === "approval";
  }

  /** Approve or refuse. */
  approve(approved, comment) {
    const { run, name } = this.wait;
    const body = { name, approved, ...(comment && { comment }) };
    return this.send(`${runPath(run)}/approve`, body, ({ by }) =>
      `${approved ? "Approved" : "Refused"}${by ? ` by ${by}` : ""}${comment ? `: ${comment}` : ""}.`);
  }

  /** Send a signal's value. */
  signal(value) {
    const { run, name } = this.wait;
    return this.send(`${runPath(run)}/signal`, { name, value }, () => "Sent.");
  }

  async send(path, body, words) {
    if (this.isBusy) return;
    this.isBusy = true;
    try {
      this.onSaid(words(await this.context.api.post(path, body)));
    } finally {
      this.isBusy = false;
    }
  }
}

/** Make the form of an answer; its `onKey` tells whether a key was for it. */
export function answerForm(answer) {
  const wrong = h("p.error", { role: "alert", hidden: true });
  const run = async (work) => {
    wrong.hidden = true;
    try {
      await work();
    } catch (error) {
      wrong.hidden = false;
      replace(wrong, error.message);
    }
  };
  return answer.isApproval ? approvalForm(answer, run, wrong) : signalForm(answer, run, wrong);
}

function approvalForm(answer, run, wrong) {
  const comment = h("input.inbox-text", {
    placeholder: "Comment", "aria-label": "Comment", maxlength: "10000",
    onkeydown: (event) => event.key === "Escape" && event.target.closest("li").focus(),
  });
  const give = (approved) => run(() => answer.approve(approved, comment.value.trim()));
  const keys = { y: () => give(true), n: () => give(false), c: () => comment.focus() };
  const element = h("form.inbox-answer", { onsubmit: (event) => event.preventDefault() },
    h("button.primary", { onclick: keys.y, "aria-keyshortcuts": "y" }, "Approve"),
    h("button", { onclick: keys.n, "aria-keyshortcuts": "n" }, "Refuse"), comment, wrong);
  return {
    element,
    onKey(key) {
      keys[key]?.();
      return key in keys;
    },
  };
}

function signalForm(answer, run, wrong) {
  const value = h("input.inbox-text", {
    placeholder: "Value: text, or JSON such as {\"ok\": true}; empty is null",
    "aria-label": "Value of the signal", spellcheck: "false",
  });
  const element = h("form.inbox-answer", {
    onsubmit: (event) => {
      event.preventDefault();
      run(() => answer.signal(valueOf(value.value)));
    },
  }, h("button.primary", { type: "submit" }, "Send"), value, wrong);
  return {
    element,
    onKey(key) {
      if (key !== "c") return false;
      value.focus();
      return true;
    },
  };
}
