"""What comes from an MCP server, as it comes: one odd part does not spoil the rest."""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from typing import Any, Final

from perdure.integrations.mcp_errors import broken_rule
from perdure.printable import printable_logger

__all__ = ["Watched", "mend"]

logger = printable_logger("perdure.mcp")

_LISTS: Final = {"tools": "tools/list", "prompts": "prompts/list"}
_CONTENT: Final = frozenset(("text", "image", "audio", "resource", "resource_link"))


def mend(message: Any, version: str | None, server: str) -> None:
    """Take out of an answer what breaks the protocol and can be left out, in place.

    A tool or prompt that is none is left out of its list, with a warning; content of a type that
    is not known becomes a line that says so.

    Args:
        message: What the transport gave.
        version: The protocol's version; None while none is agreed on.
        server: Where the server is, for the warning.
    """
    result = getattr(getattr(message, "message", None), "result", None)
    if not isinstance(result, dict):
        return
    if version is not None:
        for key, method in _LISTS.items():
            if isinstance(result.get(key), list):
                _mend_list(result, key, method, version, server)
    content = result.get("content")
    if isinstance(content, list):
        result["content"] = [_known(each) for each in content]
    messages = result.get("messages")
    for each in messages if isinstance(messages, list) else ():
        if isinstance(each, dict):
            each["content"] = _known(each.get("content"))


def _mend_list(result: dict[str, Any], key: str, method: str, version: str, server: str) -> None:
    if _failing(result, method, version) is None:
        return
    kept = []
    for each in result[key]:
        error = _failing({**result, key: [each]}, method, version)
        if error is None:
            kept.append(each)
        else:
            name = each.get("name") if isinstance(each, dict) else each
            logger.warning(
                "MCP server %s: its %s %r is left out: %s", server, key[:-1], name,
                broken_rule(error) or error,
            )  # fmt: skip
    result[key] = kept


def _failing(result: dict[str, Any], method: str, version: str) -> Exception | None:
    from mcp_types.methods import parse_server_result

    try:
        parse_server_result(method, version, result)
    except KeyError:
        return None  # a version that has no such list, or is not known
    except ValueError as error:
        return error
    return None


def _known(block: Any) -> Any:
    kind = block.get("type") if isinstance(block, dict) else None
    if kind in _CONTENT or not isinstance(kind, str):
        return block
    return {"type": "text", "text": f"[content of the type {kind!r}, which is not known here]"}


class Watched:
    """A transport that tells when nothing more comes from the server, and shows what passes.

    Args:
        transport: The transport.
        on_end: Told when the server has ended the connection.
        on_sent: Told each message before it is sent.
        read: Given what comes, and the context of what gave it where that is known; returns what
            the client has in its place.
    """

    def __init__(
        self,
        transport: Any,
        *,
        on_end: Callable[[], None],
        on_sent: Callable[[Any], None],
        read: Callable[[Any, contextvars.Context | None], Any],
    ) -> None:
        self._transport = transport
        self._on_end = on_end
        self._on_sent = on_sent
        self._read = read

    async def __aenter__(self) -> Any:
        reading, writing = await self._transport.__aenter__()
        read = _WatchedReading(reading, self._on_end, self._read)
        return read, _WatchedWriting(writing, self._on_sent)

    async def __aexit__(self, *error: Any) -> Any:
        return await self._transport.__aexit__(*error)


class _WatchedStream:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> Any:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._stream.__aexit__(*error)


class _WatchedWriting(_WatchedStream):
    def __init__(self, stream: Any, on_sent: Callable[[Any], None]) -> None:
        super().__init__(stream)
        self._on_sent = on_sent

    async def send(self, message: Any) -> None:
        self._on_sent(message)
        await self._stream.send(message)


class _WatchedReading(_WatchedStream):
    def __init__(
        self,
        stream: Any,
        on_end: Callable[[], None],
        read: Callable[[Any, contextvars.Context | None], Any],
    ) -> None:
        super().__init__(stream)
        self._on_end = on_end
        self._read = read

    def __aiter__(self) -> _WatchedReading:
        return self

    async def __anext__(self) -> Any:
        return await self._next(self._stream.__anext__)

    async def receive(self) -> Any:
        return await self._next(self._stream.receive)

    async def _next(self, come: Callable[[], Awaitable[Any]]) -> Any:
        try:
            message = await come()
        except BaseException:
            self._on_end()
            raise
        return self._read(message, getattr(self._stream, "last_context", None))
