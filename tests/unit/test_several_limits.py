"""Several limits for one attempt: taken in order, given back in any state."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.call import Limit
from perdure.errors import ConfigurationError
from perdure.executor.limits import Limits, PermitChain


def limits_named(*names: str) -> Limits:
    return Limits({name: Limit(concurrency=1) for name in names}, time.time_ns, lambda *_: None)


class Chains:
    """Limits `a` and `b` of one each, and attempts that take both."""

    def __init__(self) -> None:
        self.limits = limits_named("a", "b")
        self.started: list[Any] = []
        self.chains: dict[Any, PermitChain] = {}

    def acquire(
        self,
        item: Any,
        *names: str,
        key: Any = None,
        then: Callable[[], None] | None = None,
    ) -> None:
        def start() -> None:
            self.started.append(item)
            if then is not None:
                then()

        self.chains[item] = self.limits.acquire_all(names or ("a", "b"), key, start)

    def release(self, *items: Any) -> None:
        for item in items:
            self.chains[item].release()

    @property
    def usage(self) -> tuple[tuple[int, int], ...]:
        return tuple(map(tuple, self.limits.usage.values()))


FREE = ((0, 0), (0, 0))


def test_several_limits_are_taken_one_after_the_other() -> None:
    chains = Chains()
    chains.acquire(1)
    chains.acquire(2)
    chains.acquire(3, "b")
    assert chains.started == [1]
    assert chains.usage == ((1, 1), (1, 1))
    chains.release(1)  # 2 has `a` now, and waits for `b` behind 3
    assert chains.started == [1, 3]
    assert chains.usage == ((1, 0), (1, 1))
    chains.release(3)
    assert chains.started == [1, 3, 2]
    chains.release(2)
    assert chains.usage == FREE


def test_an_attempt_is_released_in_any_state_and_counts_once() -> None:
    chains = Chains()
    chains.acquire("holds b", "b")
    chains.acquire("waits for b")
    chains.acquire("waits for a")
    assert chains.usage == ((1, 1), (1, 1))
    chains.release("waits for a", "waits for a")
    assert chains.usage == ((1, 0), (1, 1))
    chains.release("waits for b", "waits for b")
    assert chains.usage == ((0, 0), (1, 0))
    chains.release("holds b", "waits for b", "holds b")
    assert chains.usage == FREE
    assert chains.started == ["holds b"]
    chains.acquire("after")
    assert chains.started == ["holds b", "after"]
    assert chains.usage == ((1, 0), (1, 0))


def test_an_attempt_that_ends_as_it_starts_gives_back_both() -> None:
    chains = Chains()
    chains.acquire("first")
    for item in range(3_000):
        chains.acquire(item, then=lambda item=item: chains.release(item))
    chains.release("first")
    assert len(chains.started) == 3_001
    assert chains.usage == FREE


def test_an_attempt_released_inside_acquire_holds_nothing() -> None:
    chains = Chains()
    held: list[PermitChain] = []

    class Knows(PermitChain):
        def __init__(self, *args: Any) -> None:
            held.append(self)
            super().__init__(*args)

    Knows(chains.limits, ("a", "b"), None, lambda: held[0].release())
    assert chains.usage == FREE


def test_a_start_that_raises_gives_back_both_limits(caplog: pytest.LogCaptureFixture) -> None:
    chains = Chains()
    with pytest.raises(ZeroDivisionError):
        chains.acquire("at once", then=lambda: 1 / 0)
    assert chains.usage == FREE
    for held in (("a",), ("b",), ("a", "b")):
        chains.acquire("first", *held)
        chains.acquire("bad", then=lambda: 1 / 0)
        chains.acquire("next")
        with caplog.at_level(logging.ERROR):
            chains.release("first")
        assert "an attempt could not be started" in caplog.text
        assert chains.started[-2:] == ["bad", "next"], held
        chains.release("next")
        assert chains.usage == FREE, held


def test_an_unknown_limit_among_several_takes_none() -> None:
    chains = Chains()
    with pytest.raises(ConfigurationError, match="limit 'c' is not configured"):
        chains.acquire("x", "a", "c")
    assert chains.usage == FREE
    assert chains.started == []


def test_no_limit_at_all_starts_at_once() -> None:
    limits = limits_named()
    started: list[int] = []
    limits.acquire_all((), None, lambda: started.append(1)).release()
    assert started == [1]


def test_keys_take_turns_under_several_limits_too() -> None:
    chains = Chains()
    for item in range(50):
        chains.acquire(item, key="hot")
    chains.acquire("other", key="cold")
    chains.release(0)
    chains.release(1)
    assert chains.started == [0, 1, "other"]


@given(
    st.lists(st.tuples(st.sampled_from(["a", "b", "ab"]), st.integers(0, 2)), max_size=25),
    st.sets(st.integers(0, 24)),
    st.lists(st.integers(0, 99), max_size=60),
)
def test_whatever_order_several_limits_are_released_in_nothing_is_left_behind(
    attempts: list[tuple[str, int]], ending: set[int], order: list[int]
) -> None:
    chains = Chains()

    def end_at_once(item: int) -> None:
        if item in ending and item in chains.chains:
            chains.release(item)

    for item, (names, key) in enumerate(attempts):
        chains.acquire(item, *names, key=key, then=lambda item=item: end_at_once(item))
    for number in order:
        if attempts:
            chains.release(number % len(attempts))
        assert all(running <= 1 for running, _ in chains.usage)
    for item in range(len(attempts)):
        chains.release(item)
    assert chains.usage == FREE
    assert len(set(chains.started)) == len(chains.started)


def test_those_with_a_rate_come_last() -> None:
    """What waits for another limit does not use its rate up, and cannot begin too late for it."""
    given = {"rate": Limit(rate=1), "room": Limit(concurrency=1)}
    limits = Limits(given, time.time_ns, lambda *_: None)
    started: list[str] = []
    first = limits.acquire_all(("rate", "room"), None, lambda: started.append("first"))
    limits.acquire_all(("rate", "room"), None, lambda: started.append("second"))
    assert limits.usage == {"rate": (1, 0), "room": (1, 1)}
    first.release()  # it never began
    assert started == ["first", "second"]
    assert not limits.has_rate("room")
    assert limits.has_rate(("room", "rate"))


def test_a_limit_that_is_named_twice_counts_once() -> None:
    chains = Chains()
    chains.acquire(1, "a", "b", "a")
    assert (chains.started, chains.usage) == ([1], ((1, 0), (1, 0)))
    chains.acquire(2, "a", "a")
    chains.release(1)
    assert (chains.started, chains.usage) == ([1, 2], ((1, 0), (0, 0)))
    chains.release(2)
    assert chains.usage == FREE
