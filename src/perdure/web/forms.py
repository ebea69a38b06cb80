"""The JSON forms of what a store has: runs, waits, calls, events, values.

Times are milliseconds since the epoch, with fractions; null where there is none. A value is an
object: `{"value": ...}` as it is, or `{"cut": TEXT, "bytes": N, "path": PATH}` where its JSON text
is longer than was asked for: TEXT is how it begins, and `/runs/RUN/value?path=PATH` has all of it.
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Iterable, Mapping
from typing import Any

from perdure.connectors.json_text import to_json
from perdure.operate.journal_lines import JournalLine
from perdure.operate.lives import LifeInfo
from perdure.operate.run_detail import ActionTimeline, CallInfo, RunDetail
from perdure.run import ChildInfo, EventInfo, MemoryWrite, RunInfo, SignalInfo, WaitInfo

__all__ = [
    "CUT",
    "call_path",
    "detail_form",
    "error_form",
    "line_form",
    "milliseconds",
    "process_form",
    "run_form",
    "shown",
    "text_form",
    "usage_form",
    "wait_form",
]

CUT = 4096  # bytes of JSON that a list or a panel has of one value


def milliseconds(ns: int) -> float | None:
    """Return a point in time as answers have it, from ns since the epoch; 0 is none."""
    return round(ns / 1e6, 3) if ns else None


def shown(value: Any, path: str, cut: int = CUT) -> dict[str, Any]:
    """Return a value as lists have it; see the module.

    Args:
        value: in readable form.
        path: where all of it is.
        cut: bytes of JSON at most.
    """
    text = to_json(value)
    if len(text) <= cut:
        return {"value": value}
    return {"cut": text[:cut].decode(errors="ignore"), "bytes": len(text), "path": path}


def text_form(text: str, cut: int = CUT) -> str:
    """Return text, cut to as many characters."""
    return text if len(text) <= cut else f"{text[: cut - 1]}…"


def error_form(error: Mapping[str, Any] | None, *, whole: bool = False) -> dict[str, Any] | None:
    """Return a failure: type, message, notes, place; with `whole` its traceback too."""
    if error is None:
        return None
    form = {
        "type": error["type"],
        "message": text_form(error["message"]),
        "notes": [text_form(note) for note in error["notes"]],
        "place": error["place"],
    }
    return {**form, "traceback": error["traceback"]} if whole else form


def wait_form(wait: WaitInfo) -> dict[str, Any]:
    """Return what a run waits for from outside."""
    return {
        "run": wait.run,
        "title": wait.title,
        "key": wait.key,
        "name": wait.name,
        "kind": wait.kind,
        "question": None if wait.question is None else text_form(wait.question),
        "since": milliseconds(wait.since),
        "action": wait.action,
        "event": wait.event,
    }


def run_form(info: RunInfo, cut: int = CUT) -> dict[str, Any]:
    """Return a run's head, as lists have it."""
    return {
        "id": info.id,
        "key": shown(info.key, "key", cut),
        "sequence": info.sequence,
        "title": info.title,
        "input_id": info.input_id,
        "status": info.status.value,
        "attempts": info.attempts + 1,
        "error": error_form(info.error),
        "input": shown(info.input, "input", cut),
        "activity": None if info.activity is None else shown(info.activity, "activity", cut),
        "waits": [wait_form(wait) for wait in info.waits],
        "admitted_at": milliseconds(info.admitted_at),
        "finished_at": milliseconds(info.finished_at),
        "due": milliseconds(info.due) if info.is_delayed else None,
    }


def process_form(life: LifeInfo) -> dict[str, Any]:
    """Return a process that had the job."""
    return {
        "number": life.number,
        "host": life.host,
        "pid": life.pid,
        "begun_at": milliseconds(life.begun_at),
        "seen_at": milliseconds(life.seen_at),
        "ended_at": milliseconds(life.ended_at),
        "code": life.code or None,
        "status": life.status,
    }


def line_form(line: JournalLine) -> dict[str, Any]:
    """Return a record as answers and streams have it."""
    return {
        "number": line.number,
        "kind": line.kind,
        "event": line.event,
        "action": line.action or None,
        "settlement": line.settlement or None,
        "call": line.call or None,
        "function": line.function or None,
        "detail": line.detail or None,
        "size": line.size,
        "started_at": milliseconds(line.started_at),
        "at": milliseconds(line.at),
    }


