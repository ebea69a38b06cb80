"""A run in Chrome's trace-event format, which Perfetto and Chrome's own panel open.

A track an action, and below it as many as it takes to keep calls apart that were under way at one
time: slices of a track must not overlap. Times are µs since the epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

__all__ = ["trace_events"]

_PROCESS = 1  # the only one: a run


class _Slice(NamedTuple):
    """A stretch of a track; what of it was spent waiting is drawn inside."""

    name: str
    category: str
    begin: float  # ms since the epoch, like `end`
    end: float
    args: Mapping[str, Any]
    inner: tuple[tuple[str, float, float], ...] = ()


def trace_events(form: Mapping[str, Any], job: str) -> dict[str, Any]:
    """Return the trace of a run.

    Args:
        form: what it did; see `detail_form`.
        job: name of its job.
    """
    run = form["run"]
    events = [_meta("process_name", {"name": f"run {run['title']} of job {job}"})]
    track = 1
    tracks: dict[tuple[int, str], int] = {}
    for action in form["actions"]:
        tracks[action["event"], action["name"]] = track
        label = f"{action['name']}, event {action['event']}"
        events += _track(track, label, [_action_slice(action, form)])
        track += 1
        for row, slices in enumerate(_rows(list(_slices(action, form))), 1):
            events += _track(track, f"{label} · {row}", slices)
            track += 1
    events += _beginnings(form)
    events += _signals(form, tracks)
    events += _causes(form, tracks)
    return {
        "traceEvents": events,
        "displayTimeUnit": "ms",
        "otherData": {"job": job, "run": run["id"], "title": run["title"], "status": run["status"]},
    }


def _meta(name: str, args: Mapping[str, Any], track: int = 0) -> dict[str, Any]:
    return {"ph": "M", "name": name, "pid": _PROCESS, "tid": track, "args": args}


def _track(track: int, name: str, slices: Sequence[_Slice]) -> Iterator[dict[str, Any]]:
    yield _meta("thread_name", {"name": name}, track)
    yield _meta("thread_sort_index", {"sort_index": track}, track)
    for each in slices:
        yield _complete(track, each.name, each.category, each.begin, each.end, each.args)
        for name_, begin, end in each.inner:
            yield _complete(track, name_, "wait", begin, end, {})


def _complete(
    track: int, name: str, category: str, begin: float, end: float, args: Mapping[str, Any]
) -> dict[str, Any]:
    return {
        "ph": "X", "name": name, "cat": category, "pid": _PROCESS, "tid": track,
        "ts": _us(begin), "dur": round(max(end - begin, 0) * 1000, 3), "args": args,
    }  # fmt: skip


def _us(ms: float) -> float:
    return round(ms * 1000, 3)


def _action_slice(action: Mapping[str, Any], form: Mapping[str, Any]) -> _Slice:
    times = [action["started_at"], action["cancelled_at"], *action["timers"]]
    times += [time for call in action["calls"] for time in (call["started_at"], call["settled_at"])]
    known = [time for time in times if time]
    end = action["finished_at"] or max(known, default=form["span"][0] or form["span"][1] or 0)
    begin = action["started_at"] or end
    args = {"status": action["status"], "event": action["event"], "type": action["event_type"]}
    return _Slice(action["name"], "action", begin, end, args)


def _slices(action: Mapping[str, Any], form: Mapping[str, Any]) -> Iterator[_Slice]:
    for call in action["calls"]:
        yield _call_slice(call, form["span"][1])
    own = (action["name"], action["event"])
    for child in form["children"]:
        run = child["run"]
        if (child["action"], child["event"]) == own and run is not None:
            end = run["finished_at"] or form["span"][1]
            args = {"status": run["status"], "run": run["id"]}
            yield _Slice(f"run {run['title']}", "run", run["admitted_at"], end, args)
    for wait in form["run"]["waits"]:
        if (wait["action"], wait["event"]) == own:
            args = {"kind": wait["kind"], "question": wait["question"]}
            since = wait["since"] or form["span"][1]
            yield _Slice(f"waits for {wait['name']}", "wait", since, form["span"][1], args)


def _call_slice(call: Mapping[str, Any], last: float) -> _Slice:
    # A time that is missing, as in a damaged store, is the next one that is known.
    started = call["started_at"] or call["settled_at"] or last
    waited = call["waited"]
    end = call["settled_at"] or call["due_at"] or (started if call["superseded"] else last)
    begin, inner = started, []
    if call["attempts"] == 1:  # of several the journal has the sums alone
        begin = started - waited["thread"] - waited["limit"]
        if waited["limit"]:
            inner.append(("held by a limit", begin, begin + waited["limit"]))
        if waited["thread"]:
            inner.append(("queued for a thread", started - waited["thread"], started))
    error = call["error"]
    args = {
        "function": call["function"],
        "arguments": call["arguments"],
        "status": call["status"],
        "number": call["number"],
        "attempts": call["attempts"],
        "waited_ms": waited,
        **({"usage": call["usage"]} if call["usage"] else {}),
        **({"error": f"{error['type']}: {error['message']}"} if error else {}),
        **({"superseded": True} if call["superseded"] else {}),
    }  # fmt: skip
    name = call["function"].rpartition(":")[2]
    return _Slice(name, "call", begin, max(end, started), args, tuple(inner))


def _rows(slices: list[_Slice]) -> list[list[_Slice]]:
    """Return slices in as few rows as keep them apart."""
    rows: list[list[_Slice]] = []
    for each in sorted(slices, key=lambda each: (each.begin, each.end)):
        for row in rows:
            if row[-1].end <= each.begin:
                row.append(each)
                break
        else:
            rows.append([each])
    return rows


def _instant(name: str, at: float, scope: str, track: int, args: Any) -> dict[str, Any]:
    return {
        "ph": "i", "name": name, "cat": "event", "pid": _PROCESS, "tid": track, "ts": _us(at),
        "s": scope, "args": args,
    }  # fmt: skip


def _beginnings(form: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a line over all tracks where a process went on with what another had begun."""
    processes = sorted(form["processes"], key=lambda process: process["number"])
    for before, process in pairwise(processes):
        ended = "was killed" if before["status"] == "killed" else "ended"
        name = f"process {process['number']} begins: {before['number']} {ended}"
        args = {"host": process["host"], "pid": process["pid"]}
        yield _instant(name, process["begun_at"], "g", 0, args)


def _signals(
    form: Mapping[str, Any], tracks: Mapping[tuple[int, str], int]
) -> Iterator[dict[str, Any]]:
    for signal in form["signals"]:
        track = tracks.get((signal["event"], signal["action"]), 0)
        scope = "t" if track else "p"
        yield _instant(f"signal {signal['name']}", signal["came_at"], scope, track, {})


def _causes(
    form: Mapping[str, Any], tracks: Mapping[tuple[int, str], int]
) -> Iterator[dict[str, Any]]:
    """Yield arrows from the action that sent an event to those that it triggered."""
    actions = {(action["event"], action["name"]): action for action in form["actions"]}
    number = 0
    for event in form["events"]:
        source = actions.get((event["source_event"], event["action"]))
        if source is None:
            continue
        for key, action in actions.items():
            if key[0] != event["number"] or not action["started_at"]:
                continue
            number += 1
            begin = _us(_action_slice(source, form).end)
            common = {"name": event["type"], "cat": "event", "pid": _PROCESS, "id": number}
            own = tracks[event["source_event"], event["action"]]
            yield {**common, "ph": "s", "tid": own, "ts": begin}
            started = _us(action["started_at"])
            yield {**common, "ph": "f", "bp": "e", "tid": tracks[key], "ts": started}
