"""Connections with bounds that uvicorn does not have: their number, silence, slow senders, readers.

A connection is idle between two requests, and before the first. What a client has to do it does in
time: send a whole request head, send the rest of a body that nobody waits for, take its answer.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from perdure.connectors.json_text import to_json
from perdure.web.limits import Limits

__all__ = ["BoundedProtocol", "Connections"]


class Connections:
    """The connections of one server.

    Args:
        limits: their bounds.
        most: how many there may be.

    Attributes:
        idle: those without a request under way, the one that is so longest first.
        count: how many there are.
    """

    def __init__(self, limits: Limits, most: int) -> None:
        self.limits = limits
        self.most = most
        self.idle: dict[BoundedProtocol, None] = {}
        self.count = 0


class _BoundedConnection(h11.Connection):
    """The requests of a connection; h11 itself bounds a head only while it is incomplete.

    Args:
        most: bytes of a request's line and headers.
    """

    def __init__(self, most: int) -> None:
        super().__init__(h11.SERVER, most)
        self._most = most

    def next_event(self) -> Any:
        if self.their_state is not h11.IDLE:
            return super().next_event()
        before = len(self.trailing_data[0])
        event = super().next_event()
        if type(event) is h11.Request and before - len(self.trailing_data[0]) > self._most:
            raise h11.RemoteProtocolError("the head is too large")
        return event


class BoundedProtocol(H11Protocol):
    """A connection; where there are too many, the one that is idle longest makes room.

    Owns: one timer, for what its client has to do now. Lifecycle: that of its transport.

    Args:
        bounds: what it has in common with the others.
        options: those of uvicorn's protocol.
    """

    def __init__(self, bounds: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._bounds = bounds
        self._limits = bounds.limits
        self.conn = _BoundedConnection(bounds.limits.header_bytes)
        self._deadline: asyncio.TimerHandle | None = None
        self._taking: asyncio.TimerHandle | None = None  # until the client takes what is sent
        self._is_refused = False
        self._is_counted = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        bounds = self._bounds
        if bounds.count >= bounds.most and not self._make_room():
            self._is_refused = True
            transport.write(_answer(503, "there are as many connections as may be", retry=1))
            transport.close()
            return
        self._is_counted = True
        bounds.count += 1
        super().connection_made(transport)
        self._idles(self._limits.receive_seconds)

    def _make_room(self) -> bool:
        oldest = next(iter(self._bounds.idle), None)
        if oldest is not None:
            oldest.transport.abort()
            oldest._goes()
        return oldest is not None

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_refused:
            return
        self._goes()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()  # uvicorn leaves it set after an error

    def _goes(self) -> None:
        """Count it no more; doing so again does nothing."""
        if self._deadline is not None:
            self._deadline.cancel()
        if self._taking is not None:
            self._taking.cancel()
        self._bounds.idle.pop(self, None)
        if self._is_counted:
            self._is_counted = False
            self._bounds.count -= 1

    # What the client sends

    def data_received(self, data: bytes) -> None:
        if not self._is_counted:
            return
        if self in self._bounds.idle and self.conn.their_state is h11.IDLE:
            # The first of a request: from here on its head has to come, however slowly.
            del self._bounds.idle[self]
            self._set_deadline(self._limits.receive_seconds, self._head_is_late)
        super().data_received(data)

    def handle_events(self) -> None:
        super().handle_events()
        if self._has_request() and self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
            self._bounds.idle.pop(self, None)

    def _has_request(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._has_request() or not self._is_counted or self.transport.is_closing():
            return  # the next one had come already
        if self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]:
            self._idles(self._limits.idle_seconds)
        else:  # part of the next request, or the rest of a body that nobody reads
            self._set_deadline(self._limits.receive_seconds, self.transport.abort)

    def _idles(self, seconds: float) -> None:
        self._bounds.idle[self] = None
        self._set_deadline(seconds, self.transport.close)

    def _set_deadline(self, seconds: float, late: Any) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = self.loop.call_later(seconds, late)

    def _head_is_late(self) -> None:
        seconds = self._limits.receive_seconds
        self.transport.write(_answer(408, f"the request did not come within {seconds:g} s"))
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP, or has too long a head; uvicorn's own says it as plain text."""
        self.transport.write(
            _answer(400, f"{msg} A request's head has {self._limits.header_bytes:,} bytes at most.")
        )
        self.transport.close()

    # What it takes

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taking = self.loop.call_later(self._limits.send_seconds, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._taking is not None:
            self._taking.cancel()
            self._taking = None


_PHRASES = {400: "Bad Request", 408: "Request Timeout", 503: "Service Unavailable"}


def _answer(status: int, detail: str, retry: int = 0) -> bytes:
    """Return a whole answer, for connections that no application sees."""
    phrase = _PHRASES[status]
    body = to_json({"type": "about:blank", "title": phrase, "status": status, "detail": detail})
    lines = [
        f"HTTP/1.1 {status} {phrase}",
        "Content-Type: application/problem+json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *([f"Retry-After: {retry}"] if retry else []),
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
