"""G6, G12, G13: whatever asyncio composes calls with takes the same way after a crash.

Each pattern is crashed once at each of its calls: that call hangs, the job is abandoned, and the
second leg must see what the first one saw, in its order, and go on from there.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from tests.promises.support import (
    COROUTINE,
    OFF,
    State,
    agent_of,
    config_of,
    crash_and_resume,
    error_text,
    failures,
    hold,
    out,
    pick,
    reset,
    run,
)

from perdure import RunsFailedError, wait

ONE = [{"k": "a"}]
END = "end"
STAGGERED = {"a": 0.03, "b": 0.0, "c": 0.02, "d": 0.01}


class Seen:
    """What each leg saw, in order, and the call that hangs in the first leg."""

    legs: dict[int, list[Any]] = {}
    victim = END


def begin(victim: str) -> None:
    Seen.legs, Seen.victim = {1: [], 2: []}, victim


def saw(value: Any) -> Any:
    Seen.legs[State.leg].append(value)
    return value


class OddError(Exception):
    """What a failing call raises."""


async def work(name: str, delay: float = 0.0, fails: bool = False) -> str:
    """Return `name` after a while, or raise; hang in the first leg if it is the victim."""
    State.calls.append(name)
    if name == Seen.victim:
        await hold()
    await asyncio.sleep(delay)
    if fails:
        raise OddError(name)
    return name


def call(ctx: Any, name: str, delay: float = 0.0, fails: bool = False) -> Any:
    return ctx.durable_execute_async(work, name, delay, fails)


def text(outcome: Any) -> Any:
    """Return a value, or an error as its type and message."""
    if isinstance(outcome, BaseException):
        return f"{type(outcome).__name__} {outcome}"
    return outcome


# Patterns of coroutine actions. Their calls are named a, b, c, ...


async def gathers(ctx: Any) -> Any:
    saw(await asyncio.gather(call(ctx, "a", 0.02), call(ctx, "b"), call(ctx, "c", 0.01)))
    return saw(await asyncio.gather(call(ctx, "d"), call(ctx, "e")))


async def gathers_with_exceptions(ctx: Any) -> Any:
    calls = [call(ctx, "a", 0.01), call(ctx, "b", 0.0, True), call(ctx, "c", 0.02, True)]
    found = await asyncio.gather(*calls, return_exceptions=True)
    return saw([text(one) for one in found])


async def gather_fails(ctx: Any) -> Any:
    calls = [call(ctx, "a", 0.03), call(ctx, "b", 0.0, True), call(ctx, "c", 0.02, True)]
    try:
        await asyncio.gather(*calls)
    except OddError as error:
        saw(text(error))
    saw([one.done() for one in calls])
    return saw(await calls[0])


async def gather_is_cancelled(ctx: Any) -> Any:
    calls = [call(ctx, "a"), call(ctx, "b", 30)]
    both = asyncio.gather(*calls)
    saw(await calls[0])
    both.cancel()
    try:
        await both
    except asyncio.CancelledError:
        saw("cancelled")
    return saw([calls[0].cancelled(), calls[1].cancelled()])


async def waits_for_the_first(ctx: Any) -> Any:
    pending = {call(ctx, name, delay) for name, delay in STAGGERED.items()}
    order = []
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        order += [saw(one.result()) for one in done]
    return order


async def waits_for_an_exception(ctx: Any) -> Any:
    calls = [call(ctx, "a"), call(ctx, "b", 0.01, True), call(ctx, "c", 30)]
    done, pending = await asyncio.wait(calls, return_when=asyncio.FIRST_EXCEPTION)
    saw([text(one.exception() or one.result()) for one in calls if one in done])
    for one in pending:
        one.cancel()
    return saw(await call(ctx, "d"))


async def waits_with_a_timeout(ctx: Any) -> Any:
    calls = [call(ctx, "a", 0.001), call(ctx, "b", 30)]
    await calls[0]
    done, pending = await asyncio.wait(calls, timeout=0.05)
    saw([len(done), len(pending)])
    calls[1].cancel()
    return saw(await call(ctx, "c"))


async def takes_as_completed(ctx: Any) -> Any:
    calls = [call(ctx, name, delay) for name, delay in STAGGERED.items()]
    return [saw(await one) for one in asyncio.as_completed(calls)]


async def groups(ctx: Any) -> Any:
    async def two(first: str, second: str, delay: float) -> str:
        before = saw(await call(ctx, first, delay))
        return saw(before + await call(ctx, second))

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(two("a", "b", 0.02)),
            group.create_task(two("c", "d", 0.0)),
            group.create_task(two("e", "f", 0.01)),
        ]
    return saw([task.result() for task in tasks])


async def group_fails(ctx: Any) -> Any:
    ended = []

    async def one(name: str, delay: float, fails: bool = False) -> None:
        try:
            await call(ctx, name, delay, fails)
        except (OddError, asyncio.CancelledError):  # and not the crash
            ended.append(saw(f"{name} ended"))
            raise

    try:
        async with asyncio.TaskGroup() as group:
            for name in "abc":
                group.create_task(one(name, 30))
            group.create_task(one("d", 0.01, True))
            group.create_task(one("e", 0.0))
    except* OddError as errors:
        saw([text(error) for error in errors.exceptions])
    saw(await call(ctx, "f"))
    return ended


async def awaits_a_task_later(ctx: Any) -> Any:
    async def in_task() -> str:
        return saw(await call(ctx, "a", 0.02)) + saw(await call(ctx, "b"))

    task = asyncio.create_task(in_task())
    saw(await call(ctx, "c"))
    saw(await call(ctx, "d", 0.03))
    return saw(await task)


async def bounds_one(ctx: Any) -> Any:
    results = []
    for name, delay, patience in (("a", 30, 0.05), ("b", 0, 30)):
        try:
            async with asyncio.timeout(patience):
                results.append(saw(await call(ctx, name, delay)))
        except TimeoutError:
            results.append(saw(f"{name} is late"))
    return results


async def bounds_several(ctx: Any) -> Any:
    results = []
    try:
        async with asyncio.timeout(0.1):
            results.append(saw(await call(ctx, "a")))
            results += saw(await asyncio.gather(call(ctx, "b"), call(ctx, "c")))
            results.append(saw(await call(ctx, "d", 30)))
    except TimeoutError:
        results.append(saw("late"))
    results.append(saw(await call(ctx, "e")))
    return results[-2:]


async def bounds_inside_bounds(ctx: Any) -> Any:
    try:
        async with asyncio.timeout(0.15):
            try:
                async with asyncio.timeout(0.05):
                    await call(ctx, "a", 30)
            except TimeoutError:
                saw("inner")
            saw(await call(ctx, "b"))
            await call(ctx, "c", 30)
    except TimeoutError:
        saw("outer")
    return saw(await call(ctx, "d"))


async def waits_for(ctx: Any) -> Any:
    results = [saw(await asyncio.wait_for(call(ctx, "a"), 30))]
    try:
        await asyncio.wait_for(call(ctx, "b", 30), 0.05)
    except TimeoutError:
        results.append(saw("b is late"))
    results.append(saw(await asyncio.wait_for(call(ctx, "c"), None)))
    return results


async def shields(ctx: Any) -> Any:
    inner = call(ctx, "a", 0.1)
    try:
        await asyncio.wait_for(asyncio.shield(inner), 0.03)
    except TimeoutError:
        saw("outer is late")
    saw(await call(ctx, "b"))
    return saw(await inner)


async def queues(ctx: Any) -> Any:
    queue: asyncio.Queue[str | None] = asyncio.Queue(maxsize=1)
    taken = []

    async def produce(names: str, delay: float) -> None:
        for name in names:
            await queue.put(saw(await call(ctx, name, delay)))

    async def consume() -> None:
        while (item := await queue.get()) is not None:
            taken.append(saw(f"took {item}"))
            queue.task_done()

    consumer = asyncio.create_task(consume())
    await asyncio.gather(produce("abc", 0.01), produce("def", 0.005))
    await queue.join()
    await queue.put(None)
    await consumer
    return taken


async def locks(ctx: Any) -> Any:
    lock, semaphore = asyncio.Lock(), asyncio.Semaphore(2)
    inside, most = 0, 0

    async def one(name: str, delay: float) -> None:
        nonlocal inside, most
        async with semaphore:
            inside += 1
            most = max(most, inside)
            saw(await call(ctx, name, delay))
            inside -= 1
        async with lock:
            saw(await call(ctx, name.upper()))

    await asyncio.gather(one("a", 0.02), one("b", 0.0), one("c", 0.01), one("d", 0.0))
    return most


async def signals_with_events(ctx: Any) -> Any:
    ready, condition, order = asyncio.Event(), asyncio.Condition(), []

    async def waiter(name: str) -> None:
        await ready.wait()
        async with condition:
            await condition.wait()
        order.append(saw(await call(ctx, name)))

    waiters = [asyncio.create_task(waiter(name)) for name in "abc"]
    saw(await call(ctx, "d"))
    ready.set()
    saw(await call(ctx, "e"))
    async with condition:
        condition.notify(2)
    await asyncio.wait(waiters, return_when=asyncio.FIRST_COMPLETED)
    async with condition:
        condition.notify_all()
    await asyncio.gather(*waiters)
    return sorted(order)


async def gathers_outcomes(ctx: Any) -> Any:
    found = await ctx.gather(call(ctx, "a", 0.01), call(ctx, "b", 0.0, True), call(ctx, "c"))
    return saw([text(one.error or one.value) for one in found])


async def sleeps_between(ctx: Any) -> Any:
    async def ticks() -> None:
        for n in range(4):
            await asyncio.sleep(0.005)
            saw(f"tick {n}")

    ticking = asyncio.create_task(ticks())
    for name in "abc":
        saw(await call(ctx, name, 0.004))
    await ticking
    timer, slow = ctx.sleep(0.01), call(ctx, "d", 30)
    done, _ = await asyncio.wait([timer, slow], return_when="FIRST_COMPLETED")
    slow.cancel()
    return saw([timer in done, len(done)])


async def nests(ctx: Any) -> Any:
    async def branch(names: str, patience: float) -> Any:
        try:
            async with asyncio.timeout(patience):
                first = await asyncio.gather(*(call(ctx, name, 0.002) for name in names[:2]))
                saw(first)
                race = [call(ctx, names[2], 30), call(ctx, names[3], 0.005)]
                done, pending = await asyncio.wait(race, return_when="FIRST_COMPLETED")
                for one in pending:
                    one.cancel()
                return saw([*first, *(one.result() for one in done)])
        except TimeoutError:
            return saw("gave up")

    async with asyncio.TaskGroup() as group:
        one = group.create_task(branch("abcd", 20))
        two = group.create_task(branch("efgh", 20))
        saw(ctx.durable_execute(str, "inline"))
    return saw([one.result(), two.result(), await call(ctx, "i")])


COROUTINES: dict[Callable[[Any], Awaitable[Any]], Any] = {
    gathers: ["d", "e"],
    gathers_with_exceptions: ["a", "OddError b", "OddError c"],
    gather_fails: "a",
    gather_is_cancelled: [False, True],
    waits_for_the_first: None,
    waits_for_an_exception: "d",
    waits_with_a_timeout: "c",
    takes_as_completed: None,
    groups: ["ab", "cd", "ef"],
    group_fails: None,
    awaits_a_task_later: "ab",
    bounds_one: ["a is late", "b"],
    bounds_several: ["late", "e"],
    bounds_inside_bounds: "d",
    waits_for: ["a", "b is late", "c"],
    shields: "a",
    queues: None,
    locks: 2,
    signals_with_events: ["a", "b", "c"],
    gathers_outcomes: ["a", "OddError b", "c"],
    sleeps_between: [True, 1],
    nests: [["a", "b", "d"], ["e", "f", "h"], "i"],
}

# Patterns of plain actions; without continuations each call is over before the next is made.


def plain_waits_for_the_first(ctx: Any) -> Any:
    pending = {call(ctx, name, delay) for name, delay in STAGGERED.items()}
    order = []
    while pending:
        done, pending = wait(pending, return_when=asyncio.FIRST_COMPLETED)
        order += [saw(one.result()) for one in done]
    return sorted(order)


def plain_waits_for_an_exception(ctx: Any) -> Any:
    calls = [call(ctx, "a", 0.01), call(ctx, "b", 0.02, True), call(ctx, "c", 0.05)]
    done, _ = wait(calls, return_when=asyncio.FIRST_EXCEPTION)
    saw([one in done for one in calls[:2]])
    calls[2].cancel()  # of no effect where it is done
    return saw(call(ctx, "d").result())


def plain_gathers(ctx: Any) -> Any:
    found = ctx.gather(call(ctx, "a", 0.01), call(ctx, "b", 0.0, True), call(ctx, "c"))
    return saw([text(one.error or one.value) for one in found])


def plain_mixes(ctx: Any) -> Any:
    early = call(ctx, "a", 0.02)
    saw(ctx.durable_execute(str, "inline"))
    saw(call(ctx, "b").result())
    timer = ctx.sleep(0.01)
    late = call(ctx, "c", 0.03)
    timer.result()
    saw("slept")
    wait([early, late])
    try:
        call(ctx, "d", 0.0, True).result()
    except OddError as error:
        saw(text(error))
    return saw([early.result(), late.result(), text(call(ctx, "e", 0, True).exception())])


def plain_gives_up(ctx: Any) -> Any:
    slow = call(ctx, "a", 0.1)
    try:
        saw(slow.result(timeout=0.03))
    except TimeoutError:
        saw("late")
    saw(call(ctx, "b").result())
    return saw(slow.result())


def plain_cancels(ctx: Any) -> Any:
    calls = [call(ctx, "a", 0.02), call(ctx, "b", 0.1)]
    done, _ = wait(calls, return_when=asyncio.FIRST_COMPLETED)
    for one in calls:
        one.cancel()  # of no effect where it is done
    saw(len(done))
    return saw([call(ctx, "c").result(), calls[0].cancelled()])


PLAIN: dict[Callable[[Any], Any], Any] = {
    plain_waits_for_the_first: ["a", "b", "c", "d"],
    plain_waits_for_an_exception: "d",
    plain_gathers: ["a", "OddError b", "c"],
    plain_mixes: ["a", "c", "OddError e"],
    plain_gives_up: "a",
    plain_cancels: ["c", False],
}


def agent_for(kind: str, pattern: Callable[[Any], Any]) -> Any:
    """Return an agent that runs the pattern, makes one call more and sends its result out."""

    async def go(event: Any, ctx: Any) -> None:
        result = await pattern(ctx)
        await ctx.durable_execute_async(work, END)
        out(ctx, result)

    def go_plain(event: Any, ctx: Any) -> None:
        result = pattern(ctx)
        ctx.durable_execute_async(work, END).result()
        out(ctx, result)

    return pick(kind, go, go_plain)


def check(results: list[Any], victim: str) -> None:
    """Assert that the second leg saw what the first one did, and repeated nothing recorded."""
    first, second = Seen.legs[1], Seen.legs[2]
    counts = Counter(State.calls)
    assert len(results) == 1
    # Without a second leg the first one gave its victim up and came to its end.
    assert second[: len(first)] == first or (not second and victim != END)
    assert all(counts[name] == 1 for name in first if isinstance(name, str) and name in counts)
    if victim == END:
        assert second == first
        assert {name for name, count in counts.items() if count > 1} == {END}


def crash_at_each_call(kind: str, pattern: Callable[[Any], Any], expected: Any, store: str) -> None:
    agent, config = agent_for(kind, pattern), config_of(kind)
    begin("nobody")
    live = run(agent, ONE, config=config)
    names = list(dict.fromkeys(State.calls))
    assert names[-1] == END
    assert len(names) >= 3
    assert expected is None or live == [expected]
    if store != "memory://":  # each kind of crash once is enough there
        names = [names[len(names) // 2], END]
    for victim in names:
        reset()
        begin(victim)
        url = store if store == "memory://" else f"{store}.{victim}"
        results = crash_and_resume(agent, ONE, store=url, config=config)
        check(results, victim)
        if victim == END and expected is not None:
            assert results == [expected]


@pytest.mark.parametrize("pattern", COROUTINES, ids=lambda pattern: pattern.__name__)
def test_g6_coroutine_actions_take_the_same_way_again(pattern: Any, store: str) -> None:
    crash_at_each_call(COROUTINE, pattern, COROUTINES[pattern], store)


@pytest.mark.parametrize("pattern", PLAIN, ids=lambda pattern: pattern.__name__)
@pytest.mark.parametrize("plain_kind", ["plain", OFF])
def test_g6_plain_actions_take_the_same_way_again(
    pattern: Any, plain_kind: str, store: str
) -> None:
    crash_at_each_call(plain_kind, pattern, PLAIN[pattern], store)


# A race of a hundred calls


RUNNERS, RACES = 100, 100


class Races:
    """How many runs have arrived at the crash, what each chose in each leg, how fast who ran."""

    arrived = 0
    chosen: dict[tuple[int, int], str] = {}
    delays: dict[int, list[float]] = {}


async def runs(race: int, n: int, delay: float) -> str:
    await asyncio.sleep(delay)
    return f"runner {n}"


async def prize(race: int, winner: str) -> str:
    State.calls.append(f"prize {race}")
    return f"prize of {winner}"


async def all_arrived(race: int) -> None:
    """Hang in the first leg, until all races are here; then that is where it is crashed."""
    Races.arrived += 1
    if State.leg == 1:
        if Races.arrived == RACES:
            State.gate.reached.set()
        await asyncio.Event().wait()


def enter(event: Any, ctx: Any) -> dict[Any, str]:
    chance, race = random.Random(), event.input["k"]
    order = list(range(RUNNERS))
    ctx.random.shuffle(order)
    if State.leg == 1:
        Races.delays[race] = [chance.uniform(0.0, 0.01) for _ in order]
    delays = Races.delays[race]
    return {ctx.durable_execute_async(runs, race, n, delays[n]): f"runner {n}" for n in order}


async def races(event: Any, ctx: Any) -> None:
    calls, race = enter(event, ctx), event.input["k"]
    done, pending = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
    (winner,) = (calls[call] for call in done)
    Races.chosen[State.leg, race] = winner
    for one in pending:
        one.cancel()
    won = await ctx.durable_execute_async(prize, race, winner)
    await ctx.durable_execute_async(all_arrived, race)
    out(ctx, [race, won])


def races_plain(event: Any, ctx: Any) -> None:
    calls, race = enter(event, ctx), event.input["k"]
    done, pending = wait(calls, return_when=asyncio.FIRST_COMPLETED)
    (winner,) = (calls[call] for call in done)
    Races.chosen[State.leg, race] = winner
    for one in pending:
        one.cancel()
    won = ctx.durable_execute_async(prize, race, winner).result()
    ctx.durable_execute_async(all_arrived, race).result()
    out(ctx, [race, won])


@pytest.mark.parametrize("race_kind", [COROUTINE, "plain"])
def test_g6_a_race_of_a_hundred_has_the_same_winner_in_each_of_a_hundred_runs(
    race_kind: str, store: str
) -> None:
    Races.arrived, Races.chosen, Races.delays = 0, {}, {}
    inputs = [{"k": n} for n in range(RACES)]
    results = crash_and_resume(pick(race_kind, races, races_plain), inputs, store=store)
    first = [Races.chosen[1, n] for n in range(RACES)]
    assert [Races.chosen[2, n] for n in range(RACES)] == first
    assert sorted(results) == [[n, f"prize of {winner}"] for n, winner in enumerate(first)]
    assert sorted(State.calls) == sorted(f"prize {n}" for n in range(RACES))
    assert len(set(first)) > 10  # it was a race


# What the loop refuses (to_thread, connections and processes: test_isolation.py)

REFUSED: dict[str, Callable[[Any], Any]] = {
    "run_in_executor": lambda loop: loop.run_in_executor(None, str, 1),
    "getaddrinfo": lambda loop: loop.getaddrinfo("localhost", 1),
    "add_reader": lambda loop: loop.add_reader(0, str),
    "add_signal_handler": lambda loop: loop.add_signal_handler(1, str),
    "create_server": lambda loop: asyncio.start_server(str, "localhost", 1),
    "create_datagram_endpoint": lambda loop: loop.create_datagram_endpoint(str),
    "sock_recv": lambda loop: loop.sock_recv(None, 1),
    "run_until_complete": lambda loop: loop.run_until_complete(None),
}


@pytest.mark.parametrize("method", REFUSED)
def test_g8_the_loop_of_a_coroutine_action_refuses_and_names_the_way_out(method: str) -> None:
    async def does_io(event: Any, ctx: Any) -> None:
        await REFUSED[method](asyncio.get_running_loop())

    message = error_text(failures(agent_of(does_io), ONE))
    for part in ("ActionLoopError", f"loop.{method}()", "ctx.durable_execute_async"):
        assert part in message


@pytest.mark.parametrize("plain_kind", ["plain", OFF])
@pytest.mark.parametrize("method", ["run_in_executor", "add_reader"])
def test_g8_so_does_that_of_a_plain_action(method: str, plain_kind: str) -> None:
    def does_io(event: Any, ctx: Any) -> None:
        REFUSED[method](asyncio.get_running_loop())

    message = error_text(failures(agent_of(does_io), ONE, config=config_of(plain_kind)))
    for part in ("ActionLoopError", f"loop.{method}()", "ctx.durable_execute_async"):
        assert part in message


# What is not the same on replay and reaches a call

COUNTER = itertools.count()
CHANGING: dict[str, Callable[[], Any]] = {
    "time": time.time,
    "random": random.random,
    "uuid4": lambda: str(uuid.uuid4()),
    "a global": lambda: next(COUNTER),
}


async def takes(value: Any) -> Any:
    return value


@pytest.mark.parametrize("what", CHANGING)
@pytest.mark.parametrize("where", ["argument", "branch"])
def test_g7_what_changes_on_replay_is_found_where_it_reaches_a_call(
    what: str, where: str, kind: str, store: str
) -> None:
    def value() -> Any:
        time.sleep(0.001)  # more than a clock's step
        return CHANGING[what]()

    def first(ctx: Any) -> Any:
        found = value()
        if where == "argument":
            return ctx.durable_execute_async(takes, found)
        State.calls.append(found)
        return ctx.durable_execute_async(takes if found == State.calls[0] else work, "a")

    async def go(event: Any, ctx: Any) -> None:
        await first(ctx)
        await ctx.durable_execute_async(hold)

    def go_plain(event: Any, ctx: Any) -> None:
        first(ctx).result()
        ctx.durable_execute_async(hold).result()

    begin("nobody")
    with pytest.raises(RunsFailedError) as caught:
        crash_and_resume(pick(kind, go, go_plain), ONE, store=store, config=config_of(kind))
    message = error_text(caught.value)
    for part in ("NonDeterminismError", "action go", "call 1", "test_concurrency:takes"):
        assert part in message


def test_g7_what_the_context_gives_instead_is_the_same(kind: str, store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        given = [ctx.now(), ctx.random.random(), str(ctx.uuid4())]
        out(ctx, await ctx.durable_execute_async(takes, given) == given)
        await ctx.durable_execute_async(hold)

    def go_plain(event: Any, ctx: Any) -> None:
        given = [ctx.now(), ctx.random.random(), str(ctx.uuid4())]
        out(ctx, ctx.durable_execute_async(takes, given).result() == given)
        ctx.durable_execute_async(hold).result()

    agent = pick(kind, go, go_plain)
    assert crash_and_resume(agent, ONE, store=store, config=config_of(kind)) == [True]
