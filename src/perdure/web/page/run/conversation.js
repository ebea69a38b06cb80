// A model's request and answer as a conversation, as far as the journal has it.

const MESSAGE = /ChatMessage\(role=MessageRole\.(\w+), content=('(?:[^'\\]|\\.)*'?|"(?:[^"\\]|\\.)*"?)/g;

/** Return whether a call asked a model. */
export function isChat(bar) {
  return Boolean(bar.call?.usage) || (bar.call?.function ?? "").startsWith("chat:");
}

/**
 * Return the messages of a call to a model: [{role, text, calls, isAnswer, name}].
 *
 * What it was asked is in the event that its action handles, or at the beginning of its arguments;
 * what the model and its tools said before is in the calls of its action before it.
 */
export function messagesOf(bar, detail) {
  const { action, call } = bar;
  const found = asked(bar, detail);
  const before = action.calls.slice(0, action.calls.indexOf(call)).filter((c) => !c.superseded);
  const results = new Map();
  let isOwn = false; // an earlier answer belongs to this conversation
  for (const each of before) {
    const message = answerOf(each);
    if (message && each.function === call.function) {
      found.push(message);
      isOwn = message.calls.length > 0;
      results.clear();
      for (const wish of message.calls) results.set(wish.name, wish);
    } else if (isOwn && each.function.startsWith("tool:")) {
      const name = each.function.slice("tool:".length);
      if (results.has(name)) found.push({ role: "tool", name, text: textOf(each), calls: [] });
    }
  }
  const answer = answerOf(call);
  if (answer) found.push({ ...answer, isAnswer: true });
  return found;
}

function asked(bar, detail) {
  const event = detail.events.find((each) => each.number === bar.action.event);
  const given = event?.attributes?.value?.messages;
  if (Array.isArray(given)) return given.map(plain);
  const first = bar.action.calls.find((each) => each.function === bar.call.function) ?? bar.call;
  return [...(first.arguments ?? "").matchAll(MESSAGE)].map(([, role, text]) => ({
    role: role.toLowerCase(), text: unquoted(text), calls: [],
  }));
}

function plain(message) {
  const role = String(message.role ?? "").split(".").at(-1).toLowerCase();
  return {
    role, text: String(message.content ?? ""), name: message.tool_name ?? null,
    calls: (message.tool_calls ?? []).map(({ name, arguments: given }) => ({ name, given })),
    reasoning: message.reasoning ?? null,
  };
}

function answerOf(call) {
  const value = call.outcome?.value;
  if (!value || typeof value !== "object" || !("role" in value)) return null;
  return plain(value);
}

function textOf(call) {
  if (call.error) return `${call.error.type}: ${call.error.message}`;
  const form = call.outcome;
  if (!form) return "";
  if ("cut" in form) return form.cut;
  return typeof form.value === "string" ? form.value : JSON.stringify(form.value);
}

const ESCAPES = { n: "\n", t: "\t", r: "\r" };

function unquoted(text) {
  const inner = text.length > 1 && text.at(-1) === text[0] ? text.slice(1, -1) : text.slice(1);
  return inner.replace(/\\(.)/gs, (_, sign) => ESCAPES[sign] ?? sign);
}

/** Return the documents of a retrieval's result, or null: [{content, score, id, metadata}]. */
export function documentsOf(form) {
  const value = form?.value;
  const list = Array.isArray(value) ? value : (value?.documents ?? value?.result ?? null);
  if (!Array.isArray(list) || !list.length) return null;
  const isDocument = (each) => each && typeof each === "object" && typeof each.content === "string";
  return list.every((each) => isDocument(each) && !("role" in each)) ? list : null;
}
