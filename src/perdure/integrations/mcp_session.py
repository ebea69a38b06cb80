"""One connection to an MCP server, and its being made again when it broke."""

from __future__ import annotations

import asyncio
import collections
import contextlib
import contextvars
import dataclasses
import importlib
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from perdure.errors import ConfigurationError, RetryableError, TerminalError, missing_extra
from perdure.integrations.mcp_errors import first, lacking_folder, late, line, said
from perdure.integrations.mcp_replies import Replies, came_by, mute_the_client
from perdure.integrations.mcp_wire import Watched, mend
from perdure.integrations.retry_after import seconds_in
from perdure.printable import printable_logger

__all__ = ["Endpoint", "Link", "load_extra"]

T = TypeVar("T")
logger = printable_logger("perdure.mcp")

CONNECTION_CLOSED: Final = -32000
INVALID_REQUEST: Final = -32600
INTERNAL_ERROR: Final = -32603
_STDERR_LINES: Final = 20
_LAST_WORDS_SECONDS: Final = 1.0  # for reading what a server that died wrote to its stderr
_LONGEST_LINE: Final = 8192
_HTTP_SECONDS: Final = 30.0  # to connect, to write, to get a connection of the pool
_ATTEMPTS: Final = 3
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 30.0
# Statuses after which the same request may succeed.
_PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


async def load_extra() -> None:
    """Import what a connection needs, on a thread: it takes most of a second.

    Raises:
        ConfigurationError: The extra `mcp` is not installed.
    """
    try:
        await asyncio.to_thread(_load)
    except ImportError as error:
        raise missing_extra("an MCPServer", "mcp", error) from None


