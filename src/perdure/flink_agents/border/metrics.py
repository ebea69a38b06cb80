"""Metrics of the core under their names."""

from __future__ import annotations

from typing import Any

from perdure.flink_agents.api.metric_group import (
    Counter,
    Gauge,
    Histogram,
    Meter,
    MetricGroup,
)
from perdure.metrics import MetricGroup as CoreGroup

__all__ = ["BorderMetrics"]


class _Counter(Counter):
    def __init__(self, core: Any) -> None:
        self._core = core

    def inc(self, n: int = 1) -> None:
        self._core.inc(n)

    def dec(self, n: int = 1) -> None:
        self._core.dec(n)

    def get_count(self) -> int:
        return int(self._core.get_count())


class _Meter(Meter):
    def __init__(self, core: Any) -> None:
        self._core = core

    def mark(self, n: int = 1) -> None:
        self._core.mark(n)

    def get_rate(self) -> float:
        return float(self._core.get_rate())


class _Gauge(Gauge):
    def __init__(self, core: Any) -> None:
        self._core = core

    def update(self, value: float) -> None:
        self._core.update(value)

    def get_value(self) -> float:
        return float(self._core.get_value())


class _Histogram(Histogram):
    def __init__(self, core: Any) -> None:
        self._core = core

    def update(self, value: int) -> None:
        self._core.update(value)

    def get_mean(self) -> float:
        return float(self._core.get_mean())

    def get_max(self) -> int:
        return int(self._core.get_max())

    def get_min(self) -> int:
        return int(self._core.get_min())


class BorderMetrics(MetricGroup):
    """A group of the core; a histogram is of all values, whatever its window."""

    def __init__(self, core: CoreGroup) -> None:
        self._core = core

    def get_sub_group(self, name: str, value: str | None = None) -> MetricGroup:
        return BorderMetrics(self._core.get_sub_group(name, value))

    def get_counter(self, name: str) -> Counter:
        return _Counter(self._core.get_counter(name))

    def get_meter(self, name: str) -> Meter:
        return _Meter(self._core.get_meter(name))

    def get_gauge(self, name: str) -> Gauge:
        return _Gauge(self._core.get_gauge(name))

    def get_histogram(self, name: str, window_size: int = 100) -> Histogram:
        return _Histogram(self._core.get_histogram(name))
