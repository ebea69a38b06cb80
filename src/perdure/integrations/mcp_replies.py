"""Replies of an MCP server that its client cannot read: each settles the request that it is to.

The client drops what is no message of the protocol, and what is to no request of its own; whoever
made the request would wait for ever, or until it is made again.
"""

from __future__ import annotations

import contextvars
import json
import logging
import re
from typing import Any, Final

from perdure.integrations.mcp_errors import broken_rule
from perdure.llm.sendable import sendable
from perdure.printable import printable_logger

__all__ = ["Replies", "came_by", "mute_the_client"]

logger = printable_logger("perdure.mcp")
PARSE_ERROR: Final = -32700
_SHOWN: Final = 100  # characters of a line that is no message
_CLIENT_LOGGERS: Final = ("mcp.client.stdio", "mcp.client.streamable_http")
# Of a reply that was cut short or mixed with other output; requests have no result and no error.
_REPLY: Final = re.compile(r'\{.*"(?:result|error)"\s*:', re.DOTALL)
_ID: Final = re.compile(r'"id"\s*:\s*(-?\d+|"[^"\\]*")')
# Of the task that reads a response over HTTP: the response, where its body is one message. It is
# taken out when the message is read: a context is kept for longer.
_response: contextvars.ContextVar[list[Any]] = contextvars.ContextVar("perdure_mcp_response")
_is_muted: contextvars.ContextVar[bool] = contextvars.ContextVar("perdure_mcp", default=False)


def came_by(response: Any) -> None:
    """Note the response that what this task gives the client comes by, and mute it as well."""
    kind = response.headers.get("content-type", "").lower()
    is_message = (
        response.request.method == "POST"
        and response.status_code < 400
        and kind.startswith("application/json")
    )
    _response.set([response] if is_message else [])
    _is_muted.set(True)  # the task goes on in the context of who asked


class Replies:
    """What one connection asked for, and what comes, as its client can read it.

    Args:
        server: Where the server is, for messages.
    """

    def __init__(self, server: str) -> None:
        self._server = server
        self._waiting: dict[str, int | str] = {}  # the ids of requests, as a server may write them

    def asked(self, message: Any) -> None:
        """Take note of a message that goes to the server."""
        sent = message.message
        method, id_ = getattr(sent, "method", None), getattr(sent, "id", None)
        if method is not None and id_ is not None:
            self._waiting[str(id_)] = id_
        elif method == "notifications/cancelled":
            self._waiting.pop(str((sent.params or {}).get("requestId")), None)

    def read(self, message: Any, context: contextvars.Context | None) -> Any:
        """Return what came as the client shall have it: the same where it can read it.

        Args:
            message: A message, or the exception that there is in the place of one.
            context: That of its sender; None where it is not known.
        """
        if isinstance(message, Exception):
            return self._reread(message)
        came = message.message
        response = _taken_response(context)
        is_reply = not hasattr(came, "method")
        if is_reply and self._waiting.pop(str(came.id), None) is not None:
            code = getattr(getattr(came, "error", None), "code", None)
            if code == PARSE_ERROR and response is not None:
                return _of_text(response.content.decode(errors="replace"), came.id) or message
            return message
        if response is not None:
            # No other reply to its request comes: the body has ended.
            return self._to_another(message, response, is_reply)
        if is_reply and came.id is None and len(self._waiting) == 1:
            return _failed(self._waiting.popitem()[1], came.error)
        return message

    def _reread(self, error: Exception) -> Any:
        unread = _unread(error)
        reply = _of_text(unread) if isinstance(unread, str) else _of_value(unread)
        if reply is not None:
            return self.read(reply, None)
        if str(unread or "").strip():
            logger.warning(
                "MCP server %s: what is no message is left out: %s",
                self._server, str(unread)[:_SHOWN],
            )  # fmt: skip
        return error

    def _to_another(self, message: Any, response: Any, is_reply: bool) -> Any:
        own = self._waiting.pop(str(_asked_by(response)), None)
        if own is None:
            return message
        came = message.message
        if is_reply and came.id is None:
            return _failed(own, came.error)
        what = f"a reply to {came.id!r}" if is_reply else f"{came.method!r}"
        return _broken(own, f"it breaks the protocol: the reply to {own!r} is {what}")


def mute_the_client() -> None:
    """Keep the client from logging, with tracebacks, what requests of this task fail with."""
    _is_muted.set(True)
    for name in _CLIENT_LOGGERS:
        logging.getLogger(name).addFilter(_unless_muted)  # it is added once


def _unless_muted(record: logging.LogRecord) -> bool:
    return record.levelno < logging.ERROR or not _is_muted.get()


def _taken_response(context: contextvars.Context | None) -> Any:
    held = None if context is None else context.get(_response)
    return held.pop() if held else None


def _asked_by(response: Any) -> Any:
    return json.loads(response.request.content).get("id")


def _unread(error: Exception) -> Any:
    """Return what the client could not read: a line, or a mapping without a method; else None."""
    if broken_rule(error) is None:
        return None
    for each in error.errors():  # type: ignore[attr-defined]
        if each["type"] == "json_invalid":
            return each["input"]
        if each["type"] == "missing" and each["loc"][-1] == "method":
            return each["input"]
    return None


def _of_text(line: str, own: int | str | None = None) -> Any:
    """Return a text as a message, or as the failure of the request that it is the reply to.

    None where it is neither.

    Args:
        line: The text.
        own: The request that it is to; None where the text says it.
    """
    try:
        value = sendable(json.loads(line))
    except (ValueError, RecursionError) as error:
        found = _ID.search(line) if _REPLY.match(line.lstrip()) else None
        id_ = own if found is None else json.loads(found[1])
        return None if id_ is None else _broken(id_, f"it breaks the protocol: no JSON: {error}")
    return _of_value(value, own)


def _of_value(value: Any, own: int | str | None = None) -> Any:
    from mcp.shared.message import SessionMessage
    from mcp_types import jsonrpc_message_adapter

    try:
        return SessionMessage(jsonrpc_message_adapter.validate_python(value, by_name=False))
    except ValueError:
        reply = value if isinstance(value, dict) and "method" not in value else {}
    id_ = reply.get("id") if own is None else own
    is_id = isinstance(id_, int | str) and not isinstance(id_, bool)
    return _broken(id_, _why(reply)) if is_id else None


def _why(reply: dict[str, Any]) -> str:
    from mcp_types import JSONRPCError, JSONRPCResponse

    try:
        (JSONRPCError if "error" in reply else JSONRPCResponse).model_validate(reply)
    except ValueError as error:
        return broken_rule(error) or str(error)
    return "it breaks the protocol"


def _broken(id_: Any, why: str) -> Any:
    from mcp_types import ErrorData

    return _failed(id_, ErrorData(code=PARSE_ERROR, message=why))


def _failed(id_: Any, error: Any) -> Any:
    from mcp.shared.message import SessionMessage
    from mcp_types import JSONRPCError

    return SessionMessage(JSONRPCError(jsonrpc="2.0", id=id_, error=error))
