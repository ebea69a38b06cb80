"""Values of each type that the journal has a form for, wherever a value can stand."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid
import zoneinfo
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

import msgspec
import pydantic
from tests.replay.agents import fetch, note, out, takes
from tests.replay.harness import Expected, Scenario, at, fetched, one, submits

from perdure import Agent, Event, InputEvent, action
from perdure.engine.job import Job

# Types that the journal rebuilds: they are known by an event's annotation


class Colour(enum.Enum):
    """An enum of mixed values, with an alias."""

    RED = "red"
    BLUE = 2
    CRIMSON = "red"  # noqa: PIE796 - an alias is meant


class Level(enum.IntEnum):
    """An enum of numbers."""

    LOW = 1
    HIGH = 2


class Word(enum.StrEnum):
    """An enum of texts."""

    YES = "yes"


class Access(enum.Flag):
    """Flags, which combine."""

    READ = enum.auto()
    WRITE = enum.auto()


class Bits(enum.IntFlag):
    """Flags that are numbers."""

    ONE = 1
    TWO = 2


@dataclasses.dataclass
class Point:
    """A plain dataclass; what `seen` counts is no part of its equality."""

    x: int
    y: float = 0.5
    seen: int = dataclasses.field(default=0, compare=False)


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A frozen dataclass with slots and another in it."""

    name: str
    point: Point
    colours: frozenset[Colour] = frozenset()


ContentT = TypeVar("ContentT")


@dataclasses.dataclass
class Crate(Generic[ContentT]):
    """A generic dataclass."""

    content: ContentT


class Pair(NamedTuple):
    """A NamedTuple."""

    left: Any
    right: Any = None


class Packet(msgspec.Struct, frozen=True):
    """A Struct."""

    body: bytes
    colour: Colour = Colour.RED


class Line(pydantic.BaseModel):
    """A model in a model."""

    item: str
    price: decimal.Decimal


class Order(pydantic.BaseModel):
    """A model with extra and private attributes."""

    model_config = pydantic.ConfigDict(extra="allow")
    number: int
    lines: list[Line] = []
    when: datetime.date | None = None
    _secret: int = pydantic.PrivateAttr(default=3)


class Link(pydantic.BaseModel):
    """A model that is kept as its JSON form, for its URL."""

    url: pydantic.HttpUrl


Typed = (
    Colour
    | Level
    | Word
    | Access
    | Bits
    | Point
    | Place
    | Crate[Any]
    | Pair
    | Packet
    | Order
    | Link
)

BERLIN = zoneinfo.ZoneInfo("Europe/Berlin")
PLAIN: dict[str, Any] = {
    "nothing": None,
    "truth": True,
    "a number": 7,
    "a float": -0.0,
    "not a number": float("nan"),
    "a big number": 2**64,
    "a very negative one": -(2**200),
    "text": "naïve ☃ 🙂\nnul\0",
    "surrogates": "lone \ud800",
    "bytes": b"\x00\xff",
    "a bytearray": bytearray(b"ba"),
    "a list": [1, [2, []], "x"],
    "a tuple": (1, (2, ()), [3]),
    "a set": {3, 1, 2},
    "a set of texts": {"a"},
    "a frozenset": frozenset({1, (2, 3)}),
    "a dict": {"b": 1, "a": {"nested": [None]}},
    "odd keys": {1: "int", (1, "a"): "tuple", None: "none", b"b": "bytes", 2.5: "float"},
    "big keys": {2**70: "big", "\ud800": "surrogates"},
    "an OrderedDict": OrderedDict(z=1, a=2),
    "a time in UTC": datetime.datetime(2026, 1, 1, 12, 30, 0, 123456, tzinfo=datetime.UTC),
    "a time at an offset": datetime.datetime(
        2026, 1, 1, tzinfo=datetime.timezone(datetime.timedelta(hours=1), "CET")
    ),
    "a time in a zone": datetime.datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN, fold=1),
    "a naive time": datetime.datetime(1969, 7, 20),  # noqa: DTZ001 - is a value too
    "a date": datetime.date(2024, 2, 29),
    "a time of day": datetime.time(23, 59, 59, 999999),
    "a time of day in a zone": datetime.time(1, 2, tzinfo=datetime.UTC),
    "a timedelta": datetime.timedelta(days=-1, microseconds=1),
    "a Decimal": decimal.Decimal("1.10"),
    "an endless Decimal": decimal.Decimal("-Infinity"),
    "a UUID": uuid.UUID(int=2**127 + 1),
    "a path": pathlib.Path("a/b"),
    "a posix path": pathlib.PurePosixPath("a/b"),
    "a windows path": pathlib.PureWindowsPath("C:/a/b"),
    "a complex number": 1 + 2j,
}


