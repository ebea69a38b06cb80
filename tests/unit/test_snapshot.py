"""What an open job says that it does at this moment."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.inside import runtime_of
from tests.patience import PATIENCE
from tests.promises.legs import Held

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, RetryPolicy
from perdure.engine.job import Job
from perdure.executor.pool import PoolUsage
from perdure.journal.record import Record, RecordKind
from perdure.runtime.snapshot import JobSnapshot
from perdure.store.base import Row

CONFIG = {"num-async-threads": 1, "limits.one.concurrency": 1}


class Gate:
    """What the callables wait for."""

    def __init__(self) -> None:
        self.open = threading.Event()
        self.loop_open = asyncio.Event()


async def seen(job: Job, is_it: Callable[[JobSnapshot], bool]) -> JobSnapshot:
    """Return the first snapshot that is as awaited."""
    async with asyncio.timeout(PATIENCE):
        while not is_it(found := job.snapshot()):
            runtime_of(job).snapshots._last = None  # else it is a second old
            await asyncio.sleep(0.01)
        return found


def states(snapshot: JobSnapshot) -> dict[str, str]:
    return {call.arguments.strip("'"): call.state for call in snapshot.calls}


@pytest.mark.parametrize("store", ["memory://", "sqlite:///{}/s.db"])
def test_a_snapshot_has_each_call_under_way_and_what_it_waits_for(
    store: str, tmp_path: Any
) -> None:
    gates: list[Gate] = []

    def hangs(name: str) -> str:
        gates[0].open.wait()
        return name

    async def holds(name: str) -> str:
        await gates[0].loop_open.wait()
        return name

    async def fails(name: str) -> str:
        if not gates[0].loop_open.is_set():
            raise ConnectionError(name)
        return name

    async def go(event: Any, ctx: Any) -> None:
        one = ctx.with_options(limit="one")
        patient = ctx.with_options(retry=RetryPolicy(initial_interval=0.5, jitter=0))
        calls = [
            ctx.durable_execute_async(hangs, "in a thread"),
            ctx.durable_execute_async(hangs, "for a thread"),
            one.durable_execute_async(holds, "under the limit"),
            one.durable_execute_async(holds, "for the limit"),
            patient.durable_execute_async(fails, "failed"),
        ]
        ctx.send_event(OutputEvent(output=await asyncio.gather(*calls)))

    wanted = {
        "in a thread": "running", "for a thread": "queued", "under the limit": "running",
        "for the limit": "limited", "failed": "backing off",
    }  # fmt: skip

    async def main() -> None:
        gates.append(Gate())
        engine = LocalEngine(store.format(tmp_path), config=CONFIG)
        async with engine.open(Agent().add_action("go", [InputEvent], go)) as job:
            idle = job.snapshot()
            assert (idle.calls, idle.calls_by_state, idle.in_flight) == ((), {}, 0)
            assert job.snapshot() is idle  # one a second
            run = await job.submit(1, key="k")
            found = await seen(job, lambda each: states(each) == wanted)
            assert found.calls_by_state == {
                "running": 2, "queued": 1, "limited": 1, "backing off": 1,
            }  # fmt: skip
            assert found.pool == PoolUsage(size=1, executing=1, waiting=1, abandoned=0)
            assert found.limits["one"] == (1, 1)
            assert (found.in_flight, found.waiting, found.store_writes) == (1, 0, True)
            assert {(call.run, call.action, call.event) for call in found.calls} == {
                (run.id, "go", 0)
            }
            assert [call.number for call in found.calls] == [1, 2, 3, 4, 5]
            assert all(0 < call.since <= found.at for call in found.calls)
            (failed,) = [call for call in found.calls if call.state == "backing off"]
            assert failed.due > failed.since
            assert failed.attempt > 1
            gates[0].open.set()
            gates[0].loop_open.set()
            await run.outputs()
            assert (await seen(job, lambda each: not each.calls)).calls_by_state == {}

    asyncio.run(main())


def test_a_snapshot_has_what_is_executed_and_not_durable_yet(tmp_path: Any) -> None:
    async def done(name: str) -> str:
        return name

    async def go(event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(done, "paid")))

    def has_outcome(rows: Sequence[Row]) -> bool:
        return any(isinstance(row, Record) and row.kind == RecordKind.RESULT for row in rows)

    async def main() -> None:
        engine = LocalEngine(f"sqlite:///{tmp_path / 's.db'}")
        async with engine.open(Agent().add_action("go", [InputEvent], go)) as job:
            held = Held(engine._store, has_outcome)
            run = await job.submit(1, key="k")
            await held.is_reached()
            (call,) = job.snapshot().calls
            assert (call.run, call.number, call.state) == (run.id, 1, "committing")
            assert call.arguments == "'paid'"
            held.release()
            await run.outputs()
            assert (await seen(job, lambda each: not each.calls)).in_flight == 0

    asyncio.run(main())
