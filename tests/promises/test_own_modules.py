"""G21: what the agent's own modules define is journaled and rebuilt without `register_type`."""

from __future__ import annotations

import dataclasses
import enum
import http
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pydantic
import pytest

from perdure import Agent, Event, InputEvent, LocalEngine, OutputEvent, RunsFailedError, action
from perdure.codec.codec import Codec
from perdure.codec.types import TypeRegistry
from perdure.errors import DecodeError, EncodeError


class Colour(enum.Enum):
    RED = 1


@dataclasses.dataclass
class Parcel:
    weight: int
    colour: Any = None

    @dataclasses.dataclass(frozen=True)
    class Label:
        text: str


class Point(NamedTuple):
    x: int
    y: int


class Wire(msgspec.Struct):
    length: float


class Verdict(pydantic.BaseModel):
    category: str
    parcel: Parcel | None = None


VALUES = [
    Colour.RED,
    Parcel(3, Colour.RED),
    Parcel.Label("fragile"),
    Point(1, 2),
    Wire(0.5),
    Verdict(category="late", parcel=Parcel(1)),
    {"all": [Colour.RED, (Point(3, 4), {Parcel.Label("x")})]},
]


def make(number):  # says nothing of its result
    return VALUES[number]


class Made(Event):
    made: Any
    given: Any


class Sorter(Agent):
    """Its values go through a call, an event, memory and an output; it can stop in between."""

    stops = False

    @action(InputEvent)
    async def sort(self, event: InputEvent, ctx: Any) -> None:
        made = await ctx.durable_execute_async(make, event.input["number"])
        ctx.short_term_memory.set("last", made)
        ctx.sensory_memory.set("here", made)
        ctx.send_event(Made(made=made, given=event.input["value"]))

    @action(Made)
    async def give(self, event: Made, ctx: Any) -> None:
        again = await ctx.durable_execute_async(make, 0)
        if self.stops:
            raise KeyboardInterrupt
        kept = [ctx.short_term_memory.get("last"), ctx.sensory_memory.get("here")]
        ctx.send_event(OutputEvent(output=[event.made, event.given, *kept, again]))


@pytest.mark.parametrize("number", range(len(VALUES)))
@pytest.mark.parametrize("backend", ["memory", "sqlite"])
def test_g21_what_the_agents_module_defines_is_known(
    tmp_path: Path, number: int, backend: str
) -> None:
    store = "memory://" if backend == "memory" else f"sqlite:///{tmp_path / 'store.db'}"
    value = VALUES[number]
    inputs = [{"number": number, "value": value}]
    if backend == "sqlite":
        stopped = Sorter()
        stopped.stops = True
        with pytest.raises(KeyboardInterrupt):
            LocalEngine(store).run(stopped, inputs, key="number")
    (output,) = LocalEngine(store).run(Sorter(), inputs, key="number")
    assert output.value == [value, value, value, value, Colour.RED]


def test_g21_functions_added_to_an_agent_have_their_modules_too() -> None:
    async def go(event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(make, 1)))

    agent = Agent().add_action("go", [InputEvent], go)
    (output,) = LocalEngine("memory://").run(agent, [1], key=str)
    assert output.value == VALUES[1]


@dataclasses.dataclass
class Replaced:
    value: int


Former = Replaced


@dataclasses.dataclass
class Replaced:  # type: ignore[no-redef]
    value: int


def local() -> Any:
    @dataclasses.dataclass
    class Local:
        value: int

    return Local(1)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (http.HTTPStatus.OK, "http:HTTPStatus"),  # of a module that is not the agent's
        (local(), "local.<locals>.Local"),  # nothing would find it again
        (Former(1), "Replaced"),
    ],
)
def test_g21_everything_else_is_still_registered(value: Any, named: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=value))

    agent = Agent().add_action("go", [InputEvent], go)
    with pytest.raises(RunsFailedError, match=f"{named} cannot be journaled.*register_type"):
        LocalEngine("memory://").run(agent, [1], key=str)


@pytest.mark.parametrize(
    "name",
    ["http:HTTPStatus", f"{__name__}:make", f"{__name__}:Sorter", f"{__name__}:dataclasses", "x"],
)
def test_g21_a_name_in_the_data_finds_classes_of_these_modules_alone(name: str) -> None:
    registry = TypeRegistry()
    registry.know_modules([__name__, "a.module.that.is.not.loaded"])
    assert registry.resolve(f"{__name__}:Parcel.Label") is Parcel.Label
    with pytest.raises(DecodeError, match="does not know"):
        registry.resolve(name)


def test_g21_one_job_s_modules_are_not_those_of_another() -> None:
    known, unknown = TypeRegistry(), TypeRegistry()
    known.know_modules([__name__])
    data = Codec(known).encode(Parcel(1))
    with pytest.raises(EncodeError, match="does not know"):
        Codec(unknown).encode(Parcel(1))
    with pytest.raises(DecodeError, match="does not know"):
        Codec(unknown).decode(data)
    assert Codec(known).decode(data) == Parcel(1)
