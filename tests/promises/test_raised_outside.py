"""G9, G15: what code of the user raises outside of an action's turns is an outcome as well."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.promises.support import ONE, agent_of, error_text, failures, out, run, values

from perdure import (
    Agent,
    EncodeError,
    Event,
    InputError,
    InputEvent,
    LocalEngine,
    RunStatus,
    SinkError,
)

KINDS = [GeneratorExit, SystemExit, BaseException, asyncio.CancelledError, LookupError]


@pytest.mark.parametrize("kind", KINDS)
def test_g15_whatever_an_update_raises_at_completion_fails_its_run(
    kind: type[BaseException], store: str
) -> None:
    async def go(event: Any, ctx: Any) -> None:
        times = 0

        def late(value: Any) -> Any:
            nonlocal times
            times += 1
            if times > 1:
                raise kind("late")
            return 1

        if event.input["k"] == "bad":
            ctx.short_term_memory.update("n", late)
        out(ctx, event.input["k"])

    failed = failures(agent_of(go), [{"k": "bad"}, {"k": "good"}], store=store)
    assert values(failed.outputs) == ["good"]
    said = "cancelled itself" if kind is asyncio.CancelledError else f"{kind.__name__}: late"
    assert said in error_text(failed)


@pytest.mark.parametrize("kind", KINDS)
def test_g9_whatever_the_class_of_an_event_raises_fails_its_run(
    kind: type[BaseException], store: str
) -> None:
    class Own(Event):
        @classmethod
        def from_event(cls, event: Event) -> Own:
            raise kind("no such event")

    async def go(event: Any, ctx: Any) -> None:
        ctx.send_event(Event(type="own", attributes={}))

    async def takes(event: Own, ctx: Any) -> None:
        raise AssertionError("without its event")

    Own.EVENT_TYPE = "own"
    agent = Agent().add_action("go", [InputEvent], go).add_action("takes", [Own], takes)
    said = "cancelled itself" if kind is asyncio.CancelledError else "no such event"
    assert said in error_text(failures(agent, ONE, store=store))


async def nothing(event: Any, ctx: Any) -> None:
    """Do nothing."""


@pytest.mark.parametrize("what", ["key", "id"])
@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_key_or_id_function_raises_is_an_error_of_its_input(
    kind: type[BaseException], what: str
) -> None:
    def bad(value: Any) -> Any:
        raise kind("of this one")

    with pytest.raises(InputError, match=f"the {what} function raised {kind.__name__}: of this"):
        run(agent_of(nothing), ONE, **{"key": "k", what: bad})


@dataclasses.dataclass
class Hostile:
    """Raises when its field is read."""

    kind: str
    field: int = 0

    def __getattribute__(self, name: str) -> Any:
        if name == "field":
            raise {each.__name__: each for each in KINDS}[self.kind]("not to be read")
        return object.__getattribute__(self, name)


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_a_value_raises_as_it_is_journaled_refuses_its_submission(
    kind: type[BaseException],
) -> None:
    async def submits() -> None:
        async with LocalEngine("memory://").open(agent_of(nothing)) as job:
            with pytest.raises(EncodeError, match=f"it raises {kind.__name__}: not to be read"):
                value = Hostile.__new__(Hostile)
                value.kind = kind.__name__
                await asyncio.wait_for(job.submit(value, key="k"), PATIENCE)
            await (await job.submit(1, key="k")).outputs()

    asyncio.run(submits())


async def cancelled() -> None:
    """Wait for what is cancelled, without being cancelled."""
    helper = asyncio.ensure_future(asyncio.sleep(PATIENCE))
    await asyncio.sleep(0)
    helper.cancel()
    await helper


async def sends(event: Any, ctx: Any) -> None:
    out(ctx, event.input)


def test_a_sink_that_ends_as_cancelled_is_an_error_of_the_sink() -> None:
    async def push(output: Any) -> None:
        await cancelled()

    async def main() -> None:
        driving = LocalEngine("memory://").run_async(agent_of(sends), ONE, key="k", sink=push)
        with pytest.raises(SinkError, match="sink 'callable' ended as cancelled, and nobody"):
            await asyncio.wait_for(driving, PATIENCE)

    asyncio.run(main())


def test_a_source_that_ends_as_cancelled_is_an_error_of_the_source(store: str) -> None:
    async def inputs() -> AsyncIterator[Any]:
        yield {"k": "a"}
        await cancelled()

    async def main() -> None:
        engine = LocalEngine(store)
        driving = engine.run_async(agent_of(sends), inputs(), key="k")
        with pytest.raises(InputError, match="source 'inputs' raised CancelledError where"):
            await asyncio.wait_for(driving, PATIENCE)
        assert [info.status for info in engine.runs()] == [RunStatus.COMPLETED]  # those before it

    asyncio.run(main())


def test_who_cancels_the_reading_of_a_source_cancels_it() -> None:
    async def inputs() -> AsyncIterator[Any]:
        await asyncio.sleep(PATIENCE)
        yield {"k": "a"}

    async def main() -> None:
        driving = asyncio.ensure_future(
            LocalEngine("memory://").run_async(agent_of(sends), inputs(), key="k")
        )
        await asyncio.sleep(0.01)
        driving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await driving

    asyncio.run(main())
