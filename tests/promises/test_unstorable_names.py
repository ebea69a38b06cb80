"""Names that no store can keep, which have half of a character, are refused where given."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.promises.legs import SECONDS, Legs, agent_for, go
from tests.promises.support import State, echo

from perdure import (
    Agent,
    AgentDefinitionError,
    ConfigurationError,
    InputEvent,
    JsonlSink,
    JsonlSource,
    LocalEngine,
    OutputEvent,
    durable,
)
from perdure.connectors.iterable import IterableSource, ListSink

HALF = "caf\udce9"  # of a file name that is no UTF-8
GIVEN: dict[str, Callable[[Any], Any]] = {
    "a signal that is waited for": lambda ctx: ctx.wait_for_signal(HALF),
    "one in time": lambda ctx: ctx.wait_for_signal(HALF, timeout=3600),
    "an approval": lambda ctx: ctx.wait_for_approval(HALF),
    "a call": lambda ctx: ctx.durable_execute_async(echo, 1, durable_id=HALF),
    "calls": lambda ctx: ctx.with_options(durable_id=HALF),
    "a place in short-term memory": lambda ctx: ctx.short_term_memory.set(HALF, 1),
    "an object in it": lambda ctx: ctx.short_term_memory.new_object(f"a.{HALF}"),
    "a place in sensory memory": lambda ctx: ctx.sensory_memory.set(HALF, 1),
    "a set of long-term memory": lambda ctx: ctx.long_term_memory.get_memory_set(HALF),
}
TAKEN: dict[str, Callable[[Any], Any]] = {
    "a question": lambda ctx: ctx.wait_for_approval("ask", HALF, timeout=0.0001),
    "a status": lambda ctx: ctx.set_status(HALF),
    "an entry of it": lambda ctx: ctx.set_status(1, entry=(HALF, HALF)),
    "an argument": lambda ctx: ctx.durable_execute_async(echo, HALF),
    "an older name": lambda ctx: ctx.with_options(durable_aliases=(HALF,)),
    "a line": lambda ctx: ctx.logger.info("%s", HALF),
    "a key": lambda ctx: ctx.submit("end", key=HALF),
}


def tries(given: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """Return steps of an action that gives something, and says what came of it."""

    def steps(event: Any, ctx: Any) -> Any:
        if event.input == "end":
            return
        try:
            call = given(ctx)
        except (ConfigurationError, ValueError) as error:
            ctx.send_event(OutputEvent(output=f"refused: {error}"))
            return
        if hasattr(call, "__await__"):
            try:
                yield call
            except TimeoutError:
                State.calls.append("in time")
        ctx.send_event(OutputEvent(output="taken"))

    return steps


def said(given: Callable[[Any], Any], kind: str, store: str) -> str:
    found: list[str] = []

    async def test() -> None:
        async with Legs(store, kind).opened(agent_for(kind, tries(given))) as job:
            run = await job.submit({}, key="a")
            (output,) = await asyncio.wait_for(run.outputs(), SECONDS)
            found.append(output.value)

    go(test)
    return found[0]


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
def test_g25_a_name_that_no_store_can_keep_is_refused_in_the_action(
    given: Callable[[Any], Any], kind: str, store: str
) -> None:
    answer = said(given, kind, store)
    assert answer.startswith("refused: ")
    assert "half of a character (a lone surrogate)" in answer
    assert "caf\\udce9" in answer


@pytest.mark.parametrize("given", TAKEN.values(), ids=TAKEN)
def test_g25_what_is_no_name_in_a_store_is_taken(
    given: Callable[[Any], Any], kind: str, store: str
) -> None:
    assert said(given, kind, store) == "taken"


def waits(event: Any, ctx: Any) -> Any:
    yield ctx.wait_for_signal("go")


def test_g25_signals_by_such_a_name_are_refused(sqlite: str) -> None:
    async def test() -> None:
        legs = Legs(sqlite)
        async with legs.opened(agent_for("coroutine", waits)) as job:
            run = await job.submit({}, key="a")
            with pytest.raises(ConfigurationError, match="half of a character"):
                await run.signal(HALF, 1)
            with pytest.raises(ConfigurationError, match="half of a character"):
                legs.engine.signal(run.id, HALF, 1)
            await run.signal("go", 1)

    go(test)


async def does_nothing(event: Any, ctx: Any) -> None:
    return


@pytest.mark.parametrize("what", ["an iterable", "a file"])
def test_g25_sources_and_sinks_have_names_that_a_store_can_keep(
    what: str, store: str, tmp_path: Path
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text("1\n")
    agent = Agent().add_action("go", InputEvent, does_nothing)
    source = JsonlSource(path, name=HALF) if what == "a file" else IterableSource([1], name=HALF)
    with pytest.raises(ConfigurationError, match="a source cannot be named 'caf\\\\udce9'"):
        LocalEngine(store).run(agent, source, key=str)
    sink = JsonlSink(tmp_path / "out", name=HALF) if what == "a file" else ListSink(name=HALF)
    with pytest.raises(ConfigurationError, match="a sink cannot be named 'caf\\\\udce9'"):
        LocalEngine(store).run(agent, [1], key=str, sink=sink)


@pytest.mark.parametrize("name", [5, b"a", True])
def test_what_is_no_text_is_no_name_of_a_source_or_a_sink(name: Any, store: str) -> None:
    agent = Agent().add_action("go", InputEvent, does_nothing)
    with pytest.raises(ConfigurationError, match=f"a source cannot be named {name!r}: give a text"):
        LocalEngine(store).run(agent, IterableSource([1], name=name), key=str)
    with pytest.raises(ConfigurationError, match=f"a sink cannot be named {name!r}: give a text"):
        LocalEngine(store).run(agent, [1], key=str, sink=ListSink(name=name))


def test_g25_jobs_actions_and_callables_have_such_names(store: str) -> None:
    agent = Agent().add_action("go", InputEvent, does_nothing)
    with pytest.raises(ConfigurationError, match="a job cannot be named 'caf\\\\udce9'"):
        LocalEngine(store, job=HALF).run(agent, [1], key=str)
    with pytest.raises(AgentDefinitionError, match="an action cannot be named"):
        Agent().add_action(HALF, InputEvent, does_nothing)
    with pytest.raises(ConfigurationError, match="no name of a durable call"):
        durable(id=HALF)
