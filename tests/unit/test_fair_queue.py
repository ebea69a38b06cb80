"""FairQueue: first in, first out within a key, turns between keys."""

from __future__ import annotations

import gc
import time
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.executor.fair_queue import FairQueue

KEYS = st.sampled_from("abcd")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("push"), KEYS),
        st.tuples(st.just("pop"), KEYS),
        st.tuples(st.just("remove"), st.integers(0, 30)),
    ),
    max_size=60,
)


def drain(waiting: FairQueue[Any, Any]) -> list[Any]:
    return [waiting.pop() for _ in range(len(waiting))]


def test_keys_take_turns_and_a_key_keeps_its_order() -> None:
    waiting: FairQueue[str, str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1", "c1", "c2"):
        waiting.push(item[0], item)
    assert drain(waiting) == ["a1", "b1", "c1", "a2", "c2", "a3"]


def test_a_key_that_comes_back_joins_the_round_at_its_end() -> None:
    waiting: FairQueue[str, str] = FairQueue()
    for item in ("a1", "b1", "c1"):
        waiting.push(item[0], item)
    assert waiting.pop() == "a1"
    waiting.push("a", "a2")
    assert drain(waiting) == ["b1", "c1", "a2"]


def test_what_is_removed_never_comes_out() -> None:
    waiting: FairQueue[str, str] = FairQueue()
    for item in ("a1", "a2", "a3", "b1"):
        waiting.push(item[0], item)
    assert waiting.remove("a", "a2")
    assert waiting.remove("b", "b1")
    assert not waiting.remove("b", "b1")
    assert not waiting.remove("b", "a1")  # waits, under another key
    assert len(waiting) == 2
    assert drain(waiting) == ["a1", "a3"]


def test_misuse_is_refused_and_changes_nothing() -> None:
    waiting: FairQueue[str, str] = FairQueue()
    with pytest.raises(IndexError, match="nothing waits"):
        waiting.pop()
    waiting.push("a", "a1")
    with pytest.raises(ValueError, match="waits under 'a' already"):
        waiting.push("a", "a1")
    assert len(waiting) == 1
    assert drain(waiting) == ["a1"]


def test_nothing_is_kept_of_what_has_left() -> None:
    class Item:
        pass

    waiting: FairQueue[Item, Item] = FairQueue()
    left = []
    for n in range(4):
        key, item = Item(), Item()
        waiting.push(key, item)
        left += [weakref.ref(key), weakref.ref(item)]
        if n % 2:
            waiting.remove(key, item)
        else:
            waiting.pop()
        del key, item
    gc.collect()
    assert [ref() for ref in left] == [None] * 8


def cost_of_a_step(length: int, keys: int) -> float:
    waiting: FairQueue[int, int] = FairQueue()
    began = time.process_time()
    for n in range(length):
        waiting.push(n % keys, n)
    for n in range(0, length, 2):
        assert waiting.remove(n % keys, n)
    assert drain(waiting) == list(range(1, length, 2))
    return (time.process_time() - began) / length


@pytest.mark.parametrize("keys", [1, 100_000])
def test_a_long_queue_is_as_fast_as_a_short_one(keys: int) -> None:
    short = min(cost_of_a_step(1_000, keys) for _ in range(20))
    # Where one step is O(n) it is a hundred times as much.
    assert cost_of_a_step(100_000, keys) < 20 * short


@given(STEPS)
def test_every_item_comes_out_once_in_its_turn(steps: list[tuple[str, Any]]) -> None:
    waiting: FairQueue[str, int] = FairQueue()
    lanes: dict[str, list[int]] = {}
    # For each key that waits, the keys that came out since its item before, or since it waits.
    passed: dict[str, list[str]] = {}
    count = 0

    def pop() -> None:
        item = waiting.pop()
        key = next(key for key, lane in lanes.items() if lane[0] == item)
        del lanes[key][0]
        passed[key] = []
        if not lanes[key]:
            del lanes[key], passed[key]
        for other, seen in passed.items():
            if other != key:
                assert key not in seen, f"{key} had two turns while {other} waited"
                seen.append(key)

    for step, value in steps:
        if step == "push":
            waiting.push(value, count)
            lanes.setdefault(value, []).append(count)
            passed.setdefault(value, [])
            count += 1
        elif step == "remove":
            key = next((key for key, lane in lanes.items() if value in lane), "a")
            assert waiting.remove(key, value) == (value in lanes.get(key, ()))
            if value in lanes.get(key, ()):
                lanes[key].remove(value)
                if not lanes[key]:
                    del lanes[key], passed[key]
        elif lanes:
            pop()
        assert len(waiting) == sum(map(len, lanes.values()))
    while lanes:
        pop()
    assert len(waiting) == 0
