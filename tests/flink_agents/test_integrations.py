"""The connections that ResourceName names, against a server that answers by a script."""

from __future__ import annotations

from typing import Any

import pytest
from flink_agents.api.agents.agent import Agent
from flink_agents.api.chat_message import ChatMessage
from flink_agents.api.decorators import action
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.resource import ResourceDescriptor, ResourceName, ResourceType
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.tools.tool import Tool

from perdure.errors import ConfigurationError
from perdure.llm.message import ToolCall
from perdure.testing.model_server import ScriptedModelServer


def double(n: int) -> int:
    """Double a number.

    Args:
        n: The number.
    """
    return 2 * n


class Asking(Agent):
    def __init__(self, connection: ResourceDescriptor, setup: ResourceDescriptor) -> None:
        super().__init__()
        self.add_resource("server", ResourceType.CHAT_MODEL_CONNECTION, connection)
        self.add_resource("model", ResourceType.CHAT_MODEL, setup)
        self.add_resource("double", ResourceType.TOOL, Tool.from_callable(double))

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def ask(event: Event, ctx: RunnerContext) -> None:
        text = InputEvent.from_event(event).input
        ctx.send_event(ChatRequestEvent("model", [ChatMessage(content=text)]))

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    def answer(event: ChatResponseEvent, ctx: RunnerContext) -> None:
        extra = event.response.extra_args
        ctx.send_event(OutputEvent(output=[event.response.content, extra["promptTokens"] > 0]))


def run(agent: Agent) -> list[Any]:
    env = AgentsExecutionEnvironment.get_execution_environment()
    outputs = env.from_list([{"key": 0, "value": "double 4"}]).apply(agent).to_list()
    env.execute()
    return [each[0] for each in outputs]


def script(request: Any) -> Any:
    last = request.messages[-1]
    if last["role"] == "tool":
        assert last["tool_call_id"] == "call-1"
        return f"it is {last['content']}"
    return ToolCall(id="call-1", name="double", arguments={"n": 4})


Chat = ResourceName.ChatModel


@pytest.mark.parametrize(
    ("connection", "setup", "address", "more"),
    [
        (Chat.OLLAMA_CONNECTION, Chat.OLLAMA_SETUP, "base_url", {"request_timeout": 60}),
        (
            Chat.OPENAI_COMPLETIONS_CONNECTION,
            Chat.OPENAI_COMPLETIONS_SETUP,
            "api_base_url",
            {"api_key": "k"},
        ),
        (Chat.VLLM_CONNECTION, Chat.VLLM_SETUP, "api_base_url", {}),
    ],
)
def test_a_chat_with_tools_over_the_wire(
    connection: str, setup: str, address: str, more: dict
) -> None:
    with ScriptedModelServer(script) as server:
        url = server.url.removesuffix("/v1")
        where = {address: url if address == "base_url" else f"{url}/v1"}
        agent = Asking(
            ResourceDescriptor(clazz=connection, **where, **more),
            ResourceDescriptor(clazz=setup, connection="server", model="m:1", tools=["double"]),
        )
        assert run(agent) == [["it is 8", True]]


@pytest.mark.parametrize(
    "name",
    [
        Chat.TONGYI_CONNECTION,
        Chat.WATSONX_CONNECTION,
        ResourceName.VectorStore.CHROMA_VECTOR_STORE,
        ResourceName.VectorStore.MEM0_VECTOR_STORE,
    ],
)
def test_what_there_is_no_wire_for_is_made_and_refused_at_open(name: str) -> None:
    resource = ResourceDescriptor(clazz=name, anything=1)
    made = resource.clazz(**resource.arguments)
    with pytest.raises(ConfigurationError, match="not supported here: "):
        made.open()


def test_java_raises_when_it_is_made() -> None:
    descriptor = ResourceDescriptor(clazz=Chat.JAVA_WRAPPER_SETUP, java_clazz="org.a.B")
    with pytest.raises(NotImplementedError, match=r"org\.a\.B is Java"):
        descriptor.clazz(**descriptor.arguments)


def test_embeddings_over_the_wire() -> None:
    Embedding = ResourceName.EmbeddingModel
    with ScriptedModelServer() as server:
        url = server.url.removesuffix("/v1")
        for name, where in (
            (Embedding.OLLAMA_CONNECTION, {"base_url": url}),
            (Embedding.OPENAI_CONNECTION, {"base_url": f"{url}/v1", "api_key": "k"}),
        ):
            connection = ResourceDescriptor(clazz=name).clazz(**where)
            connection.open()
            try:
                one = connection.embed("a word", model="m")
                two = connection.embed_with_usage(["a word", "another"], model="m").embeddings
            finally:
                connection.close()
            assert two[0] == one
            assert len(two) == 2
