"""JobMeasures: what is counted of a job's calls and commits once somebody asks for figures.

A job that nobody measures has none of this, and pays for a look at None. What it counts under a
name is bounded: nobody's id becomes a name, and of very many functions or models the later ones
are counted together.
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from typing import Any, Final, TypeVar

from perdure.journal.waited import unpack_waited
from perdure.printable import printable

__all__ = ["OTHER", "CallMeasure", "Distribution", "JobMeasures", "ModelMeasure"]

MOST_NAMES: Final = 100  # functions, and models, that are counted apart
LONGEST_NAME: Final = 200  # characters of one
OTHER: Final = "other"  # the name of the rest
CALL_SECONDS: Final = (.001, .005, .01, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60, 300)  # fmt: skip
WAIT_SECONDS: Final = (.001, .01, .1, .5, 1, 5, 10, 30, 60, 300, 1800)  # fmt: skip
COMMIT_SECONDS: Final = (.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 5)  # fmt: skip
COMMIT_ROWS: Final = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 5000)

T = TypeVar("T")


class Distribution:
    """Values counted by their size.

    Attributes:
        bounds: upper bounds of the sizes, each included; above the last there is one more.
        counts: how many values there were of each size.
        total: their sum.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Take one value in."""
        self.counts[bisect.bisect_left(self.bounds, value)] += 1
        self.total += value


class CallMeasure:
    """The calls of one function: how many returned and raised, and how long the last attempt took.

    Seconds are from when that began to execute until its outcome was there.
    """

    __slots__ = ("raised", "returned", "seconds")

    def __init__(self) -> None:
        self.returned = self.raised = 0
        self.seconds = Distribution(CALL_SECONDS)


class ModelMeasure:
    """What one model was asked and took; `cost` in US dollars, where the price was known."""

    __slots__ = ("cost", "input_tokens", "output_tokens", "requests")

    def __init__(self) -> None:
        self.requests = self.input_tokens = self.output_tokens = 0
        self.cost = 0.0


class JobMeasures:
    """The measures of a job, from when they were asked for.

    Owns: all counts. Lifecycle: that of the job. On the host loop.

    Args:
        now: wall-clock time, ns since the epoch.

    Attributes:
        functions: of the calls, by the name that the function is counted under.
        models: of the requests to models, by the model.
        waits: seconds that calls waited for a `thread`, under a `limit` and between `retries`:
            those alone that waited for a millisecond.
        commit_rows: rows of each commit.
        commit_seconds: how long each took, from when the store began until the host loop knew.
    """

    __slots__ = ("_now", "commit_rows", "commit_seconds", "functions", "models", "waits")

    def __init__(self, now: Callable[[], int]) -> None:
        self._now = now
        self.functions: dict[str, CallMeasure] = {}
        self.models: dict[str, ModelMeasure] = {}
        self.waits = {each: Distribution(WAIT_SECONDS) for each in ("thread", "limit", "retries")}
        self.commit_rows = Distribution(COMMIT_ROWS)
        self.commit_seconds = Distribution(COMMIT_SECONDS)

    def call_over(
        self, function: str, started_at: int, waited: int | None, value: Any, *, raised: bool
    ) -> None:
        """Count a call that has its outcome.

        Args:
            function: the name that it is counted under.
            started_at: when its last attempt began to execute, ns since the epoch; 0: it did not.
            waited: see `Record.waited`.
            value: what it returned.
            raised: it raised instead.
        """
        found = self.functions.get(function) or _measure(self.functions, function, CallMeasure)
        if raised:
            found.raised += 1
        else:
            found.returned += 1
            if not isinstance(value, str | int | float | list | type(None)):
                self._count_tokens(value)
        if started_at:
            found.seconds.add(max(self._now() - started_at, 0) / 1e9)
        if waited is not None:
            for name, time in unpack_waited(waited)._asdict().items():
                if time:
                    self.waits[name].add(time / 1e9)

    def committed(self, rows: int, seconds: float) -> None:
        """Count a commit."""
        self.commit_rows.add(rows)
        self.commit_seconds.add(seconds)

    def _count_tokens(self, value: Any) -> None:
        """Count what a call took that returned a message of a model, or a dict of its form."""
        usage, model = _part(value, "usage"), _part(value, "model")
        tokens = _part(usage, "input_tokens")
        if type(tokens) is not int:
            return
        name = model if isinstance(model, str) and model else "a model without a name"
        found = self.models.get(name) or _measure(self.models, name, ModelMeasure)
        found.requests += _number(_part(usage, "requests")) or 1
        found.input_tokens += tokens
        found.output_tokens += _number(_part(usage, "output_tokens"))
        cost = _part(usage, "cost")
        if isinstance(cost, int | float):
            found.cost += cost


def _measure(measures: dict[str, T], name: str, make: Callable[[], T]) -> T:
    """Return the measure of a name that is new or long; of one too many that of the rest."""
    name = printable(name[:LONGEST_NAME])
    if name not in measures and len(measures) >= MOST_NAMES:
        name = OTHER
    found = measures.get(name)
    if found is None:
        found = measures[name] = make()
    return found


def _part(value: Any, name: str) -> Any:
    """Return an entry of a dict, or a field of a dataclass; None without: no property is run."""
    if isinstance(value, dict):  # first, since an abstract class takes long to say no
        return value.get(name)
    fields = getattr(type(value), "__dataclass_fields__", None)
    return getattr(value, name, None) if fields is not None and name in fields else None


def _number(value: Any) -> int:
    return value if type(value) is int else 0
