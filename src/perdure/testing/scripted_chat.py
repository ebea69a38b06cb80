"""ScriptedChatModel: a chat model connection whose answers are a script."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

from perdure.checks import checked_bound, checked_choice
from perdure.errors import ConfigurationError, TerminalError
from perdure.llm.chat_model import BaseChatModelConnection
from perdure.llm.message import ChatDelta, ChatMessage, MessageRole, ToolCall, Usage
from perdure.llm.tool import Tool
from perdure.testing.chat_forms import digest_of, plain_request
from perdure.testing.execution import takes, this_attempt
from perdure.testing.request_log import RequestLog

__all__ = ["ScriptedChatModel", "ScriptedRequest"]

OutputMode = Literal["native", "tool", "prompted"]
ScriptFunction = Callable[[Sequence[ChatMessage], Sequence[Tool]], Any]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ScriptedRequest:
    """One request that a ScriptedChatModel got.

    Attributes:
        messages: The conversation.
        tools: The tools.
        settings: The keyword arguments: `model`, `output_schema` and the setup's settings.
        digest: What the request is recognized by.
    """

    messages: tuple[ChatMessage, ...]
    tools: tuple[Tool, ...]
    settings: Mapping[str, Any]
    digest: str


class ScriptedChatModel(BaseChatModelConnection):
    """A chat model connection without a model.

    As in `ScriptedChatModel([ToolCall(id="1", name="search", arguments={"q": "x"}), "Found."])`.

    The script is a list or a function. Of a list, the answer is the one at the place that the
    conversation has come to: after none of the model's messages the first, after one the second.
    So the same conversation gets the same answer, in whatever order runs come, and after a crash
    in another process. A list in the list holds the answers to successive attempts of one
    request; the last of them stays. A function gets messages and tools, and should depend on them
    alone.

    An answer is a text, a ChatMessage, a ToolCall or a list of them from a function, an exception,
    which is raised, or anything else, which is answered as JSON.

    Attributes:
        requests: What it was asked, in order of arrival.
        log: The same with how it ended, in a file if one is given.
    """

    __journal_name__ = "perdure:ScriptedChatModel"

    def __init__(
        self,
        script: Sequence[Any] | ScriptFunction,
        *,
        delay: float = 0.0,
        log: str | Path | None = None,
        blocking: bool = False,
        output_mode: OutputMode = "native",
    ) -> None:
        """Take the script.

        Args:
            script: Answers in order, or a function of messages and tools.
            delay: Seconds that a request takes.
            log: A JSONL file, appended to, for what outlives the process.
            blocking: Whether `chat` is a plain function, as that of a client without asyncio.
            output_mode: What it says is best for output in a schema.

        Raises:
            ConfigurationError: The script is neither, or a list in it has no answer.
        """
        self.requests: list[ScriptedRequest] = []
        self.log = RequestLog(log)
        self._script = script if callable(script) else _checked_script(script)
        self._delay = checked_bound("delay", delay)
        self._output_mode: OutputMode = checked_choice(
            "output_mode", output_mode, get_args(OutputMode)
        )
        self._attempts: collections.Counter[str] = collections.Counter()
        self._lock = threading.Lock()
        if blocking:
            self.chat = self._chat_blocking  # type: ignore[assignment]

    def output_mode(self, model: str) -> OutputMode:
        return self._output_mode

    async def chat(
        self, messages: Sequence[ChatMessage], tools: Sequence[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        number, attempt = self._noted(messages, tools, kwargs)
        if self._delay:
            await asyncio.sleep(self._delay)
        return self._answer(number, attempt, messages, tools)

    def _chat_blocking(
        self, messages: Sequence[ChatMessage], tools: Sequence[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        number, attempt = self._noted(messages, tools, kwargs)
        if self._delay and this_attempt() is None:
            time.sleep(self._delay)
        elif self._delay:
            takes(self._delay)
        return self._answer(number, attempt, messages, tools)

    async def chat_stream(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[Tool] | None = None,
        *,
        emit: Callable[[ChatDelta], None],
        **kwargs: Any,
    ) -> ChatMessage:
        """Answer in pieces of a word each."""
        number, attempt = self._noted(messages, tools, kwargs)
        if self._delay:
            await asyncio.sleep(self._delay)
        response = self._answer(number, attempt, messages, tools)
        if response.reasoning:
            emit(ChatDelta(reasoning=response.reasoning))
        for index, word in enumerate(response.content.split(" ") if response.content else ()):
            emit(ChatDelta(text=f" {word}" if index else word))
        return response

    def _noted(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[Tool] | None,
        settings: Mapping[str, Any],
    ) -> tuple[int, int]:
        digest = digest_of(plain_request(messages, tools, settings))
        text = messages[-1].content[:200] if messages else ""
        with self._lock:
            number = self.log.request(digest, message=text)
            self._attempts[digest] += 1
            attempt = this_attempt()  # in a simulation, where each request is made in many lives
            count = attempt.number + attempt.retries if attempt else self._attempts[digest]
            self.requests.append(
                ScriptedRequest(
                    messages=tuple(messages),
                    tools=tuple(tools or ()),
                    settings=dict(settings),
                    digest=digest,
                )
            )
            return number, count

    def _answer(
        self,
        number: int,
        attempt: int,
        messages: Sequence[ChatMessage],
        tools: Sequence[Tool] | None,
    ) -> ChatMessage:
        try:
            found = self._scripted(messages, tools or (), attempt)
            if isinstance(found, BaseException):
                raise found.with_traceback(None)  # or it grows by each time that it is raised
        except BaseException:
            self.log.response(number, 500)
            raise
        self.log.response(number, 200)
        return _message(found, messages)

    def _scripted(
        self, messages: Sequence[ChatMessage], tools: Sequence[Tool], attempt: int
    ) -> Any:
        if callable(self._script):
            return self._script(messages, tools)
        place = sum(message.role is MessageRole.ASSISTANT for message in messages)
        if place >= len(self._script):
            raise TerminalError(
                f"the script of {self.name or 'a ScriptedChatModel'} has {len(self._script)}"
                f" answers, and this conversation wants number {place + 1}"
            )
        found = self._script[place]
        return found[min(attempt, len(found)) - 1] if isinstance(found, list) else found


def _checked_script(script: Iterable[Any]) -> tuple[Any, ...]:
    """Return the answers of a script; one text would be one of letters."""
    if not isinstance(script, Iterable) or isinstance(script, str | bytes | bytearray | Mapping):
        raise ConfigurationError(
            f"a script is a list of answers or a function, and {script!r:.60} is neither: give"
            " [answer] for one answer"
        )
    answers = tuple(script)
    for place, answer in enumerate(answers, 1):
        if isinstance(answer, list) and not answer:
            raise ConfigurationError(
                f"answer {place} of a script is a list without an answer: give one for each attempt"
            )
    return answers


def _message(found: Any, messages: Sequence[ChatMessage]) -> ChatMessage:
    if isinstance(found, ChatMessage):
        made = found
    elif isinstance(found, str):
        made = ChatMessage.assistant(found)
    elif isinstance(found, ToolCall):
        made = ChatMessage.assistant("", [found])
    elif isinstance(found, list) and found and all(isinstance(each, ToolCall) for each in found):
        made = ChatMessage.assistant("", found)
    else:
        made = ChatMessage.assistant(json.dumps(found))
    if made.usage is not None and made.model is not None:
        return made
    words = sum(len(message.content.split()) for message in messages)
    counted = Usage(input_tokens=words, output_tokens=len(made.content.split()))
    return dataclasses.replace(made, usage=made.usage or counted, model=made.model or "scripted")
