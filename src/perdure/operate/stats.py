"""What the newest runs of a job did, summed up: calls by function, tokens by model, failures."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from perdure.operate.history import AsyncHistory
from perdure.operate.run_detail import CallInfo, RunDetail
from perdure.run import RunStatus
from perdure.store.base import JobRow

BUCKETS = 12  # of a histogram: spans of time, each twice as long as the one before


@dataclasses.dataclass(slots=True, kw_only=True)
class FunctionStats:
    """The calls of one function.

    Attributes:
        function: identity of the callable.
        returned: calls that returned.
        raised: calls that raised, after their last attempt.
        open: calls without an outcome.
        retries: attempts after the first.
        durations: of those with an outcome, from the first attempt on, ns, in order of size.
    """

    function: str
    returned: int = 0
    raised: int = 0
    open: int = 0
    retries: int = 0
    durations: list[int] = dataclasses.field(default_factory=list)

    @property
    def calls(self) -> int:
        """Number of calls."""
        return self.returned + self.raised + self.open

    def percentile(self, share: float) -> int:
        """Return the duration that this share of the calls did not exceed, ns; 0 without any."""
        if not self.durations:
            return 0
        return self.durations[max(math.ceil(share * len(self.durations)) - 1, 0)]

    def histogram(self, least: int, most: int) -> list[int]:
        """Return how many durations lie in each of BUCKETS spans from `least` to `most`, ns."""
        found = [0] * BUCKETS
        width = math.log(max(most, 1) / max(least, 1)) or 1.0
        for each in self.durations:
            at = int(math.log(max(each, 1) / max(least, 1)) / width * BUCKETS)
            found[min(max(at, 0), BUCKETS - 1)] += 1
        return found


@dataclasses.dataclass(slots=True, kw_only=True)
class ModelStats:
    """The requests to one model: their tokens, and US dollars where a price was known."""

    model: str
    requests: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None


@dataclasses.dataclass(slots=True, kw_only=True)
class JobStats:
    """What runs of a job did.

    Attributes:
        runs: number of runs that were looked at.
        functions: those with the most calls first.
        models: those with the most tokens first.
        failures: failed runs by what they failed with: the error's type, and the line of the
            agent's code or the message; the most frequent first.
    """

    runs: int
    functions: list[FunctionStats]
    models: list[ModelStats]
    failures: list[tuple[str, str, int]]


async def job_stats(history: AsyncHistory, job: JobRow, *, limit: int) -> JobStats:
    """Return what the newest runs of a job did, at most `limit` of them."""
    runs = await history.runs(job, limit=limit)
    return summed_up([await history.journal_detail(info) for info in runs])


def summed_up(details: Sequence[RunDetail]) -> JobStats:
    """Return the stats of runs."""
    functions: dict[str, FunctionStats] = {}
    models: dict[str, ModelStats] = {}
    failures: Counter[tuple[str, str]] = Counter()
    for detail in details:
        for action in detail.actions:
            for call in action.calls:
                _count(functions, call)
                _count_tokens(models, call.outcome)
        error = detail.run.error
        if detail.run.status is RunStatus.FAILED and error is not None:
            where = error["place"] or " ".join(error["message"].split())
            failures[error["type"].rpartition(".")[2], where] += 1
    for each in functions.values():
        each.durations.sort()
    return JobStats(
        runs=len(details),
        functions=sorted(functions.values(), key=lambda each: (-each.calls, each.function)),
        models=sorted(
            models.values(), key=lambda each: (-each.input_tokens - each.output_tokens, each.model)
        ),
        failures=[(*kind, count) for kind, count in failures.most_common()],
    )


def _count(functions: dict[str, FunctionStats], call: CallInfo) -> None:
    found = functions.setdefault(call.function, FunctionStats(function=call.function))
    found.retries += call.attempts - 1
    if call.status == "returned":
        found.returned += 1
    elif call.status == "raised":
        found.raised += 1
    else:
        found.open += 1
    if call.settled_at:
        found.durations.append(max(call.settled_at - call.started_at, 0))


def _count_tokens(models: dict[str, ModelStats], outcome: Any) -> None:
    """Count what a call took that returned a message of a model."""
    usage = outcome.get("usage") if isinstance(outcome, Mapping) else None
    if not isinstance(usage, Mapping) or not isinstance(usage.get("input_tokens"), int):
        return
    name = str(outcome.get("model") or "a model without a name")
    found = models.setdefault(name, ModelStats(model=name))
    found.requests += usage.get("requests") or 1
    found.input_tokens += usage["input_tokens"]
    found.output_tokens += usage.get("output_tokens") or 0
    if isinstance(cost := usage.get("cost"), int | float):
        found.cost = (found.cost or 0.0) + cost
