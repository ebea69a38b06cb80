"""Metrics, as Flink Agents names them."""

from __future__ import annotations

from abc import ABC, abstractmethod

__all__ = ["Counter", "Gauge", "Histogram", "Meter", "MetricGroup"]


class Counter(ABC):
    """A number that is counted up and down."""

    @abstractmethod
    def inc(self, n: int = 1) -> None:
        """Add `n`."""

    @abstractmethod
    def dec(self, n: int = 1) -> None:
        """Take `n` away."""

    @abstractmethod
    def get_count(self) -> int:
        """Return the number."""


class Meter(ABC):
    """How often something happens."""

    @abstractmethod
    def mark(self, n: int = 1) -> None:
        """Say that it happened `n` times."""

    @abstractmethod
    def get_rate(self) -> float:
        """Return how often it happens in a second."""


class Histogram(ABC):
    """How values spread."""

    @abstractmethod
    def update(self, value: int) -> None:
        """Add a value."""

    @abstractmethod
    def get_mean(self) -> float:
        """Return the mean of the values."""

    @abstractmethod
    def get_max(self) -> int:
        """Return the greatest one."""

    @abstractmethod
    def get_min(self) -> int:
        """Return the least one."""


class Gauge(ABC):
    """A value as it is now."""

    @abstractmethod
    def update(self, value: float) -> None:
        """Set the value."""

    @abstractmethod
    def get_value(self) -> float:
        """Return the value."""


class MetricGroup(ABC):
    """Metrics under one name."""

    @abstractmethod
    def get_sub_group(self, name: str, value: str | None = None) -> MetricGroup:
        """Return the group of this name, or of this value of a name."""

    @abstractmethod
    def get_counter(self, name: str) -> Counter:
        """Return a counter."""

    @abstractmethod
    def get_meter(self, name: str) -> Meter:
        """Return a meter."""

    @abstractmethod
    def get_gauge(self, name: str) -> Gauge:
        """Return a gauge."""

    @abstractmethod
    def get_histogram(self, name: str, window_size: int = 100) -> Histogram:
        """Return a histogram."""
