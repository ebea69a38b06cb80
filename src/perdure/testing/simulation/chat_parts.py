"""The models and tools of random agents: pure functions of messages and arguments."""

from __future__ import annotations

import hashlib
import json
import math
import random
from collections.abc import Callable, Sequence
from typing import Any, Literal

from perdure.actions.sub_agent import SubAgent
from perdure.call import RetryPolicy
from perdure.errors import RetryableError, TerminalError
from perdure.llm.chat_model import BaseChatModelConnection, ChatModel
from perdure.llm.message import ChatMessage, MessageRole, ToolCall, Usage
from perdure.llm.tool import FunctionTool, Tool
from perdure.resource import Resource
from perdure.testing.execution import takes, this_attempt
from perdure.testing.simulation.chat_programs import ChatProgram, ModelProgram, ToolProgram
from perdure.testing.simulation.programs import SECONDS
from perdure.testing.simulation.random_agents import UnluckyError

RETRY = RetryPolicy(max_attempts=3, initial_interval=SECONDS)
# So long that no attempt takes longer, also one that began sooner than without a crash.
PATIENCE = 300 * SECONDS
SCHEMA = {
    "title": "finding",
    "type": "object",
    "properties": {"answer": {"type": "string"}, "turn": {"type": "integer"}},
    "required": ["answer", "turn"],
}
NOTES = '{"notes"'  # what the instruction of a compaction asks for
FINAL = "final_result"


def digest(*parts: object) -> str:
    """Return a short text that tells one value from another."""
    return hashlib.blake2b(repr(parts).encode(), digest_size=6).hexdigest()


