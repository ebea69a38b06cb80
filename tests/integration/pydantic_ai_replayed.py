"""An agent whose messages are written down when it is done; then its process may die."""

from __future__ import annotations

import os
from typing import Any

from pydantic_ai import Agent as PydanticAgent
from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
from pydantic_ai.models.function import AgentInfo, FunctionModel
from tests.integration.agents_support import note

from perdure import Agent, InputEvent, OutputEvent
from perdure.integrations.pydantic_ai import DurableAgent


def respond(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
    """Give what output validation refuses, then an answer."""
    note("model ends")
    wrong = len(messages) == 1
    return ModelResponse(parts=[ToolCallPart("t") if wrong else TextPart("done")])


inner = PydanticAgent(FunctionModel(respond), name="replayed")
inner.tool_plain(lambda: "x", name="t")
durable = DurableAgent(inner)


async def write(event: Any, ctx: Any) -> None:
    """The action."""
    result = await durable.run(ctx, event.input["ask"])
    with open(os.path.join(os.environ["PERDURE_TEST_FOLDER"], "messages.log"), "a") as file:
        file.write(result.all_messages_json().decode() + "\n")
    note("answered")
    ctx.send_event(OutputEvent(output="done"))


agent = Agent().add_action("write", [InputEvent], write)
