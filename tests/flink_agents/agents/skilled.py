"""Skilled: a chat model reads its skills, and runs the script that one of them brings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flink_agents.api.agents.agent import Agent
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection, BaseChatModelSetup
from flink_agents.api.decorators import (
    action,
    chat_model_connection,
    chat_model_setup,
    skills,
)
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.resource import ResourceDescriptor
from flink_agents.api.runner_context import RunnerContext
from flink_agents.api.skills import Skills
from flink_agents.api.tools.tool import Tool
from tests.flink_agents.agents.witness import called

FOLDER = Path(__file__).parent / "skills"


class HostConnection(BaseChatModelConnection):
    """Reads the skill, then a file of it, then runs its script, and says what that printed."""

    def chat(
        self, messages: Sequence[ChatMessage], tools: list[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        answers = [each.content for each in messages if each.role == MessageRole.TOOL]
        called(f"chat {len(answers)}")
        told = messages[1].content
        assert (messages[0].content, messages[1].role) == ("You are a host.", MessageRole.SYSTEM)
        assert "Read it before you greet anybody." in told
        assert "seen off" not in told  # it has not this skill
        assert [each.name for each in tools or ()] == ["load_skill", "bash"]
        guest = messages[2].content
        if len(answers) == 3:
            assert "Run `scripts/greet.sh NAME`" in answers[0]
            assert "Say it twice." in answers[1]
            said = answers[2].strip().splitlines()[-1]
            return ChatMessage(role=MessageRole.ASSISTANT, content=f"{said} {said}")
        folder = str(FOLDER / "greeting")
        name, arguments = (
            ("load_skill", {"name": "greeting"}),
            ("load_skill", {"name": "greeting", "path": "abroad.md"}),
            ("bash", {"command": f"scripts/greet.sh '{guest}'", "cwd": folder}),
        )[len(answers)]
        call = {"id": str(len(answers)), "function": {"name": name, "arguments": arguments}}
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=[call])


class HostSetup(BaseChatModelSetup):
    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {}


class HostAgent(Agent):
    @skills
    @staticmethod
    def house() -> Skills:
        return Skills.from_local_dir(str(FOLDER))

    @chat_model_connection
    @staticmethod
    def server() -> ResourceDescriptor:
        return ResourceDescriptor(clazz=HostConnection)

    @chat_model_setup
    @staticmethod
    def host() -> ResourceDescriptor:
        return ResourceDescriptor(
            clazz=HostSetup,
            connection="server",
            skills=["greeting"],
            allowed_script_dirs=[str(FOLDER / "greeting" / "scripts")],
        )

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def greet(event: Event, ctx: RunnerContext) -> None:
        guest = InputEvent.from_event(event).input
        messages = [
            ChatMessage(role=MessageRole.SYSTEM, content="You are a host."),
            ChatMessage(role=MessageRole.USER, content=guest),
        ]
        ctx.send_event(ChatRequestEvent("host", messages))

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    def answer(event: ChatResponseEvent, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=event.response.content))


INPUTS: list[dict[str, Any]] = [{"key": "k", "value": "Ann; rm -rf"}]
OUTPUTS: list[dict[Any, Any]] = [{"k": "Good day, Ann; rm -rf. Good day, Ann; rm -rf."}]
CALLS = [f"chat {n}" for n in range(4)]


def main() -> list[dict[Any, Any]]:
    env = AgentsExecutionEnvironment.get_execution_environment()
    outputs = env.from_list(INPUTS).apply(HostAgent()).to_list()
    env.execute("skilled")
    return outputs


if __name__ == "__main__":
    for output in main():
        print(output)
