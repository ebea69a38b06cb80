"""Agents of theirs in a process that is killed: the same outputs, and no recorded call again."""

from __future__ import annotations

import signal
import subprocess
import sys

import pytest

SCRIPT = '''
import os, sys
from pathlib import Path
from typing import Any
from flink_agents.api.agents.agent import Agent
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection, BaseChatModelSetup
from flink_agents.api.decorators import action, tool
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.resource import ResourceDescriptor, ResourceType
from flink_agents.api.runner_context import RunnerContext

FOLDER = Path(sys.argv[1])
KILL_AT = sys.argv[2]


def called(name: str) -> None:
    with open(FOLDER / "calls", "a") as log:
        log.write(name + "\\n")
    marker = FOLDER / "killed"
    if name == KILL_AT and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), 9)


class Connection(BaseChatModelConnection):
    def chat(self, messages: Any, tools: Any = None, **kwargs: Any) -> ChatMessage:
        said = messages[-1]
        called(f"chat {len(messages)}")
        if said.role == MessageRole.TOOL:
            return ChatMessage(role=MessageRole.ASSISTANT, content=f"is {said.content}")
        call = {"id": "c", "function": {"name": "square", "arguments": {"n": int(said.content)}}}
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=[call])


class Setup(BaseChatModelSetup):
    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {}


def looked_up(n: int) -> int:
    called("look up")
    return n + 1


class Killed(Agent):
    def __init__(self) -> None:
        super().__init__()
        self.add_resource(
            "connection", ResourceType.CHAT_MODEL_CONNECTION, ResourceDescriptor(clazz=Connection)
        )
        self.add_resource(
            "model",
            ResourceType.CHAT_MODEL,
            ResourceDescriptor(clazz=Setup, connection="connection", tools=["square"]),
        )

    @tool
    @staticmethod
    def square(n: int) -> int:
        """Square a number."""
        called("square")
        return n * n

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def begin(event: Event, ctx: RunnerContext) -> None:
        n = ctx.durable_execute(looked_up, InputEvent.from_event(event).input)
        request = ChatRequestEvent("model", [ChatMessage(content=str(n))])
        ctx.short_term_memory.set("request", str(request.id))
        ctx.send_event(request)

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    async def end(event: ChatResponseEvent, ctx: RunnerContext) -> None:
        assert ctx.short_term_memory.get("request") == str(event.request_id)
        last = await ctx.durable_execute_async(looked_up, 10)
        ctx.send_event(OutputEvent(output=[event.response.content, last, str(event.request_id)]))


env = AgentsExecutionEnvironment.get_execution_environment(
    store=f"sqlite:///{FOLDER}/job.db", job="killed"
)
outputs = env.from_list([{"key": "k", "value": 2}]).apply(Killed()).to_list()
env.execute()
print(outputs[0]["k"])
'''

CALLS = ["look up", "chat 1", "square", "chat 3", "look up"]


@pytest.mark.parametrize("kill_at", ["none", "look up", "chat 1", "square", "chat 3"])
def test_g1_a_killed_process_goes_on_from_its_journal(tmp_path, kill_at: str) -> None:
    script = tmp_path / "job.py"
    script.write_text(SCRIPT)
    command = [sys.executable, "-m", "perdure.flink_agents", str(script), str(tmp_path), kill_at]
    if kill_at != "none":
        killed = subprocess.run(command, capture_output=True, text=True, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr

    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert done.stdout.startswith("['is 9', 11, '")
    calls = (tmp_path / "calls").read_text().splitlines()
    once_more = [kill_at] if kill_at != "none" else []
    assert sorted(calls) == sorted([*CALLS, *once_more])
