"""What the page calls the same of agents, events, contexts, calls, memory and resources."""

from __future__ import annotations

import pytest
from tests.porting.page import failures, put, run, same, takes
from tests.promises.support import crash_and_resume, error_text, hold

import perdure
from perdure import (
    Agent,
    AgentDefinitionError,
    AgentExecutionOptions,
    ChatMessage,
    ChatRequestEvent,
    ChatResponseEvent,
    Event,
    EventType,
    InputEvent,
    MCPServer,
    MemoryEvent,
    MemoryObject,
    MemoryRef,
    MessageRole,
    OutputEvent,
    Prompt,
    Resource,
    ResourceDescriptor,
    ResourceType,
    RunnerContext,
    SensoryWriteEvent,
    ShortTermWriteEvent,
    ToolCall,
    action,
    chat_model_connection,
    chat_model_setup,
    embedding_model_connection,
    embedding_model_setup,
    mcp_server,
    prompt,
    tool,
    vector_store,
)
from perdure.metrics import MetricGroup
from perdure.testing import scripted_mcp_server

# Agents, events, actions


class Order(Event):
    """A type of one's own, seen through fields."""

    EVENT_TYPE = "order"
    item: str
    count: int = 1


class Shop(Agent):
    """A static method, a method, and an action that is added."""

    @action(EventType.InputEvent)
    @staticmethod
    def take(event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(Event(type="order", attributes={"item": InputEvent.from_event(event).input}))

    @action(Order.EVENT_TYPE, "recall")
    def pack(self, event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(Event(type="packed", attributes={"item": event.get_attr("item")}))


@same("`Agent`, `@action`")
def actions() -> None:
    def send(event: Event, ctx: RunnerContext) -> None:
        put(
            ctx,
            [event.get_attr("item"), ctx.get_action_config_value("by"), dict(ctx.action_config)],
        )

    agent = Shop().add_action("send", ["packed"], send, by="mail")
    assert agent.add_resource("p", ResourceType.PROMPT, Prompt.from_text("x")) is agent
    assert run(agent, ["tea"]) == [["tea", "mail", {"by": "mail"}]]
    takes(Agent.add_action, "name, trigger_conditions, func, **config")
    takes(Agent.add_resource, "name, resource_type, instance")
    named = Shop().add_action(name="send", trigger_conditions=["packed"], func=send)
    assert run(named, ["tea"]) == [["tea", None, {}]]
    with pytest.raises(AgentDefinitionError, match="has an action 'pack' already"):
        Shop().add_action("pack", ["packed"], send)


@same("`Event`, `InputEvent`")
def events() -> None:
    def go(event: Event, ctx: RunnerContext) -> None:
        sent = Event(type="order", attributes={"item": "tea"})
        assert sent.id
        sent.set_attr("count", 2)
        view = Order.from_event(sent)
        assert (view.item, view.count, view.id, view.type) == ("tea", 2, sent.id, "order")
        assert sent.get_attr("none") is None
        ctx.send_event(sent)

    def got(event: Event, ctx: RunnerContext) -> None:
        order = Order.from_event(event)
        ctx.send_event(OutputEvent([order.item, order.count, event.upstream_action_name]))

    agent = Agent().add_action("go", [InputEvent.EVENT_TYPE], go).add_action("got", ["order"], got)
    assert run(agent, ["x"]) == [["tea", 2, "go"]]
    takes(InputEvent, "input")
    takes(OutputEvent, "output")
    assert InputEvent.from_event(InputEvent("in")).input == InputEvent(input="in").input == "in"
    for name, kind in vars(EventType).items():
        if not name.startswith("_"):
            assert kind == getattr(perdure, name).EVENT_TYPE
    with pytest.raises(TypeError, match="pass them by name, item=, count="):
        Order("tea")
    with pytest.raises(TypeError, match="given output by position and by name"):
        OutputEvent(1, output=2)


@same("CEL trigger conditions")
def conditions() -> None:
    def go(event: Event, ctx: RunnerContext) -> None:
        put(ctx, event.get_attr("input"))

    urgent = "type == EventType.InputEvent && input.score > 80"
    agent = Agent().add_action("go", [urgent], go)
    strategy = "action.trigger-condition.evaluate-failure-strategy"
    inputs = [{"score": 90}, {"score": 10}, {"score": "broken"}]
    assert run(agent, inputs) == [{"score": 90}]
    assert run(agent, inputs, config={strategy: "WARN_AND_SKIP"}) == [{"score": 90}]
    failed = failures(agent, inputs, config={strategy: "FAIL"})
    assert len(failed.failed) == 1
    assert "ConditionError: action 'go'" in error_text(failed)


@same("`RunnerContext`:")
def context() -> None:
    def go(event: Event, ctx: RunnerContext) -> None:
        ctx.sensory_memory.set("a", 1)
        ctx.short_term_memory.set("seen", ctx.short_term_memory.get("seen", 0) + 1)
        group = ctx.action_metric_group.get_sub_group("model", "m")
        group.get_counter("n").inc(3)
        group.get_counter("n").dec()
        ctx.agent_metric_group.get_histogram("h").update(4)
        ctx.agent_metric_group.get_gauge("g").update(5)
        ctx.agent_metric_group.get_meter("m").mark(2)
        filled = ctx.get_resource("p", ResourceType.PROMPT).format_string(name="Ada")
        option = AgentExecutionOptions.MAX_RETRIES
        ctx.send_event(Event(type="next", attributes={"said": [filled, ctx.config.get(option)]}))

    def following(event: Event, ctx: RunnerContext) -> None:
        said = [*event.get_attr("said"), ctx.sensory_memory.get("a")]
        put(ctx, [*said, ctx.short_term_memory.get("seen"), ctx.get_action_config_value("n")])

    agent = Agent().add_action("go", [InputEvent.EVENT_TYPE], go)
    agent.add_action("following", ["next"], following, n=7)
    agent.add_resource("p", ResourceType.PROMPT, Prompt.from_text("Hello {name}"))
    assert run(agent, [1, 2], config={"max-retries": 5}) == [
        ["Hello Ada", 5, 1, 1, 7],
        ["Hello Ada", 5, 1, 2, 7],
    ]
    group = MetricGroup()
    group.get_sub_group("model", "m").get_counter("n").inc()
    assert group.snapshot() == {"model.m.n": 1}
    takes(MetricGroup.get_sub_group, "name, value=None")
    takes(RunnerContext.get_resource, "name, type")


def charge(order: str, *, amount: int = 1) -> str:
    return f"charged {order} {amount}"


async def charge_in_doubt(order: str) -> str:
    await hold()
    return "charged twice"


@same("`durable_execute`")
def durable_calls() -> None:
    async def go(event: Event, ctx: RunnerContext) -> None:
        now = ctx.durable_execute(charge, "o1", amount=2)
        first = ctx.durable_execute_async(charge, "o2", reconciler=lambda: "unknown")
        second = ctx.durable_execute_async(charge, "o3")
        put(ctx, [now, await second, await first])

    assert run(Agent().add_action("go", [InputEvent], go), ["x"]) == [
        ["charged o1 2", "charged o3 1", "charged o2 1"]
    ]

    async def pays(event: Event, ctx: RunnerContext) -> None:
        pay = ctx.durable_execute_async(charge_in_doubt, "o1", reconciler=lambda: "the bank knows")
        put(ctx, await pay)

    agent = Agent().add_action("go", [InputEvent], pays)
    assert crash_and_resume(agent, [{"k": "x"}]) == ["the bank knows"]


@same("`MemoryObject`, `MemoryRef`")
def memory() -> None:
    def go(event: Event, ctx: RunnerContext) -> None:
        kept = ctx.short_term_memory
        ref = kept.set("user.name", "Ada")
        user = kept.new_object("user")
        assert user.get_field_names() == ["name"]
        assert kept.get("user").get_fields() == {"name": "Ada"}
        assert isinstance(kept.get("user"), MemoryObject)
        assert kept.is_exist("user.name")
        assert kept.get("user.none") is None
        with pytest.raises(ValueError, match="overwrite=True"):
            kept.set("user", "gone")
        with pytest.raises(ValueError, match="overwrite=True"):
            kept.new_object("user.name")
        kept.new_object("user.name", overwrite=True).set("first", "Ada")
        kept.set("count", 1)
        kept.update("count", lambda n: n + 1)
        assert ref == MemoryRef("short_term", "user.name")
        assert (ref.memory, ref.path) == ("short_term", "user.name")
        at = [ctx.sensory_memory.set("at", "here"), kept.set("home", "there")]
        ctx.send_event(
            Event(type="next", attributes={"refs": at, "gone": MemoryRef("sensory", "n")})
        )

    def following(event: Event, ctx: RunnerContext) -> None:
        refs, gone = event.get_attr("refs"), event.get_attr("gone")
        found = [ctx.sensory_memory.get(refs[0]), *(ref.resolve(ctx) for ref in refs)]
        put(ctx, [*found, gone.resolve(ctx), ctx.short_term_memory.get("count")])

    agent = Agent().add_action("go", [InputEvent], go).add_action("following", ["next"], following)
    assert run(agent, ["x"]) == [["here", "here", "there", None, 2]]
    takes(MemoryObject.set, "path, value")
    takes(MemoryObject.new_object, "path, *, overwrite=False")
    takes(MemoryRef.resolve, "ctx")


@same("`ShortTermWriteEvent`, `LongTermSearchEvent` and the other memory events")
def memory_events() -> None:
    def go(event: Event, ctx: RunnerContext) -> None:
        ctx.short_term_memory.set("name", event.get_attr("input"))
        ctx.sensory_memory.set("seen", 1)
        ctx.sensory_memory.set("seen", 2)

    def told(event: MemoryEvent, ctx: RunnerContext) -> None:
        put(ctx, [event.type, event.key, event.value])

    agent = Agent().add_action("go", [InputEvent], go)
    agent.add_action("told", [ShortTermWriteEvent, SensoryWriteEvent], told)
    written = [ShortTermWriteEvent.EVENT_TYPE, "k", {"name": "x"}]
    assert run(agent, ["x"]) == [written, [SensoryWriteEvent.EVENT_TYPE, "k", {"seen": 2}]]
    off = {"memory.generate-event": False}
    assert run(agent, ["x"], config=off) == []


# Resources


class Declared(Agent):
    """Each sort of resource by its decorator."""

    @chat_model_connection
    @staticmethod
    def server() -> ResourceDescriptor:
        script = [ToolCall(id="1", name="double", arguments={"n": 4}), "eight"]
        return ResourceDescriptor(clazz="perdure.testing.ScriptedChatModel", script=script)

    @chat_model_setup
    @staticmethod
    def model() -> ResourceDescriptor:
        arguments = {"connection": "server", "model": "m", "prompt": "ask", "tools": ["double"]}
        return ResourceDescriptor(clazz="perdure.BaseChatModelSetup", arguments=arguments)

    @embedding_model_connection
    @staticmethod
    def embedder() -> ResourceDescriptor:
        return ResourceDescriptor(clazz="perdure.testing.ScriptedEmbeddingModel")

    @embedding_model_setup
    @staticmethod
    def embedding() -> ResourceDescriptor:
        clazz = "perdure.BaseEmbeddingModelSetup"
        return ResourceDescriptor(clazz=clazz, connection="embedder", model="m")

    @vector_store
    @staticmethod
    def documents() -> ResourceDescriptor:
        return ResourceDescriptor(clazz="perdure.VectorStore", embedding_model="embedding")

    @prompt
    @staticmethod
    def ask() -> Prompt:
        return Prompt.from_messages([ChatMessage(role=MessageRole.USER, content="double {input}")])

    @tool
    @staticmethod
    def double(n: int) -> int:
        """Double it.

        Parameters
        ----------
        n : int
            The number.
        """
        return 2 * n

    @mcp_server
    @staticmethod
    def tools() -> MCPServer:
        def shout(text: str) -> str:
            return text.upper()

        return MCPServer(server=scripted_mcp_server([shout]))

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def go(event: Event, ctx: RunnerContext) -> None:
        found = [ctx.get_resource(name, kind).resource_type() for name, kind in NAMED.items()]
        assert found == list(NAMED.values())
        ctx.send_event(ChatRequestEvent(model="model", messages=[], prompt_args={"input": "4"}))

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    def answer(event: Event, ctx: RunnerContext) -> None:
        put(ctx, ChatResponseEvent.from_event(event).response.content)


NAMED = {
    "server": ResourceType.CHAT_MODEL_CONNECTION,
    "model": ResourceType.CHAT_MODEL,
    "embedder": ResourceType.EMBEDDING_MODEL_CONNECTION,
    "embedding": ResourceType.EMBEDDING_MODEL,
    "documents": ResourceType.VECTOR_STORE,
    "ask": ResourceType.PROMPT,
    "double": ResourceType.TOOL,
    "shout": ResourceType.TOOL,
    "tools": ResourceType.MCP_SERVER,
}


@same("`ResourceType`, `ResourceDescriptor`")
def resources() -> None:
    assert run(Declared(), ["x"]) == ["eight"]
    assert [each.value for each in NAMED.values()] == [each.name.lower() for each in NAMED.values()]
    takes(Resource.open, "")
    takes(Resource.close, "")
