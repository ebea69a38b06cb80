"""The server: slow and silent clients, too many of them, too much of them, and its end."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.web.support import CALLS, GATES, SECRET, TOKENS, Desk, until

from perdure import ConfigurationError, LocalEngine
from perdure.engine.job import Job
from perdure.web import Limits, server
from perdure.web.application import guarded, service_of_job
from perdure.web.service import Service

SOON = 0.05  # seconds of a bound that a client is to meet, or not


class Client:
    """A connection that is written and read as a test likes it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, data: bytes) -> None:
        self.writer.write(data)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> None:
        self.send(request(method, path, body, **headers))

    async def answer(self) -> tuple[int, dict[str, str], bytes]:
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            headers = dict(line.lower().split(": ", 1) for line in lines[1:] if line)
            body = await self.reader.readexactly(int(headers.get("content-length", 0)))
        return int(lines[0].split()[1]), headers, body

    async def end(self) -> bytes:
        """Return what comes until the server closes the connection."""
        async with asyncio.timeout(PATIENCE):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""

    async def is_cut_off(self) -> bool:
        """Find out by writing whether the server has ended the connection; nothing is read."""
        self.send(b" ")
        try:
            await self.writer.drain()
        except ConnectionError:
            return True
        return self.writer.is_closing()

    def close(self) -> None:
        self.writer.close()


def request(method: str, path: str, body: Any = None, **headers: str) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    given = {
        "Host": "localhost", "Authorization": f"Bearer {SECRET}",
        "Content-Type": "application/json", "Content-Length": str(len(data)), **headers,
    }  # fmt: skip
    lines = [f"{method} {path} HTTP/1.1", *(f"{n}: {v}" for n, v in given.items() if v)]
    return "\r\n".join([*lines, "", ""]).encode() + data


