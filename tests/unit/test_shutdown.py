"""What ends the process, looked for in groups of any form."""

from __future__ import annotations

import pytest

from perdure.executor.shutdown import ends_process, what_ends


def many_ways_down(bottom: BaseException) -> BaseException:
    error = bottom
    for _ in range(40):
        error = BaseExceptionGroup("g", [error, error])  # 2**40 of them
    return error


@pytest.mark.parametrize("bottom", [ValueError("v"), SystemExit(1), KeyboardInterrupt()])
def test_a_group_that_is_held_often_is_looked_at_once(bottom: BaseException) -> None:
    group = many_ways_down(bottom)
    is_end = isinstance(bottom, KeyboardInterrupt)
    assert ends_process(group) is is_end
    assert what_ends(group) is (bottom if is_end else group)


def test_the_first_of_a_group_that_ends_the_process_is_raised() -> None:
    first, second = KeyboardInterrupt("first"), KeyboardInterrupt("second")
    inner = BaseExceptionGroup("h", [ValueError("v"), first])
    assert what_ends(BaseExceptionGroup("g", [inner, second])) is first
