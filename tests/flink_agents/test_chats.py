"""Chats, tool calls and retries as Flink Agents has them, in 0.3 and in 0.4."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flink_agents.api.agents.agent import STRUCTURED_OUTPUT, Agent
from flink_agents.api.agents.react_agent import ReActAgent
from flink_agents.api.agents.types import OutputSchema
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection
from flink_agents.api.core_options import AgentExecutionOptions, ErrorHandlingStrategy
from flink_agents.api.decorators import (
    action,
    chat_model_connection,
    chat_model_setup,
    prompt,
    tool,
)
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.events.event_type import EventType
from flink_agents.api.events.tool_event import ToolRequestEvent, ToolResponseEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.prompts.prompt import Prompt
from flink_agents.api.resource import ResourceDescriptor, ResourceType
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.tools import InjectedArg, ToolResponse
from pydantic import BaseModel
from tests.flink_agents.models import HERE

ME = "tests.flink_agents.test_chats"


def run(agent: Any, value: Any, store: str = "memory://", **options: Any) -> list[Any]:
    env = AgentsExecutionEnvironment.get_execution_environment(store=store, job="chats")
    env.get_config().conf_data.update(options)
    outputs = env.from_list([{"key": "k", "value": value}]).apply(agent).to_list()
    env.execute()
    return [each["k"] for each in outputs]


class Chatting(Agent):
    @chat_model_connection
    @staticmethod
    def connection() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=f"{HERE}.EchoConnection", prefix="said")

    @prompt
    @staticmethod
    def manner() -> Prompt:
        return Prompt.from_text("be {manner}")

    @chat_model_setup
    @staticmethod
    def model() -> ResourceDescriptor:
        return ResourceDescriptor(
            clazz=f"{HERE}.EchoSetup",
            connection="connection",
            model="any",
            prompt="manner",
            tools=["add"],
        )

    @tool
    @staticmethod
    def add(a: int, b: int) -> int:
        """Add two numbers.

        Parameters
        ----------
        a : int
            The first.
        b : int
            The second.
        """
        return a + b

    @action(EventType.InputEvent)
    @staticmethod
    def ask(event: Event, ctx: RunnerContext) -> None:
        text = InputEvent.from_event(event).input
        request = ChatRequestEvent(
            model="model",
            messages=[ChatMessage(role=MessageRole.USER, content=text)],
            prompt_args={"manner": 1},
        )
        ctx.send_event(request)
        ctx.sensory_memory.set("asked", str(request.id))

    @action(EventType.ToolRequestEvent, ToolResponseEvent.EVENT_TYPE)
    @staticmethod
    def watch(event: Event, ctx: RunnerContext) -> None:
        if isinstance(event, ToolRequestEvent):
            ctx.send_event(OutputEvent(output=[each["id"] for each in event.tool_calls]))
        else:
            assert isinstance(event, ToolResponseEvent)
            ctx.send_event(
                OutputEvent(
                    output=[event.responses, event.success, event.error, event.external_ids]
                )
            )

    @action(EventType.ChatResponseEvent)
    @staticmethod
    def answer(event: ChatResponseEvent, ctx: RunnerContext) -> None:
        assert str(event.request_id) == ctx.sensory_memory.get("asked")
        ctx.send_event(OutputEvent(output=event.response.content))


def test_a_chat_calls_its_tools_and_answers(store: str) -> None:
    found = run(Chatting(), "sum 1 2 30 40", store)

    assert found == [
        ["call-0", "call-1"],
        [
            {"call-0": 3, "call-1": 70},
            {"call-0": True, "call-1": True},
            {},
            {"call-0": "theirs-0", "call-1": "theirs-1"},
        ],
        "said: 3 70",
    ]


def test_the_prompt_stands_before_what_is_said() -> None:
    assert run(Chatting(), "")[-1] == "said: be 1"
    assert run(Chatting(), "hello")[-1] == "said: hello"


# Failures


class FlakyConnection(BaseChatModelConnection):
    failures: int = 0

    def chat(self, messages: Any, tools: Any = None, **kwargs: Any) -> ChatMessage:
        with LOCK:
            ASKED.append(len(messages))
            if len(ASKED) <= self.failures:
                raise ConnectionError(f"failure {len(ASKED)}")
        return ChatMessage(role=MessageRole.ASSISTANT, content="at last")


LOCK = threading.Lock()
ASKED: list[int] = []


class Retrying(Agent):
    def __init__(self, failures: int) -> None:
        super().__init__()
        ASKED.clear()
        self.add_resource(
            "connection",
            ResourceType.CHAT_MODEL_CONNECTION,
            ResourceDescriptor(clazz=f"{ME}.FlakyConnection", failures=failures),
        ).add_resource(
            "model",
            ResourceType.CHAT_MODEL,
            ResourceDescriptor(clazz=f"{HERE}.EchoSetup", connection="connection"),
        )

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def ask(event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output="asked"))
        ctx.send_event(ChatRequestEvent("model", [ChatMessage(content="?")]))

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    def answer(event: Event, ctx: RunnerContext) -> None:
        found = ChatResponseEvent.from_event(event)
        ctx.send_event(OutputEvent(output=[found.retry_count, found.total_retry_wait_sec]))


RETRY = {"error-handling-strategy": "retry", "retry-wait-interval": 0}


def test_a_failed_chat_fails_its_run_where_nothing_is_said() -> None:
    with pytest.raises(ConnectionError, match="failure 1"):
        run(Retrying(1), 0)


@pytest.mark.parametrize("strategy", ["fail", "FAIL", ErrorHandlingStrategy.FAIL])
def test_fail_does_not_try_again_whatever_max_retries_says(strategy: Any) -> None:
    with pytest.raises(ConnectionError, match="failure 1"):
        run(Retrying(1), 0, **{"error-handling-strategy": strategy, "max-retries": 5})


def test_retry_tries_three_times_more_unless_told_otherwise() -> None:
    assert run(Retrying(3), 0, **RETRY) == ["asked", [3, 0]]
    with pytest.raises(ConnectionError, match="failure 4"):
        run(Retrying(4), 0, **RETRY)
    assert run(Retrying(4), 0, **RETRY, **{"max-retries": 4}) == ["asked", [4, 0]]


def test_without_a_strategy_max_retries_counts_as_in_0_4() -> None:
    assert run(Retrying(2), 0, **{"max-retries": 2, "retry-wait-interval": 0}) == ["asked", [2, 0]]


def test_waits_double_and_are_told() -> None:
    found = run(Retrying(2), 0, **{**RETRY, "retry-wait-interval": 1})
    assert found == ["asked", [2, 3]]


def test_ignore_gives_no_response_and_the_run_ends_well() -> None:
    assert run(Retrying(1), 0, **{"error-handling-strategy": "ignore"}) == ["asked"]


def test_options_may_be_set_as_such() -> None:
    env = AgentsExecutionEnvironment.get_execution_environment()
    config = env.get_config()
    config.set(AgentExecutionOptions.ERROR_HANDLING_STRATEGY, ErrorHandlingStrategy.RETRY)
    config.set(AgentExecutionOptions.RETRY_WAIT_INTERVAL, 0)
    outputs = env.from_list([{"key": 0, "value": 0}]).apply(Retrying(1)).to_list()
    env.execute()
    assert outputs == [{0: "asked"}, {0: [1, 0]}]


# Answers that fit a schema


class Score(BaseModel):
    score: int


class JsonConnection(BaseChatModelConnection):
    answer: str

    def chat(self, messages: Any, tools: Any = None, **kwargs: Any) -> ChatMessage:
        return ChatMessage(role=MessageRole.ASSISTANT, content=self.answer)


def scoring(answer: str) -> ReActAgent:
    return ReActAgent(
        chat_model=ResourceDescriptor(clazz=f"{HERE}.EchoSetup", connection="json", model="m"),
        output_schema=Score,
    ).add_resource(
        "json",
        ResourceType.CHAT_MODEL_CONNECTION,
        ResourceDescriptor(clazz=f"{ME}.JsonConnection", answer=answer),
    )


@pytest.mark.parametrize("answer", ['{"score": 4}', '```json\n{"score": 4}\n```'])
def test_a_react_agent_puts_out_what_fits_its_schema(answer: str, store: str) -> None:
    found = run(scoring(answer), "how good?", store)
    assert found == [{"score": 4}]


def test_an_answer_that_does_not_fit_is_a_failure() -> None:
    with pytest.raises(ValueError, match="score"):
        run(scoring('{"points": 4}'), "how good?")


def test_structured_output_is_in_the_messages_extra_args() -> None:
    assert STRUCTURED_OUTPUT == "structured_output"
    schema = OutputSchema(output_schema=Score)
    assert OutputSchema.model_validate(schema.model_dump(mode="json")) == schema


def test_a_react_agent_needs_a_prompt_for_what_is_no_text() -> None:
    with pytest.raises(RuntimeError, match="User should provide prompt"):
        run(scoring("{}"), Score(score=1))


# Tools


class Tooling(Agent):
    @tool(injected_args={"tenant": InjectedArg.from_config("tenant")})
    @staticmethod
    def who(name: str, tenant: str) -> str:
        """Say who."""
        return f"{tenant}/{name}"

    @tool(injected_args={"count": {"source": "short_term_memory", "key": "seen"}})
    @staticmethod
    def seen(count: int) -> int:
        """Say how many."""
        return count

    @tool
    @staticmethod
    def refuse() -> ToolResponse:
        """Fail without raising."""
        return ToolResponse.failure("not today")

    @tool
    @staticmethod
    def broken() -> None:
        """Fail."""
        raise OSError("disk full")

    @action(EventType.InputEvent)
    @staticmethod
    def begin(event: Event, ctx: RunnerContext) -> None:
        ctx.short_term_memory.set("seen", 5)
        calls = [
            {"id": name, "type": "function", "function": {"name": name, "arguments": arguments}}
            for name, arguments in (
                ("who", {"name": "me", "tenant": "spoofed"}),
                ("seen", {}),
                ("refuse", {}),
                ("broken", {}),
                ("absent", {}),
            )
        ]
        ctx.send_event(ToolRequestEvent(model="none", tool_calls=calls))

    @action(EventType.ToolResponseEvent)
    @staticmethod
    def end(event: ToolResponseEvent, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=event.responses))
        ctx.send_event(OutputEvent(output=event.error))
        ctx.send_event(OutputEvent(output=event.success))


@pytest.mark.parametrize("options", [{}, {"tool-call.parallelism": 1}, {"tool-call.async": False}])
def test_what_is_injected_wins_and_failures_are_told(options: dict) -> None:
    responses, errors, success = run(Tooling(), 0, tenant="acme", **options)

    assert responses == {
        "who": "acme/me",
        "seen": 5,
        "refuse": "not today",
        "broken": "Tool `broken` execute failed.",
        "absent": "Tool `absent` does not exist.",
    }
    assert errors == {
        "refuse": "not today",
        "broken": "disk full",
        "absent": "Tool `absent` does not exist.",
    }
    assert success == {
        "who": True,
        "seen": True,
        "refuse": False,
        "broken": False,
        "absent": False,
    }


def test_what_cannot_be_injected_fails_the_call_alone() -> None:
    responses, errors, _ = run(Tooling(), 0)

    assert responses["who"] == "Tool `who` execute failed."
    assert errors["who"] == "Missing config for injected tool parameter: tenant"
    assert responses["seen"] == 5
