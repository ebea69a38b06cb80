"""The agents of the golden journals: small, one for each scenario.

The journals name these callables, their arguments and their types: what is here may grow, but what
a journal refers to must not change. Callables take simulated seconds; `State` counts them.
"""

from __future__ import annotations

import asyncio
import dataclasses
import datetime
import decimal
import enum
import pathlib
import uuid
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import perdure
from perdure import (
    Agent,
    DurableCallError,
    Event,
    InputEvent,
    OutputEvent,
    RetryPolicy,
    action,
)


class State:
    """What the callables do beside returning; see `reset`."""

    executed: list[tuple[Any, ...]] = []
    making = False  # the journals are being made: the world is worse
    scale = 1.0  # real seconds of a simulated one


def reset(*, making: bool, scale: float = 1.0) -> None:
    """Forget what was executed."""
    State.executed, State.making, State.scale = [], making, scale


def note(name: str, *what: Any) -> None:
    """Count an execution."""
    State.executed.append((name, *what))


async def takes(seconds: float) -> None:
    await asyncio.sleep(seconds * State.scale)


# Callables


class CardDeclinedError(Exception):
    """A failure with fields of its own."""

    def __init__(self, card: str, code: int) -> None:
        super().__init__(card, code)
        self.card, self.code = card, code


class BusyError(Exception):
    """A failure that passes."""


async def fetch(what: str, seconds: float = 1.0) -> str:
    note("fetch", what)
    if what == "stopped: last" and State.scale != 1.0:
        await asyncio.Event().wait()  # in real time the cancellation comes whenever it comes
    await takes(seconds)
    return f"{what}!"


def fetch_plain(what: str) -> str:
    """Return at once; the making's pool says that it took a second."""
    note("fetch_plain", what)
    return f"{what}!"


async def decline(card: str) -> None:
    note("decline", card)
    await takes(1)
    error = CardDeclinedError(card, 51)
    error.add_note("ask for another card")
    raise error from BusyError("the bank")


async def vanish(what: str) -> None:
    """Raise what no other process can import."""
    note("vanish", what)
    await takes(1)

    class LocalError(Exception):
        pass

    raise LocalError(what)


async def refetch(what: str) -> str:
    """Do what `fetch` does, under another name."""
    note("refetch", what)
    await takes(1)
    return f"{what}!!"


async def flaky(what: str, seconds: float = 1.0) -> str:
    """Fail while the journals are made."""
    note("flaky", what)
    await takes(seconds)
    if State.making:
        raise BusyError(what)
    return f"{what}!"


async def busy_once(what: str) -> str:
    """Fail the first time."""
    note("busy_once", what)
    await takes(1.5)  # ends with no other call: which would be first depends on Python's version
    if State.executed.count(("busy_once", what)) == 1:
        raise BusyError(what)
    return f"{what}!"


async def charge(card: str, amount: decimal.Decimal) -> str:
    note("charge", card, amount)
    await takes(2)
    return f"charged {amount} to {card}"


async def find_charge(card: str, amount: decimal.Decimal) -> str:
    """Reconcile a charge in doubt."""
    note("find_charge", card, amount)
    await takes(1)
    return f"found {amount} on {card}"


def out(ctx: Any, value: Any) -> None:
    ctx.send_event(OutputEvent(output=value))


def agent_of(func: Callable[..., Any]) -> Callable[[], Agent]:
    """Return what makes an agent with one action, triggered by the input."""
    return lambda: Agent().add_action("go", [InputEvent], func)


# Calls


async def _sequential(event: Any, ctx: Any) -> None:
    results = []
    for step in ("fetch", "parse", "store", "send"):
        results.append(await ctx.durable_execute_async(fetch, f"{event.input}: {step}"))
    out(ctx, results)
    out(ctx, [str(ctx.uuid4()), ctx.random.randrange(1000)])


async def _gather_and_race(event: Any, ctx: Any) -> None:
    call = ctx.durable_execute_async
    both = await asyncio.gather(call(fetch, "late", 3), call(fetch, "early", 1))
    slow, quick = call(fetch, "slow", 5), call(fetch, "quick", 1)
    done, pending = await asyncio.wait([slow, quick], return_when=asyncio.FIRST_COMPLETED)
    winners = [each.result() for each in done]
    after = await call(fetch, "after", 2)
    out(ctx, [both, winners, len(pending), after, await slow])


