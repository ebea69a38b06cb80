"""The order in which actions that have ended are completed."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from perdure.runtime.run.ended import EndedActions


def actions(*, resumed: bool = True) -> tuple[EndedActions[Any], list[Any]]:
    each = [SimpleNamespace(is_live=False, fetching=0) for _ in range(3)]
    return EndedActions({(0, str(n)): a for n, a in enumerate(each)}, resumed=resumed), each


def test_an_end_waits_for_an_earlier_action_that_reads_what_it_replays() -> None:
    ended, (first, second, third) = actions()
    second.fetching = 1
    ended.add(third)
    assert not ended
    ended.add(first)
    assert list(ended) == [first]
    ended.has_read()  # another outcome
    assert list(ended) == [first]
    second.fetching = 0
    ended.add(second)
    ended.has_read()
    assert list(ended) == [first, second, third]


@pytest.mark.parametrize(("resumed", "is_live"), [(True, True), (False, False)])
def test_no_end_waits_for_what_a_live_action_reads(resumed: bool, is_live: bool) -> None:
    ended, (first, second, _) = actions(resumed=resumed)
    first.is_live, first.fetching = is_live, 1
    ended.add(second)
    assert list(ended) == [second]


def test_what_waits_is_forgotten_with_the_others() -> None:
    ended, (first, second, _) = actions()
    first.fetching = 1
    ended.add(second)
    ended.clear()
    ended.has_read()
    assert not ended
