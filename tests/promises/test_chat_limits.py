"""Chats and tools: what may overlap, and what shall not."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from typing import Any

import pytest
from tests.promises.chat_support import (
    ByEvents,
    Inside,
    Span,
    TimedModel,
    model,
    most_at_once,
    overlap,
    said_by_tools,
    wants,
)
from tests.promises.support import OFF, SECONDS, config_of, run

from perdure import ConfigurationError, RetryableError, RetryPolicy
from perdure.actions.react import ReActAgent
from perdure.actions.sub_agent import SubAgent
from perdure.llm.message import ToolCall
from perdure.llm.tool import Tool
from perdure.resource import ResourceType
from perdure.testing.scripted_chat import ScriptedChatModel

DELAY = 0.02
KEYS = [{"k": f"k{n}", "messages": [f"n{n}"]} for n in range(5)]
EXPECTED = sorted(f"n{n}: did n{n}" for n in range(5))


class TimedTool:
    """A tool that takes a while, and when it was called."""

    def __init__(self, **options: Any) -> None:
        self.spans: list[Span] = []

        async def work(what: str) -> str:
            began = time.monotonic()
            await asyncio.sleep(DELAY)
            self.spans.append((began, time.monotonic()))
            return f"did {what}"

        self.tool = Tool.from_callable(work, **options)


def script(messages: Any, tools: Any) -> Any:
    if not said_by_tools(messages):
        return wants("work", what=messages[0].content)
    return f"{messages[0].content}: {said_by_tools(messages)[0]}"


def spans(
    sort: Any, config: dict[str, Any], *, limit: Any = None, tool_limit: Any = None, **more: Any
) -> tuple[list[Span], list[Span]]:
    """Run the chats of all keys; return when requests and tool calls were made."""
    connection, tool = TimedModel(script, delay=DELAY), TimedTool(limit=tool_limit)
    setup = model(connection=connection, tools=[tool.tool], limit=limit)
    outputs = run(sort(setup), KEYS, config={"tool-call.parallelism": 8, **config}, **more)
    assert sorted(outputs) == EXPECTED
    assert len(connection.spans) == 2 * len(tool.spans) == 10
    return connection.spans, tool.spans


@pytest.mark.parametrize("sort", [ByEvents, Inside])
def test_everything_overlaps(sort: Any, store: str) -> None:
    chats, tools = spans(sort, {}, store=store)
    assert most_at_once(chats) == 5
    assert overlap(tools)


@pytest.mark.parametrize("sort", [ByEvents, Inside])
def test_chats_do_not_overlap_where_they_shall_not(sort: Any, store: str) -> None:
    chats, _ = spans(sort, {"chat.async": False}, store=store)
    assert not overlap(chats)


@pytest.mark.parametrize("sort", [ByEvents, Inside])
def test_tool_calls_do_not_overlap_where_they_shall_not(sort: Any, store: str) -> None:
    chats, tools = spans(sort, {"tool-call.async": False}, store=store)
    assert not overlap(tools)
    assert overlap(chats)


def test_nothing_overlaps_with_its_kind_with_both_off() -> None:
    chats, tools = spans(ByEvents, {"tool-call.async": False, "chat.async": False})
    assert not overlap(tools)
    assert not overlap(chats)
    assert overlap([*chats, *tools])  # chats and tools are two kinds


def test_limits_of_ones_own_are_kept() -> None:
    config = {"limits": {"model": {"concurrency": 2}, "tool": {"concurrency": 3}}}
    chats, tools = spans(ByEvents, config, limit="model", tool_limit="tool")
    assert most_at_once(chats) == 2
    assert most_at_once(tools) <= 3


def test_limits_of_ones_own_are_kept_beside_the_switches() -> None:
    config = {
        "limits": {"model": {"concurrency": 4, "rate": "6/s"}, "tool": {"concurrency": 1}},
        "chat.async": False, "tool-call.async": False,
    }  # fmt: skip
    chats, tools = spans(ByEvents, config, limit="model", tool_limit="tool")
    assert not overlap(chats)
    assert not overlap(tools)
    begun = sorted(began for began, _ in chats)
    assert all(later - first > 0.95 for first, later in zip(begun, begun[6:], strict=False))


@pytest.mark.parametrize("limit", ["modle", ("model", "modle")])
def test_a_limit_that_is_not_configured_is_named_before_anything_runs(limit: Any) -> None:
    tool = TimedTool(limit=limit)
    for agent in (ByEvents(model(limit=limit)), ByEvents(model(script, tools=[tool.tool]))):
        config = {"limits": {"model": {"concurrency": 2}}}
        said = "limit 'modle' is not configured: did you mean 'model'?"
        with pytest.raises(ConfigurationError, match=re.escape(said)):
            run(agent, KEYS[:1], config=config)
    with pytest.raises(ConfigurationError, match="limit=5 is no name of a limit"):
        run(ByEvents(model(limit=5)), KEYS[:1])


def test_two_models_do_not_overlap_with_each_other_either() -> None:
    first, second = TimedModel(["one"], delay=DELAY), TimedModel(["two"], delay=DELAY)

    class Either(ByEvents):
        def _begin(self, event: Any, ctx: Any) -> None:
            from perdure.llm.events import ChatRequestEvent

            ctx.send_event(ChatRequestEvent(event.input["m"], "hi"))

    agent = Either(model(connection=first))
    agent.add_resource("n", ResourceType.CHAT_MODEL, model(connection=second))
    inputs = [{"k": f"{n}", "m": "mn"[n % 2]} for n in range(4)]
    outputs = run(agent, inputs, config={"chat.async": False})
    assert sorted(outputs) == ["one", "one", "two", "two"]
    assert not overlap([*first.spans, *second.spans])


def test_a_wait_between_attempts_holds_nobody_up() -> None:
    def busy(messages: Any, tools: Any) -> Any:
        text = messages[0].content
        if text == "n0" and len(connection.requests) < 5:
            return RetryableError("busy", 0.2)
        return text

    connection = TimedModel(busy, delay=0.005)
    setup = model(connection=connection, retry=RetryPolicy(max_attempts=9))
    outputs = run(ByEvents(setup), KEYS, config={"chat.async": False})
    assert outputs[-1] == "n0"
    assert len(outputs) == 5
    assert not overlap(connection.spans)


def test_plain_connections_block_threads_of_the_job() -> None:
    class Blocking(ScriptedChatModel):
        def __init__(self, **options: Any) -> None:
            super().__init__(lambda messages, tools: messages[0].content, **options)
            self.spans: list[Span] = []
            self.threads: set[int] = set()

        def chat(self, *args: Any, **kwargs: Any) -> Any:
            began = time.monotonic()
            time.sleep(DELAY)
            self.threads.add(threading.get_ident())
            response = self._answer(*self._noted(args[0], args[1], kwargs), args[0], args[1])
            self.spans.append((began, time.monotonic()))
            return response

    inputs = [{"k": f"k{n}", "messages": [f"n{n}"]} for n in range(12)]
    for threads, more, most in ((12, {}, 12), (3, {}, 3), (12, {"chat.async": False}, 1)):
        connection = Blocking()
        agent = ByEvents(model(connection=connection))
        outputs = run(agent, inputs, config={"num-async-threads": threads, **more})
        assert sorted(outputs) == sorted(f"n{n}" for n in range(12))
        assert most_at_once(connection.spans) <= most
        assert (most_at_once(connection.spans) > 1) == (most > 1)
        assert threading.get_ident() not in connection.threads


def test_a_plain_connection_that_hangs_holds_up_nobody() -> None:
    released = threading.Event()
    ended = []

    class Hangs(ScriptedChatModel):
        def chat(self, *args: Any, **kwargs: Any) -> Any:
            ended.append(released.wait(SECONDS))

    hanging = model(
        connection=Hangs([]), timeout=0.05, retry=RetryPolicy(max_attempts=1),
        fallbacks=[model(["from another"])],
    )  # fmt: skip
    try:
        assert run(ByEvents(hanging), KEYS[:1]) == ["from another"]
        assert ended == []
    finally:
        released.set()


def test_switches_and_sub_agents_do_not_wait_for_each_other() -> None:
    tool = TimedTool()
    inner = SubAgent(model(script, tools=[tool.tool]), name="inner")

    def outer(messages: Any, tools: Any) -> Any:
        said = said_by_tools(messages)
        calls = [ToolCall(id=f"{n}", name="inner", arguments={"input": f"i{n}"}) for n in range(3)]
        return "; ".join(said) or calls

    agent = ReActAgent(chat_model=model(outer, tools=[inner]))
    config = {"chat.async": False, "tool-call.async": False, "tool-call.parallelism": 1}
    outputs = run(agent, ["x", "y"], key=lambda value: value, config=config)
    assert outputs == ["i0: did i0; i1: did i1; i2: did i2"] * 2
    assert not overlap(tool.spans)


@pytest.mark.parametrize("config", [{}, {"chat.async": False}, {"tool-call.async": False}])
def test_without_continuations_all_is_the_same(config: Any) -> None:
    spans(ByEvents, config_of(OFF, **config) | config)
    spans(Inside, config_of(OFF, **config) | config)
