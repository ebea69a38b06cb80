"""Inventory: a list of inputs with keys of all sorts, and without; what all agents have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flink_agents.api.agents.agent import Agent
from flink_agents.api.decorators import action
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.events.event_type import EventType
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.prompts.prompt import Prompt
from flink_agents.api.resource import ResourceType
from flink_agents.api.runner_context import RunnerContext
from pydantic import BaseModel
from tests.flink_agents.agents.witness import called


class Item(BaseModel):
    name: str
    count: int = 1


@dataclass
class Label:
    text: str
    shelf: Any


def printed(text: str) -> str:
    called(f"print {text}")
    return f"[{text}]"


class LabelAgent(Agent):
    """Makes a label of each item, and one more of what there are many of."""

    @action(EventType.InputEvent)
    @staticmethod
    def label(event: Event, ctx: RunnerContext) -> None:
        given = InputEvent.from_event(event).input
        item = Item(name=given) if isinstance(given, str) else given
        own = ctx.get_resource("own", ResourceType.PROMPT).format_string(name=item.name)
        text = ctx.get_resource("label", ResourceType.PROMPT).format_string(
            name=own, count=str(item.count)
        )
        ctx.send_event(OutputEvent(output=Label(ctx.durable_execute(printed, text), shelf=ctx.key)))
        if item.count > ctx.config.get_int("many", 10):
            ctx.send_event(Event(type="many", attributes={"item": item}))

    @action("many")
    @staticmethod
    def warn(event: Event, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=f"many: {event.get_attr('item')['name']}"))


INPUTS: list[dict[str, Any]] = [
    {"key": "shelf 1", "value": Item(name="cup", count=12)},
    {"k": 2, "v": "pot"},
    {"key": None, "value": Item(name="pan")},
]
OUTPUTS: list[dict[Any, Any]] = [
    {"shelf 1": Label("[12 x cup]", shelf="shelf 1")},
    {"shelf 1": "many: cup"},
    {2: Label("[1 x pot]", shelf=2)},
    {None: Label("[1 x pan]", shelf=None)},
]
CALLS = ["print 12 x cup", "print 1 x pot", "print 1 x pan"]


def main() -> list[dict[Any, Any]]:
    env = AgentsExecutionEnvironment.get_execution_environment()
    env.add_resource("label", ResourceType.PROMPT, Prompt.from_text("{count} x {name}"))
    env.add_resource("own", ResourceType.PROMPT, Prompt.from_text("the environment's {name}"))
    agent = LabelAgent().add_resource("own", ResourceType.PROMPT, Prompt.from_text("{name}"))
    inputs: list[dict[str, Any]] = []
    outputs = env.from_list(inputs).apply(agent).to_list()
    inputs += INPUTS  # read when it is executed
    env.execute("inventory")
    return outputs


if __name__ == "__main__":
    for output in main():
        print(output)
