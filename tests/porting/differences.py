"""What the page calls different is, and is said where one comes upon it."""

from __future__ import annotations

import asyncio
import uuid
from typing import Any

import pytest
from pydantic import BaseModel
from tests.porting.page import different, failures, put, run
from tests.promises.support import error_text

from perdure import (
    Agent,
    AgentDefinitionError,
    AgentExecutionOptions,
    BaseChatModelSetup,
    BaseEmbeddingModelConnection,
    BaseEmbeddingModelSetup,
    ChatMessage,
    ChatRequestEvent,
    ChatResponseEvent,
    ConfigurationError,
    Event,
    InputEvent,
    LocalEngine,
    MemoryObject,
    MessageRole,
    OutputEvent,
    Resource,
    ResourceType,
    RetryPolicy,
    RunnerContext,
    action,
)
from perdure.config.values import ConfigOption
from perdure.testing import ScriptedChatModel

MADE: list[Any] = []


def only(func: Any) -> Agent:
    return Agent().add_action("go", [InputEvent], func)


def note(value: Any) -> Any:
    MADE.append(value)
    return value


async def begun() -> None:
    while "dropped" not in MADE:
        await asyncio.sleep(0.001)


@different("Calls not awaited")
def calls_not_awaited() -> None:
    def go(event: Event, ctx: RunnerContext) -> None:
        ctx.durable_execute_async(note, "dropped")
        ctx.durable_execute_async(begun).result()  # its thread gets its turn before the action ends
        put(ctx, ctx.durable_execute(note, "awaited"))

    MADE.clear()
    assert run(only(go), ["x"]) == ["awaited"]
    assert sorted(MADE) == ["awaited", "dropped"]


@different("Ids")
def ids() -> None:
    shared = Event(type="seen")

    def go(event: Event, ctx: RunnerContext) -> None:
        made = Event(type="seen")
        before = made.id
        ctx.send_event(made)
        assert made.id == before
        ctx.send_event(made)
        assert made.id != before
        ctx.send_event(shared)
        put(ctx, [type(before).__name__, event.id])

    def seen(event: Event, ctx: RunnerContext) -> None:
        put(ctx, event.id)

    agent = only(go).add_action("seen", ["seen"], seen)
    (kind, event), *found = run(agent, ["x"])
    assert kind == "str"
    assert len({event, *found}) == 4
    assert not isinstance(event, uuid.UUID)


@different("Events")
def events() -> None:
    event = Event(type="t", attributes={"a": 1})
    assert not isinstance(event, BaseModel)
    assert not any(hasattr(event, n) for n in ("model_dump_json", "from_json", "get_type"))
    assert event == Event(type="t", attributes={"a": 1})
    assert event.id != Event(type="t", attributes={"a": 1}).id


@different("Actions")
def actions() -> None:
    with pytest.raises(AgentDefinitionError, match="outputs leave the run"):
        action(OutputEvent.EVENT_TYPE)(lambda event, ctx: None)

    async def waits(event: Event, ctx: RunnerContext) -> None:
        await ctx.sleep(0)
        put(ctx, "waited")

    def goes_on(event: Event, ctx: RunnerContext) -> None:
        put(ctx, dict(ctx.action_config))

    agent = Agent().add_action("waits", [InputEvent], waits)
    agent.add_action("goes_on", [InputEvent], goes_on, target="elsewhere")
    assert run(agent, ["x"]) == [{"target": "elsewhere"}, "waited"]


@different("Memory")
def memory() -> None:
    async def first(event: Event, ctx: RunnerContext) -> None:
        ctx.short_term_memory.set("a", 1)
        await ctx.sleep(0)
        put(ctx, ["first", ctx.short_term_memory.get("a")])

    async def second(event: Event, ctx: RunnerContext) -> None:
        while not await ctx.durable_execute_async(len, "x"):
            pass
        put(ctx, ["second", ctx.short_term_memory.get("a")])

    def fails(event: Event, ctx: RunnerContext) -> None:
        ctx.short_term_memory.set("a", 2)
        raise ValueError("no")

    both = (
        Agent().add_action("first", [InputEvent], first).add_action("second", [InputEvent], second)
    )
    assert sorted(run(both, ["x"])) == [["first", 1], ["second", None]]

    def either(event: Event, ctx: RunnerContext) -> None:
        fails(event, ctx) if event.get_attr("input") == "bad" else None
        put(ctx, ctx.short_term_memory.get("a"))

    failed = failures(only(either), ["bad", "good"])
    assert [output.value for output in failed.outputs] == [None]


class Field(Resource):
    """Written as for pydantic."""

    RESOURCE_TYPE = ResourceType.CHAT_MODEL
    path: str


@different("Resources")
def resources() -> None:
    class Broken(BaseChatModelSetup):
        async def open(self) -> None:
            raise ConfigurationError("the disk is missing")

    agent = only(lambda event, ctx: note("ran"))
    agent.add_resource("m", ResourceType.CHAT_MODEL, Broken(connection=ScriptedChatModel(["x"])))
    MADE.clear()
    with pytest.raises(ConfigurationError, match="the disk is missing"):
        run(agent, ["x"])
    assert MADE == []  # though no action would have used it
    with pytest.raises(TypeError):
        Field(path="x")
    assert not hasattr(Resource, "metric_group")


