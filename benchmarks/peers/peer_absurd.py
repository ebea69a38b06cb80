"""absurd, in PostgreSQL: workers in this process, a connection each."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import absurdctl
import cases
import psycopg
from absurd_sdk import AsyncAbsurd

WORKERS = 8  # each a connection, on which its tasks take turns
CLIENTS = 8  # connections that submit and wait
AT_ONCE = 64  # tasks of a worker
LEASE = 10  # seconds until the tasks of a process that was killed are taken over


async def go(params: Any, ctx: Any) -> Any:
    kind, value = params["kind"], params["value"]
    if kind == "step":
        return await ctx.step("echo", lambda: cases.echo(value))
    if kind == "second":
        return await ctx.step("second", lambda: cases.second(value))
    if kind == "text":
        return len(await ctx.step("text", lambda: cases.written(value)))
    if kind == "calls":
        total = 0
        for n in range(value):
            total += await ctx.step("echo", lambda n=n: cases.echo(n))
        return total
    for n in range(cases.CALLS_WHEN_KILLED):
        await ctx.step("logged", lambda n=n: cases.logged(value, n))
    return cases.CALLS_WHEN_KILLED


class Absurd:
    """Clients, beside their workers."""

    def __init__(self, url: str, clients: list[AsyncAbsurd]) -> None:
        self._url, self._clients = url, clients

    async def run(self, kind: str, ids: Sequence[str], values: Sequence[Any]) -> list[Any]:
        found: list[Any] = [None] * len(ids)

        async def some(client: AsyncAbsurd, first: int) -> None:
            # One by one: a connection answers one question at a time.
            spawned = {}
            for n in range(first, len(ids), len(self._clients)):
                params = {"kind": kind, "value": values[n]}
                spawned[n] = await client.spawn("go", params, idempotency_key=ids[n])
            for n, each in spawned.items():
                found[n] = (await client.await_task_result(str(each["task_id"]))).result

        await asyncio.gather(*(some(each, n) for n, each in enumerate(self._clients)))
        return found

    def disk(self) -> int:
        with psycopg.connect(self._url, autocommit=True) as db:
            row = db.execute("SELECT pg_database_size(current_database())").fetchone()
        assert row is not None
        return int(row[0])


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Absurd]:
    url = os.environ["PEER_POSTGRES"]
    clients = [AsyncAbsurd(url) for _ in range(CLIENTS)]
    with psycopg.connect(url, autocommit=True) as db:
        if not db.execute("SELECT 1 FROM pg_namespace WHERE nspname = 'absurd'").fetchone():
            db.execute(absurdctl.BUNDLED_SCHEMA_SQL)
    await clients[0].create_queue()
    workers = [AsyncAbsurd(url) for _ in range(WORKERS)]
    for worker in workers:
        worker.register_task("go")(go)
    for client in clients:
        client.register_task("go")(go)
    tasks = [
        asyncio.create_task(
            worker.start_worker(
                worker_id=f"{os.getpid()}-{n}", claim_timeout=LEASE, concurrency=AT_ONCE,
                poll_interval=0.005,
            )
        )
        for n, worker in enumerate(workers)
    ]  # fmt: skip
    try:
        yield Absurd(url, clients)
    finally:
        for worker in workers:
            worker.stop_worker()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.gather(*tasks), 30)
        for each in (*workers, *clients):
            await each.close()


if __name__ == "__main__":
    cases.main(opened)
