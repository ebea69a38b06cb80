"""Random agents, crashed at random commits until they are through (G3, G5, G6, G7, G12, G15).

Every call is given a digest of all that its action has seen so far, in the order in which it saw
it. So a replay that takes another branch, or settles in another order, makes a call that the
journal does not know, and the run fails with NonDeterminismError.
"""

from __future__ import annotations

import asyncio
import collections
import hashlib
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from perdure import (
    Agent,
    Event,
    InputEvent,
    LocalEngine,
    OutputEvent,
    RunsFailedError,
    action,
    wait,
)
from perdure.codec.codec import Codec
from perdure.errors import StoreError
from perdure.journal.journal import ActionHistory, Journal
from perdure.runtime.job_runtime import JobRuntime
from perdure.store.base import Row
from perdure.store.sqlite.store import SqliteStore
from perdure.store.url import open_view

started: collections.Counter[tuple[str, str]] = collections.Counter()


class Unlucky(Exception):
    pass


class Crashed(Exception):
    pass


async def work(name: str, seen: str, delay: float) -> str:
    started[name, seen] += 1
    await asyncio.sleep(delay)
    if int(seen[:2], 16) < 40:
        raise Unlucky(name, seen)
    return seen[::-1]


class Script:
    """What a random agent does next, and a digest of what it has seen."""

    def __init__(self, seed: str, ctx: Any) -> None:
        self.rng = random.Random(seed)
        self.ctx = ctx
        self.seen = hashlib.blake2b(seed.encode(), digest_size=8).hexdigest()

    def see(self, *values: Any) -> None:
        text = self.seen + repr(values)
        self.seen = hashlib.blake2b(text.encode(), digest_size=8).hexdigest()

    def call(self, name: str) -> Any:
        delay = self.rng.choice([0, 0, 0.001, 0.003])
        return self.ctx.durable_execute_async(work, name, self.seen, delay)

    async def step(self) -> None:
        kind = self.rng.choice([self.gather, self.race, self.group, self.timeout, self.queue])
        await kind()
        self.see(self.ctx.now().isoformat(), str(self.ctx.uuid4()), self.ctx.random.random())

    async def gather(self) -> None:
        calls = [self.call(f"g{n}") for n in range(3)]
        for outcome in await self.ctx.gather(*calls):
            self.see(outcome.value, repr(outcome.error))

    async def race(self) -> None:
        calls = {self.call(f"r{n}") for n in range(4)}
        done, pending = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        self.see([call.number for call in done], [call.number for call in pending])
        for call in pending:
            if self.rng.random() < 0.5:
                call.cancel()
        for finished in asyncio.as_completed(pending):
            try:
                self.see(await finished)
            except (Unlucky, asyncio.CancelledError) as error:
                self.see(repr(error))

    async def group(self) -> None:
        async def branch(n: int) -> None:
            self.see(await self.call(f"t{n}"))
            self.see(n, await self.call(f"u{n}"))

        try:
            async with asyncio.TaskGroup() as group:
                for n in range(3):
                    group.create_task(branch(n))
        except* Unlucky as failed:
            self.see([repr(error) for error in failed.exceptions])

    async def timeout(self) -> None:
        try:
            async with asyncio.timeout(0.002):
                self.see(await self.call("slow"))
                await self.ctx.sleep(self.rng.choice([0.0, 0.001, 1.0]))
        except (TimeoutError, Unlucky) as error:
            self.see(repr(error))

    async def queue(self) -> None:
        queue: asyncio.Queue[str] = asyncio.Queue()

        async def produce(n: int) -> None:
            try:
                queue.put_nowait(await self.call(f"q{n}"))
            except Unlucky as error:
                queue.put_nowait(repr(error))

        tasks = [asyncio.create_task(produce(n)) for n in range(3)]
        for _ in tasks:
            self.see(await queue.get())


