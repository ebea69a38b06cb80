"""What comes from an MCP server, as it comes: one odd part does not spoil the rest."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

__all__ = ["Watched", "broken_rule", "mend"]

from perdure.printable import printable_logger

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


def broken_rule(error: Any) -> str | None:
    """Return in one line what in an answer breaks the protocol; None for other errors."""
    if not hasattr(error, "errors") or type(error).__name__ != "ValidationError":
        return None
    first, count = error.errors()[0], error.error_count()
    place = ".".join(str(each) for each in first["loc"])
    more = f" (and {count - 1} more)" if count > 1 else ""
    return f"it breaks the protocol: {place}: {first['msg']}{more}"


class Watched:
    """A transport that tells when nothing more comes from the server, and mends what comes.

    Args:
        transport: The transport.
        on_end: Told when the server has ended the connection.
        mend: Given each message before it is read.
    """

    def __init__(
        self, transport: Any, on_end: Callable[[], None], mend: Callable[[Any], None]
    ) -> None:
        self._transport = transport
        self._on_end = on_end
        self._mend = mend

    async def __aenter__(self) -> Any:
        reading, writing = await self._transport.__aenter__()
        return _WatchedStream(reading, self._on_end, self._mend), writing

    async def __aexit__(self, *error: Any) -> Any:
        return await self._transport.__aexit__(*error)


class _WatchedStream:
    def __init__(
        self, stream: Any, on_end: Callable[[], None], mend: Callable[[Any], None]
    ) -> None:
        self._stream = stream
        self._on_end = on_end
        self._mend = mend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def __aiter__(self) -> _WatchedStream:
        return self

    async def __anext__(self) -> Any:
        try:
            message = await self._stream.__anext__()
        except BaseException:
            self._on_end()
            raise
        self._mend(message)
        return message

    async def receive(self) -> Any:
        try:
            message = await self._stream.receive()
        except BaseException:
            self._on_end()
            raise
        self._mend(message)
        return message

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def __aenter__(self) -> _WatchedStream:
        await self._stream.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> Any:
        return await self._stream.__aexit__(*error)
