"""How much chats and tool calls overlap, in figures: bounds are wide, but sums are wider."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest

from perdure import LocalEngine
from perdure.actions.react import ReActAgent
from perdure.llm.chat_model import ChatModel
from perdure.llm.message import ChatMessage, ToolCall
from perdure.llm.tool import Tool
from perdure.testing.scripted_chat import ScriptedChatModel

KEYS = [f"city {n}" for n in range(10)]
EXPECTED = sorted(f"sunny in {key}" for key in KEYS)

Span = tuple[float, float]


class Chats(ScriptedChatModel):
    """Wants the tool called for the city in the task, then says what it said."""

    def __init__(self, delay: float) -> None:
        super().__init__(self._script, delay=delay)
        self.spans: list[Span] = []

    def _script(self, messages: Any, tools: Any) -> Any:
        if messages[-1].role == "tool":
            return messages[-1].content
        return ToolCall(id="1", name="look", arguments={"city": messages[-1].content})

    async def chat(self, *args: Any, **kwargs: Any) -> ChatMessage:
        began = time.monotonic()
        response = await super().chat(*args, **kwargs)
        self.spans.append((began, time.monotonic()))
        return response


class Looks:
    """A tool that takes a while."""

    def __init__(self, delay: float) -> None:
        self.spans: list[Span] = []
        self._delay = delay

    async def look(self, city: str) -> str:
        """Look up a city."""
        began = time.monotonic()
        await asyncio.sleep(self._delay)
        self.spans.append((began, time.monotonic()))
        return f"sunny in {city}"


def total(spans: list[Span]) -> float:
    return sum(end - began for began, end in spans)


def wall(spans: list[Span]) -> float:
    return max(end for _, end in spans) - min(began for began, _ in spans)


def overlap(spans: list[Span]) -> bool:
    ordered = sorted(spans)
    return any(first[1] > second[0] for first, second in itertools.pairwise(ordered))


def run(delay: float, config: dict[str, Any]) -> tuple[float, list[Span], list[Span]]:
    """Run two chats and one tool call for each of ten keys; return how long it took."""
    chats, looks = Chats(delay), Looks(delay)
    tool = Tool.from_callable(looks.look, name="look")
    agent = ReActAgent(chat_model=ChatModel("x", connection=chats), tools=[tool])
    began = time.monotonic()
    outputs = LocalEngine("memory://", config=config).run(agent, KEYS, key=str)
    took = time.monotonic() - began
    assert sorted(output.value for output in outputs) == EXPECTED
    assert (len(chats.spans), len(looks.spans)) == (20, 10)
    return took, chats.spans, looks.spans


def test_ten_keys_of_two_chats_and_a_tool_take_as_long_as_one() -> None:
    took, chats, tools = run(0.5, {})
    assert total([*chats, *tools]) >= 15.0
    assert took < 2.5


@pytest.mark.parametrize("off", ["chat.async", "tool-call.async"])
def test_what_is_switched_off_goes_one_at_a_time(off: str) -> None:
    delay = 0.1 if off == "tool-call.async" else 0.05
    took, chats, tools = run(delay, {off: False})
    kept_apart, others = (chats, tools) if off == "chat.async" else (tools, chats)
    assert not overlap(kept_apart)
    assert took >= len(kept_apart) * delay
    if off == "tool-call.async":
        assert overlap(others)


@pytest.mark.parametrize("parallelism", [5, 1])
def test_five_tool_calls_of_a_turn_take_as_long_as_one(parallelism: int) -> None:
    delay = 0.5 if parallelism == 5 else 0.05
    looks = Looks(delay)
    calls = [ToolCall(id=f"{n}", name="look", arguments={"city": f"{n}"}) for n in range(5)]
    model = ScriptedChatModel([ChatMessage.assistant("", calls), "done"])
    tool = Tool.from_callable(looks.look, name="look")
    agent = ReActAgent(chat_model=ChatModel("x", connection=model), tools=[tool])
    engine = LocalEngine("memory://", config={"tool-call.parallelism": parallelism})
    assert engine.run(agent, ["go"], key=str)[0].value == "done"
    if parallelism == 5:
        assert total(looks.spans) >= 2.5
        assert wall(looks.spans) < 0.8
    else:
        assert not overlap(looks.spans)
