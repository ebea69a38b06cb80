"""`perdure serve`: 1,000 requests that wait for a run with a call of 1 s, against a bare endpoint.

Both servers are processes of their own with one event loop; the client is this process, opens a
connection for each request, and asks them in turn.

And what it costs one-step runs to be watched: /metrics scraped each second, and what a page asks,
the job's stream held open and the list read as it changes. CPU seconds of the process that runs
them, in alternating pairs.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.parse import urlsplit

import psutil
from common import HERE, Result, environment, folder, main, median, rounds

REQUESTS = 1000
MOST = 1.5
STEPS, PAIRS, WATCHED = 2_000, 15, 1.15
TOKEN = "a-token-of-benchmarks"


def bench(options: argparse.Namespace) -> Iterator[Result]:
    count = REQUESTS // 10 if options.quick else REQUESTS
    serve = ["-m", "perdure", "serve", "served.py:agent", "--port", "0", "--token", TOKEN]
    found: list[tuple[Asked, Asked]] = []
    with folder() as path, server("served.py", "bare") as bare:
        with server(*serve, "--store", str(path / "store.db")) as served:
            for number in range(rounds(options)):
                # A run of each key: those of one would wait for each other.
                asyncio.run(ask(served, count // 10, f"warm-{number}"))
                asyncio.run(ask(bare, count // 10, f"warm-{number}"))
                found.append(
                    (asyncio.run(ask(served, count, f"{number}")),
                     asyncio.run(ask(bare, count, f"{number}")))
                )  # fmt: skip
    ratio = median(ours.seconds / raw.seconds for ours, raw in found)
    yield Result(
        name=f"{count:,} waiting requests of a call of 1.0 s",
        measured=median(ours.seconds for ours, _ in found),
        raw=median(raw.seconds for _, raw in found),
        unit="s",
        raw_name="a bare Starlette endpoint that sleeps",
        ratio=ratio,
        target=f"at most {MOST:g} x",
        ok=ratio <= MOST,
        details={"rounds": found},
    )
    yield Result(
        name="CPU of the server for each of these",
        measured=1e3 * median(ours.cpu / count for ours, _ in found),
        raw=1e3 * median(raw.cpu / count for _, raw in found),
        unit="ms",
        raw_name="the bare endpoint",
        ratio=median(ours.cpu / raw.cpu for ours, raw in found),
        target="none",
        ok=True,
    )
    yield from watched(options)


# What it costs to be watched


def watched(options: argparse.Namespace) -> Iterator[Result]:
    """CPU of one-step runs in a process that serves, with nobody asking and watched."""
    count, pairs = (500, 2) if options.quick else (STEPS, PAIRS)
    found = pairs_of_cpu(count, pairs)
    ratio = median(watched / alone for alone, watched in found)
    yield Result(
        name="one-step CPU with /metrics scraped and a page open",
        measured=1e6 * median(watched for _, watched in found) / count,
        raw=1e6 * median(alone for alone, _ in found) / count,
        unit="µs a run",
        raw_name="served, and nobody asks",
        ratio=ratio,
        target=f"at most {WATCHED:g} x",
        ok=ratio <= WATCHED or options.quick,
        details={"pairs": found},
    )


def pairs_of_cpu(count: int, pairs: int) -> list[tuple[float, float]]:
    """Return CPU seconds of so many runs, with nobody asking and watched, pair by pair."""
    with folder() as path:
        command = ["served.py", "work", f"sqlite:///{path}/store.db", str(count), str(pairs), TOKEN]
        process = subprocess.Popen(
            [sys.executable, *command], cwd=HERE, env=environment(), text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        found = []
        for turn in range(pairs):
            pair = {
                way: _cpu(process, url, way) for way in ((False, True), (True, False))[turn % 2]
            }
            found.append((pair[False], pair[True]))
        process.communicate()
    return found


def _cpu(process: subprocess.Popen[str], url: str, is_watched: bool) -> float:
    assert process.stdin is not None
    assert process.stdout is not None
    command = [sys.executable, __file__, "--watch", url]
    watching = subprocess.Popen(command, cwd=HERE) if is_watched else None
    time.sleep(1.5)  # until it watches, or the one before does no longer
    process.stdin.write("\n")
    process.stdin.flush()
    used = float(process.stdout.readline())
    if watching is not None:
        watching.kill()
        watching.wait()
    return used


async def watch(url: str) -> None:
    """Scrape the metrics each second; hold the job's stream, and read the list when it changes."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(_head(parts.netloc, "/stream"))

    async def scrape() -> None:
        while True:
            await _get(url, "/metrics")
            await asyncio.sleep(1.0)

    scraping = asyncio.ensure_future(scrape())
    while line := await reader.readline():
        if line.startswith(b"event: change"):
            await _get(url, "/runs?limit=50")
            await asyncio.sleep(1.0)
    await scraping


async def _get(url: str, path: str) -> bytes:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(_head(parts.netloc, path, "Connection: close\r\n"))
    answer = await reader.read()
    writer.close()
    assert b" 200 " in answer[:20], answer[:300]
    return answer


def _head(host: str, path: str, more: str = "") -> bytes:
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {TOKEN}\r\n{more}\r\n"
    return head.encode()


class Asked(NamedTuple):
    """Seconds until all were answered, and the CPU seconds of the server for them."""

    seconds: float
    cpu: float


class Server(NamedTuple):
    """A server's address, and its process."""

    url: str
    process: psutil.Process

    def cpu(self) -> float:
        """Return the CPU seconds that it has taken."""
        times = self.process.cpu_times()
        return float(times.user + times.system)


@contextmanager
def server(*arguments: str) -> Iterator[Server]:
    """Start a server that prints its address; it ends with the block."""
    process = subprocess.Popen(
        [sys.executable, *arguments], cwd=HERE, env=environment(), stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield Server(process.stdout.readline().strip(), psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait()


async def ask(server: Server, count: int, name: str) -> Asked:
    """Send `count` requests at once, and wait until all are answered."""
    began, cpu = time.perf_counter(), server.cpu()
    await asyncio.gather(*(_ask(server.url, f"{name}-{n}") for n in range(count)))
    return Asked(time.perf_counter() - began, server.cpu() - cpu)


async def _ask(url: str, id: str) -> None:
    parts = urlsplit(url)
    body = json.dumps({"key": id, "value": 1, "id": id, "wait": True}).encode()
    head = (
        f"POST /runs HTTP/1.1\r\nHost: {parts.netloc}\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        "Connection: close\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    if b'"outputs":' not in answer or not answer.startswith(b"HTTP/1.1 20"):
        raise RuntimeError(f"a request was refused: {answer[:300]!r}")


if __name__ == "__main__" and sys.argv[1:2] == ["--watch"]:
    with contextlib.suppress(ConnectionError, KeyboardInterrupt):
        asyncio.run(watch(sys.argv[2]))
elif __name__ == "__main__":
    main(bench)
