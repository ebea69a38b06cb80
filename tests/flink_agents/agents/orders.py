"""Orders: typed events, conditions, and calls that are durable."""

from __future__ import annotations

from typing import Any, ClassVar

from flink_agents.api.agents.agent import Agent
from flink_agents.api.decorators import action
from flink_agents.api.events.event import Event, InputEvent, OutputEvent
from flink_agents.api.execution_environment import AgentsExecutionEnvironment
from flink_agents.api.runner_context import RunnerContext
from pydantic import BaseModel, Field, field_validator
from tests.flink_agents.agents.witness import called, reached


class Order(BaseModel):
    id: str
    item: str
    amount: int = Field(gt=0)


class Receipt(BaseModel):
    id: str
    total: int
    carrier: str | None = None
    note: str = ""

    @field_validator("note")
    @classmethod
    def strip(cls, note: str) -> str:
        return note.strip()


class PricedEvent(Event):
    """An order that has its price."""

    EVENT_TYPE: ClassVar[str] = "_order_priced"

    def __init__(self, order: Order, total: int) -> None:
        super().__init__(
            type=PricedEvent.EVENT_TYPE, attributes={"order": order.model_dump(), "total": total}
        )

    @classmethod
    def from_event(cls, event: Event) -> PricedEvent:
        assert "total" in event.attributes
        return PricedEvent(Order(**event.attributes["order"]), event.attributes["total"])

    @property
    def order(self) -> Order:
        return Order(**self.get_attr("order"))

    @property
    def total(self) -> int:
        return int(self.get_attr("total"))


PRICES = {"tea": 4, "kettle": 30, "stove": 900}


def price_of(item: str) -> int:
    called(f"price {item}")
    return PRICES[item]


def book(order: str, carrier: str) -> str:
    called(f"book {order}")
    return f"{carrier} takes {order} "


class OrderAgent(Agent):
    """Prices orders and has them carried, dear ones by somebody else."""

    @action(InputEvent.EVENT_TYPE)
    @staticmethod
    async def price(event: Event, ctx: RunnerContext) -> None:
        order: Order = InputEvent.from_event(event).input
        each = await ctx.durable_execute_async(price_of, order.item)
        ctx.send_event(PricedEvent(order, each * order.amount))

    @action("type == '_order_priced' && attributes.total < 100")
    @staticmethod
    def ship(event: Event, ctx: RunnerContext) -> None:
        reached("ship")
        priced = PricedEvent.from_event(event)
        note = ctx.durable_execute(book, priced.order.id, "the post")
        ctx.send_event(
            OutputEvent(
                output=Receipt(id=priced.order.id, total=priced.total, carrier="post", note=note)
            )
        )

    @action("type == '_order_priced' && attributes.total >= 100")
    @staticmethod
    async def insure(event: Event, ctx: RunnerContext) -> None:
        priced = PricedEvent.from_event(event)
        reached("insure")
        calls = [
            ctx.durable_execute_async(book, priced.order.id, carrier)
            for carrier in ("a van", "a guard")
        ]
        notes = [each.value for each in await ctx.gather(*calls)]
        ctx.send_event(
            OutputEvent(
                output=Receipt(id=priced.order.id, total=priced.total, note=" and ".join(notes))
            )
        )


INPUTS: list[dict[str, Any]] = [
    {"key": "ann", "value": Order(id="1", item="tea", amount=3)},
    {"key": "ann", "value": Order(id="2", item="stove", amount=1)},
]
OUTPUTS: list[dict[Any, Any]] = [
    {"ann": Receipt(id="1", total=12, carrier="post", note="the post takes 1")},
    {"ann": Receipt(id="2", total=900, note="a van takes 2  and a guard takes 2")},
]
CALLS = ["price tea", "book 1", "price stove", "book 2", "book 2"]


def main() -> list[dict[Any, Any]]:
    env = AgentsExecutionEnvironment.get_execution_environment()
    outputs = env.from_list(INPUTS).apply(OrderAgent()).to_list()
    env.execute("orders")
    return outputs


if __name__ == "__main__":
    for output in main():
        print(output)
