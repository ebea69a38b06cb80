"""RecordedChatModel: real answers of a provider, recorded once and replayed in tests."""

from __future__ import annotations

import asyncio
import collections
import json
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
from perdure.testing.cassette import cassette_at, played
from perdure.testing.chat_forms import digest_of, plain_message, plain_request

__all__ = ["RecordedChatModel"]

Mode = Literal["auto", "record", "replay"]

# What keys and tokens look like, should a provider say one in an error or a person in a message.
_SECRETS: Final = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|ghp|gho)[-_][\w\-]{16,}|\bAKIA[A-Z0-9]{16}|\bAIza[\w\-]{30,}"
    r"|(?<=Bearer )[\w.\-~+/]{8,}"
)


class RecordedChatModel(BaseChatModelConnection):
    """A chat model connection that records what another one answers, and replays it.

    As in `RecordedChatModel(ChatConnection("openai:gpt-5"), "tests/cassettes/orders.json")`.

    The cassette is a JSON file to be read and committed: requests by their digest, with what came
    of them, failures included. A request that came several times is replayed in the same order;
    its last outcome stays. Several models of a process may share a cassette. Keys and headers are
    not in it, and what looks like a key is blotted out.

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
            mode: "replay": only what is recorded; "record": all anew, the cassette is replaced, but
                for what models of this mode that are not closed yet have recorded;
                "auto": what is recorded is replayed, the rest is recorded.

        Raises:
            ConfigurationError: It is no connection, or no mode.
        """
        made = (
            connection.make("the connection of a RecordedChatModel")
            if isinstance(connection, ResourceDescriptor)
            else connection
        )
        if not isinstance(made, BaseChatModelConnection):
            raise ConfigurationError(
                f"RecordedChatModel: its connection is a {type(made).__name__}: give a chat model"
                " connection, such as ChatConnection(...)"
            )
        self._connection = made
        self._path = Path(path)
        self._mode = checked_choice("mode", mode, get_args(Mode))
        self._cassette = cassette_at(self._path)
        self._has_begun = False
        self._played: collections.Counter[str] = collections.Counter()
        self._opened: asyncio.Task[None] | None = None
        self._lock = threading.Lock()

    def output_mode(self, model: str) -> Literal["native", "tool", "prompted"]:
        return self._connection.output_mode(model)

    async def close(self) -> None:
        """Close the connection, where it was asked."""
        self._cassette.is_over(self)
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
        if not self._has_begun:
            await asyncio.to_thread(self._begin)
        if self._mode != "record":
            outcome = self._outcome(digest)
            if outcome is not None:
                response = played(outcome)
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

    def _begin(self) -> None:
        if self._mode == "record":
            self._cassette.begin_anew(self)
        else:
            self._cassette.load()
        self._has_begun = True

    def _outcome(self, digest: str) -> Mapping[str, Any] | None:
        outcomes = self._cassette.outcomes(digest)
        if not outcomes:
            return None
        with self._lock:
            self._played[digest] += 1
            return outcomes[min(self._played[digest], len(outcomes)) - 1]

    def _record(self, digest: str, request: dict[str, Any], outcome: dict[str, Any]) -> None:
        self._cassette.record(digest, request, _plain(outcome))
        with self._lock:
            self._played[digest] += 1


def _plain(data: dict[str, Any]) -> dict[str, Any]:
    """Return data as JSON has it, with what looks like a key blotted out."""
    text = json.dumps(data, ensure_ascii=False, default=repr)
    found: dict[str, Any] = json.loads(_SECRETS.sub("SECRET", text))
    return found
