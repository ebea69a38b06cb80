"""A server of one application: its socket, its bounds, its end."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import socket
from collections.abc import Callable, Iterator

import uvicorn
from starlette.types import ASGIApp

from perdure.errors import ConfigurationError
from perdure.web.connections import BoundedProtocol, Connections
from perdure.web.limits import TO_ANSWER, Limits
from perdure.web.service import Service

__all__ = ["Stopping", "bound_socket", "listen", "serve", "url_of"]

_BACKLOG = 1024
_SPARE_FILES = 200  # what a process needs besides its connections


def bound_socket(host: str, port: int) -> socket.socket:
    """Return a socket that listens nowhere yet.

    Raises:
        ConfigurationError: the address is not this machine's, or is in use.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except OSError as error:
        raise ConfigurationError(f"host {host!r}: {error.strerror}") from None
    family, _, _, _, address = found[0]
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind(address)
    except OSError as error:
        made.close()
        raise ConfigurationError(
            f"{host}:{port} cannot be served: {error.strerror}; choose another with --port, or 0"
            " for any that is free"
        ) from None
    return made


def listen(bound: socket.socket) -> None:
    """Let clients connect from now on; they are answered when the server has begun."""
    bound.listen(_BACKLOG)


def url_of(bound: socket.socket, prefix: str = "") -> str:
    """Return the URL of what is served on a socket."""
    host, port = bound.getsockname()[:2]
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{port}{prefix}/"


def _room(connections: int) -> tuple[int, int]:
    """Let the process have a file for each connection, as far as it may.

    Returns:
        How many connections there may be, and how many may come at once: each takes a file before
        it can be refused.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return connections, _BACKLOG
    wanted = connections + _BACKLOG + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return connections, _BACKLOG
    if soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
            soft = most
    backlog = min(_BACKLOG, soft // 4)
    return max(16, min(connections, soft - backlog - _SPARE_FILES)), backlog


class _Server(uvicorn.Server):
    """uvicorn's server, whose signals are ours to handle."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    def stop_accepting(self) -> None:
        """Take no further connections; those there are go on."""
        for server in self.servers:
            server.close()

    def cut_off(self) -> None:
        """End the connections that are left, as if their clients had."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()


class Stopping:
    """What signals do to a server: the first has it end in good order, the second at once.

    Attributes:
        asked: done when it is to end.
        forced: done when it is to end at once.
        received: number of the first signal; None before.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        loop = asyncio.get_running_loop()
        self.asked: asyncio.Future[None] = loop.create_future()
        self.forced: asyncio.Future[None] = loop.create_future()
        self.received: int | None = None
        self._say = say

    def heard(self, number: int) -> None:
        """Take a signal; on the loop."""
        if self.received is None:
            self.received = number
            self._say("stopping: requests under way may end; once more stops at once")
            self.asked.set_result(None)
        elif not self.forced.done():
            self.forced.set_result(None)


async def serve(
    application: ASGIApp, service: Service, bound: socket.socket, stopping: Stopping
) -> None:
    """Serve an application until it is asked to stop, or its job is; then let requests end.

    Args:
        application: what is served.
        service: what it stands on; drained, not closed, when this returns.
        bound: where; closed when this returns.
        stopping: who may ask.

    Raises:
        BaseException: what stopped the job.
    """
    limits = service.limits
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # what clients do wrong is no news
    server = _Server(_config(application, limits))
    serving = asyncio.ensure_future(server.serve([bound]))
    stopped = service.job_stopped()
    try:
        await asyncio.wait((serving, stopping.asked, stopped), return_when=asyncio.FIRST_COMPLETED)
        await service.drain()
        if not serving.done():
            await _end(server, serving, service, stopping)
        await serving
    finally:
        bound.close()
        if not serving.done():
            serving.cancel()
            await asyncio.wait([serving])
    if stopped.done():
        stopped.result()


async def _end(
    server: _Server, serving: asyncio.Future[None], service: Service, stopping: Stopping
) -> None:
    """Let runs and requests under way end, all of them within one time."""
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + service.limits.drain_seconds
    server.stop_accepting()
    ending = asyncio.ensure_future(service.runs_ended())
    await asyncio.wait(
        (ending, stopping.forced), timeout=service.limits.drain_seconds,
        return_when=asyncio.FIRST_COMPLETED,
    )  # fmt: skip
    ending.cancel()
    service.answer_waiting()
    server.should_exit = True
    left = 0.0 if stopping.forced.done() else ends_at - loop.time()
    await asyncio.wait((serving,), timeout=max(TO_ANSWER, left))
    server.cut_off()


def _config(application: ASGIApp, limits: Limits) -> uvicorn.Config:
    most, backlog = _room(limits.connections)
    connections = Connections(limits, most)
    return uvicorn.Config(
        application,
        http=functools.partial(BoundedProtocol, connections),  # type: ignore[arg-type]
        ws="none",
        lifespan="off",
        loop="none",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        proxy_headers=False,
        backlog=backlog,
        timeout_keep_alive=int(limits.idle_seconds) + 60,  # ours comes first
        timeout_graceful_shutdown=int(limits.drain_seconds) + 3,  # ours comes first
    )
