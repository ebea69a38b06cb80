"""Metrics: what each kind counts, and snapshots of groups."""

from __future__ import annotations

import pytest

from perdure.metrics import MetricGroup


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_counters_and_gauges() -> None:
    group = MetricGroup()
    group.get_counter("calls").inc()
    group.get_counter("calls").inc(4)
    group.get_counter("calls").dec(2)
    group.get_gauge("depth").update(2.5)
    assert group.get_counter("calls").get_count() == 3
    assert group.get_gauge("depth").get_value() == 2.5
    assert group.get_gauge("unset").get_value() == 0


def test_histograms_keep_count_sum_least_and_greatest() -> None:
    histogram = MetricGroup().get_histogram("ms")
    assert histogram.snapshot() == {"count": 0, "sum": 0, "min": 0, "max": 0}
    assert histogram.get_mean() == 0.0
    for value in (3, 5, -1, 5):
        histogram.update(value)
    assert histogram.get_count() == 4
    assert (histogram.get_sum(), histogram.get_min(), histogram.get_max()) == (12, -1, 5)
    assert histogram.get_mean() == 3.0


def test_meters_give_a_rate_a_second() -> None:
    clock = Clock()
    meter = MetricGroup(clock).get_meter("events")
    meter.mark(3)
    assert meter.get_rate() == 0.0
    clock.now += 2
    meter.mark()
    assert meter.get_count() == 4
    assert meter.get_rate() == 2.0


def test_a_snapshot_names_groups_with_dots() -> None:
    clock = Clock()
    group = MetricGroup(clock)
    group.get_counter("a").inc()
    inner = group.sub_group("x").sub_group("y")
    inner.get_meter("m").mark()
    group.get_sub_group("x").get_histogram("h").update(2)
    clock.now += 1
    assert group.snapshot() == {
        "a": 1,
        "x.h": {"count": 1, "sum": 2, "min": 2, "max": 2},
        "x.y.m": {"count": 1, "rate": 1.0},
    }
    taken = group.snapshot()
    group.get_counter("a").inc()
    assert taken["a"] == 1


def test_a_name_is_one_kind_of_metric() -> None:
    group = MetricGroup()
    group.get_counter("a")
    with pytest.raises(TypeError, match="metric 'a' is a Counter"):
        group.get_gauge("a")
    assert group.sub_group("g").get_gauge("a") is group.sub_group("g").get_gauge("a")
