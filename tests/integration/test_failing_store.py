"""A store that fails at random: nothing is lost, doubled or out of order (G1, G4, G15, G25)."""

from __future__ import annotations

import asyncio
import collections
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from tests.patience import PATIENCE

from perdure import Agent, Event, InputEvent, LocalEngine, Output, OutputEvent, StoreError, action
from perdure.runtime.shared import backoff
from perdure.store import group_commit
from perdure.store.base import Row
from perdure.store.sqlite.store import SqliteStore

FAILURES = 40


async def lookup(key: int, part: int) -> int:
    await asyncio.sleep(0.001 * (key % 5))
    return key * 10 + part


class TwoSteps(Agent):
    @action(InputEvent)
    async def first(self, event, ctx):
        number = event.input["n"]
        calls = [ctx.durable_execute_async(lookup, number, part) for part in range(3)]
        results = await asyncio.gather(*calls)
        ctx.short_term_memory.update("runs", lambda count: (count or 0) + 1)
        ctx.send_event(Event(type="second", attributes={"results": results, "n": number}))

    @action("second")
    async def second(self, event, ctx):
        last = await ctx.durable_execute_async(lookup, event.attributes["n"], 7)
        count = ctx.short_term_memory.get("runs")
        ctx.send_event(OutputEvent(output=[*event.attributes["results"], last, count]))


def fail_at_random(monkeypatch: pytest.MonkeyPatch, rng: random.Random) -> list[str]:
    """Make every fourth commit fail, half of them after the rows were written."""
    monkeypatch.setattr(group_commit, "LONGEST_WAIT", 0.2)  # failures in a row take no minutes
    monkeypatch.setattr(backoff, "BACKOFF_SECONDS", (0.05, 0.2))
    monkeypatch.setattr(group_commit, "LONGEST_WAIT", 0.1)  # or it waits 10 s most of the times
    commit = SqliteStore.commit
    failed: list[str] = []

    def failing(store: SqliteStore, rows: Sequence[Row]) -> asyncio.Future[None]:
        if len(failed) >= FAILURES or rng.random() > 0.25:
            return commit(store, rows)
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        error = StoreError("disk full")
        if rng.random() < 0.5:
            failed.append("written")  # as a list: nobody hears that they are durable
            commit(store, list(rows)).add_done_callback(lambda _: answer.set_exception(error))
        else:
            failed.append("lost")
            asyncio.get_running_loop().call_soon(answer.set_exception, error)
        return answer

    monkeypatch.setattr(SqliteStore, "commit", failing)
    return failed


@pytest.mark.parametrize("seed", range(6))
def test_g25_random_failures_lose_and_double_nothing(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = fail_at_random(monkeypatch, random.Random(seed))
    delivered: list[Output] = []
    inputs = [{"id": f"k{n % 20}", "n": n} for n in range(100)]
    engine = LocalEngine(store=f"sqlite:///{tmp_path}/s.db", job="failing")
    outputs = engine.run(TwoSteps(), inputs, key="id", sink=delivered.append)

    assert {"written", "lost"} <= set(failed)
    by_key = collections.defaultdict(list)
    for output in outputs:
        by_key[output.key].append(output.value)
    for key, values in by_key.items():
        numbers = [n for n in range(100) if f"k{n % 20}" == key]
        assert values == [
            [n * 10, n * 10 + 1, n * 10 + 2, n * 10 + 7, count]
            for count, n in enumerate(numbers, 1)
        ]
    assert len(by_key) == 20
    assert [output.id for output in delivered] == [output.id for output in outputs]


def test_g25_a_run_whose_admission_only_seemed_to_fail_is_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = SqliteStore.commit
    engine = LocalEngine(store=f"sqlite:///{tmp_path}/s.db")

    def written_but_failed(store: SqliteStore, rows: Sequence[Row]) -> asyncio.Future[None]:
        monkeypatch.setattr(SqliteStore, "commit", commit)
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        error = StoreError("the answer was lost")
        commit(store, list(rows)).add_done_callback(lambda _: answer.set_exception(error))
        return answer

    async def submit() -> None:
        async with engine.open(TwoSteps()) as job:
            monkeypatch.setattr(SqliteStore, "commit", written_but_failed)
            with pytest.raises(StoreError, match="the answer was lost"):
                await job.submit({"n": 7}, key="k")
            async with asyncio.timeout(PATIENCE):
                while not job.progress.completed:
                    await asyncio.sleep(0.01)

    asyncio.run(submit())
    assert [run.input for run in engine.runs()] == [{"n": 7}]
