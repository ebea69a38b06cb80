"""perdure, with its store in an SQLite file, synchronous=FULL."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import cases

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, RunnerContext, action


class Cases(Agent):
    """Does what its input says."""

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: RunnerContext) -> None:
        kind, value = event.input
        call = ctx.durable_execute_async
        result: Any
        if kind == "step":
            result = await call(cases.echo, value)
        elif kind == "second":
            result = await call(cases.second, value)
        elif kind == "text":
            result = len(await call(cases.written, value))
        elif kind == "calls":
            result = 0
            for n in range(value):
                result += await call(cases.echo, n)
        else:
            for n in range(cases.CALLS_WHEN_KILLED):
                await call(cases.logged, value, n)
            result = cases.CALLS_WHEN_KILLED
        ctx.send_event(OutputEvent(output=result))


class Perdure:
    """An open job."""

    def __init__(self, job: Any, path: Path) -> None:
        self._job, self._path = job, path

    async def run(self, kind: str, ids: Sequence[str], values: Sequence[Any]) -> list[Any]:
        async def one(id_: str, value: Any) -> Any:
            run = await self._job.submit([kind, value], key=id_, id=id_)
            return (await run.outputs())[0].value

        return list(await asyncio.gather(*map(one, ids, values)))

    def disk(self) -> int:
        with closing(sqlite3.connect(self._path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return os.stat(self._path).st_size


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Perdure]:
    path = folder / "perdure.db"
    config = {"max-runs-in-flight": 10_000}
    async with LocalEngine(f"sqlite:///{path}", config=config).open(Cases) as job:
        yield Perdure(job, path)


if __name__ == "__main__":
    cases.main(opened)