async def _as_completed_and_task_group(event: Any, ctx: Any) -> None:
    call = ctx.durable_execute_async
    order: list[str] = []
    for each in asyncio.as_completed([call(fetch, f"call {n}", n) for n in (3, 1, 2)]):
        order.append(await each)

    async def task(name: str, seconds: float) -> None:
        for step in ("a", "b"):
            order.append(await call(fetch, f"task {name}{step}", seconds))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("x", 3), ("y", 1), ("z", 1.3)):
            group.create_task(task(name, seconds))
    out(ctx, order)


async def _failures_caught(event: Any, ctx: Any) -> None:
    caught: list[Any] = []
    try:
        await ctx.durable_execute_async(decline, "4711")
    except CardDeclinedError as error:
        caught.append([error.args, error.card, error.code, error.__notes__, repr(error.__cause__)])
    try:
        await ctx.durable_execute_async(vanish, "gone")
    except DurableCallError as error:
        caught.append([error.type_name, error.message])
    outcomes = await asyncio.gather(
        ctx.durable_execute_async(decline, "4712"),
        ctx.durable_execute_async(fetch, "other card", 2),
        return_exceptions=True,
    )
    out(ctx, [*caught, repr(outcomes)])


def _plain(event: Any, ctx: Any) -> None:
    call = ctx.durable_execute_async
    one = ctx.durable_execute(fetch_plain, "one")
    two, three = call(fetch_plain, "two"), call(fetch, "three", 4)
    found = [two.result()]
    ctx.sleep(0.5).result()
    four = call(fetch, "four", 2)
    out(ctx, [one, *found, three.result(), four.result(), call(fetch_plain, "five").result()])


def _plain_race(event: Any, ctx: Any) -> None:
    call = ctx.durable_execute_async
    slow, quick = call(fetch, "slow", 5), call(fetch_plain, "quick")
    done, pending = perdure.wait([slow, quick], return_when=asyncio.FIRST_COMPLETED)
    winners = [each.result() for each in done]
    out(ctx, [winners, len(pending), call(fetch, "after", 2).result(), slow.result()])


async def _retry_in_back_off(event: Any, ctx: Any) -> None:
    if event.input == "crashes":
        policy = RetryPolicy(initial_interval=0.5, jitter=0, count_crashes=True)
        seconds = 30
    else:
        policy, seconds = RetryPolicy(initial_interval=10, jitter=0), 1
    patient = ctx.with_options(retry=policy)
    out(ctx, await patient.durable_execute_async(flaky, event.input, seconds))


async def _waited(event: Any, ctx: Any) -> None:
    one, patient = ctx.with_options(limit="one"), RetryPolicy(initial_interval=2, jitter=0)
    calls = [one.durable_execute_async(fetch, f"limited {n}") for n in range(3)]
    both = one.with_options(retry=patient).durable_execute_async(busy_once, "both")
    alone = ctx.with_options(retry=patient).durable_execute_async(busy_once, "alone")
    done = [await each for each in (*calls, both, alone)]
    out(ctx, [*done, await ctx.durable_execute_async(fetch, "after", 5)])


async def _in_doubt(event: Any, ctx: Any) -> None:
    done = []
    for card, amount in (("visa", "10.50"), ("amex", "99.90")):
        paid = ctx.durable_execute_async(
            charge, card, decimal.Decimal(amount), reconciler=find_charge
        )
        done.append(await paid)
    out(ctx, done)


# Time, cancellation, signals, other runs


async def _timers(event: Any, ctx: Any) -> None:
    began, seen = ctx.now(), []

    def tell() -> None:
        seen.append(round((ctx.now() - began).total_seconds(), 3))

    await ctx.sleep(2)
    tell()
    try:
        async with asyncio.timeout(10):
            await ctx.durable_execute_async(fetch, "slow", 1000)
    except TimeoutError:
        tell()
    await asyncio.sleep(30)
    out(ctx, [*seen, ctx.now() - began >= datetime.timedelta(seconds=42)])


async def _cancelled(event: Any, ctx: Any) -> None:
    out(ctx, "shown when it completes")
    try:
        await ctx.durable_execute_async(fetch, "long", 100)
    except asyncio.CancelledError:
        for step in ("undo", "tell"):
            await ctx.durable_execute_async(fetch, f"{event.input}: {step}")
        raise


async def _signals(event: Any, ctx: Any) -> None:
    ctx.set_status(f"{event.input}: waits for approval")
    approved = await ctx.wait_for_signal("approve", timeout=1000)
    ctx.set_status(f"{event.input}: approved")
    fetched = await ctx.durable_execute_async(fetch, f"{event.input}: work", 5)
    out(ctx, [approved, fetched, await ctx.wait_for_signal("late")])


