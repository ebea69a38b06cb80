"""LangGraph's functional API, in an SQLite file; `durability="sync"`."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import aiosqlite
import cases
from langgraph.checkpoint.sqlite.aio import AsyncSqliteSaver
from langgraph.func import entrypoint, task


@task
async def echo(value: Any) -> Any:
    return await cases.echo(value)


@task
async def second(value: Any) -> Any:
    return await cases.second(value)


@task
async def written(value: int) -> str:
    return await cases.written(value)


@task
async def logged(run: str, n: int) -> int:
    return await cases.logged(run, n)


async def go(given: dict[str, Any]) -> Any:
    kind, value = given["kind"], given["value"]
    if kind == "step":
        return await echo(value)
    if kind == "second":
        return await second(value)
    if kind == "text":
        return len(await written(value))
    if kind == "calls":
        total = 0
        for n in range(value):
            total += await echo(n)
        return total
    for n in range(cases.CALLS_WHEN_KILLED):
        await logged(value, n)
    return cases.CALLS_WHEN_KILLED


class LangGraph:
    """A workflow with its checkpointer."""

    def __init__(self, saver: AsyncSqliteSaver, path: Path) -> None:
        self._saver, self._path = saver, path
        self._workflow = entrypoint(checkpointer=saver)(go)

    async def run(self, kind: str, ids: Sequence[str], values: Sequence[Any]) -> list[Any]:
        async def one(id_: str, value: Any) -> Any:
            config: Any = {"configurable": {"thread_id": id_}}
            known = kind == "logged" and await self._saver.aget_tuple(config) is not None
            given = None if known else {"kind": kind, "value": value}
            return await self._workflow.ainvoke(given, config, durability="sync")

        return list(await asyncio.gather(*map(one, ids, values)))

    def disk(self) -> int:
        with closing(sqlite3.connect(self._path)) as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return os.stat(self._path).st_size


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[LangGraph]:
    path = folder / "langgraph.db"
    async with aiosqlite.connect(path) as connection:
        saver = AsyncSqliteSaver(connection)
        await saver.setup()
        await connection.execute("PRAGMA synchronous = FULL")
        yield LangGraph(saver, path)


if __name__ == "__main__":
    cases.main(opened)
