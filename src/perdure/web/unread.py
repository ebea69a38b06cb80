"""What is left of a request's body when it is answered: taken, so that the answer arrives."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

__all__ = ["UnreadBody"]

_MOST_BYTES = 64 * 1024 * 1024
_MOST_SECONDS = 5.0


class UnreadBody:
    """The body of one request, as far as nobody has read it.

    A connection that is closed while its client still sends is reset, and many a client sees no
    answer then, though there was one. So what it sends is taken for a while, and dropped, before
    the answer ends.

    Args:
        scope: of the request.
        receive: gives its body.
        seconds: that a body may take to come.

    Attributes:
        is_over: there is no more of it.
    """

    def __init__(self, scope: Scope, receive: Receive, seconds: float) -> None:
        headers = Headers(scope=scope)
        is_empty = headers.get("content-length", "0") == "0"
        self.is_over = is_empty and "transfer-encoding" not in headers
        self._receive = receive
        self._seconds = min(seconds, _MOST_SECONDS)

    async def receive(self) -> Message:
        """Return what comes next; the request's own `receive`."""
        message = await self._receive()
        self.is_over = not message.get("more_body")  # nor is there any of who has left
        return message

    async def take(self) -> None:
        """Take the rest, within bounds."""
        left = _MOST_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._seconds):
                while not self.is_over and left > 0:
                    left -= len((await self.receive()).get("body", b""))
