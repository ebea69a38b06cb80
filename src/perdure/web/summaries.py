"""What a list of runs shows of each besides its head: its calls, what they took, a small map."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from perdure.errors import StoreFormatError
from perdure.operate.history import AsyncHistory
from perdure.operate.run_detail import CallInfo, RunDetail
from perdure.run import RunInfo
from perdure.web.forms import usage_form

__all__ = ["LANES", "STEPS", "Summaries", "work_form"]

LANES = 5  # of a map: calls beyond stand in the last
STEPS = 200  # of a map, along time: calls of one lane that are no step apart are one bar
_KEPT = 2000  # runs that have ended, whose summaries are known
_KINDS = {"returned": "done", "raised": "failed"}


class Summaries:
    """Makes summaries of runs, and keeps those of runs that have ended. Where the store is read."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[int, int, int], dict[str, Any]] = OrderedDict()

    async def of(self, history: AsyncHistory, info: RunInfo) -> dict[str, Any]:
        """Return what a run's calls were."""
        key = (info.number, info.attempts, info.finished_at)
        if (known := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            return known
        try:
            made = work_form(await history.journal_detail(info), time.time_ns())
        except StoreFormatError:
            made = work_form(None, 0)  # the run's own page says what is damaged
        if info.status.is_final:
            self._kept[key] = made
            if len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return made


def work_form(detail: RunDetail | None, now: int) -> dict[str, Any]:
    """Return how many calls a run made, what they took, and its map.

    Args:
        detail: what it did; None where that cannot be read.
        now: ns since the epoch, up to which calls under way are drawn.
    """
    calls = [call for action in detail.actions for call in action.calls] if detail else []
    current = [call for call in calls if not call.superseded]
    usages = [usage for call in calls if (usage := usage_form(call.outcome)) is not None]
    costs = [usage["cost"] for usage in usages if isinstance(usage["cost"], (int, float))]
    return {
        "calls": len(current),
        "failed_calls": sum(call.status == "raised" for call in current),
        "input_tokens": sum(usage["input_tokens"] for usage in usages),
        "output_tokens": sum(usage["output_tokens"] for usage in usages),
        "cost": round(sum(costs), 9) if costs else None,
        "map": list(_bars(detail.run, calls, now)) if detail else [],
    }


def _bars(run: RunInfo, calls: list[CallInfo], now: int) -> Iterator[list[Any]]:
    """Yield lane, begin, end and kind of a map's bars; STEPS is the run's whole time.

    However many calls there are, a lane has at most two bars a step.
    """
    begin = run.admitted_at
    scale = STEPS / max((run.finished_at or now) - begin, 1)
    lanes: list[list[Any]] = []  # the last bar of each
    for call in sorted((c for c in calls if c.started_at), key=lambda call: call.started_at):
        kind = _KINDS.get(call.status, "open")
        first = _step((call.started_at - begin) * scale)
        last = max(_step(((call.settled_at or run.finished_at or now) - begin) * scale), first)
        lane = next((i for i, bar in enumerate(lanes) if bar[2] <= first), len(lanes))
        if lane == len(lanes) < LANES:
            lanes.append([lane, first, last, kind])
            continue
        lane = min(lane, LANES - 1)
        bar = lanes[lane]
        _, at, end, before = bar
        if before == kind and first - end < 1:
            bar[2] = max(end, last)
        elif last > end:
            yield bar
            lanes[lane] = [lane, max(first, end), last, kind]
        elif kind == "failed" and end - at > 1:  # too short to be seen, but to be seen
            yield [lane, at, end - 1, before]
            lanes[lane] = [lane, end - 1, end, kind]
    yield from lanes


def _step(at: float) -> int:
    return max(0, min(STEPS, round(at)))