def order(number: int, **extra: Any) -> Order:
    """Return a model whose private attribute was set."""
    made = Order(
        number=number, lines=[Line(item="tea", price=decimal.Decimal("2.50"))],
        when=datetime.date(2026, 2, 3), **extra,
    )  # fmt: skip
    made._secret = number
    return made


TYPED: dict[str, Any] = {
    "an enum": Colour.BLUE,
    "an alias": Colour.CRIMSON,
    "an IntEnum": Level.HIGH,
    "a StrEnum": Word.YES,
    "a flag": Access.READ,
    "flags": Access.READ | Access.WRITE,
    "an IntFlag": Bits.ONE | Bits.TWO,
    "a dataclass": Point(3, 4.5, seen=9),
    "a frozen dataclass": Place(name="x", point=Point(1), colours=frozenset({Colour.RED})),
    "a generic dataclass": Crate([Point(1), {"in": Colour.RED}]),
    "a NamedTuple": Pair((1, 2), Colour.BLUE),
    "a Struct": Packet(b"body", Colour.BLUE),
    "a model": order(1, note="extra", colour=Colour.RED),
    "a model with a URL": Link(url=pydantic.HttpUrl("https://example.org/a?b=c")),
    "all together": {
        "by enum": {Colour.RED: [Pair(1)], Level.LOW: (Word.YES,)},
        "by tuple": {Pair(1, 2): Packet(b"")},
        "nested": Crate(Place(name="in", point=Point(1, 2))),
    },
}
TYPES = (Typed,)


def shown(value: Any) -> str:
    """Return what a value is as text, the same for equal values of equal types."""
    if type(value) is set:  # in no order of its own
        return f"set({sorted(map(shown, value))})"
    if isinstance(value, Order):
        return f"{value!r} {value._secret} {sorted(value.model_fields_set)}"
    if dataclasses.is_dataclass(value) and isinstance(value, Point):
        return f"{value!r} of {type(value).__qualname__}"
    return f"{type(value).__qualname__} {value!r}"


# As input, argument, keyword, result, memory, event field, signal, output


class Shown(Event):
    """Holds a value of any type; its annotation makes them known."""

    values: dict[str, Any]
    typed: Typed | None = None


async def echo(name: str, value: Any, *, again: Any = None) -> Any:
    """Return what came."""
    note("echo", name)
    await takes(1)
    return value


async def told(name: str, *texts: str) -> bool:
    """Say whether all texts are one: what is not, shows in the arguments on replay."""
    note("told", name)
    await takes(1)
    return len(set(texts)) == 1


class Museum(Agent):
    """Moves values through all places of a journal, and compares what comes out of each."""

    @action(InputEvent)
    async def receive(self, event: InputEvent, ctx: Any) -> None:
        """Take an input; make a call of each value, keep it, send it on."""
        values = event.input
        call = ctx.durable_execute_async
        calls = {name: call(echo, name, value, again=[value]) for name, value in values.items()}
        echoed = {name: await each for name, each in calls.items()}
        ctx.sensory_memory.set("echoed", echoed)
        ctx.short_term_memory.set("kept", {})
        for number, value in enumerate(values.values()):
            ctx.short_term_memory.set(f"kept.v{number}", value)
        first = next(iter(values.values()))
        ctx.send_event(Shown(values=echoed, typed=first))

    @action(Shown)
    async def compare(self, event: Shown, ctx: Any) -> None:
        """Take a signal of each value, and compare it with what the other places hold."""
        echoed, kept = ctx.sensory_memory.get("echoed"), ctx.short_term_memory
        for number, (name, value) in enumerate(event.values.items()):
            signalled = await ctx.wait_for_signal(name)
            places = (value, echoed[name], kept.get(f"kept.v{number}"), signalled)
            same = await ctx.durable_execute_async(told, name, *map(shown, places))
            out(ctx, [name, same, shown(value)])
        out(ctx, list(event.values.values()))


