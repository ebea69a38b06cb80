"""The HTTP client of a chat model connection, for thousands of requests at once.

The pool of the HTTP library looks at all of its connections each time that a request begins or
ends: at 2,000 at once that is most of the time of the process. So requests are spread over pools of
a few dozen; one is used up before the next is opened, so that little traffic keeps few connections.
"""

from __future__ import annotations

import time
import urllib.request
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

__all__ = ["http_client"]

_PER_POOL: Final = 32
_KEEP_ALIVE_SECONDS: Final = 30.0
_READ_SECONDS: Final = 600.0
# Counts the time that a busy event loop takes to notice a connection, too.
_CONNECT_SECONDS: Final = 30.0


def http_client() -> Any:
    """Return a client without a bound on its connections; making it blocks for some milliseconds.

    Where the environment names a proxy it is used, through one pool.
    """
    import httpx2
    from pydantic_ai.models import create_async_httpx2_client

    limits = httpx2.Limits(
        max_connections=None,
        max_keepalive_connections=None,
        keepalive_expiry=_KEEP_ALIVE_SECONDS,
    )
    timeout = httpx2.Timeout(_READ_SECONDS, connect=_CONNECT_SECONDS)
    if urllib.request.getproxies().keys() & {"http", "https", "all"}:
        return create_async_httpx2_client(timeout=timeout, limits=limits)
    certificates = httpx2.create_ssl_context()  # takes long: once for all pools

    def pool() -> Any:
        return httpx2.AsyncHTTPTransport(verify=certificates, limits=limits)

    return create_async_httpx2_client(timeout=timeout, transport=_spread(pool))


class _Pool:
    """One pool of connections.

    Attributes:
        transport: The pool.
        busy: Requests that use it.
        idle_since: When the last of them ended.
    """

    __slots__ = ("busy", "idle_since", "transport")

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.busy = 0
        self.idle_since = 0.0

    def left(self) -> None:
        self.busy -= 1
        if not self.busy:
            self.idle_since = time.monotonic()


def _spread(make: Callable[[], Any]) -> Any:
    """Return a transport that spreads requests over pools that `make` makes."""
    import httpx2

    class Body(httpx2.AsyncByteStream):
        """A response's body, which uses its pool until it is closed."""

        def __init__(self, stream: Any, pool: _Pool) -> None:
            self._stream = stream
            self._pool: _Pool | None = pool

        async def __aiter__(self) -> AsyncIterator[bytes]:
            async for part in self._stream:
                yield part

        async def aclose(self) -> None:
            pool, self._pool = self._pool, None
            try:
                await self._stream.aclose()
            finally:
                if pool is not None:
                    pool.left()

    class Spread(httpx2.AsyncBaseTransport):
        def __init__(self) -> None:
            self._pools: list[_Pool] = []

        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            pool = next((each for each in self._pools if each.busy < _PER_POOL), None)
            if pool is None:
                pool = _Pool(make())
                self._pools.append(pool)
            pool.busy += 1
            try:
                await self._close_idle()
                response: httpx2.Response = await pool.transport.handle_async_request(request)
            except BaseException:
                pool.left()
                raise
            response.stream = Body(response.stream, pool)
            return response

        async def _close_idle(self) -> None:
            """Close the last pool if nobody has used it for long, one each request."""
            last = self._pools[-1]
            if last.busy or time.monotonic() - last.idle_since < _KEEP_ALIVE_SECONDS:
                return
            self._pools.pop()
            await last.transport.aclose()

        async def aclose(self) -> None:
            pools, self._pools = self._pools, []
            for pool in pools:
                await pool.transport.aclose()

    return Spread()
