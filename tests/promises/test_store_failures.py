"""G25: a commit that failed, or that only looked as if it had, is not an outcome."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from tests.promises.legs import all_wait, has_kind, until
from tests.promises.support import (
    COROUTINE,
    SECONDS,
    State,
    agent_of,
    config_of,
    echo,
    hold,
    out,
    pick,
    run,
    values,
)

from perdure import LocalEngine, Output, StoreError
from perdure.connectors.base import Source, SourceItem
from perdure.journal.record import Record, RecordKind
from perdure.store.base import OutputRow, Row, RunRow
from perdure.store.sqlite.store import SqliteStore


class Trouble:
    """Makes commits fail, before they are written or after.

    Args:
        wanted: says of a commit's rows whether it should fail.
        times: how often.
        after: it is written all the same: nobody can know.
        error: what is raised; an interrupt only where one can be, on the main thread.
    """

    def __init__(
        self,
        wanted: Callable[[Sequence[Row]], bool],
        times: int = 1,
        *,
        after: bool = False,
        error: BaseException | None = None,
    ) -> None:
        self.wanted, self.left, self.after = wanted, times, after
        self.error = error or sqlite3.OperationalError("disk I/O error")
        self.failed = 0
        self.written: Counter[Any] = Counter()  # the calls whose outcomes are durable

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = SqliteStore._write

        def write(store: SqliteStore, rows: Sequence[Row], patient: bool) -> None:
            failing = self.left > 0 and self.may_raise and self.wanted(rows)
            if self.after or not failing:
                real(store, rows, patient)
                self.written.update(row[:4] for row in rows if is_result(row))
            if failing:
                self.left -= 1
                self.failed += 1
                raise self.error

        monkeypatch.setattr(SqliteStore, "_write", write)

    @property
    def may_raise(self) -> bool:
        is_main = threading.current_thread() is threading.main_thread()
        return is_main or isinstance(self.error, Exception)


def is_result(row: Row) -> bool:
    return isinstance(row, Record) and row.kind == RecordKind.RESULT


def has_type(cls: type) -> Callable[[Sequence[Row]], bool]:
    return lambda rows: any(isinstance(row, cls) for row in rows)


seen: list[Any] = []


async def two_calls(event: Any, ctx: Any) -> None:
    k = event.input["k"]
    first = await ctx.durable_execute_async(echo, f"{k}1")
    seen.append(first)
    second = await ctx.durable_execute_async(echo, f"{k}2")
    ctx.short_term_memory.update("n", lambda n: (n or 0) + 1)
    out(ctx, [first, second, ctx.short_term_memory.get("n")])


def two_calls_plain(event: Any, ctx: Any) -> None:
    k = event.input["k"]
    first = ctx.durable_execute_async(echo, f"{k}1").result()
    seen.append(first)
    second = ctx.durable_execute_async(echo, f"{k}2").result()
    ctx.short_term_memory.update("n", lambda n: (n or 0) + 1)
    out(ctx, [first, second, ctx.short_term_memory.get("n")])


INPUTS = [{"k": k} for k in "ababc"]
EXPECTED = {"a": [1, 2], "b": [1, 2], "c": [1]}
PLACES = {
    "admission": has_type(RunRow),
    "outcome": has_kind(RecordKind.RESULT),
    "completion": has_kind(RecordKind.COMPLETED),
    "any": lambda rows: bool(rows),
}


def check(results: list[Any]) -> None:
    for k, counts in EXPECTED.items():
        mine = [value for value in results if value[0] == f"{k}1"]
        assert mine == [[f"{k}1", f"{k}2", n] for n in counts]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_g25_the_job_goes_on_when_the_store_does(
    place: str, after: bool, kind: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Trouble(PLACES[place], times=3, after=after)
    trouble.install(monkeypatch)
    agent = pick(kind, two_calls, two_calls_plain)
    check(run(agent, INPUTS, store=store, config=config_of(kind)))
    # A commit that was written all the same is not made again.
    assert trouble.failed == 3 or after
    if place == "completion":
        # What was durable is not executed again. A failed commit costs each run that is under way,
        # one of a key, the outcome that it was about to have at most.
        assert len(trouble.written) == trouble.written.total() == 10
        assert 10 <= len(State.calls) <= 10 + trouble.failed * len(EXPECTED)


def test_g25_no_action_acts_on_an_outcome_that_is_not_durable(
    kind: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen.clear()
    acted: list[int] = []

    def first_outcome(rows: Sequence[Row]) -> bool:
        failing = has_kind(RecordKind.RESULT)(rows)
        if failing:
            acted.append(len(seen))
        return failing

    Trouble(first_outcome, times=4).install(monkeypatch)
    agent = pick(kind, two_calls, two_calls_plain)
    run(agent, [{"k": "a"}], store=store, config=config_of(kind))
    assert acted == [0] * 4
    assert State.calls == ["a1"] * 5 + ["a2"]


@pytest.mark.parametrize("place", ["outcome", "completion", "any"])
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_g25_an_interrupt_in_the_middle_of_a_commit_ends_the_job_and_loses_nothing(
    place: str, after: bool, kind: str, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second Ctrl-C is raised wherever the main thread is, which is where commits are made."""
    agent = pick(kind, two_calls, two_calls_plain)
    trouble = Trouble(PLACES[place], after=after, error=KeyboardInterrupt())
    with monkeypatch.context() as patched:
        trouble.install(patched)
        with pytest.raises(KeyboardInterrupt):
            run(agent, [{"k": "a"}], store=sqlite, config=config_of(kind), id="k")
    assert trouble.failed == 1
    assert run(agent, [{"k": "a"}], store=sqlite, config=config_of(kind), id="k") in (
        [["a1", "a2", 1]],
        [],  # it had ended
    )
    assert len(State.calls) <= 3


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_g25_g4_a_callable_sink_has_every_output_once_the_store_answers(
    after: bool, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Trouble(has_type(OutputRow), times=3, after=after).install(monkeypatch)
    delivered: list[Output] = []
    agent = agent_of(two_calls)
    results = run(agent, INPUTS, store=store, sink=delivered.append)
    check(results)
    check(values(delivered))


class SlowSource(Source):
    """Gives an input, and the next ones only when what it waits for has happened."""

    name = "slow"

    def __init__(self, wait: Callable[[int], Awaitable[None]]) -> None:
        self._wait = wait

    async def open(self) -> AsyncGenerator[SourceItem, None]:
        for n in range(3):
            await self._wait(n)
            yield SourceItem(n, {"k": "a", "n": n})


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("times", [1, 3])
def test_g1_g25_inputs_of_a_slow_source_keep_their_order(
    after: bool, times: int, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next input comes while the one before is still lost."""
    trouble = Trouble(has_type(RunRow), times=times, after=after)
    trouble.install(monkeypatch)

    async def wait(n: int) -> None:
        while n and not trouble.failed:
            await asyncio.sleep(0.001)

    async def tells(event: Any, ctx: Any) -> None:
        out(ctx, event.input["n"])

    assert run(agent_of(tells), SlowSource(wait), store=store) == [0, 1, 2]
    assert trouble.failed == times or after


def test_g25_a_lost_input_is_admitted_though_its_source_gives_no_other(
    store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Trouble(has_type(RunRow), times=2).install(monkeypatch)
    told = asyncio.Event()

    async def wait(n: int) -> None:
        if n:
            await asyncio.wait_for(told.wait(), SECONDS)

    async def tells(event: Any, ctx: Any) -> None:
        told.set()
        out(ctx, event.input["n"])

    assert run(agent_of(tells), SlowSource(wait), store=store) == [0, 1, 2]


@pytest.mark.parametrize("where", ["executing", "queued", "out of memory"])
@pytest.mark.parametrize("by", ["run.signal", "another process"])
def test_g25_a_signal_that_only_seemed_to_be_lost_reaches_its_run(
    by: str, where: str, kind: str, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody sends it again: who did was told that nobody knows, or is another process."""

    async def waits(event: Any, ctx: Any) -> None:
        if event.input == "first":
            await ctx.durable_execute_async(hold)
        else:
            out(ctx, await ctx.wait_for_signal("go"))

    def waits_plain(event: Any, ctx: Any) -> None:
        if event.input == "first":
            ctx.durable_execute_async(hold).result()
        else:
            out(ctx, ctx.wait_for_signal("go").result())

    async def go() -> list[Any]:
        config = config_of(kind, **({"max_runs_in_flight": 1} if where == "out of memory" else {}))
        engine = LocalEngine(sqlite, config=config)
        async with engine.open(pick(kind, waits, waits_plain)) as job:
            if where == "queued":
                await job.submit("first", key="a")
            others = [await job.submit("other", key=n) for n in range(2 * (where[0] == "o"))]
            run_ = await job.submit("it", key="a")
            if where != "queued":
                await all_wait([*others, run_])
            trouble = Trouble(has_kind(RecordKind.SIGNAL), after=True)
            trouble.install(monkeypatch)
            if by == "run.signal":
                with pytest.raises(StoreError, match="disk I/O error"):
                    await run_.signal("go", "sent")
            else:
                await asyncio.to_thread(engine.signal, run_.id, "go", "sent")
                await until(lambda: trouble.failed)
            State.gate.release()
            found = values(await asyncio.wait_for(run_.outputs(), SECONDS))
            for other in others:
                await other.cancel()
            return found

    assert asyncio.run(go()) == ["sent"]


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_g25_submit_raises_and_may_be_repeated_with_an_id(
    after: bool, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Trouble(has_type(RunRow), times=1, after=after).install(monkeypatch)

    async def go() -> list[Any]:
        async with LocalEngine(store).open(agent_of(two_calls)) as job:
            with pytest.raises(StoreError, match="disk I/O error"):
                await job.submit({"k": "a"}, key="a", id="one")
            run_ = await job.submit({"k": "a"}, key="a", id="one")
            again = await job.submit({"k": "a"}, key="a", id="one")
            assert again.id == run_.id
            return values(await asyncio.wait_for(run_.outputs(), SECONDS))

    assert asyncio.run(go()) == [["a1", "a2", 1]]


def test_g25_a_store_that_stays_away_does_not_spin(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    trouble = Trouble(has_kind(RecordKind.RESULT), times=10_000)
    trouble.install(monkeypatch)

    async def go() -> None:
        engine = LocalEngine(sqlite)
        running = asyncio.ensure_future(
            engine.run_async(agent_of(two_calls), [{"k": "a"}], key="k")
        )
        await asyncio.sleep(1.0)
        running.cancel()
        await asyncio.wait([running], timeout=SECONDS)
        assert running.cancelled()

    asyncio.run(go())
    assert 1 <= trouble.failed <= 30
    monkeypatch.undo()
    assert run(agent_of(two_calls), [{"k": "a"}], store=sqlite) == [["a1", "a2", 1]]


def test_g25_a_failed_read_back_is_tried_again(
    sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Trouble(has_kind(RecordKind.RESULT), times=2).install(monkeypatch)
    real = SqliteStore.records
    failures = [0]

    async def records(store: SqliteStore, runs: Any) -> Any:
        if failures[0]:
            failures[0] -= 1
            raise StoreError("away")
        return await real(store, runs)

    agent = pick(COROUTINE, two_calls, two_calls_plain)
    monkeypatch.setattr(SqliteStore, "records", records)

    async def go() -> list[Any]:
        engine = LocalEngine(sqlite)
        async with engine.open(agent) as job:
            failures[0] = 3
            run_ = await job.submit({"k": "a"}, key="a")
            return values(await asyncio.wait_for(run_.outputs(), SECONDS))

    assert asyncio.run(go()) == [["a1", "a2", 1]]
    assert failures[0] == 0