def sends(values: dict[str, Any]) -> Callable[[Job], Any]:
    """Return what submits values as one input, and sends each of them as a signal."""

    async def body(job: Job) -> None:
        run = await job.submit(values, key="m")
        await at(0.5)
        for name, value in values.items():
            assert await run.signal(name, value)

    return body


def moved(values: dict[str, Any], done: int, types: tuple[Any, ...] = TYPES) -> Expected:
    """Return what the museum must come to, cut after so many comparisons."""
    texts = [[name, True, shown(value)] for name, value in values.items()]
    kept = {f"kept.v{number}": value for number, value in enumerate(values.values())}
    return Expected(
        begin=100,
        outputs={"r1": [*texts, list(values.values())]},
        executed=[("told", name) for name in list(values)[done:]],
        memory={"'m'": kept},
        types=types,
    )


# As key


KEYS: dict[str, Any] = {
    "an enum": Colour.BLUE,
    "an IntEnum": Level.HIGH,
    "a StrEnum": Word.YES,
    "flags": Access.READ | Access.WRITE,
    "a dataclass": Point(3, 4.5),
    "a frozen dataclass": Place(name="x", point=Point(1)),
    "a NamedTuple": Pair("left", Colour.RED),
    "a Struct": Packet(b"key"),
    "a model": order(2),
    "a tuple with one": ("tenant", Colour.RED),
    "a UUID": uuid.UUID(int=7),
    "a Decimal": decimal.Decimal("1.10"),
    "a time": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
    "a date": datetime.date(2024, 2, 29),
    "a frozenset": frozenset({1, 2}),
    "odd keys": {1: "int", None: Colour.RED},
    "a path": pathlib.PurePosixPath("a/b"),
}


class Visit(Event):
    """Names the types of the keys."""

    key: Typed


async def visited(name: str, drawn: list[Any]) -> str:
    """Take what was drawn: on replay the same must be drawn."""
    note("visited", name)
    await takes(0.5)
    return name


class Visitors(Agent):
    """Counts the visits of a key; what it draws and keeps is the key's own."""

    @action(InputEvent)
    async def visit(self, event: InputEvent, ctx: Any) -> None:
        """Draw from the key's identity, and tell a call what was drawn."""
        visits = (ctx.short_term_memory.get("visits") or 0) + 1
        ctx.short_term_memory.set("visits", visits)
        ctx.short_term_memory.set("key", ctx.key)
        drawn = ctx.uuid4()
        call = ctx.durable_execute_async
        await call(visited, event.input, [drawn, ctx.random.random()])
        if visits > 1:
            await call(fetch, f"{event.input}: visit {visits}", 5)
        out(ctx, [event.input, visits, shown(ctx.key), drawn.hex[:8]])

    @action(Visit)
    async def never(self, event: Visit, ctx: Any) -> None:
        """Be there for the annotation."""


def visits(keys: dict[str, Any], times: int = 1, more: str = "") -> Callable[[Job], Any]:
    """Return what submits runs of each key."""

    async def body(job: Job) -> None:
        for _ in range(times):
            for name, key in keys.items():
                await job.submit(f"{name}{more}", key=key)

    return body