class Served:
    """A server of a job in this process."""

    def __init__(self, job: Job, service: Service, port: int, stopping: server.Stopping) -> None:
        self.job, self.service, self.port, self.stopping = job, service, port, stopping
        self._clients: list[Client] = []

    async def client(self) -> Client:
        made = Client(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(made)
        return made

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Any:
        client = await self.client()
        client.ask(method, path, body, Connection="close", **headers)
        status, _, data = await client.answer()
        client.close()
        return status, json.loads(data)

    def stop(self) -> None:
        self.stopping.asked.set_result(None)

    async def close(self) -> None:
        for client in self._clients:
            client.close()
            with contextlib.suppress(ConnectionError):
                await client.writer.wait_closed()


@contextlib.asynccontextmanager
async def serving(**limits: Any) -> AsyncIterator[Served]:
    GATES.clear()
    CALLS.clear()
    job = await LocalEngine("memory://", job="desk").start(Desk())
    try:
        bounds = Limits(**{"drain_seconds": SOON, **limits})
        service = service_of_job(job, bounds)
        app = guarded(service, TOKENS, hosts=["localhost"], origins=[], prefix="")
        bound = server.bound_socket("127.0.0.1", 0)
        server.listen(bound)
        port = bound.getsockname()[1]
        stopping = server.Stopping(lambda _: None)
        running = asyncio.ensure_future(server.serve(app, service, bound, stopping))
        served = Served(job, service, port, stopping)
        try:
            yield served
        finally:
            if not stopping.asked.done():
                served.stop()
            await served.close()
            async with asyncio.timeout(PATIENCE):
                await running
    finally:
        await job.close()


async def test_requests_of_one_connection_are_answered_one_after_the_other() -> None:
    async with serving() as served:
        client = await served.client()
        for n in range(3):
            client.ask("POST", "/runs", {"key": n, "value": n, "wait": True})
            status, _, body = await client.answer()
            assert (status, json.loads(body)["outputs"]) == (201, [n])
        client.send(request("GET", "/runs/r1") + request("GET", "/healthz"))  # pipelined
        assert json.loads((await client.answer())[2])["id"] == "r1"
        assert (await client.answer())[0] == 200


@pytest.mark.parametrize(
    "sent", [b"", b"GET /runs HT", b"POST /runs HTTP/1.1\r\nHost: localhost\r\nX:"]
)
async def test_a_client_that_never_sends_its_head_is_let_go(sent: bytes) -> None:
    async with serving(receive_seconds=SOON) as served:
        client = await served.client()
        client.send(sent)
        answer = await client.end()
        assert answer.startswith(b"HTTP/1.1 408 ") if sent else answer == b""
        assert (await served.ask("GET", "/healthz"))[0] == 200


async def test_a_head_that_comes_drop_by_drop_has_no_longer_than_others() -> None:
    async with serving(receive_seconds=4 * SOON) as served:
        client = await served.client()
        answered = asyncio.ensure_future(client.end())
        with contextlib.suppress(ConnectionError):
            while not answered.done():
                client.send(b"G" if not client.writer.is_closing() else b"")
                await asyncio.sleep(SOON)
        await answered
        assert (await served.ask("GET", "/healthz"))[0] == 200


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_that_does_not_come_is_not_waited_for(chunked: bool) -> None:
    async with serving(receive_seconds=SOON) as served:
        client = await served.client()
        size = (
            {"Content-Length": "", "Transfer-Encoding": "chunked"}
            if chunked
            else {"Content-Length": "100"}
        )
        client.send(request("POST", "/runs", **size) + (b'5\r\n{"key\r\n' if chunked else b'{"key'))
        status, headers, _ = await client.answer()
        assert (status, headers["content-type"]) == (408, "application/problem+json")
        assert await client.end() == b""
        assert (await served.ask("GET", "/runs"))[1]["runs"] == []


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_huge_body_is_refused_before_it_has_come(chunked: bool) -> None:
    async with serving(body_bytes=1000) as served:
        client = await served.client()
        size = (
            {"Content-Length": "", "Transfer-Encoding": "chunked"}
            if chunked
            else {"Content-Length": "9999999"}
        )
        client.send(request("POST", "/runs", **size))
        if chunked:
            client.send(b"7d0\r\n" + b" " * 2000 + b"\r\n")
        assert (await client.answer())[0] == 413
        client.close()
        assert (await served.ask("GET", "/healthz"))[0] == 200


@pytest.mark.parametrize(
    ("path", "headers", "status"),
    [
        ("/runs", {}, 413), ("/runs", {"Connection": "close"}, 413),
        ("/runs", {"Content-Length": "", "Transfer-Encoding": "chunked"}, 413),
        ("/runs", {"Authorization": "Bearer wrong", "Connection": "close"}, 401),
        ("/runs", {"Content-Type": "text/plain", "Connection": "close"}, 415),
        ("/nowhere", {"Connection": "close"}, 404),
    ],
)  # fmt: skip
async def test_who_sends_all_of_a_body_first_gets_the_refusal(
    path: str, headers: dict[str, str], status: int
) -> None:
    async with serving(body_bytes=1000) as served:
        client = await served.client()
        part = b"100000\r\n" + b" " * 2**20 + b"\r\n"
        is_chunked = "Transfer-Encoding" in headers
        size = 20 * (len(part) if is_chunked else 2**20)
        client.send(request("POST", path, **{"Content-Length": str(size), **headers}))
        for _ in range(20):
            client.send(part if is_chunked else b" " * 2**20)
            await client.writer.drain()  # raises once the server has cut it off
        client.send(b"0\r\n\r\n" if is_chunked else b"")
        assert (await client.answer())[0] == status


async def test_who_never_ends_a_body_is_let_go() -> None:
    async with serving(body_bytes=1000, receive_seconds=SOON) as served:
        client = await served.client()
        client.send(request("POST", "/runs", **{"Content-Length": "999999999999"}))
        assert (await client.answer())[0] == 413
        assert await client.end() == b""


async def test_a_body_that_nobody_reads_holds_no_connection() -> None:
    async with serving(receive_seconds=2 * SOON, idle_seconds=PATIENCE) as served:
        client = await served.client()
        client.send(
            request("POST", "/runs", Authorization="Bearer wrong", **{"Content-Length": "50"})
        )
        assert (await client.answer())[0] == 401
        ended = asyncio.ensure_future(client.end())
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                client.send(b" ")
                await asyncio.sleep(SOON / 10)
                if ended.done():
                    break
        await ended


@pytest.mark.parametrize(
    "sent",
    [b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 5000, b"\x16\x03\x01\x02\x00\x01\r\n\r\n",
     b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
     b"GET / HTTP/1.1\r\nHost: localhost\r\n broken\r\n: x\r\n\r\n"],
)  # fmt: skip
async def test_what_is_no_request_is_refused(sent: bytes) -> None:
    async with serving(header_bytes=4000) as served:
        client = await served.client()
        client.send(sent)
        assert (await client.end()).startswith(b"HTTP/1.1 400 ")
        assert (await served.ask("GET", "/healthz"))[0] == 200


async def test_a_head_that_comes_at_once_has_no_more_room_than_others() -> None:
    async with serving(header_bytes=4000) as served:
        client = await served.client()
        room = 4000 - len(request("GET", "/healthz", X="y"))
        for _ in range(2):  # the second behind the first, on one connection
            client.ask("GET", "/healthz", X="x" * (room + 1))
            assert (await client.answer())[0] == 200
        client.send(
            request("POST", "/runs", {"key": "k" * 5000, "value": 1})
        )  # of a body it is not
        assert (await client.answer())[0] == 202
        client.ask("GET", "/healthz", X="x" * (room + 2))
        assert (await client.end()).startswith(b"HTTP/1.1 400 ")


async def test_a_client_that_takes_nothing_is_let_go() -> None:
    async with serving(send_seconds=SOON, receive_seconds=PATIENCE) as served:
        large = {"key": "k", "value": {"echo": "x" * 12_000_000}, "id": "large", "wait": True}
        client = await served.client()
        client.ask("POST", "/runs", large)

        await until(lambda: client.is_cut_off())
        assert (await served.ask("GET", "/runs/large/value?path=key"))[0] == 200


async def test_a_stream_that_nobody_reads_is_let_go(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(send_seconds=SOON, receive_seconds=PATIENCE) as served:
        run = await served.job.submit({"echo": "x" * 12_000_000}, key="k", id="large")
        await run.wait()
        client = await served.client()
        client.ask("GET", "/runs/large/outputs", Accept="text/event-stream")
        await client.reader.readuntil(b"event: output")
        await until(lambda: client.is_cut_off())
    assert "Exception in ASGI" not in caplog.text


async def test_idle_connections_make_room_for_those_that_ask() -> None:
    async with serving(connections=20, idle_seconds=PATIENCE, receive_seconds=PATIENCE) as served:
        waiting = await served.client()
        waiting.ask("POST", "/runs", {"key": "k", "value": {"gate": "g"}, "wait": True})
        await until_called()
        idle = [await served.client() for _ in range(100)]
        statuses = [(await served.ask("GET", "/healthz"))[0] for _ in range(5)]
        assert statuses == [200] * 5
        assert await idle[0].end() == b""  # the oldest went
        GATES["g"].set()
        assert (await waiting.answer())[0] == 201  # who waits stays


async def until_called() -> None:
    async def called() -> bool:
        return bool(CALLS)

    await until(called)


async def test_one_connection_too_many_is_told_so() -> None:
    async with serving(connections=16, idle_seconds=PATIENCE) as served:
        for n in range(16):
            busy = await served.client()
            busy.ask("POST", "/runs", {"key": n, "value": {"gate": "g"}, "wait": True})

        async def all_wait() -> bool:
            return len(CALLS) == 16

        await until(all_wait)
        refused = await served.client()
        assert (await refused.end()).startswith(b"HTTP/1.1 503 ")
        GATES["g"].set()
        assert (await busy.answer())[0] == 201


async def test_one_request_too_many_is_told_so() -> None:
    async with serving(requests=2) as served:
        for n in range(2):
            client = await served.client()
            client.ask("POST", "/runs", {"key": n, "value": {"gate": "g"}, "wait": True})

        async def both_wait() -> bool:
            return len(CALLS) == 2

        await until(both_wait)
        status, problem = await served.ask("GET", "/runs")
        assert (status, "ask again" in problem["detail"]) == (503, True)
        assert (await served.ask("GET", "/healthz"))[0] == 200
        GATES["g"].set()


async def test_a_name_that_is_not_ours_is_refused() -> None:
    async with serving() as served:
        assert (await served.ask("GET", "/runs", Host="evil.example"))[0] == 421
        assert (await served.ask("GET", "/healthz", Host="10.0.0.7"))[0] == 200


# The end


async def test_at_the_end_runs_may_come_to_theirs_and_their_clients_get_them() -> None:
    async with serving(drain_seconds=PATIENCE) as served:
        client, kept = await served.client(), await served.client()
        client.ask("POST", "/runs", {"key": "k", "value": {"gate": "g"}, "wait": True})
        kept.ask("GET", "/readyz")
        assert (await kept.answer())[0] == 200
        await until_called()
        served.stop()

        async def drains() -> bool:
            return served.service.is_draining

        await until(drains)
        kept.ask("GET", "/readyz")
        assert (await kept.answer())[0] == 503
        kept.ask("POST", "/runs", {"key": "k", "value": 1})
        status, headers, _ = await kept.answer()
        assert (status, "retry-after" in headers) == (503, True)
        GATES["g"].set()
        status, _, body = await client.answer()
        assert (status, json.loads(body)["outputs"]) == (201, ["through g"])


async def test_at_the_end_those_who_wait_on_are_told_where_their_run_is() -> None:
    async with serving() as served:
        client, stream = await served.client(), await served.client()
        client.ask("POST", "/runs", {"key": "k", "value": {"gate": "g"}, "wait": True})
        stream.ask("GET", "/stream")
        await stream.reader.readuntil(b"event: position")
        await until_called()
        served.stop()
        status, headers, _ = await client.answer()
        assert (status, headers["location"]) == (202, "/runs/run:r1")
        await stream.end()


@pytest.mark.parametrize("works", [False, True], ids=["idle", "at-work"])
async def test_at_the_end_who_is_sending_a_body_is_told_to_ask_again(
    works: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(drain_seconds=SOON if works else PATIENCE) as served:
        client = await served.client()
        if works:
            waiting = await served.client()
            waiting.ask("POST", "/runs", {"key": "k", "value": {"gate": "g"}, "wait": True})
            await until_called()
        client.send(request("POST", "/runs", **{"Content-Length": "100"}) + b'{"key')

        async def receives() -> bool:
            return bool(served.service._receiving)

        await until(receives)
        served.stop()
        status, headers, body = await client.answer()
        assert (status, headers["content-type"]) == (503, "application/problem+json")
        assert "retry-after" in headers
        assert "about to stop" in json.loads(body)["detail"]
        assert await client.end() == b""
    assert not caplog.records


async def test_at_the_end_who_never_ends_a_refused_body_holds_up_nothing() -> None:
    async with serving(body_bytes=1000) as served:
        client = await served.client()
        client.send(request("POST", "/runs", **{"Content-Length": "999999999999"}))
        assert (await client.answer())[0] == 413
        served.stop()
        assert await client.end() == b""


async def test_at_the_end_who_takes_no_answer_is_cut_off_without_a_traceback(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "TO_ANSWER", SOON)
    async with serving() as served:
        client = await served.client()
        value = {"echo": "x" * 12_000_000}  # more than the buffers of both sides take
        client.ask("POST", "/runs", {"key": "k", "value": value, "wait": True})
        await client.reader.readuntil(b"\r\n\r\n")
        served.stop()
        await until(lambda: client.is_cut_off())
    assert not caplog.records


async def test_a_run_that_waits_for_a_person_holds_up_no_end() -> None:
    async with serving(drain_seconds=PATIENCE) as served:
        client = await served.client()
        client.ask("POST", "/runs", {"key": "k", "value": {"ask": "x"}, "id": "a", "wait": True})

        async def waits() -> bool:
            return (await served.ask("GET", "/inbox"))[1]["count"] == 1

        await until(waits)
        served.stop()
        assert (await client.answer())[0] == 202


async def test_what_stops_the_job_ends_the_server() -> None:
    with pytest.raises(ValueError, match="broken"):
        async with serving() as served:
            client = await served.client()
            client.ask("POST", "/runs", {"key": "k", "value": {"gate": "g"}, "wait": True})
            await until_called()
            served.job.machinery.runtime.stop(ValueError("the disk is broken"))
            assert (await client.answer())[0] == 503


def test_an_address_that_is_taken_is_named() -> None:
    bound = server.bound_socket("127.0.0.1", 0)
    try:
        server.listen(bound)
        port = bound.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"127.0.0.1:{port} cannot be served"):
            server.bound_socket("127.0.0.1", port)
        assert server.url_of(bound, "/x") == f"http://127.0.0.1:{port}/x/"
    finally:
        bound.close()
    with pytest.raises(ConfigurationError, match=r"host 'no\.such\.host\.invalid'"):
        server.bound_socket("no.such.host.invalid", 0)
