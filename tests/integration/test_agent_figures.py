"""How much chats and tool calls overlap: each waits for as many as are to be under way at once."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any

import pytest
from tests.patience import PATIENCE

from perdure import LocalEngine
from perdure.actions.react import ReActAgent
from perdure.llm.chat_model import ChatModel
from perdure.llm.message import ChatMessage, ToolCall
from perdure.llm.tool import Tool
from perdure.testing.scripted_chat import ScriptedChatModel

KEYS = [f"city {n}" for n in range(10)]
DELAY = 0.01  # seconds of each
EXPECTED = sorted(f"sunny in {key}" for key in KEYS)

Span = tuple[float, float]


class Chats(ScriptedChatModel):
    """Wants the tool called for the city in the task, then says what it said."""

    def __init__(self, delay: float, together: int) -> None:
        super().__init__(self._script, delay=delay)
        self.spans: list[Span] = []
        self._all = asyncio.Barrier(together)

    def _script(self, messages: Any, tools: Any) -> Any:
        if messages[-1].role == "tool":
            return messages[-1].content
        return ToolCall(id="1", name="look", arguments={"city": messages[-1].content})

    async def chat(self, *args: Any, **kwargs: Any) -> ChatMessage:
        began = time.monotonic()
        await self._all.wait()
        response = await super().chat(*args, **kwargs)
        self.spans.append((began, time.monotonic()))
        return response


class Looks:
    """A tool that takes a while."""

    def __init__(self, delay: float, together: int) -> None:
        self.spans: list[Span] = []
        self._delay = delay
        self._all = asyncio.Barrier(together)

    async def look(self, city: str) -> str:
        """Look up a city."""
        began = time.monotonic()
        await self._all.wait()
        await asyncio.sleep(self._delay)
        self.spans.append((began, time.monotonic()))
        return f"sunny in {city}"


def overlap(spans: list[Span]) -> bool:
    ordered = sorted(spans)
    return any(first[1] > second[0] for first, second in itertools.pairwise(ordered))


def run(
    config: dict[str, Any], chats_at_once: int, looks_at_once: int
) -> tuple[list[Span], list[Span]]:
    """Run two chats and one tool call for each of ten keys; return when they were under way.

    It ends only where so many of them come together.
    """
    chats, looks = Chats(DELAY, chats_at_once), Looks(DELAY, looks_at_once)
    tool = Tool.from_callable(looks.look, name="look")
    agent = ReActAgent(chat_model=ChatModel("x", connection=chats), tools=[tool])
    engine = LocalEngine("memory://", config=config)
    running = engine.run_async(agent, KEYS, key=str)
    outputs = asyncio.run(asyncio.wait_for(running, PATIENCE))
    assert sorted(output.value for output in outputs) == EXPECTED
    assert (len(chats.spans), len(looks.spans)) == (20, 10)
    return chats.spans, looks.spans


def test_the_chats_and_the_tool_calls_of_ten_keys_are_under_way_at_once() -> None:
    run({}, 10, 10)


def test_chats_that_are_switched_off_go_one_at_a_time() -> None:
    chats, _ = run({"chat.async": False}, 1, 1)
    assert not overlap(chats)


def test_tool_calls_that_are_switched_off_go_one_at_a_time() -> None:
    _, tools = run({"tool-call.async": False}, 10, 1)
    assert not overlap(tools)


@pytest.mark.parametrize("parallelism", [5, 1])
def test_tool_calls_of_a_turn_are_under_way_at_once(parallelism: int) -> None:
    looks = Looks(DELAY, parallelism)
    calls = [ToolCall(id=f"{n}", name="look", arguments={"city": f"{n}"}) for n in range(5)]
    model = ScriptedChatModel([ChatMessage.assistant("", calls), "done"])
    tool = Tool.from_callable(looks.look, name="look")
    agent = ReActAgent(chat_model=ChatModel("x", connection=model), tools=[tool])
    engine = LocalEngine("memory://", config={"tool-call.parallelism": parallelism})
    running = engine.run_async(agent, ["go"], key=str)
    (output,) = asyncio.run(asyncio.wait_for(running, PATIENCE))
    assert output.value == "done"
    assert overlap(looks.spans) == (parallelism > 1)
