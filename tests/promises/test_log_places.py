"""Log records say where they were made: job, run, key and action, by whatever logger."""

from __future__ import annotations

import asyncio
import copy
import logging
import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from tests.inside import runs_of
from tests.patience import PATIENCE
from tests.promises.support import COROUTINE, OFF, PLAIN

from perdure import Agent, InputEvent, LocalEngine, RetryPolicy
from perdure.log_lines import PLACE, PLACES

SHOP = logging.getLogger("shop.of.tests")
Where = tuple[Any, Any, Any, Any]


class Records(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(record)

    def of(self, message: str) -> list[Where]:
        return [where(each) for each in self.seen if each.getMessage() == message]


def where(record: logging.LogRecord) -> Where:
    found = vars(record)
    return found.get("job"), found.get("run"), found.get("key"), found.get("action")


@pytest.fixture
def records() -> Iterator[Records]:
    handler, root = Records(), logging.getLogger()
    root.addHandler(handler)
    SHOP.setLevel(logging.INFO)
    logging.getLogger("perdure.run").setLevel(logging.INFO)
    yield handler
    logging.getLogger("perdure.run").setLevel(logging.NOTSET)
    root.removeHandler(handler)


async def says(what: str) -> str:
    SHOP.info(what)
    await asyncio.sleep(0)
    await asyncio.create_task(says_later(what))
    return what


async def says_later(what: str) -> None:
    SHOP.info(what)


def says_plainly(what: str) -> str:
    SHOP.info(what)
    return what


FAILED: list[str] = []


def says_at_last(what: str) -> str:
    SHOP.info(what)
    if len(FAILED) < 2:
        FAILED.append(what)
        raise ConnectionError
    return what


async def act(event: Any, ctx: Any) -> None:
    SHOP.info("begins")
    ctx.logger.info("by the context")
    await ctx.durable_execute_async(says, "coroutine")
    SHOP.info("goes on")
    await ctx.durable_execute_async(says_plainly, "thread")
    limited = ctx.with_options(
        limit="one", retry=RetryPolicy(max_attempts=3, initial_interval=0.01)
    )
    await limited.durable_execute_async(says_at_last, "retried")
    await ctx.sleep(0.01)
    await asyncio.gather(*(limited.durable_execute_async(says, f"limited {n}") for n in range(3)))
    await asyncio.create_task(says_later("own task"))


def act_plainly(event: Any, ctx: Any) -> None:
    SHOP.info("begins")
    ctx.logger.info("by the context")
    ctx.durable_execute_async(says, "coroutine").result()
    SHOP.info("goes on")
    ctx.durable_execute_async(says_plainly, "thread").result()
    limited = ctx.with_options(
        limit="one", retry=RetryPolicy(max_attempts=3, initial_interval=0.01)
    )
    limited.durable_execute_async(says_at_last, "retried").result()


@pytest.mark.parametrize("kind", [COROUTINE, PLAIN, OFF])
def test_records_of_actions_and_their_calls_say_where_they_were_made(
    kind: str, records: Records
) -> None:
    FAILED.clear()
    agent = Agent().add_action("act", InputEvent, act if kind == COROUTINE else act_plainly)
    config = {"limits": {"one": {"concurrency": 1}}}
    if kind == OFF:
        config["continuations"] = "off"  # type: ignore[assignment]

    async def main() -> dict[str, str]:
        async with LocalEngine("memory://", job="shop", config=config).open(agent) as job:
            runs = [await job.submit(n, key=key) for n, key in enumerate(["a", 7, ["b", "\x1b"]])]
            async with asyncio.timeout(PATIENCE):
                for run in runs:
                    await run.wait()
            return {run.id: run.status.value for run in runs}

    ended = asyncio.run(main())
    assert set(ended.values()) == {"completed"}
    places = [("shop", run, key, "act")
              for run, key in zip(ended, ["a", 7, '["b", "\\u001b"]'], strict=True)]  # fmt: skip
    for message, times in {
        "begins": 1, "by the context": 1, "coroutine": 2, "goes on": 1, "thread": 1,
        **({"own task": 1, "limited 0": 2, "limited 2": 2} if kind == COROUTINE else {}),
    }.items():  # fmt: skip
        assert sorted(records.of(message), key=str) == sorted(places * times, key=str), message
    retried = records.of("retried")
    assert len(retried) == 5  # two failed, of whichever run
    assert set(map(str, retried)) == set(map(str, places))


async def record_of_gate(gate: asyncio.Event) -> None:
    await gate.wait()


def test_calls_that_a_replay_puts_off_say_it_too(records: Records, tmp_path: Any) -> None:
    async def waits(event: Any, ctx: Any) -> None:
        first = ctx.durable_execute_async(says, "first")
        second = ctx.durable_execute_async(hangs, "second")
        await first
        await second

    async def hangs(what: str) -> None:
        SHOP.info(what)
        if not is_again:
            await asyncio.Event().wait()

    async def main() -> None:
        nonlocal is_again
        agent = Agent().add_action("act", InputEvent, waits)
        engine = LocalEngine(f"sqlite:///{tmp_path}/s.db", job="shop")
        try:
            async with asyncio.timeout(PATIENCE), engine.open(agent) as job:
                await job.submit(1, key="a", id="x")
                while not records.of("first") or not records.of("second"):
                    await asyncio.sleep(0.01)
                await asyncio.sleep(0.1)  # the first call's outcome, mostly; either way it holds
                runs_of(job).drop_all()
                job.stop_now()
                await job.drain()
        except Exception:
            pass
        is_again = True
        async with asyncio.timeout(PATIENCE), engine.open(agent) as job:
            await job.run("x").wait()

    is_again = False
    asyncio.run(main())
    assert set(records.of("second")) == {("shop", "r1", "a", "act")}
    assert len(records.of("second")) == 2


def test_what_perdure_says_of_a_run_says_whose_it_is(records: Records) -> None:
    async def fails(event: Any, ctx: Any) -> None:
        raise ValueError("no")

    async def main() -> None:
        agent = Agent().add_action("act\x1b", InputEvent, fails)
        async with LocalEngine("memory://", job="shop").open(agent) as job:
            await (await job.submit(1, key="a\x1b[31m")).wait()

    asyncio.run(main())
    (failure,) = [each for each in records.seen if each.name == "perdure"]
    assert where(failure) == ("shop", "r1", "a\\x1b[31m", "act\\x1b")


def test_an_extra_of_the_same_name_is_kept(records: Records) -> None:
    async def logs(event: Any, ctx: Any) -> None:
        SHOP.info("own", extra={"run": "mine", "shelf": 7})
        ctx.logger.info("own", extra={"action": "mine"})
        with pytest.raises(KeyError, match="overwrite"):
            SHOP.info("refused", extra={"message": 1})  # as outside of actions

    async def main() -> None:
        agent = Agent().add_action("act", InputEvent, logs)
        async with LocalEngine("memory://", job="shop").open(agent) as job:
            run = await job.submit(1, key="a")
            assert (await run.wait()).value == "completed"

    asyncio.run(main())
    first, second = (each for each in records.seen if each.getMessage() == "own")
    assert where(first) == ("shop", "mine", "a", "act")
    assert first.shelf == 7  # type: ignore[attr-defined]
    assert where(second) == ("shop", "r1", "a", "mine")
    for made in (copy.copy(first), pickle.loads(pickle.dumps(first))):
        assert where(made) == where(first)
    assert logging.Formatter("%(run)s %(key)s").format(first) == "mine a"


def test_records_made_elsewhere_are_as_ever_and_the_factory_is_put_back(records: Records) -> None:
    before = logging.getLogRecordFactory()

    async def main() -> None:
        agent = Agent().add_action("act", InputEvent, act_plainly)
        config = {"limits": {"one": {"concurrency": 1}}}
        engine = LocalEngine("memory://", job="shop", config=config)
        async with engine.open(agent) as job, LocalEngine("memory://", job="b").open(agent):
            SHOP.info("outside")
            await (await job.submit(1, key="a")).wait()
            SHOP.info("outside")
            assert PLACE.get() is None
            assert logging.getLogRecordFactory() is not before

    asyncio.run(main())
    assert records.of("outside") == [(None,) * 4] * 2
    assert logging.getLogRecordFactory() == before


def test_a_factory_that_was_put_around_it_stays() -> None:
    before = logging.getLogRecordFactory()
    PLACES.begin()
    ours = logging.getLogRecordFactory()

    def around(*args: Any, **kwargs: Any) -> logging.LogRecord:
        return ours(*args, **kwargs)

    logging.setLogRecordFactory(around)
    try:
        PLACES.end()
        assert logging.getLogRecordFactory() is around
        PLACES.begin()  # it goes on through the one around it, and not around itself
        record = logging.getLogger("x").makeRecord("x", 20, "f", 1, "m", (), None)
        assert record.getMessage() == "m"
        PLACES.end()
    finally:
        logging.setLogRecordFactory(before)