DRAWN = {  # in the three visits of each key
    "an enum": "fa158cc6 82c3b0aa 9f95cf1e",
    "an IntEnum": "a39b526f 889c0749 3f8aa355",
    "a StrEnum": "70b2635b ca5583e2 663b6bbb",
    "flags": "f28a2d19 516b28c0 93b51cba",
    "a dataclass": "cc5e4310 7534d7da 8ad3f4c9",
    "a frozen dataclass": "947d8f6a 973187da 26f76c69",
    "a NamedTuple": "21e6b584 9bab3a3e c7aaeceb",
    "a Struct": "5229e8b1 38ba24cc 3a35697b",
    "a model": "47daf106 be0cbc13 48828d28",
    "a tuple with one": "c211b7a3 fbc4f089 8cc0ff40",
    "a UUID": "22fc0dad 6b6e7e9d 8ded54ba",
    "a Decimal": "a7cc0502 914bf903 6dfd68a7",
    "a time": "7b01d004 dba0ccc5 f90eae9b",
    "a date": "e420996e f9dbd947 e0eb2926",
    "a frozenset": "d1e1ef51 bac65a18 5f0ac5ec",
    "odd keys": "a56d40ff 09afa543 2ae4b835",
    "a path": "12e7df2b 26bf4950 25d3d352",
}


def visited_keys(
    keys: dict[str, Any], drawn: dict[str, str], types: tuple[Any, ...] = TYPES
) -> Expected:
    """Return what two visits of each key come to, cut in the second, and a third one."""
    runs: dict[str, list[Any]] = {}
    for visit in (1, 2, 3):
        for name, key in keys.items():
            said = name if visit < 3 else f"{name} again"
            found = [said, visit, shown(key), drawn[name].split()[visit - 1]]
            runs[f"r{len(runs) + 1:x}"] = [found]
    return Expected(
        begin=10,
        body=visits(keys, more=" again"),
        outputs=runs,
        executed=[
            *fetched(*(f"{name}: visit 2" for name in keys)),
            *(("visited", f"{name} again") for name in keys),
            *fetched(*(f"{name} again: visit 3" for name in keys)),
        ],
        memory={repr(key): {"visits": 3, "key": key} for key in keys.values()},
        types=types,
    )


# As the input and key of a child


class Parent(Agent):
    """Starts a run for each value, under the value as its key, and waits for all."""

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: Any) -> None:
        """Be the parent, or a child."""
        if isinstance(event.input, dict) and "child" in event.input:
            await ctx.durable_execute_async(fetch, event.input["child"], 2)
            out(ctx, [event.input, ctx.key])
            return
        children = {}
        for name, value in event.input.items():
            child = {"child": name, "value": value}
            children[name] = await ctx.submit(child, key=[name, value])
        for name, child in children.items():
            ((value, key),) = [output.value for output in await child.outputs()]
            texts = (shown(event.input[name]), shown(value["value"]), shown(key[1]))
            out(ctx, [name, await ctx.durable_execute_async(told, name, *texts)])

    @action(Visit)
    async def never(self, event: Visit, ctx: Any) -> None:
        """Be there for the annotation."""


CHILDREN = {**TYPED, "a UUID": uuid.UUID(int=7), "a set": {1, 2}, "a big number": 2**70}
# No output of them: their runs are compared by what the parent says.
_CHILD_OUTPUTS = {
    f"r{number:x}": [[{"child": name, "value": value}, [name, value]]]
    for number, (name, value) in enumerate(CHILDREN.items(), 2)
}

SCENARIOS: dict[str, Scenario] = {
    "plain_values": one(
        "Values of each plain type as input, argument, result, memory, event, signal.",
        Museum, sends(PLAIN), 16.5, first=3,
    ),
    "typed_values": one(
        "Values of each sort of class as input, argument, result, memory, event, signal.",
        Museum, sends(TYPED), 7.5, first=3,
    ),
    "typed_keys": one(
        "Keys of many types: a run that ended, one in the middle.",
        Visitors, visits(KEYS, 2), 3, first=3,
    ),
    "typed_children": one(
        "Values of each sort of class as the input and the key of a child.",
        Parent, submits((CHILDREN, "p")), 6.5, first=3,
    ),
}  # fmt: skip

EXPECTED: dict[str, Expected] = {
    "plain_values": moved(PLAIN, 15),
    "typed_values": moved(TYPED, 6),
    "typed_keys": visited_keys(KEYS, DRAWN),
    "typed_children": Expected(
        begin=10,
        outputs={"r1": [[name, True] for name in CHILDREN], **_CHILD_OUTPUTS},
        executed=[("told", name) for name in list(CHILDREN)[4:]],
        types=TYPES,
    ),
}
