"""Researching: sub-agents that an action asks together, and that a chat model asks as tools."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flink_agents.api.agents.agent import Agent
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection, BaseChatModelSetup
from flink_agents.api.decorators import action, chat_model_connection, chat_model_setup
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.resource import ResourceDescriptor, ResourceType
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.subagent import SubagentResult
from flink_agents.api.tools.tool import Tool
from flink_agents.runtime.async_subagent import BaseAsyncSubagentSetup, RunStatus
from flink_agents.runtime.deferred_subagent import DeferredSubagentSetup, PreparedTriple
from pydantic import BaseModel
from tests.flink_agents.agents import witness
from tests.flink_agents.agents.witness import called, reached


class Topic(BaseModel):
    topic: str


class ArchiveSubagent(BaseAsyncSubagentSetup):
    """An archive elsewhere: it is ready when it is asked for the second time."""

    @classmethod
    def input_type(cls) -> type:
        return Topic

    def call_submit_request(self, session_id: str, call_id: str, prompt: Any) -> None:
        topic = prompt["topic"]
        asked = witness.shelf().get(call_id, {"times": 0})["times"]
        witness.put(call_id, {"topic": topic, "times": asked + 1, "asked": False})
        called(f"submit {topic}")

    def call_query_status(self, session_id: str, call_id: str) -> RunStatus:
        run = witness.shelf().get(call_id)
        if run is None:
            return RunStatus.not_started()
        called(f"status {run['topic']}")
        if not run["asked"]:
            witness.put(call_id, {**run, "asked": True})
            return RunStatus.running()
        if run["topic"] == "ghosts":
            return RunStatus.failed("nothing is known of ghosts")
        return RunStatus.completed()

    def call_fetch_result(self, session_id: str, call_id: str) -> SubagentResult:
        run = witness.shelf()[call_id]
        called(f"fetch {run['topic']}")
        return SubagentResult.ok({"topic": run["topic"], "asked": run["times"]})


class EditorSubagent(DeferredSubagentSetup):
    """Is asked by one call."""

    def prepare(
        self, ctx: RunnerContext, prompt: Any, session_id: str, call_id: str
    ) -> PreparedTriple:
        def call() -> SubagentResult:
            called(f"edit {prompt}")
            return SubagentResult.ok(f"{prompt}, edited")

        return f"{session_id}#{call_id}", call, None


class AskingConnection(BaseChatModelConnection):
    """Has the archive asked, and tells what it found."""

    def chat(
        self, messages: Sequence[ChatMessage], tools: list[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        assert tools is not None
        called(f"chat {len(messages)}")
        if messages[-1].role == MessageRole.TOOL:
            return ChatMessage(role=MessageRole.ASSISTANT, content=messages[-1].content)
        assert tools[0].metadata.get_parameters_dict()["required"] == ["topic"]
        function = {"name": tools[0].name, "arguments": {"topic": messages[-1].content}}
        call = {"id": "1", "type": "function", "function": function}
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=[call])


class AskingSetup(BaseChatModelSetup):
    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {}


class ResearchAgent(Agent):
    def __init__(self) -> None:
        super().__init__()
        archive = ResourceDescriptor(
            clazz=ArchiveSubagent, description="Looks things up.", statusPollIntervalMillis=20
        )
        self.add_resource("archive", ResourceType.AGENT, archive)
        self.add_resource("editor", ResourceType.AGENT, EditorSubagent())

    @chat_model_connection
    @staticmethod
    def server() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=AskingConnection)

    @chat_model_setup
    @staticmethod
    def model() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=AskingSetup, connection="server", subagents=["archive"])

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    async def research(event: Event, ctx: RunnerContext) -> None:
        topics: list[str] = InputEvent.from_event(event).input
        archive = ctx.get_resource("archive", ResourceType.AGENT)
        editor = ctx.get_resource("editor", ResourceType.AGENT)
        first, *others = [await archive.submit(ctx, {"topic": each}) for each in topics]
        edited = await editor.submit(ctx, "a draft", session_id=first.session_id)
        found = await first.combine(*others, edited)
        said = [each.result if each.success else each.error_message for each in found]
        ctx.send_event(OutputEvent(output=said))
        ctx.send_event(ChatRequestEvent("model", [ChatMessage(content="moths")]))

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    def tell(event: ChatResponseEvent, ctx: RunnerContext) -> None:
        reached("tell")
        ctx.send_event(OutputEvent(output=event.response.content))


INPUTS: list[dict[str, Any]] = [{"key": "k", "value": ["bees", "ghosts"]}]
OUTPUTS: list[dict[Any, Any]] = [
    {"k": [{"topic": "bees", "asked": 1}, "nothing is known of ghosts", "a draft, edited"]},
    {"k": '{"topic":"moths","asked":1}'},
]
CALLS = [
    *("submit bees", "submit ghosts", "edit a draft"),
    *("status bees", "status ghosts", "status bees", "status ghosts", "fetch bees"),
    *("chat 1", "submit moths", "status moths", "status moths", "fetch moths", "chat 3"),
]


def main() -> list[dict[Any, Any]]:
    env = AgentsExecutionEnvironment.get_execution_environment()
    outputs = env.from_list(INPUTS).apply(ResearchAgent()).to_list()
    env.execute("researching")
    return outputs


if __name__ == "__main__":
    for output in main():
        print(output)
