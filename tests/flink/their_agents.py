"""Agents of Flink Agents, in the style of their users, which the tests run on Flink."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from flink_agents.api.agents.agent import Agent
from flink_agents.api.chat_message import ChatMessage, MessageRole
from flink_agents.api.chat_models.chat_model import BaseChatModelConnection
from flink_agents.api.decorators import action, chat_model_setup, tool
from flink_agents.api.events.chat_event import ChatRequestEvent, ChatResponseEvent
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.resource import ResourceDescriptor, ResourceType
from flink_agents.api.runner_context import RunnerContext
from pydantic import BaseModel
from pyflink.common import Row
from pyflink.datastream import KeySelector
from tests.flink_agents.models import HERE

from perdure.testing.engine_agent import gate, plain_size, size


class Order(BaseModel):
    customer: str
    a: int
    b: int


class Receipt(BaseModel):
    customer: str
    said: str
    count: int


class ByCustomer(KeySelector):
    opened: ClassVar[list[str]] = []

    def open(self, runtime_context: Any) -> None:
        self.opened.append("opened")

    def get_key(self, value: Order) -> str:
        return value.customer


class Cashier(Agent):
    """Has a model add up an order, which calls a tool; counts a customer's orders."""

    @tool
    @staticmethod
    def add(a: int, b: int) -> int:
        """Add two numbers."""
        return a + b

    @chat_model_setup
    @staticmethod
    def clerk() -> ResourceDescriptor:
        return ResourceDescriptor(
            clazz=f"{HERE}.EchoSetup", connection="echo", model="none", tools=["add"]
        )

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def ask(event: Event, ctx: RunnerContext) -> None:
        given = InputEvent.from_event(event).input
        order = given if isinstance(given, Order) else Order.model_validate(given)
        if order.a < 0:
            raise ValueError("nothing costs less than nothing")
        count = (ctx.short_term_memory.get("count") or 0) + 1
        ctx.short_term_memory.set("count", count)
        message = ChatMessage(role=MessageRole.USER, content=f"sum {order.a} {order.b}")
        ctx.send_event(ChatRequestEvent(model="clerk", messages=[message]))

    @action(ChatResponseEvent.EVENT_TYPE)
    @staticmethod
    def answer(event: Event, ctx: RunnerContext) -> None:
        said = ChatResponseEvent.from_event(event).response.content
        count = ctx.short_term_memory.get("count")
        ctx.send_event(OutputEvent(output=Receipt(customer=ctx.key, said=said, count=count)))


class Shouting(Agent):
    """The stage after the cashier; its prefix is a resource of the environment."""

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    async def shout(event: Event, ctx: RunnerContext) -> None:
        receipt = InputEvent.from_event(event).input
        prompt = ctx.get_resource("loud", ResourceType.PROMPT)
        text = prompt.format_string(said=receipt["said"].upper())
        tenant = ctx.config.get_str("tenant")
        ctx.send_event(OutputEvent(output=[tenant, ctx.key, text, receipt["count"]]))


class Columns(Agent):
    """Rewrites the rows of a table; puts out rows, and dicts."""

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    def rewrite(event: Event, ctx: RunnerContext) -> None:
        row = InputEvent.from_event(event).input
        row["text"] += f" of {ctx.key}"
        ctx.send_event(OutputEvent(output=row if row["id"] % 2 else Row(**row)))


class JsonConnection(BaseChatModelConnection):
    """Answers with what it was asked, as JSON."""

    def chat(
        self, messages: Sequence[ChatMessage], tools: Any = None, **kwargs: Any
    ) -> ChatMessage:
        answer = json.dumps({"asked": messages[-1].content, "size": len(messages), "more": 1})
        return ChatMessage(role=MessageRole.ASSISTANT, content=answer)


class Steps(Agent):
    """Three dependent calls in as many actions; the last waits for the test."""

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    async def begin(event: Event, ctx: RunnerContext) -> None:
        n = InputEvent.from_event(event).input["n"]
        found = await ctx.durable_execute_async(size, n, "tea")
        ctx.send_event(Event(type="sized", attributes={"n": n, "size": found}))

    @action("sized")
    @staticmethod
    def go_on(event: Event, ctx: RunnerContext) -> None:
        n = event.get_attr("n")
        sizes = [event.get_attr("size"), ctx.durable_execute(plain_size, n, "coffee")]
        ctx.send_event(Event(type="sized_twice", attributes={"n": n, "sizes": sizes}))

    @action("sized_twice")
    @staticmethod
    async def end(event: Event, ctx: RunnerContext) -> None:
        n = event.get_attr("n")
        passed = await ctx.durable_execute_async(gate, n)
        made = Event(type="made", attributes={})
        output = {"n": n, "sizes": event.get_attr("sizes"), "passed": passed, "id": made.id}
        ctx.send_event(OutputEvent(output=output))