def detail_form(detail: RunDetail, processes: Iterable[LifeInfo], cut: int = CUT) -> dict[str, Any]:
    """Return everything that a run did: what its timeline is drawn from.

    Args:
        detail: what it did.
        processes: those that had its job meanwhile.
        cut: see `shown`.
    """
    return {
        "run": {**run_form(detail.run, cut), "error": error_form(detail.run.error, whole=True)},
        "records": detail.records,
        "span": [milliseconds(at) for at in detail.span],
        "processes": [process_form(life) for life in processes],
        "events": [_event_form(event, cut) for event in detail.events],
        "actions": [_action_form(action, cut) for action in detail.actions],
        "memory": [_memory_form(i, write, cut) for i, write in enumerate(detail.memory)],
        "outputs": [
            {
                "number": output.number,
                "id": output.id,
                "output": shown(output.value, f"outputs/{output.number}", cut),
                "delivered": output.delivered,
            }
            for output in detail.outputs
        ],
        "retried_at": [milliseconds(at) for at in detail.retried_at],
        "signals": [_signal_form(i, signal, cut) for i, signal in enumerate(detail.signals)],
        "children": [_child_form(child, cut) for child in detail.children],
        "stopped": detail.stopped or None,
        "stopped_at": milliseconds(detail.stopped_at),
        "commands": list(detail.commands),
    }


def _event_form(event: EventInfo, cut: int) -> dict[str, Any]:
    return {
        "number": event.number,
        "type": event.type,
        "id": event.id,
        "attributes": shown(event.attributes, f"events/{event.number}", cut),
        "source_event": event.source_event,
        "action": event.action or None,
    }


def call_path(action: ActionTimeline, index: int) -> str:
    """Return the path of what a call returned.

    Args:
        action: the action.
        index: place of the call in `action.calls`.
    """
    name = urllib.parse.quote(action.name, safe="")
    return f"calls/{action.event}/{name}/{index}"


def _action_form(action: ActionTimeline, cut: int) -> dict[str, Any]:
    return {
        "name": action.name,
        "event": action.event,
        "event_type": action.event_type,
        "status": action.status,
        "started_at": milliseconds(action.started_at),
        "finished_at": milliseconds(action.finished_at),
        "cancelled_at": milliseconds(action.cancelled_at),
        "timers": [milliseconds(at) for at in action.timers],
        "calls": [
            _call_form(call, call_path(action, index), cut)
            for index, call in enumerate(action.calls)
        ],
    }


def _call_form(call: CallInfo, path: str, cut: int) -> dict[str, Any]:
    return {
        "number": call.number,
        "function": call.function,
        "arguments": call.arguments,
        "status": call.status,
        "attempts": call.attempts,
        "outcome": shown(call.outcome, path, cut) if call.status == "returned" else None,
        "error": error_form(call.error, whole=True),
        "usage": usage_form(call.outcome),
        "started_at": milliseconds(call.started_at),
        "settled_at": milliseconds(call.settled_at),
        "due_at": milliseconds(call.due_at),
        "waited": {
            "thread": call.waited_for_thread / 1e6,
            "limit": call.waited_for_limit / 1e6,
            "retries": call.waited_for_retries / 1e6,
        },
        "superseded": call.superseded,
    }


def usage_form(outcome: Any) -> dict[str, Any] | None:
    """Return what a call took that returned a message of a model; None of any other."""
    usage = outcome.get("usage") if isinstance(outcome, Mapping) else None
    if not isinstance(usage, Mapping) or not isinstance(usage.get("input_tokens"), int):
        return None
    output, cost = usage.get("output_tokens"), usage.get("cost")
    return {
        "model": text_form(str(outcome.get("model") or ""), 200) or None,
        "input_tokens": usage["input_tokens"],
        "output_tokens": output if isinstance(output, int) else 0,
        "cost": cost if isinstance(cost, (int, float)) else None,
    }


def _memory_form(index: int, write: MemoryWrite, cut: int) -> dict[str, Any]:
    return {
        "memory": write.memory,
        "path": write.path,
        "written": None if write.deleted else shown(write.value, f"memory/{index}", cut),
        "deleted": write.deleted,
        "action": write.action,
        "event": write.event,
    }


def _signal_form(index: int, signal: SignalInfo, cut: int) -> dict[str, Any]:
    return {
        "name": signal.name,
        "sent": shown(signal.value, f"signals/{index}", cut),
        "came_at": milliseconds(signal.came_at),
        "action": signal.action or None,
        "event": signal.event,
        "taken_at": milliseconds(signal.taken_at),
    }


def _child_form(child: ChildInfo, cut: int) -> dict[str, Any]:
    return {
        "id": child.id,
        "run": run_form(child.run, cut) if child.run is not None else None,
        "action": child.action,
        "event": child.event,
        "call": child.call,
    }