def _load() -> None:
    for name in ("mcp.client.streamable_http", "jsonschema.exceptions", "referencing.exceptions"):
        importlib.import_module(name)
    # Its first use reads the files of all drafts.
    importlib.import_module("jsonschema").Draft202012Validator.check_schema({})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where a server is: a command, a URL, or an object of this process.

    Attributes:
        command: A program and its arguments, spoken to over its stdin and stdout.
        env: Environment variables over the few that it inherits.
        cwd: Its working folder.
        url: Where a server listens, spoken to over streamable HTTP.
        headers: Sent with each request.
        server: A server object of the package `mcp`.
        read_timeout: Seconds between two pieces of an answer over HTTP.
        auth: What signs requests over HTTP: it has `auth_flow`, as httpx calls it.
    """

    command: Sequence[str] = ()
    env: Mapping[str, str] | None = None
    cwd: str | None = None
    url: str | None = None
    headers: Mapping[str, str] | None = None
    server: Any = None
    read_timeout: float = 300.0
    auth: Any = None

    def __str__(self) -> str:
        if self.command:
            return " ".join(self.command)
        return self.url or f"the {type(self.server).__name__} of this process"


class _Session:
    """One connection: entered, used and left inside one task of its own.

    The client's context managers hold cancel scopes, which belong to the task that entered them;
    calls may come from any task of the loop. Lives on the host loop.
    """

    def __init__(self, endpoint: Endpoint, timeout: float) -> None:
        self._endpoint = endpoint
        self._timeout = timeout
        self._leave = asyncio.Event()
        self._client: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._stderr: collections.deque[str] = collections.deque(maxlen=_STDERR_LINES)
        self._reader: threading.Thread | None = None  # of its stderr, until the process is gone
        self._task: asyncio.Task[None] | None = None
        self.broken = False
        self.forgotten = False
        self.http_status = 0
        self.retry_after: float | None = None

    async def start(self) -> Any:
        """Connect and return the client.

        Raises:
            ConnectionError: It cannot be reached; the text says why.
        """
        self._task = asyncio.create_task(self._live(), name=f"mcp {self._endpoint}")
        try:
            return await asyncio.shield(self._client)
        except asyncio.CancelledError:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Disconnect, and end the process; bounded by the grace that the protocol gives it."""
        self.broken = True
        self._leave.set()
        if self._task is None:
            return
        if not self._client.done():
            self._task.cancel()
        await asyncio.wait([self._task])

    async def _live(self) -> None:
        reason: BaseException | None = None
        mute_the_client()
        try:
            async with contextlib.AsyncExitStack() as stack:
                async with asyncio.timeout(self._timeout):
                    client = await stack.enter_async_context(_client(await self._target(stack)))
                self._client.set_result(client)
                await self._leave.wait()
        except TimeoutError as error:
            reason = error if self._client.done() else TimeoutError(late(self._timeout))
        except asyncio.CancelledError as error:
            reason = error
        except BaseException as error:  # a group of them, from the transport
            reason = first(error)
        finally:
            self.broken = True
        if self._client.done():
            if reason is not None:
                logger.debug(
                    "the connection to %s ended: %s",
                    self._endpoint,
                    said(reason, self._endpoint.command),
                )
        elif isinstance(reason, asyncio.CancelledError):
            self._client.cancel()
        else:
            lacking = await lacking_folder(reason, self._endpoint.cwd)
            why = self.explained(said(reason, self._endpoint.command, lacking))
            self._client.set_exception(ConnectionError(why))
            self._client.exception()  # looked at, though nobody may be waiting any more

    async def _target(self, stack: contextlib.AsyncExitStack) -> Any:
        endpoint = self._endpoint
        if endpoint.server is not None:
            return endpoint.server
        if endpoint.command:
            return self._over_stdio()
        from mcp.client.streamable_http import streamable_http_client
        from mcp.shared._httpx_utils import create_mcp_http_client

        # On a thread: it reads the certificates of the machine.
        http = await asyncio.to_thread(
            create_mcp_http_client, dict(endpoint.headers or {}), *_of_http(endpoint)
        )
        http.event_hooks = {**http.event_hooks, "response": [self._on_response]}
        await stack.enter_async_context(http)
        transport = streamable_http_client(endpoint.url or "", http_client=http)
        return self._watched(transport)

    async def _on_response(self, response: Any) -> None:
        came_by(response)
        if response.request.method != "POST":
            return  # no answer to a request of ours
        failed = response.status_code >= 400
        self.http_status = response.status_code if failed else 0
        self.retry_after = seconds_in(response.headers.get("retry-after")) if failed else None
        # Before there is a client, a server without this path or method may say the same.
        self.forgotten = self.forgotten or (response.status_code == 404 and self._client.done())

    def _over_stdio(self) -> Any:
        from mcp.client.stdio import StdioServerParameters, stdio_client

        command, *args = self._endpoint.command
        env = dict(self._endpoint.env) if self._endpoint.env is not None else None
        parameters = StdioServerParameters(
            command=command, args=args, env=env, cwd=self._endpoint.cwd
        )

        @contextlib.asynccontextmanager
        async def transport() -> AsyncIterator[Any]:
            with _stderr_to(self._on_stderr) as (errlog, self._reader):
                entered = stdio_client(parameters, errlog=errlog)
                streams = await entered.__aenter__()
            # Only the server has the writing end now: its death ends the reading.
            async with contextlib.AsyncExitStack() as stack:
                stack.push_async_exit(entered)
                yield streams

        return self._watched(transport())

    def _on_stderr(self, line: str) -> None:
        self._stderr.append(line)
        logger.debug("%s: %s", self._endpoint.command[0], line)

    def _watched(self, transport: Any) -> Watched:
        replies = Replies(str(self._endpoint))

        def read(message: Any, context: contextvars.Context | None) -> Any:
            message = replies.read(message, context)
            client = self._client.result() if self._client.done() else None
            mend(message, None if client is None else client.protocol_version, str(self._endpoint))
            return message

        return Watched(transport, on_end=self._ended, on_sent=replies.asked, read=read)

    def _ended(self) -> None:
        self.broken = True

    async def hear_out(self) -> None:
        """Return when what a server that died wrote last is read; soon where it has not died."""
        if self._reader is not None:
            await asyncio.to_thread(self._reader.join, _LAST_WORDS_SECONDS)

    def explained(self, reason: str) -> str:
        """Return a reason in one line, with what the server wrote last to its stderr."""
        last = " | ".join(each for each in list(self._stderr)[-3:] if each.strip())
        status = f" (HTTP {self.http_status})" if self.http_status else ""
        ending = f"; its stderr ends with: {line(last)}" if last else ""
        return f"{line(reason)}{status}{ending}"