class RandomAgent(Agent):
    @action(InputEvent)
    async def first(self, event, ctx):
        script = Script(f"{event.input['seed']}-a", ctx)
        for _ in range(3):
            await script.step()
        ctx.short_term_memory.update("count", lambda count: (count or 0) + 1)
        ctx.send_event(Event(type="more", attributes={"seen": script.seen}))

    @action(InputEvent)
    async def beside(self, event, ctx):
        script = Script(f"{event.input['seed']}-b", ctx)
        await script.step()
        ctx.short_term_memory.update("count", lambda count: (count or 0) + 1)

    @action("more")
    def plain(self, event, ctx):
        script = Script(event.attributes["seen"], ctx)
        calls = [script.call(f"p{n}") for n in range(3)]
        done, pending = wait(calls, return_when=asyncio.FIRST_COMPLETED)
        script.see([call.number for call in done], [call.number for call in pending])
        for outcome in ctx.gather(*pending):
            script.see(outcome.value, repr(outcome.error))
        script.see(ctx.durable_execute(len, script.seen), ctx.sleep(0.001).result())
        ctx.send_event(OutputEvent(output=ctx.short_term_memory.get("count")))


class Crash:
    """The process 'dies' at a commit: written or not, nothing is committed after it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.at = -1
        self.rng = random.Random(0)
        self.dead = False
        self._runtime: JobRuntime | None = None
        commit, opened = SqliteStore.commit, JobRuntime.open

        async def opening(runtime: JobRuntime) -> None:
            self._runtime = runtime
            await opened(runtime)

        def committing(store: SqliteStore, rows: Sequence[Row]) -> asyncio.Future[None]:
            self.at -= 1
            if self.at != 0 and not self.dead:
                return commit(store, rows)
            if not self.dead and self.rng.random() < 0.5:
                commit(store, rows)
            if not self.dead and self._runtime is not None:
                self._runtime.stop(Crashed("crashed"))
            self.dead = True
            answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            answer.set_exception(StoreError("crashed"))
            return answer

        monkeypatch.setattr(JobRuntime, "open", opening)
        monkeypatch.setattr(SqliteStore, "commit", committing)

    def arm(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.at = self.rng.randint(1, 15)
        self.dead = False


def memory_of_keys(database: Path) -> dict[Any, dict[str, Any]]:
    codec = Codec()

    async def look() -> dict[Any, dict[str, Any]]:
        async with open_view(f"sqlite:///{database}") as view:
            job = (await view.jobs()).items[0].job
            keys = {head.row.key: head.key for head in (await view.runs(job, limit=9)).items}
            return {
                codec.decode(key): {
                    row.path: codec.decode(row.data) for row in (await view.memory(number)).items
                }
                for number, key in keys.items()
            }

    return asyncio.run(look())


@pytest.mark.parametrize("seed", range(12))
def test_g6_random_agents_replay_from_every_crash(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    crash = Crash(monkeypatch)
    inputs = [{"id": f"k{n % 3}", "seed": f"{seed}.{n}"} for n in range(9)]
    started.clear()
    crashes = 0
    while True:
        crash.arm(seed * 1000 + crashes)
        engine = LocalEngine(store=f"sqlite:///{tmp_path}/c.db", job="random")
        try:
            outputs = engine.run(RandomAgent(), inputs, key="id")
            break
        except Crashed:
            crashes += 1
            assert crashes < 200
    assert crashes > 1
    assert sorted(output.key for output in outputs) == sorted(i["id"] for i in inputs)
    # `first` and `beside` of each run count once, whatever was started again in between.
    assert memory_of_keys(tmp_path / "c.db") == {f"k{n}": {"count": 6} for n in range(3)}


class SettlesInCallOrder(Journal):
    """A broken journal: it forgets in which order calls settled."""

    def __init__(self, history: ActionHistory, where: object) -> None:
        by_call = sorted(history.settlements, key=lambda record: record.call)
        super().__init__(history._replace(settlements=by_call), where)


def test_random_agents_find_a_lost_settle_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("perdure.runtime.action.runner.Journal", SettlesInCallOrder)
    with pytest.raises(RunsFailedError) as failure:
        for seed in range(12):
            folder = tmp_path / str(seed)
            folder.mkdir()
            with monkeypatch.context() as patch:
                test_g6_random_agents_replay_from_every_crash(seed, folder, patch)
    assert failure.value.failed[0].error["type"].endswith("NonDeterminismError")
