"""Names in the journal: registered types, perdure's own types, and callables of every sort."""

from __future__ import annotations

import dataclasses
import datetime
import decimal
import enum
import functools
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
import pydantic
from tests.replay.agents import fetch, note, out, takes
from tests.replay.harness import Expected, Scenario, one, submits
from tests.replay.value_types import (
    Colour,
    Museum,
    Pair,
    Point,
    Visit,
    Visitors,
    echo,
    moved,
    sends,
    shown,
    told,
    visited_keys,
    visits,
)

from perdure import Agent, Event, InputEvent, RetryPolicy, action, durable, register_type
from perdure.call import Limit, Outcome
from perdure.documents.document import (
    Document,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
)
from perdure.llm.message import (
    Attachment,
    ChatDelta,
    ChatMessage,
    MessageRole,
    ToolCall,
    ToolResponse,
    Usage,
)
from perdure.memory.long_term import MemorySetItem
from perdure.memory.memory import MemoryRef
from perdure.resource import ResourceDescriptor, ResourceType
from perdure.run import Output, RunInfo, RunStatus

# Registered types


@register_type(name="shop.Price")
@dataclasses.dataclass(frozen=True)
class Price:
    """Has a name of its own, and no annotation."""

    amount: decimal.Decimal
    currency: str = "EUR"


@register_type(name="shop.Size")
class Size(enum.Enum):
    """Has a name of its own; an annotated class holds it."""

    SMALL = "s"
    BIG = "b"


@register_type(name="shop.Unit")
class Unit(enum.Flag):
    """Has a name of its own, and nothing that is annotated holds it."""

    PIECE = 1
    BOX = 2


@register_type(name="shop.Late")
@dataclasses.dataclass(frozen=True)
class Late:
    """Has a name of its own; an annotation names it when values of it are journaled already."""

    text: str


@register_type
@dataclasses.dataclass
class Basket:
    """Is registered by the name that it has anyway."""

    prices: list[Price]


@register_type(name="shop.Ticket")
class Ticket(pydantic.BaseModel):
    """Has a name of its own, and an event names it too."""

    number: int
    size: Size = Size.SMALL


class Shelf(msgspec.Struct):
    """Gets its name by a call, and an event names it too."""

    place: str


class Span(NamedTuple):
    """Gets its name by a call, and has no annotation."""

    begin: int
    end: int = 0


register_type(Shelf, name="shop.Shelf")
register_type(Span, name="shop.Span")


class Sold(Event):
    """Names two of the registered types, and one that is not."""

    ticket: Ticket
    shelf: Shelf
    point: Point


class Kiosk(Museum):
    """Moves registered types."""

    @action(Sold)
    async def sold(self, event: Sold, ctx: Any) -> None:
        """Be there for the annotation."""


class Guests(Visitors):
    """Has registered types as keys."""

    @action(Sold)
    async def sold(self, event: Sold, ctx: Any) -> None:
        """Be there for the annotation."""


PRICE = Price(decimal.Decimal("1.50"))
REGISTERED: dict[str, Any] = {
    "a dataclass": PRICE,
    "an enum": Size.BIG,
    "a type by its own name": Basket([PRICE, Price(decimal.Decimal(2), "USD")]),
    "flags": Unit.PIECE | Unit.BOX,
    "a model": Ticket(number=7, size=Size.BIG),
    "a Struct": Shelf("left"),
    "a NamedTuple": Span(1, 2),
    "all together": {"tickets": [Ticket(number=1)], Size.SMALL: (Span(3), Shelf("x")), "p": PRICE},
}
REGISTERED_KEYS = {name: REGISTERED[name] for name in list(REGISTERED)[:7]}
REGISTERED_KEYS["in a tuple"] = ("tenant", Size.BIG, PRICE)
DRAWN = {  # in the three visits of each key
    "a dataclass": "8089c028 781a2c1d ce630178",
    "an enum": "6a3f038a 683e4d09 03f890bd",
    "a type by its own name": "b3a1c132 a00c9784 e1575e8e",
    "flags": "645d4b14 cec9c547 008f3a3e",
    "a model": "9404ce78 24f9f923 0874e94e",
    "a Struct": "de9ec119 a92a2ed2 a5aa511b",
    "a NamedTuple": "61f484d9 0d72ab2e 42acebcc",
    "in a tuple": "6bea6bd0 400e6771 cd8718f5",
}
# A key's digest, which these derive from, goes by the name of its type from version 4 on.
DRAWN_BY_NAME = {
    "a dataclass": "2f19183f 347bb530 d000ece1",
    "an enum": "42f769a1 bb1bce3e 805baee4",
    "a type by its own name": "dec94523 0c468a01 935b67ad",
    "flags": "bf5c3aac 461f094b cc85e12b",
    "a model": "c15c0788 9244f072 81e09a41",
    "a Struct": "e2c15720 0b6a511b 319c2346",
    "a NamedTuple": "e39fa3ba 81380313 9a1323d5",
    "in a tuple": "8d6c93bf 01c54f75 f3c1eeab",
}
# What is only named by an annotation was under its module's name in the journals of version 3.
REGISTERED_TYPES = (Ticket, Shelf, Point)


