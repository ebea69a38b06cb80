"""Sets of runs and shares of keys: exact, in next to no memory."""

from __future__ import annotations

import tracemalloc
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from perdure.engine.key_share import KeyShare
from perdure.engine.run_set import RunSet


@given(first=st.integers(0, 1 << 50), numbers=st.lists(st.integers(0, 5_000)))
def test_it_is_a_set(first: int, numbers: list[int]) -> None:
    found = RunSet(first)
    seen: set[int] = set()
    for number in numbers:
        assert found.add(first + number) is (number not in seen)
        seen.add(number)
    assert len(found) == len(seen)
    assert list(found) == sorted(first + number for number in seen)
    for number in range(0, 5_100, 7):
        assert (first + number in found) is (number in seen)
    assert first - 1 not in found


def test_a_million_numbers_take_a_bit_each() -> None:
    tracemalloc.start()
    try:
        found = RunSet(1 << 40)
        for number in range(1 << 40, (1 << 40) + 1_000_000):
            found.add(number)
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(found) == 1_000_000
    assert size < 200_000


def test_a_number_far_away_takes_no_room_for_what_lies_between() -> None:
    tracemalloc.start()
    try:
        found = RunSet(1 << 40)
        numbers = [-(1 << 63), 0, (1 << 40) + 1, 10**15, (1 << 63) - 1]
        assert all(map(found.add, reversed(numbers)))
        assert not any(map(found.add, numbers))
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert list(found) == numbers
    assert all(number in found for number in numbers)
    assert 1 not in found
    assert size < 100_000


@given(st.lists(st.sampled_from(["a", "b", 1, True, None, (1, 2)]), min_size=20, max_size=200))
def test_a_share_of_nine_in_ten_is_always_noticed_and_one_below_eight_never(
    keys: list[object],
) -> None:
    share = KeyShare()
    for key in keys:
        share.add(key, "job")
    most = max(Counter((type(key), key) for key in keys).values())
    noticed = share.is_lopsided
    assert noticed or most < 0.9 * len(keys)
    assert not noticed or most >= 0.8 * len(keys)