class Link:
    """The connection to a server, made again when it broke. Lives on the host loop.

    Owns one session at a time. A broken one is replaced by the first call that meets it; callers
    that come meanwhile wait for the same attempt.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        timeout: float,
        on_connect: Callable[[Any], Awaitable[None]],
    ) -> None:
        """Prepare a connection.

        Args:
            endpoint: Where the server is.
            timeout: Seconds for one attempt to connect.
            on_connect: Told the client after each connecting, before it is used.
        """
        self._endpoint = endpoint
        self._timeout = timeout
        self._on_connect = on_connect
        self._session: _Session | None = None
        self._client: Any = None
        self._connecting: asyncio.Task[Any] | None = None
        self._failures = 0  # since it last connected
        self._resume_at = 0.0
        self._reason = ""
        self._closed = False

    async def open(self) -> None:
        """Connect for the first time, in one attempt.

        Raises:
            ConfigurationError: The server cannot be started or reached.
        """
        self._closed = False
        try:
            await self._connect()
        except ConnectionError as error:
            raise ConfigurationError(
                f"MCP server {self._endpoint}: it cannot be started or reached: {error}"
            ) from None

    async def close(self) -> None:
        """Disconnect; a process that was started is gone when this returns."""
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        if self._session is not None:
            session, self._session, self._client = self._session, None, None
            await session.stop()

    async def call(self, what: str, request: Callable[[Any], Awaitable[T]]) -> T:
        """Make one request.

        A session that is known to be broken is replaced first; one that breaks under the request
        is replaced by the next request, because this one may have been carried out.

        Args:
            what: What is asked for, for messages.
            request: Makes it with a client.

        Raises:
            RetryableError: The connection broke, or could not be made.
            TerminalError: The server refuses the request.
        """
        from mcp.shared.exceptions import MCPError

        for again in (True, False):
            client, session = await self._live()
            try:
                return await request(client)
            except MCPError as error:
                if error.code == INVALID_REQUEST and session.forgotten and again:
                    session.broken = True  # the request was not even looked at
                    continue
                if error.code == CONNECTION_CLOSED:
                    await session.hear_out()
                raise self._failure(what, error, session) from None
            except Exception as error:  # from the SDK: an answer that breaks the protocol
                if session.broken:
                    await session.hear_out()
                    raise self._lost(what, session, said(error)) from None
                raise TerminalError(f"{what}: {said(error)}") from None
        raise AssertionError("unreachable")

    def _failure(self, what: str, error: Any, session: _Session) -> Exception:
        if error.code == CONNECTION_CLOSED:
            # Over HTTP it may be this request's stream alone: whether all is lost is seen there.
            session.broken = session.broken or self._endpoint.url is None
            return self._lost(what, session, error.message)
        if error.code == INTERNAL_ERROR and session.http_status in _PASSING:
            reason = session.explained(error.message)
            return RetryableError(f"{what}: {reason}", session.retry_after)
        return TerminalError(f"{what}: {session.explained(error.message)} (code {error.code})")

    def _lost(self, what: str, session: _Session, reason: str) -> RetryableError:
        return RetryableError(
            f"{what}: the connection broke during the call: {session.explained(reason)}"
        )

    async def _live(self) -> tuple[Any, _Session]:
        if self._closed:
            raise self._is_closed()
        session = self._session
        if session is None or session.broken:
            if self._connecting is None:
                self._refuse_while_pausing()
                self._connecting = asyncio.create_task(self._connect_again())
                self._connecting.add_done_callback(_looked_at)
            try:
                # Shielded: one caller that is cancelled must not take it from the others.
                await asyncio.shield(self._connecting)
            except ConnectionError as error:
                raise self._unreachable(str(error)) from None
            except asyncio.CancelledError:
                if self._was_closed() and not _is_being_cancelled():
                    raise self._is_closed() from None
                raise
            session = self._session
        if session is None:
            raise self._is_closed()
        return self._client, session

    def _was_closed(self) -> bool:
        return self._closed

    def _is_closed(self) -> TerminalError:
        return TerminalError(f"MCP server {self._endpoint}: it is closed")

    def _refuse_while_pausing(self) -> None:
        """Let no call start a server that has just failed to start: its retry comes later."""
        if self._failures and self._resume_at > asyncio.get_running_loop().time():
            raise self._unreachable(self._reason)

    def _unreachable(self, reason: str) -> RetryableError:
        return RetryableError(
            f"MCP server {self._endpoint}: it cannot be started or reached: {reason}",
            retry_after=max(0.0, self._resume_at - asyncio.get_running_loop().time()),
        )

    async def _connect_again(self) -> None:
        # After that it is up to the retries of the calls, further and further apart.
        attempts = 1 if self._failures else _ATTEMPTS
        try:
            for attempt in range(1, attempts + 1):
                try:
                    return await self._connect()
                except ConnectionError as error:
                    logger.warning("MCP server %s: connecting again: %s", self._endpoint, error)
                    pause = min(_FIRST_PAUSE * 2.0**self._failures, _LONGEST_PAUSE)
                    self._failures, self._reason = self._failures + 1, str(error)
                    self._resume_at = asyncio.get_running_loop().time() + pause
                    if attempt == attempts:
                        raise
                await asyncio.sleep(pause)
        finally:
            self._connecting = None

    async def _connect(self) -> None:
        before, self._session, self._client = self._session, None, None
        if before is not None:
            await before.stop()
        session = _Session(self._endpoint, self._timeout)
        client = await session.start()
        try:
            async with asyncio.timeout(self._timeout):
                await self._on_connect(client)
        except BaseException as error:
            await session.stop()
            if isinstance(error, ConfigurationError) or not isinstance(error, Exception):
                raise
            is_late = isinstance(error, TimeoutError)
            reason = said(TimeoutError(late(self._timeout)) if is_late else error)
            raise ConnectionError(session.explained(reason)) from None
        self._session, self._client, self._failures = session, client, 0


def _of_http(endpoint: Endpoint) -> tuple[Any, Any]:
    """Return the timeouts and the signing of requests as the client takes them."""
    import httpx2

    class Signed(httpx2.Auth):
        """Signs as an `Auth` of another package of that family does."""

        requires_request_body = getattr(endpoint.auth, "requires_request_body", False)
        requires_response_body = getattr(endpoint.auth, "requires_response_body", False)

        def auth_flow(self, request: Any) -> Any:
            return (yield from endpoint.auth.auth_flow(request))

    timeout = httpx2.Timeout(_HTTP_SECONDS, read=endpoint.read_timeout)
    if endpoint.auth is None or isinstance(endpoint.auth, httpx2.Auth):
        return timeout, endpoint.auth
    return timeout, Signed()


def _client(target: Any) -> Any:
    from mcp import Client

    return Client(target, cache=None)


@contextlib.contextmanager
def _stderr_to(on_line: Callable[[str], None]) -> Any:
    """Give a file whose lines are told to `on_line`, on a thread, until its last writer is gone.

    Gives that thread as well.
    """
    reading, writing = os.pipe()

    def read() -> None:
        with open(reading, encoding="utf-8", errors="replace") as lines:
            while line := lines.readline(_LONGEST_LINE):
                on_line(line.rstrip())

    reader = threading.Thread(target=read, name="perdure mcp stderr", daemon=True)
    reader.start()
    with open(writing, "w", encoding="utf-8") as file:
        yield file, reader


def _looked_at(task: asyncio.Task[Any]) -> None:
    """Keep asyncio from complaining where every caller was cancelled before the attempt ended."""
    if not task.cancelled():
        task.exception()


def _is_being_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
