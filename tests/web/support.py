"""A job with its HTTP service in this process, and a client of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from httpx2 import ASGITransport, AsyncClient, Response
from tests.patience import PATIENCE

import perdure.web
import perdure.web.application
from perdure import Agent, InputEvent, LocalEngine, OutputEvent, RunnerContext, action
from perdure.engine.job import Job
from perdure.web import Role, Token

SECRET = "a-secret-of-tests"
READER, RUNNER = Token("reads-and-no-more", "rita", Role.READ), Token("runs-only", "rob", Role.RUN)
OPERATOR = Token(SECRET, "ann", Role.OPERATE)
TOKENS = (READER, RUNNER, OPERATOR)
GATES: dict[str, asyncio.Event] = {}
CALLS: list[Any] = []


async def echo(value: Any) -> Any:
    CALLS.append(value)
    return value


async def pass_gate(name: str) -> str:
    CALLS.append(name)
    await GATES.setdefault(name, asyncio.Event()).wait()
    return f"through {name}"


class Desk(Agent):
    """Does what its input says: echo, fail, wait at a gate, sleep, ask, send several outputs."""

    @action(InputEvent)
    async def work(self, event: InputEvent, ctx: RunnerContext) -> None:
        given = event.input if isinstance(event.input, dict) else {"echo": event.input}
        for what, value in given.items():
            if what == "fail":
                raise ValueError(value)
            if what == "gate":
                ctx.send_event(
                    OutputEvent(output=await ctx.durable_execute_async(pass_gate, value))
                )
            elif what == "sleep":
                await ctx.sleep(value)
            elif what == "ask":
                consent = await ctx.wait_for_approval(value, f"May I {value}?")
                ctx.send_event(OutputEvent(output=[consent.approved, consent.by, consent.comment]))
            elif what == "signal":
                ctx.send_event(OutputEvent(output=await ctx.wait_for_signal(value)))
            elif what == "several":
                for each in range(value):
                    ctx.send_event(OutputEvent(output=each))
            else:
                ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(echo, value)))


@contextlib.asynccontextmanager
async def served(
    store: str = "memory://", *, token: str | None = SECRET, job: str = "desk", **options: Any
) -> AsyncIterator[tuple[AsyncClient, Job]]:
    """Yield a client of a job's service, and the job."""
    GATES.clear()
    CALLS.clear()
    opened = await LocalEngine(store, job=job).start(Desk())
    try:
        options.setdefault("tokens", TOKENS)
        async with client_of(perdure.web.app(opened, **options), token) as client:
            yield client, opened
    finally:
        await opened.close()


def client_of(app: Any, token: str | None = SECRET) -> AsyncClient:
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    return AsyncClient(transport=ASGITransport(app), base_url="http://desk", headers=headers)


async def start(client: AsyncClient, value: Any, **more: Any) -> Response:
    return await client.post("/runs", json={"key": "k", "value": value, **more})


async def until(found: Callable[[], Awaitable[bool]]) -> None:
    """Return when something is so; fail after a minute."""
    async with asyncio.timeout(PATIENCE):
        while not await found():
            await asyncio.sleep(0.01)


async def until_status(client: AsyncClient, run: str, status: str) -> dict[str, Any]:
    async def found() -> bool:
        return (await client.get(f"/runs/{run}")).json()["status"] == status

    await until(found)
    return (await client.get(f"/runs/{run}")).json()


class Scope:
    """One request to an ASGI application, whose answer is read as it comes.

    httpx's transport gives an answer when all of it is there, which a stream's never is.
    """

    def __init__(
        self, app: Any, method: str, path: str, headers: dict[str, str], body: bytes = b""
    ):
        path, _, query = path.partition("?")
        given = {"host": "desk", **headers}.items()
        self._scope = {
            "type": "http", "http_version": "1.1", "method": method, "scheme": "http",
            "path": path, "raw_path": path.encode(), "query_string": query.encode(),
            "root_path": "", "client": ("127.0.0.1", 1), "server": ("desk", 80),
            "headers": [(name.lower().encode(), value.encode()) for name, value in given],
        }  # fmt: skip
        self._app = app
        self._body: bytes | None = body
        self._left = asyncio.Event()
        self._sent: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._rest = ""
        self.status = 0

    async def __aenter__(self) -> Scope:
        self.task = asyncio.ensure_future(self._app(self._scope, self._receive, self._sent.put))
        return self

    async def __aexit__(self, *_error: object) -> None:
        self.leave()
        await asyncio.wait([self.task], timeout=PATIENCE)
        self.task.result()

    def leave(self) -> None:
        self._left.set()

    async def _receive(self) -> dict[str, Any]:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def event(self) -> tuple[str, Any, str | None] | None:
        """Return name, data and id of the next event of a stream; None at its end."""
        while True:
            block, separator, rest = self._rest.partition("\n\n")
            if separator:
                self._rest = rest
                fields = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
                if "event" in fields:
                    return fields["event"], json.loads(fields["data"]), fields.get("id")
                continue
            async with asyncio.timeout(PATIENCE):
                message = await self._sent.get()
            if message["type"] == "http.response.start":
                self.status = message["status"]
                continue
            self._rest += message["body"].decode()
            if not message.get("more_body") and "\n\n" not in self._rest:
                return None


def watching(app: Any, path: str, **headers: str) -> Scope:
    return Scope(app, "GET", path, {"authorization": f"Bearer {SECRET}", **headers})