async def late(value: Late, times: int) -> Late:
    """Name the type, in a job that has journaled values of it."""
    note("late", value, times)
    await takes(1)
    return Late(value.text * times)


class Latecomer(Agent):
    """Journals a type under the name that it was given, and then under that of its module."""

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: Any) -> None:
        """Use the type before and after an annotation names it."""
        call = ctx.durable_execute_async
        ctx.short_term_memory.set("before", event.input)
        first = await call(echo, "first", event.input)
        second = await call(late, first, 2)
        third = await call(echo, "third", [second])
        ctx.short_term_memory.set("after", third)
        out(ctx, [first, await call(late, second, 3), ctx.key])


# Perdure's own types


Own = (
    Attachment | ChatDelta | ChatMessage | Document | Limit | MemoryRef | MemorySetItem
    | MessageRole | Outcome[Any] | Output | ResourceDescriptor | ResourceType | RetryPolicy
    | RunInfo | RunStatus | ToolCall | ToolResponse | Usage | VectorStoreQuery
    | VectorStoreQueryMode | VectorStoreQueryResult
)  # fmt: skip


class Owned(Event):
    """Names them."""

    value: Own | None = None


class Archive(Museum):
    """Moves types of perdure's own."""

    @action(Owned)
    async def owned(self, event: Owned, ctx: Any) -> None:
        """Be there for the annotation."""


AT = datetime.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=datetime.UTC)
DOCUMENT = Document("text", {"n": [1, None]}, "d", [0.5, 1.0], 0.25)
CALL = ToolCall(id="c", name="tool", arguments={"a": [1]})
PICTURE = Attachment(media_type="image/png", data=b"\x00", name="a.png")
USAGE = Usage(input_tokens=7, output_tokens=2, cost=0.5)
OWN: dict[str, Any] = {
    "Attachment": PICTURE,
    "ChatDelta": ChatDelta(model="m", run_id="r1", key=("k", Colour.RED), text="t", done=True),
    "ChatMessage": ChatMessage(
        role=MessageRole.ASSISTANT, content="c", attachments=[PICTURE], tool_calls=[CALL],
        reasoning="r", output={"x": Point(1)}, usage=USAGE, model="m", extra_args={"e": b"\x01"},
    ),
    "a tool's ChatMessage": ChatMessage.tool("said", call=CALL),
    "Document": DOCUMENT,
    "Limit": Limit(concurrency=2, rate=3, per=1.5),
    "MemoryRef": MemoryRef("short_term", "a.b"),
    "MemorySetItem": MemorySetItem(
        memory_set_name="s", id="i", value="v", created_at=AT, updated_at=AT, metadata={"n": 1},
    ),
    "MessageRole": MessageRole.TOOL,
    "Outcome": Outcome(value=[1]),
    "Output": Output(value=[Point(1)], key=Colour.RED, run_id="r1", id="o"),
    "ResourceDescriptor": ResourceDescriptor("a.b.C", size=7),
    "ResourceType": ResourceType.TOOL,
    "RetryPolicy": RetryPolicy(max_attempts=3, jitter=0, retry_on=()),
    "RunInfo": RunInfo(
        id="r1", number=1, key="k", sequence=1, label="", status=RunStatus.FAILED, attempts=2,
        error={"type": "E"}, input=[1], admitted_at=1, finished_at=2,
    ),
    "RunStatus": RunStatus.WAITING,
    "ToolCall": CALL,
    "ToolResponse": ToolResponse(id="c", name="tool", result=(1, 2)),
    "a failed ToolResponse": ToolResponse(id="c", name="tool", error="why"),
    "Usage": USAGE,
    "VectorStoreQuery": VectorStoreQuery("q", 2, VectorStoreQueryMode.KEYWORD, "c", {"n": 1}),
    "VectorStoreQueryMode": VectorStoreQueryMode.HYBRID,
    "VectorStoreQueryResult": VectorStoreQueryResult([DOCUMENT]),
}  # fmt: skip