class RandomModel(BaseChatModelConnection):
    """A chat model whose answers, and how long they take, depend on the messages alone."""

    def __init__(self, program: ModelProgram, seed: int) -> None:
        self.program = program
        self._seed = seed
        if program.plain:
            self.chat = self._chat_plain  # type: ignore[assignment,method-assign]

    def output_mode(self, model: str) -> Literal["native", "tool", "prompted"]:
        mode: Any = self.program.output or "native"
        found: Literal["native", "tool", "prompted"] = mode
        return found

    async def chat(
        self, messages: Sequence[ChatMessage], tools: Sequence[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        return self._answer(messages, tools or (), kwargs)

    def _chat_plain(
        self, messages: Sequence[ChatMessage], tools: Sequence[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        return self._answer(messages, tools or (), kwargs)

    def _answer(
        self, messages: Sequence[ChatMessage], tools: Sequence[Tool], settings: dict[str, Any]
    ) -> ChatMessage:
        seen = digest(self.program.name, list(messages))
        chance = random.Random(f"{self._seed} {seen}")
        takes(chance.randint(1, 4) * SECONDS)
        self._fail()
        turn = sum(message.role is MessageRole.ASSISTANT for message in messages)
        names = [tool.name for tool in tools if tool.name != FINAL]
        if names and turn < self.program.rounds:
            return self._said("", messages, self._calls(chance, names, seen))
        told = sum("does not fit the schema" in message.content for message in messages)
        if NOTES in messages[0].content:
            notes = [f"note {seen}"] if told >= self.program.misfits else 3
            return self._object({"notes": notes}, messages, tools)
        asked = "output_schema" in settings or any(
            tool.name == FINAL for tool in tools
        ) or any("fits this JSON schema" in message.content for message in messages)  # fmt: skip
        if not asked:
            return self._said(f"answer {seen}", messages)
        if told < self.program.misfits:
            bad: Any = {"answer": told}
            return self._object(bad, messages, tools if chance.random() < 0.5 else ())
        return self._object({"answer": seen, "turn": turn}, messages, tools)

    def _fail(self) -> None:
        attempt = this_attempt()
        number = attempt.number if attempt is not None else NEVER_FIRST
        if number == 1 and self.program.hangs:
            takes(math.inf)
        elif number <= self.program.fails:
            terminal = self.program.fails > number and self.program.rounds == 1
            raise (TerminalError if terminal else RetryableError)(f"attempt {number}")

    def _calls(self, chance: random.Random, names: list[str], seen: str) -> list[ToolCall]:
        calls = []
        for n in range(chance.randint(1, self.program.calls)):
            name, id_ = chance.choice(names), f"c{n}"
            given: Any = {"input": f"{seen} {n}"} if name == "agent" else {"text": f"{seen} {n}"}
            if self.program.strange:
                name = chance.choice((name, name, "nothing"))
                other = {"other": f"{seen} {n}"} if name == "agent" else {}
                given = chance.choice((given, given, other, f"no JSON {seen} {n}"))
                id_ = chance.choice((id_, "", "same"))
            calls.append(ToolCall(id=id_, name=name, arguments=given))
        return calls

    def _object(
        self, value: Any, messages: Sequence[ChatMessage], tools: Sequence[Tool]
    ) -> ChatMessage:
        if any(tool.name == FINAL for tool in tools):
            return self._said("", messages, [ToolCall(id="f", name=FINAL, arguments=value)])
        return self._said(json.dumps(value), messages)

    def _said(
        self, text: str, messages: Sequence[ChatMessage], calls: list[ToolCall] | None = None
    ) -> ChatMessage:
        message = ChatMessage.assistant(text, calls or [])
        message.usage = Usage(input_tokens=len(messages), output_tokens=1)
        return message


NEVER_FIRST = 1_000


def tool_of(program: ToolProgram) -> Tool:
    """Return the tool that does what `program` says."""

    def outcome(text: str) -> Any:
        takes((1 + int(digest(program.name, text)[:2], 16) % 4) * SECONDS)
        attempt = this_attempt()
        number, retries = (attempt.number, attempt.retries) if attempt is not None else (1, 0)
        if program.does == "hangs" and number == 1:
            takes(math.inf)
        if program.does == "fails":
            raise ValueError(f"{program.name} never works")
        if program.does == "terminal":
            raise TerminalError(f"{program.name} never will")
        if program.does == "flaky" and number == 1:
            raise RetryableError(f"{program.name} is busy")
        if program.does == "unlucky" and retries < program.heals:
            raise UnluckyError(f"{program.name}, {retries}")
        found = digest(program.name, text)
        return {"found": [found, len(text)]} if program.does == "data" else found

    async def coroutine(text: str) -> Any:
        return outcome(text)

    def plain(text: str) -> Any:
        return outcome(text)

    func: Callable[..., Any] = plain if program.plain else coroutine
    hangs = program.does == "hangs"
    return FunctionTool(
        func,
        name=program.name,
        description="A random tool.",
        requires_approval=program.approval,
        timeout=PATIENCE if hangs else None,
        retry=RETRY if hangs or program.does == "flaky" else None,
        on_error="raise" if program.does == "unlucky" else "return",
    )


def models_of(program: ChatProgram) -> tuple[dict[str, ChatModel], SubAgent | None]:
    """Return the chat models by name, and the sub-agent if there is one."""
    tools: dict[str, Resource] = {tool.name: tool_of(tool) for tool in program.tools}
    models: dict[str, ChatModel] = {}
    agent = None
    for each in program.models:
        made = ChatModel(
            "",
            connection=RandomModel(each, program.seed),
            tools=[tools[name] for name in each.tools if name in tools],
            fallbacks=each.fallbacks,
            output_schema=SCHEMA if each.output else None,
            max_rounds=each.max_rounds,
            retry=RETRY,
            timeout=PATIENCE if each.hangs else None,
            limit="narrow" if each.limited else None,
        )
        if each.agent:
            agent = tools["agent"] = SubAgent(made, name="agent")
        else:
            models[each.name] = made
    return models, agent


def verdict(tool: str, arguments: Any) -> Any:
    """Return what a person says to a tool call: by its arguments alone."""
    said = digest(tool, arguments)
    return (
        True,
        "yes",
        False,
        {"approved": False, "reason": said},
        {"approved": True, "arguments": {"text": f"changed {said}"}},
        {"approved": True, "arguments": {"nothing": 1}},
    )[int(said[:2], 16) % 6]
