"""Restate: its server as a child process, the service in this one, asked over HTTP/2."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cases
import httpx
import hypercorn.asyncio
import hypercorn.config
import restate

STREAMS = 100  # requests at a time on one connection
SECONDS = 120.0

service = restate.Service("cases")


@service.handler()
async def go(ctx: restate.Context, given: dict[str, Any]) -> Any:
    kind, value = given["kind"], given["value"]
    if kind == "step":
        return await ctx.run_typed("echo", cases.echo, restate.RunOptions(), value)
    if kind == "second":
        return await ctx.run_typed("second", cases.second, restate.RunOptions(), value)
    if kind == "text":
        return len(await ctx.run_typed("text", cases.written, restate.RunOptions(), value))
    if kind == "calls":
        total = 0
        for n in range(value):
            total += await ctx.run_typed("echo", cases.echo, restate.RunOptions(), n)
        return total
    for n in range(cases.CALLS_WHEN_KILLED):
        await ctx.run_typed("logged", cases.logged, restate.RunOptions(), value, n)
    return cases.CALLS_WHEN_KILLED


class Restate:
    """The ingress of a server."""

    def __init__(self, ingress: str, folder: Path) -> None:
        self._ingress, self._folder = ingress, folder
        self._clients: list[httpx.AsyncClient] = []

    async def run(self, kind: str, ids: Sequence[str], values: Sequence[Any]) -> list[Any]:
        async def one(n: int, id_: str, value: Any) -> Any:
            answer = await self._client(n // STREAMS).post(
                f"{self._ingress}/cases/go",
                json={"kind": kind, "value": value},
                headers={"idempotency-key": id_},
            )
            answer.raise_for_status()
            return answer.json()

        return list(await asyncio.gather(*map(one, range(len(ids)), ids, values)))

    def _client(self, number: int) -> httpx.AsyncClient:
        while len(self._clients) <= number:
            limits = httpx.Limits(max_connections=1)
            client = httpx.AsyncClient(http1=False, http2=True, timeout=SECONDS, limits=limits)
            self._clients.append(client)
        return self._clients[number]

    async def close(self) -> None:
        for client in self._clients:
            await client.aclose()

    def disk(self) -> int:
        return cases.size_of(self._folder)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def _serving(folder: Path, service_port: int) -> AsyncIterator[str]:
    """Run the server on loopback alone; give its ingress."""
    ports = {name: _free_port() for name in ("ingress", "admin", "node")}
    at = {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    env = {
        **os.environ,
        "RESTATE_BASE_DIR": str(folder / "restate-data"),
        "RESTATE_NODE_NAME": "peers",
        "RESTATE_CLUSTER_NAME": "peers",
        "RESTATE_LISTEN_MODE": "tcp",
        "RESTATE_BIND_ADDRESS": at["node"],
        "RESTATE_ADVERTISED_ADDRESS": f"http://{at['node']}",
        "RESTATE_INGRESS__BIND_ADDRESS": at["ingress"],
        "RESTATE_ADMIN__BIND_ADDRESS": at["admin"],
        "RESTATE_DISABLE_TELEMETRY": "true",
        "RESTATE_LOG_FILTER": "error",
        "DO_NOT_TRACK": "1",
    }
    with open(folder / "restate.log", "ab") as log:
        server = subprocess.Popen(
            [os.environ["PEER_RESTATE"], "--no-logo"], env=env, stdout=log, stderr=log
        )
    try:
        async with httpx.AsyncClient() as admin:
            for _ in range(300):
                with contextlib.suppress(httpx.HTTPError):
                    if (await admin.get(f"http://{at['admin']}/health")).is_success:
                        break
                await asyncio.sleep(0.1)
            uri = f"http://127.0.0.1:{service_port}"
            answer = await admin.post(
                f"http://{at['admin']}/deployments", json={"uri": uri, "force": True}, timeout=60
            )
            answer.raise_for_status()
            for _ in range(300):
                with contextlib.suppress(httpx.HTTPError):
                    if (await admin.get(f"http://{at['ingress']}/restate/health")).is_success:
                        break
                await asyncio.sleep(0.1)
        yield f"http://{at['ingress']}"
    finally:
        server.terminate()
        server.wait()


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[Restate]:
    port_file = folder / "port"  # the same after a kill: the server knows the service by it
    port = int(port_file.read_text()) if port_file.exists() else _free_port()
    port_file.write_text(str(port))
    config = hypercorn.config.Config()
    config.bind = [f"127.0.0.1:{port}"]
    config.h2_max_concurrent_streams = 20_000
    config.errorlog = None
    ended = asyncio.Event()
    serving = asyncio.create_task(
        hypercorn.asyncio.serve(restate.app([service]), config, shutdown_trigger=ended.wait)
    )
    await asyncio.sleep(0.5)
    async with _serving(folder, port) as ingress:
        peer = Restate(ingress, folder / "restate-data")
        yield peer
        await peer.close()
    ended.set()
    with contextlib.suppress(Exception):
        await asyncio.wait_for(serving, 10)


if __name__ == "__main__":
    cases.main(opened)
