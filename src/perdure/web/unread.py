"""What is left of a request's body when it is answered: taken, so that the answer arrives."""

from __future__ import annotations

import contextlib

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

from perdure.web.service import Service

__all__ = ["UnreadBody"]

_MOST_BYTES = 64 * 1024 * 1024
_MOST_SECONDS = 5.0
_LAST_SECONDS = 0.5  # of them, once the service is to stop


class UnreadBody:
    """The body of one request, as far as nobody has read it.

    A connection that is closed while its client still sends is reset, and many a client sees no
    answer then, though there was one. So what it sends is taken for a while, and dropped, before
    the answer ends.

    Args:
        scope: of the request.
        receive: gives its body.
        service: who answers it.

    Attributes:
        is_over: there is no more of it.
    """

    def __init__(self, scope: Scope, receive: Receive, service: Service) -> None:
        headers = Headers(scope=scope)
        is_empty = headers.get("content-length", "0") == "0"
        self.is_over = is_empty and "transfer-encoding" not in headers
        self._receive = receive
        self._service = service

    async def receive(self) -> Message:
        """Return what comes next; the request's own `receive`."""
        message = await self._receive()
        self.is_over = not message.get("more_body")  # nor is there any of who has left
        return message

    async def take(self) -> None:
        """Take the rest, within bounds."""
        left = _MOST_BYTES
        limits = self._service.limits
        seconds = min(limits.receive_seconds, _MOST_SECONDS)
        at_end = min(limits.drain_seconds, _LAST_SECONDS)
        with contextlib.suppress(TimeoutError):
            async with self._service.receiving(seconds, at_end=at_end):
                while not self.is_over and left > 0:
                    left -= len((await self.receive()).get("body", b""))