async def _children(event: Any, ctx: Any) -> None:
    if isinstance(event.input, str):  # a child
        await ctx.durable_execute_async(fetch, f"{event.input}, first half")
        seconds = 1 if event.input == "quick" else 3
        out(ctx, await ctx.durable_execute_async(fetch, f"{event.input}, second half", seconds))
        return
    children = [await ctx.submit(name, key=["child", name]) for name in event.input]
    outputs = [await child.outputs() for child in children]
    out(ctx, [[output.value for output in each] for each in outputs])


async def _delayed(event: Any, ctx: Any) -> None:
    out(ctx, await ctx.durable_execute_async(fetch, event.input))


async def _retried(event: Any, ctx: Any) -> None:
    call = ctx.durable_execute_async
    first = await call(fetch, "first")
    outcomes = await asyncio.gather(
        call(flaky, "second", 2), call(fetch, "third", 3), return_exceptions=True
    )
    errors = [each for each in outcomes if isinstance(each, BaseException)]
    if errors:
        raise errors[0]
    out(ctx, [first, *outcomes])


async def _obeys(event: Any, ctx: Any) -> None:
    work = flaky if event.input == "fails" else fetch
    calls = [
        ctx.durable_execute_async(work, f"{event.input}: first"),
        ctx.durable_execute_async(fetch, f"{event.input}: later", 2),
    ]
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BusyError):
            raise outcome
    out(ctx, [*outcomes, await ctx.durable_execute_async(fetch, f"{event.input}: last", 5)])


# Events and memory


class Reviewed(Event):
    """One review of many."""

    product: str
    score: int


class Praised(Event):
    """A good one."""

    product: str


class Reviews(Agent):
    """Counts reviews: what is read is a snapshot, what is updated loses nothing."""

    @action(InputEvent)
    async def read(self, event: InputEvent, ctx: Any) -> None:
        memory = ctx.short_term_memory
        for path in event.input.get("delete", ()):
            memory.delete(path)
        for path, value in event.input.get("set", {}).items():
            memory.set(path, value)
        reviews = event.input.get("reviews", {})
        memory.update("runs", lambda runs: (runs or 0) + 1)
        ctx.sensory_memory.set("products", sorted(reviews))
        out(ctx, sorted(memory.get_field_names()))
        for product, score in reviews.items():
            ctx.send_event(Reviewed(product=product, score=score))

    @action(Reviewed)
    async def tally(self, event: Reviewed, ctx: Any) -> None:
        memory = ctx.short_term_memory
        what = f"run {memory.get('runs')} {event.product}"
        await ctx.durable_execute_async(fetch, what, event.score)
        memory.update("total", lambda total: (total or 0) + event.score)
        memory.set(f"scores.{event.product}", event.score)
        if event.score == 1:
            ctx.send_event(Praised(product=event.product))
        out(ctx, [event.product, ctx.sensory_memory.get("products")])

    @action(Praised)
    async def praise(self, event: Praised, ctx: Any) -> None:
        what = f"run {ctx.short_term_memory.get('runs')} praise"
        await ctx.durable_execute_async(fetch, f"{what} begins", 0.5)
        await ctx.durable_execute_async(fetch, f"{what} ends", 10)
        memory = ctx.short_term_memory
        out(ctx, [event.product, memory.get("total"), memory["scores"].get_fields()])


# Values


class Mood(enum.Enum):
    """An enum."""

    GOOD = "good"
    BAD = 2


@dataclasses.dataclass(frozen=True)
class Sample:
    """A dataclass with what the journal has a form for."""

    mood: Mood
    nested: Any
    note: str = ""