@different("Embeddings")
def embeddings() -> None:
    class Noting(BaseEmbeddingModelConnection):
        def embed(self, texts: Any, **kwargs: Any) -> Any:
            return [[float(len(MADE.append(texts) or texts))] for _ in texts]

    async def go(event: Event, ctx: RunnerContext) -> None:
        setup = ctx.get_resource("e", ResourceType.EMBEDDING_MODEL)
        put(ctx, await ctx.durable_execute_async(setup.embed, "one"))

    agent = only(go)
    agent.add_resource("e", ResourceType.EMBEDDING_MODEL, BaseEmbeddingModelSetup(Noting(), "m"))
    MADE.clear()
    assert run(agent, ["x"]) == [[1.0]]
    assert MADE == [["one"]]
    assert not hasattr(BaseEmbeddingModelSetup, "embed_with_usage")


def failing_chat(retry: RetryPolicy | None = None) -> tuple[Agent, ScriptedChatModel]:
    """Return an agent that notes its first call and asks a model that fails; and the model."""
    model = ScriptedChatModel([[ValueError("it broke")] * 2 + ["well"]])

    def go(event: Event, ctx: RunnerContext) -> None:
        ctx.durable_execute(note, event.get_attr("input"))
        message = ChatMessage(role=MessageRole.USER, content="hi")
        ctx.send_event(ChatRequestEvent(model="m", messages=[message]))

    def got(event: Event, ctx: RunnerContext) -> None:
        put(ctx, ChatResponseEvent.from_event(event).response.content)

    agent = only(go).add_action("got", [ChatResponseEvent.EVENT_TYPE], got)
    setup = BaseChatModelSetup(connection=model, model="m1", retry=retry)
    return agent.add_resource("m", ResourceType.CHAT_MODEL, setup), model


@different("Failures")
def failures_of_runs() -> None:
    def go(event: Event, ctx: RunnerContext) -> None:
        if InputEvent.from_event(event).input == "bad":
            raise ValueError("no")
        put(ctx, "ran")

    assert AgentExecutionOptions.ERROR_HANDLING_STRATEGY.default == "dead-letter"
    for config in ({}, {"error-handling-strategy": "ignore"}):
        failed = failures(only(go), ["bad", "good"], config=config)
        assert [output.value for output in failed.outputs] == ["ran"]
        assert error_text(failed) == "ValueError: no"
        agent, _ = failing_chat()  # the run has failed with its chat
        assert "it broke" in error_text(failures(agent, ["x"], config=config))
    with pytest.raises(ValueError, match="no"):
        run(only(go), ["bad", "good"], config={"error-handling-strategy": "fail"})


@different("Retries")
def retries() -> None:
    of = AgentExecutionOptions
    assert (of.MAX_RETRIES.default, of.RETRY_WAIT_INTERVAL.default) == (3, 1)
    config = {"error-handling-strategy": "retry", "max-retries": 2, "retry-wait-interval": 0}
    MADE.clear()
    agent, model = failing_chat()
    assert run(agent, ["x"], config=config) == ["well"]
    assert len(model.requests) == 3  # the run three times; within it, a chat once
    assert MADE == ["x"]  # what it had done is not done again
    agent, model = failing_chat()
    assert "it broke" in error_text(failures(agent, ["x"], config={**config, "max-retries": 1}))
    assert len(model.requests) == 2
    agent, model = failing_chat()
    failures(agent, ["x"], config={"max-retries": 5})  # which says nothing of chats
    assert len(model.requests) == 1
    agent, model = failing_chat(RetryPolicy(max_attempts=3, initial_interval=0.0))
    assert run(agent, ["x"]) == ["well"]
    agent, model = failing_chat()
    kin = {"retry.max-attempts": 3, "retry.initial-interval": 0}
    assert run(agent, ["x"], config=kin) == ["well"]


@different("Configuration")
def configuration() -> None:
    limit = ConfigOption("agent.limit", int, 3)

    def go(event: Event, ctx: RunnerContext) -> None:
        put(ctx, [ctx.config.get(limit), ctx.config.agent.get("limit")])

    assert run(only(go), ["x"]) == [[3, None]]
    assert run(only(go), ["x"], config={"agent.limit": 5}) == [[5, 5]]
    strategy = AgentExecutionOptions.ACTION_TRIGGER_CONDITION_EVALUATE_FAILURE_STRATEGY
    assert strategy.default == "WARN_AND_SKIP"
    for key in ("my.limit", "kafkaBootstrapServers", "short-term-memory.state-ttl.visibility"):
        with pytest.raises(ConfigurationError, match=key):
            LocalEngine(config={key: "x"})


@different("Output schemas")
def output_schemas() -> None:
    class RowTypeInfo:
        """As Flink has it."""

    message = ChatMessage(role=MessageRole.USER)
    with pytest.raises(AgentDefinitionError):
        ChatRequestEvent(model="m", messages=[message], output_schema=RowTypeInfo())
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    assert ChatRequestEvent("m", [message], output_schema=schema).output_schema == schema


@different("Names of arguments")
def names_of_arguments() -> None:
    def go(event: Event, ctx: RunnerContext) -> None:
        ctx.sensory_memory.set(path="a", value=1)
        memory: MemoryObject = ctx.sensory_memory
        found = [memory.get(path="a"), memory.is_exist(path="a")]
        put(ctx, [*found, ctx.get_action_config_value(name="n")])

    assert run(Agent().add_action("go", [InputEvent], go, n=7), ["x"]) == [[1, True, 7]]
