"""The garbage collector's threshold while jobs are open."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from perdure import Agent, InputEvent, LocalEngine
from perdure.runtime.shared.collector import OBJECTS_OF_RUN, YOUNG_OBJECTS, Collector


@pytest.fixture(autouse=True)
def thresholds() -> Iterator[None]:
    before = gc.get_threshold()
    gc.set_threshold(700, 10, 10)
    yield
    gc.set_threshold(*before)


def test_it_grows_with_the_runs_in_flight_and_comes_back() -> None:
    one, other = Collector(), Collector()
    one.relax()
    other.relax()
    one.expect(1_000)
    assert gc.get_threshold()[0] == YOUNG_OBJECTS
    one.expect(1_001)
    grown = gc.get_threshold()[0]
    assert grown == YOUNG_OBJECTS + 2_002 * OBJECTS_OF_RUN
    other.expect(1_500)  # with less than is reckoned with
    one.expect(2_002)
    assert gc.get_threshold()[0] == grown
    one.restore()
    one.restore()  # closed again: the other job is still open
    assert gc.get_threshold()[0] == grown
    other.expect(2_003)
    assert gc.get_threshold()[0] == YOUNG_OBJECTS + 4_006 * OBJECTS_OF_RUN
    other.restore()
    assert gc.get_threshold() == (700, 10, 10)


@pytest.mark.parametrize("chosen", [(0, 10, 10), (1_000_000, 5, 5)], ids=["off", "higher"])
def test_what_the_application_has_chosen_stays(chosen: tuple[int, int, int]) -> None:
    gc.set_threshold(*chosen)
    collector = Collector()
    collector.relax()
    collector.expect(5_000)
    assert gc.get_threshold() == chosen
    collector.restore()
    assert gc.get_threshold() == chosen


@pytest.mark.parametrize(("option", "young"), [("tuned", YOUNG_OBJECTS), ("untouched", 700)])
def test_an_option_leaves_the_collector_alone(option: str, young: int) -> None:
    async def main() -> None:
        engine = LocalEngine("memory://", config={"garbage-collector": option})
        async with engine.open(Agent().add_action("go", InputEvent, lambda event, ctx: None)):
            assert gc.get_threshold()[0] == young

    asyncio.run(main())
    assert gc.get_threshold() == (700, 10, 10)
