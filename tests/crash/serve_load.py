"""`perdure serve` under load: killed with 1,000 requests waiting, and with 5,000 idle connections.

    python -m tests.crash.serve_load

Both in full what tests do with few; it ends with an error where one does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import contextlib
import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from tests.crash.test_serve import AGENT, SERVE, TOKEN

PATIENCE = 300.0  # seconds, on a machine that others want


@contextlib.contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        (Path(path) / "orders.py").write_text(AGENT, "utf-8")
        yield Path(path)


class Server:
    """A `perdure serve` in a folder."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "perdure", *SERVE], cwd=path, stdout=subprocess.PIPE, text=True,
            stderr=subprocess.DEVNULL,
        )  # fmt: skip
        assert self.process.stdout is not None
        parts = urlsplit(self.process.stdout.readline().strip())
        assert parts.port, "it did not start"
        self.port = parts.port

    def end(self, number: int) -> None:
        self.process.send_signal(number)
        self.process.communicate()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Return status and answer; 0 and None where the connection broke."""
        data = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n"
            "Connection: close\r\n\r\n"
        )
        try:
            reader, writer = await self.connect()
            writer.write(head.encode() + data)
            answer = await reader.read()
            writer.close()
        except OSError:
            return 0, None
        head_of, _, rest = answer.partition(b"\r\n\r\n")
        return (int(head_of.split()[1]), json.loads(rest)) if rest else (0, None)

    async def start(self, n: int) -> tuple[int, Any]:
        body = {"key": n, "value": n, "id": f"order-{n}", "wait": True}
        return await self.ask("POST", "/runs", body)


async def killed(path: Path, count: int) -> None:
    """Kill the server under so many requests; the same again gets each run, paid once."""
    server = Server(path)
    waiting = [asyncio.ensure_future(server.start(n)) for n in range(count)]
    async with asyncio.timeout(PATIENCE):
        while (await count_paid(server)) < count:
            await asyncio.sleep(0.2)
    server.end(signal.SIGKILL)
    assert {status for status, _ in await asyncio.gather(*waiting)} == {0}

    began = time.monotonic()
    server = Server(path)
    waiting = [asyncio.ensure_future(server.start(n)) for n in range(count)]
    (path / "open").touch()
    async with asyncio.timeout(PATIENCE):
        answers = await asyncio.gather(*waiting)
    took = time.monotonic() - began
    server.end(signal.SIGTERM)
    assert collections.Counter(status for status, _ in answers) == {200: count}
    assert [answer["outputs"] for _, answer in answers] == [[[n, n]] for n in range(count)]
    paid = collections.Counter((path / "calls.log").read_text().split())
    assert paid == {str(n): 1 for n in range(count)}, paid.most_common(3)
    print(f"{count:,} waiting requests, SIGKILL, the same again: each paid once; {took:.1f} s")


async def count_paid(server: Server) -> int:
    """Return how many runs say that they have paid: what they paid with is durable then."""
    count, after = 0, ""
    while after is not None:
        path = f"/runs?limit=200&status=running{'&after=' + after if after else ''}"
        status, part = await server.ask("GET", path)
        if status != 200:
            return 0
        count += sum(run["activity"] is not None for run in part["runs"])
        after = part["after"]
    return count


async def idle(path: Path, count: int) -> None:
    """Hold so many connections that say nothing: requests are answered, and silence is ended."""
    (path / "open").touch()
    server = Server(path)
    _, before = await server.ask("GET", "/readyz")
    connections = []
    for n in range(count):
        connections.append(await server.connect())
        if n % 500 == 0:
            assert (await server.ask("GET", "/readyz"))[0] == 200, n
    status, made = await server.start(10**6)
    assert (status, made["outputs"]) == (201, [[10**6, 10**6]]), made
    memory = Path(f"/proc/{server.process.pid}/statm")
    pages = int(memory.read_text().split()[1]) if memory.exists() else 0
    async with asyncio.timeout(PATIENCE):  # each is told, or let go: none is held for ever
        ends = await asyncio.gather(*(_end(reader) for reader, _ in connections))
    for _, writer in connections:
        writer.close()
    assert (await server.ask("GET", "/readyz"))[1] == before
    server.end(signal.SIGTERM)
    told = collections.Counter("408" if b" 408 " in end else "closed" for end in ends)
    mib = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    print(f"{count:,} idle connections: a run was answered among them; {dict(told)}; {mib:.0f} MiB")


async def _end(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read()
    except OSError:
        return b""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000)
    parser.add_argument("--connections", type=int, default=5_000)
    options = parser.parse_args()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(options.connections, options.requests) + 200
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
    if most < wanted:
        options.connections = min(options.connections, most - 200)
        print(f"#### THIS PROCESS MAY HAVE {most:,} FILES: FEWER CONNECTIONS (ulimit -n) ####")
    for work, count in ((killed, options.requests), (idle, options.connections)):
        with folder() as path:
            asyncio.run(work(path, count))


if __name__ == "__main__":
    main()
