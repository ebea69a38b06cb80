"""RecordedChatModel: real answers of a provider, recorded once and replayed in tests."""

from __future__ import annotations

import asyncio
import collections
import json
import os
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, get_args

from perdure.checks import checked_choice
from perdure.errors import ConfigurationError, RetryableError, TerminalError
from perdure.llm.chat_model import BaseChatModelConnection, answered
from perdure.llm.message import ChatDelta, ChatMessage
from perdure.llm.tool import Tool
from perdure.resource import ResourceDescriptor
from perdure.testing.chat_forms import digest_of, message_from, plain_message, plain_request

__all__ = ["RecordedChatModel"]

Mode = Literal["auto", "record", "replay"]

_FORMAT: Final = 1
# What keys and tokens look like, should a provider say one in an error or a person in a message.
_SECRETS: Final = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|ghp|gho)[-_][\w\-]{16,}|\bAKIA[A-Z0-9]{16}|\bAIza[\w\-]{30,}"
    r"|(?<=Bearer )[\w.\-~+/]{8,}"
)
_FAILURES: Final[dict[str, Callable[..., Exception]]] = {
    "RetryableError": RetryableError,
    "TerminalError": TerminalError,
}


class RecordedChatModel(BaseChatModelConnection):
    """A chat model connection that records what another one answers, and replays it.

    As in `RecordedChatModel(ChatConnection("openai:gpt-5"), "tests/cassettes/orders.json")`.

    The cassette is a JSON file to be read and committed: requests by their digest, with what came
    of them, failures included. A request that came several times is replayed in the same order;
    its last outcome stays. Keys and headers are not in it, and what looks like a key is blotted
    out.

    The other connection is opened when it is first asked: replaying takes neither key nor network.
    """

    __journal_name__ = "perdure:RecordedChatModel"

    def __init__(
        self,
        connection: BaseChatModelConnection | ResourceDescriptor,
        path: str | Path,
        mode: Mode = "auto",
    ) -> None:
        """Wrap a connection; nothing is read yet.

        Args:
            connection: The connection that is recorded.
            path: The cassette.
            mode: "replay": only what is recorded; "record": all anew, the cassette is replaced;
                "auto": what is recorded is replayed, the rest is recorded.
        """
        made = (
            connection.make("the connection of a RecordedChatModel")
            if isinstance(connection, ResourceDescriptor)
            else connection
        )
        assert isinstance(made, BaseChatModelConnection)
        self._connection = made
        self._path = Path(path)
        self._mode = checked_choice("mode", mode, get_args(Mode))
        self._entries: dict[str, dict[str, Any]] | None = None
        self._played: collections.Counter[str] = collections.Counter()
        self._opened: asyncio.Task[None] | None = None
        self._lock = threading.Lock()

    def output_mode(self, model: str) -> Literal["native", "tool", "prompted"]:
        return self._connection.output_mode(model)

    async def close(self) -> None:
        """Close the connection, where it was asked."""
        opened, self._opened = self._opened, None
        if opened is not None:
            closing = self._connection.close()
            if closing is not None:
                await closing

    async def chat(
        self, messages: Sequence[ChatMessage], tools: Sequence[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        return await self._asked(None, messages, tools, kwargs)

    async def chat_stream(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[Tool] | None = None,
        *,
        emit: Callable[[ChatDelta], None],
        **kwargs: Any,
    ) -> ChatMessage:
        """Stream while recording; what is replayed comes in one piece."""
        return await self._asked(emit, messages, tools, kwargs)

    async def _asked(
        self,
        emit: Callable[[ChatDelta], None] | None,
        messages: Sequence[ChatMessage],
        tools: Sequence[Tool] | None,
        kwargs: dict[str, Any],
    ) -> ChatMessage:
        request = _plain(plain_request(messages, tools, kwargs))
        digest = digest_of(request)
        if self._entries is None:
            await asyncio.to_thread(self._load)
        if self._mode != "record":
            outcome = self._outcome(digest)
            if outcome is not None:
                response = _played(outcome)
                if emit is not None:
                    emit(ChatDelta(text=response.content, reasoning=response.reasoning or ""))
                return response
        if self._mode == "replay":
            said = messages[-1].content[:80] if messages else ""
            raise ConfigurationError(
                f"the cassette {self._path} has no answer to the request {digest[:12]}"
                f" ({kwargs.get('model') or 'the default model'}, last message {said!r}): record it"
                " with mode='auto', or anew with mode='record'"
            )
        await self._open_connection()
        try:
            if emit is None:
                response = await answered(self._connection.chat, messages, tools, **kwargs)
            else:
                response = await self._connection.chat_stream(messages, tools, emit=emit, **kwargs)
        except (RetryableError, TerminalError) as error:
            failure = {"type": type(error).__name__, "message": str(error)}
            if isinstance(error, RetryableError) and error.retry_after is not None:
                failure["retry_after"] = error.retry_after  # type: ignore[assignment]
            await asyncio.to_thread(self._record, digest, request, {"failure": failure})
            raise
        recorded = {"response": plain_message(response)}
        await asyncio.to_thread(self._record, digest, request, recorded)
        return response

    async def _open_connection(self) -> None:
        if self._opened is None:
            self._opened = asyncio.get_running_loop().create_task(self._opening())
        await asyncio.shield(self._opened)

    async def _opening(self) -> None:
        self._connection.resource_context = self.resource_context
        opening = self._connection.open()
        if opening is not None:
            await opening

    def _outcome(self, digest: str) -> Mapping[str, Any] | None:
        with self._lock:
            entry = (self._entries or {}).get(digest)
            if entry is None:
                return None
            outcomes = entry["outcomes"]
            self._played[digest] += 1
            found: Mapping[str, Any] = outcomes[min(self._played[digest], len(outcomes)) - 1]
            return found

    def _load(self) -> None:
        with self._lock:
            if self._entries is not None:
                return
            if self._mode == "record" or not self._path.exists():
                self._entries = {}
                return
            try:
                found = json.loads(self._path.read_text("utf-8"))
                known = found["format"] == _FORMAT
                entries = {each["digest"]: each for each in found["requests"]}
            except (ValueError, KeyError, TypeError) as error:
                raise ConfigurationError(
                    f"{self._path} is no cassette of chat requests: {error}; delete it and record"
                    " it anew"
                ) from None
            if not known:
                raise ConfigurationError(
                    f"the cassette {self._path} has format {found['format']!r}, not {_FORMAT}:"
                    " delete it and record it anew"
                )
            self._entries = entries

    def _record(self, digest: str, request: dict[str, Any], outcome: dict[str, Any]) -> None:
        with self._lock:
            assert self._entries is not None
            new = {"digest": digest, "request": request, "outcomes": []}
            self._entries.setdefault(digest, new)["outcomes"].append(_plain(outcome))
            self._played[digest] += 1
            cassette = {"format": _FORMAT, "requests": list(self._entries.values())}
            self._path.parent.mkdir(parents=True, exist_ok=True)
            # Whoever reads it meanwhile finds the old one or the new one.
            draft = self._path.with_name(f".{self._path.name}.{os.getpid()}")
            draft.write_text(json.dumps(cassette, indent=1, ensure_ascii=False) + "\n", "utf-8")
            draft.replace(self._path)


def _played(outcome: Mapping[str, Any]) -> ChatMessage:
    failure = outcome.get("failure")
    if failure is None:
        return message_from(outcome["response"])
    made = _FAILURES[failure["type"]]
    more = {"retry_after": failure["retry_after"]} if "retry_after" in failure else {}
    raise made(failure["message"], **more)


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """Return data as JSON has it, with what looks like a key blotted out."""
    text = json.dumps(data, ensure_ascii=False, default=repr)
    found: dict[str, Any] = json.loads(_SECRETS.sub("SECRET", text))
    return found
