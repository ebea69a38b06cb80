"""DBOS Transact, with its system database in PostgreSQL."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cases
import psycopg
from dbos import DBOS, SetWorkflowID

POOL = 20


@DBOS.step()
async def echo(value: Any) -> Any:
    return await cases.echo(value)


@DBOS.step()
async def second(value: Any) -> Any:
    return await cases.second(value)


@DBOS.step()
async def written(value: int) -> str:
    return await cases.written(value)


@DBOS.step()
async def logged(run: str, n: int) -> int:
    return await cases.logged(run, n)


@DBOS.workflow()
async def go(kind: str, value: Any) -> Any:
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


class Dbos:
    """A launched DBOS."""

    def __init__(self, url: str) -> None:
        self._url = url

    async def run(self, kind: str, ids: Sequence[str], values: Sequence[Any]) -> list[Any]:
        async def one(id_: str, value: Any) -> Any:
            with SetWorkflowID(id_):
                handle = await DBOS.start_workflow_async(go, kind, value)
            return await handle.get_result()

        return list(await asyncio.gather(*map(one, ids, values)))

    def disk(self) -> int:
        with psycopg.connect(self._url, autocommit=True) as db:
            row = db.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Dbos]:
    url = os.environ["PEER_POSTGRES"]
    DBOS(
        config={
            "name": "peers",
            "system_database_url": url.replace("postgresql://", "postgresql+psycopg://"),
            "sys_db_pool_size": POOL,
            "log_level": "ERROR",
            "application_version": "1",
        }
    )
    DBOS.launch()
    try:
        yield Dbos(url)
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    cases.main(opened)
