"""Calculating: a ReAct agent with tools, a prompt for its input and a schema for its output."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from flink_agents.api.agents.react_agent import ReActAgent
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection, BaseChatModelSetup
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.prompts.prompt import Prompt
from flink_agents.api.resource import ResourceDescriptor, ResourceType
from flink_agents.api.tools.tool import Tool
from pydantic import BaseModel
from tests.flink_agents.agents.witness import called


class Sum(BaseModel):
    a: int
    b: int
    c: int


class Result(BaseModel):
    result: int


def add(a: int, b: int) -> int:
    """Add two numbers.

    Parameters
    ----------
    a : int
        The first.
    b : int
        The second.
    """
    called(f"add {a} {b}")
    return a + b


def multiply(a: int, b: int) -> int:
    """Multiply two numbers."""
    called(f"multiply {a} {b}")
    return a * b


class CalculatingConnection(BaseChatModelConnection):
    """Computes (a + b) * c by the tools that it is told of."""

    def chat(
        self, messages: Sequence[ChatMessage], tools: list[Tool] | None = None, **kwargs: Any
    ) -> ChatMessage:
        assert [each.name for each in tools or ()] == ["add", "multiply"]
        assert "json format" in messages[1].content
        assert "result" in messages[1].content
        a, b, c = (int(each) for each in messages[2].content.split())
        answers = [int(each.content) for each in messages if each.role == MessageRole.TOOL]
        if len(answers) == 2:
            content = f"```json\n{json.dumps({'result': answers[1]})}\n```"
            return ChatMessage(role=MessageRole.ASSISTANT, content=content)
        arguments = {"a": a, "b": b} if not answers else {"a": answers[0], "b": c}
        function = {"name": ("add", "multiply")[len(answers)], "arguments": arguments}
        call = {"id": str(len(answers)), "type": "function", "function": function}
        return ChatMessage(role=MessageRole.ASSISTANT, content="", tool_calls=[call])


class CalculatingSetup(BaseChatModelSetup):
    @property
    def model_kwargs(self) -> dict[str, Any]:
        return {}


INPUTS: list[dict[str, Any]] = [
    {"key": "x", "value": Sum(a=1, b=2, c=3)},
    {"key": "y", "value": Sum(a=4, b=5, c=6)},
]
OUTPUTS: list[dict[Any, Any]] = [{"x": {"result": 9}}, {"y": {"result": 54}}]
CALLS = ["add 1 2", "multiply 3 3", "add 4 5", "multiply 9 6"]


def main() -> list[dict[Any, Any]]:
    env = AgentsExecutionEnvironment.get_execution_environment()
    env.add_resource(
        "server",
        ResourceType.CHAT_MODEL_CONNECTION,
        ResourceDescriptor(clazz=CalculatingConnection),
    ).add_resource("add", ResourceType.TOOL, Tool.from_callable(add)).add_resource(
        "multiply", ResourceType.TOOL, Tool.from_callable(multiply)
    )
    agent = ReActAgent(
        chat_model=ResourceDescriptor(
            clazz=CalculatingSetup, connection="server", tools=["add", "multiply"]
        ),
        prompt=Prompt.from_messages(
            [
                ChatMessage(role=MessageRole.SYSTEM, content="Compute (a + b) * c."),
                ChatMessage(role=MessageRole.USER, content="{a} {b} {c}"),
            ]
        ),
        output_schema=Result,
    )
    outputs = env.from_list(INPUTS).apply(agent).to_list()
    env.execute("calculating")
    return outputs


if __name__ == "__main__":
    for output in main():
        print(output)