BERLIN_WINTER = datetime.timezone(datetime.timedelta(hours=1), "CET")
VALUES: dict[Any, Any] = {
    "none": None,
    "truth": [True, False],
    "integers": [0, -1, 2**63 - 1, -(2**63), 2**64, -(2**200)],
    "floats": [0.1, -0.0, float("nan"), float("inf"), 1e-300],
    "text": ["", "naïve ☃ 🙂", "nul\0", "lone \ud800", 'quo\'te "double"\nline'],
    "bytes": [b"", bytes(range(256)), bytearray(b"ba")],
    "sets": [{3, 1, 2}, frozenset({1}), set()],
    "tuple": (1, (2, ()), [3]),
    "keys": {1: "int", (1, "a"): "tuple", None: "none", b"b": "bytes"},
    "ordered": OrderedDict(z=1, a=2),
    "times": [
        datetime.datetime(2026, 1, 1, 12, 30, 0, 123456, tzinfo=datetime.UTC),
        datetime.datetime(2026, 1, 1, tzinfo=BERLIN_WINTER),
        datetime.datetime(1969, 7, 20),  # noqa: DTZ001 - a naive one is a value too
        datetime.date(2024, 2, 29),
        datetime.time(23, 59, 59, 999999),
        datetime.timedelta(days=-1, microseconds=1),
    ],
    "numbers": [decimal.Decimal("1.10"), decimal.Decimal("-Infinity"), 1 + 2j],
    "uuid": uuid.UUID(int=2**127 + 1),
    "path": pathlib.PurePosixPath("a/b"),
}


async def sample(what: str) -> Sample:
    note("sample", what)
    await takes(1)
    return Sample(Mood.BAD, [Sample(Mood.GOOD, VALUES, "inside")])


async def compare(left: Any, right: Any) -> bool:
    """Take every kind of value as an argument: its digest is in the journal."""
    note("compare")
    await takes(1)
    return repr(left) == repr(right)


class Measured(Event):
    """An event with a field of a registered type."""

    sample: Sample
    others: Any


class Measures(Agent):
    """Moves values through an input, a result, an argument, an event, both memories."""

    @action(InputEvent)
    async def measure(self, event: InputEvent, ctx: Any) -> None:
        found = await ctx.durable_execute_async(sample, "all kinds")
        same = await ctx.durable_execute_async(compare, VALUES, event.input)
        ctx.sensory_memory.set("seen", found)
        ctx.short_term_memory.set("kept", event.input)
        ctx.send_event(Measured(sample=found, others=[same, event.input]))

    @action(Measured)
    async def report(self, event: Measured, ctx: Any) -> None:
        seen, kept = ctx.sensory_memory.get("seen"), ctx.short_term_memory.get("kept")
        same = await ctx.durable_execute_async(compare, event.sample, seen)
        again = await ctx.durable_execute_async(compare, event.others[1], kept)
        out(ctx, [event.others[0], same, again, repr(kept) == repr(VALUES)])
        out(ctx, repr(seen))
        out(ctx, event.sample)


async def _keys(event: Any, ctx: Any) -> None:
    ctx.short_term_memory.update("runs", lambda runs: (runs or 0) + 1)
    first = await ctx.durable_execute_async(fetch, f"{event.input}: first")
    second = await ctx.durable_execute_async(fetch, f"{event.input}: second", 10)
    out(ctx, [ctx.key, first, second, str(ctx.uuid4())])


# Another way than the journal says


async def _sequential_changed(event: Any, ctx: Any) -> None:
    """Call another function second."""
    call = ctx.durable_execute_async
    results = [await call(fetch, f"{event.input}: fetch")]
    results.append(await call(refetch, f"{event.input}: parse"))
    for step in ("store", "send"):
        results.append(await call(fetch, f"{event.input}: {step}"))
    out(ctx, results)


async def _sequential_with_other_arguments(event: Any, ctx: Any) -> None:
    call = ctx.durable_execute_async
    out(ctx, [await call(fetch, f"{event.input}: {step}") for step in ("FETCH", "PARSE")])


async def _sequential_cut_short(event: Any, ctx: Any) -> None:
    out(ctx, await ctx.durable_execute_async(fetch, f"{event.input}: fetch"))


sequential = agent_of(_sequential)
gather_and_race = agent_of(_gather_and_race)
as_completed_and_task_group = agent_of(_as_completed_and_task_group)
failures_caught = agent_of(_failures_caught)
plain = agent_of(_plain)
plain_race = agent_of(_plain_race)
retry_in_back_off = agent_of(_retry_in_back_off)
waited = agent_of(_waited)
in_doubt = agent_of(_in_doubt)
timers = agent_of(_timers)
cancelled = agent_of(_cancelled)
signals = agent_of(_signals)
children = agent_of(_children)
delayed = agent_of(_delayed)
obeys = agent_of(_obeys)
retried = agent_of(_retried)
keys = agent_of(_keys)
sequential_changed = agent_of(_sequential_changed)
sequential_with_other_arguments = agent_of(_sequential_with_other_arguments)
sequential_cut_short = agent_of(_sequential_cut_short)