# Callables


class Tool:
    """Has methods of every sort."""

    async def work(self, what: Any) -> Any:
        """A coroutine method."""
        note("work", what)
        await takes(1)
        return [type(self).__name__, what]

    def plain(self, what: Any) -> Any:
        """A plain method."""
        note("plain", what)
        return [type(self).__name__, what]

    @classmethod
    def made(cls, what: Any) -> Any:
        """A class method."""
        note("made", what)
        return [cls.__name__, what]

    @staticmethod
    def static(what: Any) -> Any:
        """A static method."""
        note("static", what)
        return ["static", what]

    async def __call__(self, what: Any) -> Any:
        """A call of the object itself."""
        note("called", what)
        await takes(1)
        return ["called", what]


class Hammer(Tool):
    """Inherits them but for one."""

    def plain(self, what: Any) -> Any:
        """Its own."""
        note("hammer", what)
        return ["hammer", what]


def wrapping(func: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function."""

    @functools.wraps(func)
    def wrapper(*args: Any) -> Any:
        return func(*args)

    return wrapper


@wrapping
def wrapped(what: Any) -> Any:
    """Has a decorator."""
    note("wrapped", what)
    return ["wrapped", what]


@functools.cache
def cached(what: Any) -> Any:
    """Is cached in its process."""
    note("cached", what)
    return ["cached", what]


@durable(id="shop.named")
async def named(what: Any) -> Any:
    """Has a name of its own."""
    note("named", what)
    await takes(1)
    return ["named", what]


def mixed(first: Any, what: Any, *, last: Any = None) -> list[Any]:
    """Take what partials bind."""
    note("mixed", what)
    return [first, what, last]


def _local() -> Callable[[Any], Any]:
    def inner(what: Any) -> Any:
        note("inner", what)
        return ["inner", what]

    return inner


CALLABLES: dict[str, Callable[..., Any]] = {
    "a method": Tool().work,
    "a plain method": Tool().plain,
    "an inherited method": Hammer().work,
    "a method of its own": Hammer().plain,
    "a class method": Tool.made,
    "an inherited class method": Hammer.made,
    "a static method": Hammer.static,
    "an object": Tool(),
    "an object's subclass": Hammer(),
    "a decorated function": wrapped,
    "a cached function": cached,
    "a named function": named,
    "a local function": _local(),
    "a lambda": lambda what: ["lambda", what],
    "a partial": functools.partial(mixed, 1, last=[2]),
    "a partial with an enum": functools.partial(mixed, Colour.RED, last=Point(1)),
    "a partial with a registered type": functools.partial(mixed, PRICE, last=Size.BIG),
    "a partial of a method": functools.partial(Hammer().work),
    "a dataclass": functools.partial(Point, 7),
    "a class": Pair,
    "an enum": lambda what: Colour("red"),
    "a builtin": repr,
    "a method of a builtin": "-".join,
    "a descriptor": str.upper,
    "an itemgetter": operator.itemgetter(0),
    "a type of perdure": ChatMessage.user,
    "a class of perdure": Document,
}


class Workshop(Agent):
    """Calls callables of every sort.

    In schema version 3 an inherited method is named by the class that it was first called on.
    """

    @action(InputEvent)
    async def go(self, event: InputEvent, ctx: Any) -> None:
        """Call each, and then tell what came of it."""
        call = ctx.durable_execute_async
        calls = {name: call(CALLABLES[name], name) for name in event.input}
        known = ctx.with_options(durable_id="shop.fetch")
        calls["a name given here"] = known.durable_execute_async(fetch, "given")
        for name, each in calls.items():
            text = shown(await each)
            out(ctx, [name, text, await call(told, name, text, CAME[name])])

    @action(Visit)
    async def never(self, event: Visit, ctx: Any) -> None:
        """Be there for the annotation."""

    @action(Owned)
    async def owned(self, event: Owned, ctx: Any) -> None:
        """Be there for the annotation."""


CAME: dict[str, str] = {
    name: shown(value)
    for name, value in {
        "a method": ["Tool", "a method"],
        "a plain method": ["Tool", "a plain method"],
        "an inherited method": ["Hammer", "an inherited method"],
        "a method of its own": ["hammer", "a method of its own"],
        "a class method": ["Tool", "a class method"],
        "an inherited class method": ["Hammer", "an inherited class method"],
        "a static method": ["static", "a static method"],
        "an object": ["called", "an object"],
        "an object's subclass": ["called", "an object's subclass"],
        "a decorated function": ["wrapped", "a decorated function"],
        "a cached function": ["cached", "a cached function"],
        "a named function": ["named", "a named function"],
        "a local function": ["inner", "a local function"],
        "a lambda": ["lambda", "a lambda"],
        "a partial": [1, "a partial", [2]],
        "a partial with an enum": [Colour.RED, "a partial with an enum", Point(1)],
        "a partial with a registered type": [PRICE, "a partial with a registered type", Size.BIG],
        "a partial of a method": ["Hammer", "a partial of a method"],
        "a dataclass": Point(7, "a dataclass"),  # type: ignore[arg-type]
        "a class": Pair("a class"),
        "an enum": Colour.RED,
        "a builtin": "'a builtin'",
        "a method of a builtin": "-".join("a method of a builtin"),
        "a descriptor": "A DESCRIPTOR",
        "an itemgetter": "a",
        "a type of perdure": ChatMessage.user("a type of perdure"),
        "a class of perdure": Document("a class of perdure"),
        "a name given here": "given!",
    }.items()
}

SCENARIOS: dict[str, Scenario] = {
    "registered_types": one(
        "Types with registered names, annotated or not, in all places of a journal.",
        Kiosk, sends(REGISTERED), 4.5, first=3,
    ),
    "registered_keys": one(
        "Keys of types with registered names: a run that ended, one in the middle.",
        Guests, visits(REGISTERED_KEYS, 2), 3, first=3,
    ),
    "late_name": one(
        "A type with a registered name that an annotation names later: two names in one journal.",
        Latecomer, submits((Late("a"), Late("k")), (Late("b"), ("k", Late("k")))), 3.5, first=3,
    ),
    "own_types": one(
        "Types of perdure's own in all places of a journal.", Archive, sends(OWN), 9.5, first=3,
    ),
    "callables": one(
        "Callables of every sort, and their names.",
        Workshop, submits((list(CALLABLES), "w")), 10.5, first=3,
    ),
}  # fmt: skip

EXPECTED: dict[str, Expected] = {
    "registered_types": moved(REGISTERED, 3, REGISTERED_TYPES),
    "registered_keys": dataclasses.replace(
        visited_keys(REGISTERED_KEYS, DRAWN, REGISTERED_TYPES),
        since={4: visited_keys(REGISTERED_KEYS, DRAWN_BY_NAME, REGISTERED_TYPES)},
    ),
    "late_name": Expected(
        begin=10,
        outputs={
            "r1": [[Late("a"), Late("aaaaaa"), Late("k")]],
            "r2": [[Late("b"), Late("bbbbbb"), ("k", Late("k"))]],
        },
        executed=[("late", Late("aa"), 3), ("late", Late("bb"), 3)],
        memory={
            repr(Late("k")): {"before": Late("a"), "after": [Late("aa")]},
            repr(("k", Late("k"))): {"before": Late("b"), "after": [Late("bb")]},
        },
        types=(Late,),
    ),
    "own_types": moved(OWN, 8, (Owned, Own, Colour, Point)),
    "callables": Expected(
        begin=20,
        outputs={"r1": [[name, text, True] for name, text in CAME.items()]},
        executed=[("told", name) for name in list(CAME)[9:]],
    ),
}
