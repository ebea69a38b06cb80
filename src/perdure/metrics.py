"""Metrics: counters, gauges, histograms and meters, in named groups.

Plain Python objects, cheap enough for every call. The engine updates them on its own thread; an
update that a durable callable makes on a pool thread is not atomic with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["Counter", "Gauge", "Histogram", "Meter", "MetricGroup"]

Number = int | float
Snapshot = dict[str, Number | dict[str, Number]]
# Groups, the outermost first; name; kind; values: of a summary count, sum, least and greatest.
Listed = tuple[tuple[str, ...], str, str, tuple[Number, ...]]
M = TypeVar("M", bound="Counter | Gauge | Histogram | Meter")


class Counter:
    """A count that goes up and down."""

    __slots__ = ("_count",)

    def __init__(self) -> None:
        self._count = 0

    def inc(self, n: int = 1) -> None:
        """Add `n`."""
        self._count += n

    def dec(self, n: int = 1) -> None:
        """Take `n` away."""
        self._count -= n

    def get_count(self) -> int:
        """Return the count."""
        return self._count

    def snapshot(self) -> Number:
        """Return the count."""
        return self._count


class Gauge:
    """A value that is what it was last set to."""

    __slots__ = ("_value",)

    def __init__(self) -> None:
        self._value: Number = 0

    def update(self, value: Number) -> None:
        """Set the value."""
        self._value = value

    def get_value(self) -> Number:
        """Return the value, 0 before the first update."""
        return self._value

    def snapshot(self) -> Number:
        """Return the value."""
        return self._value


class Histogram:
    """Values summed up: how many, their sum, the least and the greatest."""

    __slots__ = ("_count", "_max", "_min", "_sum")

    def __init__(self) -> None:
        self._count = 0
        self._sum: Number = 0
        self._min: Number = 0
        self._max: Number = 0

    def update(self, value: Number) -> None:
        """Take one value in."""
        self._min = value if self._count == 0 else min(self._min, value)
        self._max = value if self._count == 0 else max(self._max, value)
        self._count += 1
        self._sum += value

    def get_count(self) -> int:
        """Return how many values there were."""
        return self._count

    def get_sum(self) -> Number:
        """Return their sum."""
        return self._sum

    def get_min(self) -> Number:
        """Return the least, 0 when there was none."""
        return self._min

    def get_max(self) -> Number:
        """Return the greatest, 0 when there was none."""
        return self._max

    def get_mean(self) -> float:
        """Return the mean, 0.0 when there was none."""
        return self._sum / self._count if self._count else 0.0

    def snapshot(self) -> dict[str, Number]:
        """Return count, sum, min and max."""
        return {"count": self._count, "sum": self._sum, "min": self._min, "max": self._max}


class Meter:
    """How often something happens."""

    __slots__ = ("_clock", "_count", "_since")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin to count.

        Args:
            clock: Gives seconds that never go back.
        """
        self._clock = clock
        self._since = clock()
        self._count = 0

    def mark(self, n: int = 1) -> None:
        """Count `n` more."""
        self._count += n

    def get_count(self) -> int:
        """Return how often it happened."""
        return self._count

    def get_rate(self) -> float:
        """Return how often a second it happened on average, since the meter was made."""
        elapsed = self._clock() - self._since
        return self._count / elapsed if elapsed > 0 else 0.0

    def snapshot(self) -> dict[str, Number]:
        """Return count and rate (a second)."""
        return {"count": self._count, "rate": self.get_rate()}


class MetricGroup:
    """Metrics by name, and groups below; each is made when it is first asked for."""

    __slots__ = ("_clock", "_groups", "_metrics")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Begin empty.

        Args:
            clock: What the meters of this group measure time by, in seconds.
        """
        self._clock = clock
        self._metrics: dict[str, Counter | Gauge | Histogram | Meter] = {}
        self._groups: dict[str, MetricGroup] = {}

    def get_counter(self, name: str) -> Counter:
        """Return the counter `name`; TypeError when the name is another kind of metric."""
        return self._get(name, Counter, Counter)

    def get_gauge(self, name: str) -> Gauge:
        """Return the gauge `name`; TypeError when the name is another kind of metric."""
        return self._get(name, Gauge, Gauge)

    def get_histogram(self, name: str) -> Histogram:
        """Return the histogram `name`; TypeError when the name is another kind of metric."""
        return self._get(name, Histogram, Histogram)

    def get_meter(self, name: str) -> Meter:
        """Return the meter `name`; TypeError when the name is another kind of metric."""
        return self._get(name, Meter, lambda: Meter(self._clock))

    def sub_group(self, name: str) -> MetricGroup:
        """Return the group `name` below this one."""
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = MetricGroup(self._clock)
        return group

    def get_sub_group(self, name: str, value: str | None = None) -> MetricGroup:
        """Return the group `name`, or the group `value` below that one, as Flink names them."""
        group = self.sub_group(name)
        return group if value is None else group.sub_group(value)

    def listed(self, groups: tuple[str, ...] = ()) -> list[Listed]:
        """Return all metrics with their kind: "counter", "gauge" or "summary".

        Args:
            groups: names of the groups that this one is in.
        """
        found: list[Listed] = []
        for name, metric in list(self._metrics.items()):  # another thread may make one
            if isinstance(metric, Histogram):
                values = (metric.get_count(), metric.get_sum(), metric.get_min(), metric.get_max())
                found.append((groups, name, "summary", values))
            elif isinstance(metric, Gauge):
                found.append((groups, name, "gauge", (metric.get_value(),)))
            else:
                found.append((groups, name, "counter", (metric.get_count(),)))
        for name, group in list(self._groups.items()):
            found += group.listed((*groups, name))
        return found

    def snapshot(self) -> Snapshot:
        """Return all values by name; names of groups come first, with dots between."""
        taken: Snapshot = {name: metric.snapshot() for name, metric in self._metrics.items()}
        for name, group in self._groups.items():
            for inner, value in group.snapshot().items():
                taken[f"{name}.{inner}"] = value
        return taken

    def _get(self, name: str, kind: type[M], make: Callable[[], M]) -> M:
        metric = self._metrics.get(name)
        if metric is None:
            metric = self._metrics[name] = make()
        if not isinstance(metric, kind):
            raise TypeError(f"metric {name!r} is a {type(metric).__name__}: choose another name")
        return metric
