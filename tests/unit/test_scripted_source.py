"""ScriptedSource: crash-and-resume in one list."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.action_driver import on_host

from perdure.agent.declaration import Agent
from perdure.connectors.base import SourceItem
from perdure.engine.local import LocalEngine
from perdure.errors import InputError
from perdure.event import InputEvent, OutputEvent
from perdure.testing.scripted_source import CRASH, Crash, ScriptedSource


async def read(source: ScriptedSource) -> tuple[list[Any], Crash | None]:
    items: list[SourceItem] = []
    reading = source.open()
    try:
        async for item in reading:
            items.append(item)
    except Crash as crash:
        return items, crash
    finally:
        await reading.aclose()
    return items, None


@on_host
async def test_each_reading_gets_one_crash_further() -> None:
    source = ScriptedSource(["a", CRASH, CRASH, "b", "c", CRASH])
    a, b, c = (SourceItem(n, value) for n, value in enumerate("abc"))
    for expected in ([a], [a], [a, b, c]):
        items, crash = await read(source)
        assert items == expected
        assert isinstance(crash, InputError)
        assert f"'scripted' crashed before input {len(expected)}" in str(crash)
    assert await read(source) == ([a, b, c], None)
    assert source.crashes == 3
    assert repr(CRASH) == "CRASH"


@on_host
async def test_a_reading_that_stops_before_a_crash_has_not_had_it() -> None:
    source = ScriptedSource(["a", CRASH])
    reading = source.open()
    await anext(reading)
    await reading.aclose()
    assert source.crashes == 0


@pytest.mark.parametrize("store", ["memory://", "sqlite:///{folder}/journal.db"])
def test_the_engine_handles_what_comes_before_a_crash_and_goes_on_after_it(
    store: str, tmp_path: Any
) -> None:
    made: list[int] = []

    async def double(value: int) -> int:
        made.append(value)
        return 2 * value

    async def act(event: InputEvent, ctx: Any) -> None:
        value = await ctx.durable_execute_async(double, event.input)
        ctx.send_event(OutputEvent(output=value))

    agent = Agent().add_action("act", [InputEvent], act)
    engine = LocalEngine(store.format(folder=tmp_path))
    source = ScriptedSource([1, 2, CRASH, 3, CRASH, 4])
    for handled in ([1, 2], [1, 2, 3]):
        with pytest.raises(Crash):
            engine.run(agent, source, key=lambda _: "k")
        assert made == handled
    outputs = engine.run(agent, source, key=lambda _: "k")
    assert [output.value for output in outputs] == [2, 4, 6, 8]
    assert made == [1, 2, 3, 4]
