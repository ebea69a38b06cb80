"""ContinuationContext and PlainContinuation: suspend, continue, cancel, close."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

import greenlet
import pytest
from tests.unit.action_driver import START, Driver, on_host

from perdure.call import wait
from perdure.errors import ContextAccessError
from perdure.executor.continuation import is_continuation_supported
from perdure.executor.hub import TurnHub

pytestmark = pytest.mark.usefixtures("no_blocking", "no_noise")
VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("VARIABLE", default="unset")


def test_continuations_are_supported_where_greenlet_is() -> None:
    assert is_continuation_supported()


# Coroutine actions


@on_host
async def test_an_action_goes_on_when_its_call_settles() -> None:
    async def main(d: Driver) -> None:
        d.log.append(await d.call("a") + await d.call("b"))

    driver = Driver(main).start()
    driver.settle("a", 1)
    assert not driver.finished
    driver.settle("b", 2)
    assert (driver.log, driver.finished, driver.error) == ([3], True, None)


@on_host
async def test_an_error_of_the_action_is_kept() -> None:
    async def main(d: Driver) -> None:
        await d.call("a")

    driver = Driver(main).start()
    driver.settle("a", error := KeyError("x"))
    assert driver.finished
    assert driver.error is error


@on_host
async def test_turns_after_the_end_do_nothing() -> None:
    async def main(d: Driver) -> None:
        d.log.append("ran")

    driver = Driver(main).start()
    driver.turn(lambda: driver.log.append("settled"))
    assert driver.log == ["ran"]


@on_host
async def test_the_running_loop_and_the_hooks_are_restored() -> None:
    async def main(d: Driver) -> None:
        d.log.append((asyncio.get_running_loop(), sys.get_asyncgen_hooks()))
        await d.call("a")

    host, hooks = asyncio.get_running_loop(), sys.get_asyncgen_hooks()
    driver = Driver(main).start()
    assert asyncio.get_running_loop() is host
    assert sys.get_asyncgen_hooks() == hooks
    inside, inside_hooks = driver.log[0]
    assert inside is driver.loop
    assert inside_hooks != hooks
    driver.context.close()
    assert asyncio.get_running_loop() is host
    assert sys.get_asyncgen_hooks() == hooks


@on_host
async def test_the_hooks_are_restored_after_a_turn_that_raised() -> None:
    async def main(d: Driver) -> None:
        await d.call("a")

    host, hooks = asyncio.get_running_loop(), sys.get_asyncgen_hooks()
    driver = Driver(main).start()

    def broken() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        driver.turn(broken)
    assert asyncio.get_running_loop() is host
    assert sys.get_asyncgen_hooks() == hooks
    driver.context.close()


@pytest.mark.parametrize("plain", [False, True])
@on_host
async def test_context_variables_stay_in_their_action(plain: bool) -> None:
    async def coroutine(d: Driver) -> None:
        d.log.append(VARIABLE.get())
        VARIABLE.set("action")
        await d.call("a")
        d.log.append(VARIABLE.get())

    def plain_one(d: Driver) -> None:
        d.log.append(VARIABLE.get())
        VARIABLE.set("action")
        d.call("a").result()
        d.log.append(VARIABLE.get())

    VARIABLE.set("host")
    hub = TurnHub()
    drivers = [
        Driver(plain_one if plain else coroutine, plain=plain, hub=hub).start() for _ in range(2)
    ]
    assert VARIABLE.get() == "host"
    VARIABLE.set("later")
    for driver in drivers:
        driver.settle("a")
        assert driver.log == ["host", "action"]
    assert VARIABLE.get() == "later"


@on_host
async def test_a_cancelled_action_may_clean_up_with_further_calls() -> None:
    async def main(d: Driver) -> None:
        try:
            await d.call("a")
        finally:
            d.log.append(await d.call("undo"))

    driver = Driver(main).start()
    driver.turn(driver.context.cancel)
    assert not driver.finished
    assert driver.cancelled == ["a"]
    driver.settle("undo", "undone")
    assert driver.log == ["undone"]
    assert driver.finished
    assert isinstance(driver.error, asyncio.CancelledError)


# The synchronous call of a coroutine action


@on_host
async def test_a_synchronous_call_parks_the_turn_and_others_go_on() -> None:
    async def main(d: Driver) -> None:
        async def other() -> None:
            d.log.append("other")

        task = asyncio.create_task(other())
        d.log.append(d.call_and_block("a"))
        await task
        d.log.append(await d.call("b"))

    hub = TurnHub()
    one, two = Driver(main, hub=hub).start(), Driver(main, hub=hub).start()
    assert one.log == two.log == []
    two.settle("a", 2)
    one.settle("a", 1)
    assert (one.log, two.log) == ([1, "other"], [2, "other"])
    one.settle("b", "x")
    two.settle("b", "y")
    assert one.finished
    assert two.finished
    assert (one.error, two.error) == (None, None)


@on_host
async def test_a_settlement_for_another_call_does_not_continue_a_parked_turn() -> None:
    async def main(d: Driver) -> None:
        other = d.call("other")
        other.add_done_callback(lambda _: d.log.append("callback"))
        d.log.append(d.call_and_block("a"))
        d.log.append(await other)

    driver = Driver(main).start()
    driver.settle("other", "o")
    assert driver.log == []
    driver.settle("a", "a")
    assert driver.log == ["a", "o", "callback"]
    assert driver.finished


class Settled(NamedTuple):
    name: str
    at: int


def deliver(driver: Driver, settled: deque[Settled], goes_on: Callable[[], bool]) -> None:
    """Deliver outcomes in turns of one go."""
    driver.context.turns(settled, lambda s: driver.calls[s.name].set_result(s.name), goes_on)


@on_host
async def test_each_settlement_of_one_go_has_its_own_turn_and_time() -> None:
    async def wait(d: Driver, name: str) -> None:
        d.log.append((await d.call(name), d.loop.now - START))

    async def main(d: Driver) -> None:
        await asyncio.gather(*(wait(d, name) for name in "abc"))

    driver = Driver(main).start()
    left = deque(Settled(name, START + n) for n, name in enumerate("bca", 1))
    asked: list[int] = []

    def goes_on() -> bool:
        asked.append(len(driver.log))
        return len(driver.log) != 2

    deliver(driver, left, goes_on)
    assert driver.log == [("b", 1), ("c", 2)]  # there is something to see to before the third
    assert [s.name for s in left] == ["a"]
    deliver(driver, left, goes_on)
    assert driver.log == [("b", 1), ("c", 2), ("a", 3)]
    assert asked == [1, 2, 3]
    assert driver.finished
    assert not left


@on_host
async def test_a_turn_that_parks_in_one_go_leaves_the_rest_to_whoever_comes_next() -> None:
    async def main(d: Driver) -> None:
        made = [d.call(name) for name in "abc"]
        d.log.append(await made[0])
        d.log.append(d.call_and_block("x"))
        for call in made[1:]:
            d.log.append(await call)

    driver = Driver(main).start()
    left = deque(Settled(name, START) for name in "abxc")
    deliver(driver, left, lambda: True)
    assert driver.log == ["a"]
    while left:
        deliver(driver, left, lambda: True)
    assert driver.log == ["a", "x", "b", "c"]
    assert driver.finished


@on_host
async def test_a_parked_turn_can_be_closed() -> None:
    async def main(d: Driver) -> None:
        d.call_and_block("a")
        d.log.append("never")

    driver = Driver(main).start()
    driver.context.close()
    driver.settle("a", 1)
    assert driver.log == []
    assert asyncio.get_running_loop() is not driver.loop
    del driver
    gc.collect()


@on_host
async def test_turns_share_one_greenlet_until_one_parks() -> None:
    seen: list[Any] = []

    async def main(d: Driver) -> None:
        seen.append(greenlet.getcurrent())
        await d.call("a")
        seen.append(greenlet.getcurrent())

    async def parking(d: Driver) -> None:
        seen.append(greenlet.getcurrent())
        d.call_and_block("a")

    hub = TurnHub()
    first, second = Driver(main, hub=hub).start(), Driver(main, hub=hub).start()
    first.settle("a")
    second.settle("a")
    assert len(set(seen)) == 1
    parked = Driver(parking, hub=hub).start()
    Driver(parking, hub=hub).start().context.close()
    assert seen[-2] is seen[0]
    assert seen[-1] is not seen[0]
    parked.settle("a")
    assert parked.finished
    seen.clear()


# Plain actions


@on_host
async def test_g13_calls_of_a_plain_action_overlap() -> None:
    def main(d: Driver) -> None:
        calls = [d.call(name) for name in "abc"]
        d.log += [call.result() for call in calls]

    driver = Driver(main, plain=True).start()
    assert list(driver.calls) == ["a", "b", "c"]
    for name in "cab":
        driver.settle(name, name.upper())
    assert driver.log == ["A", "B", "C"]
    assert driver.finished


@on_host
async def test_wait_says_what_is_done_and_what_is_not() -> None:
    def main(d: Driver) -> None:
        calls = [d.call(name) for name in "abc"]
        done, pending = wait(calls, return_when=asyncio.FIRST_COMPLETED)
        d.log.append(([c.function for c in done], len(pending)))
        done, pending = wait(calls, timeout=5)
        d.log.append((len(done), [c.function for c in pending]))
        done, pending = wait(calls)
        d.log.append((len(done), len(pending)))

    driver = Driver(main, plain=True).start()
    driver.settle("b")
    driver.settle("c")
    driver.turn(after=6)
    driver.settle("a")
    assert driver.log == [(["b"], 2), (2, ["a"]), (3, 0)]
    assert driver.finished
    assert driver.loop.next_deadline() is None


@on_host
async def test_wait_ends_at_the_first_exception() -> None:
    def main(d: Driver) -> None:
        calls = [d.call(name) for name in "abc"]
        done, _ = wait(calls, return_when=asyncio.FIRST_EXCEPTION)
        d.log.append(len(done))
        d.log.append(repr(d.calls["b"].exception()))

    driver = Driver(main, plain=True).start()
    driver.settle("a")
    assert driver.log == []
    driver.settle("b", KeyError("x"))
    assert driver.log == [2, "KeyError('x')"]
    assert driver.finished


@on_host
async def test_a_result_that_is_late_raises_timeout_and_the_call_goes_on() -> None:
    def main(d: Driver) -> None:
        call = d.call("a")
        try:
            call.result(timeout=2)
        except TimeoutError as error:
            d.log.append(str(error))
        d.log.append(call.result())

    driver = Driver(main, plain=True).start()
    driver.turn(after=3)
    assert driver.log == ["call 1 (a) is not done after 2 s"]
    driver.settle("a", "late")
    assert driver.log[1:] == ["late"]
    assert driver.finished


@on_host
async def test_a_cancelled_plain_action_sees_it_where_it_waits() -> None:
    def main(d: Driver) -> None:
        try:
            d.call("a").result()
        except asyncio.CancelledError:
            d.log.append("asked to stop")
            d.log.append(d.call("undo").result())
            raise

    driver = Driver(main, plain=True).start()
    driver.turn(driver.context.cancel)
    assert driver.log == ["asked to stop"]
    driver.settle("a", "too late")
    assert driver.log == ["asked to stop"]
    driver.settle("undo", "undone")
    assert driver.log == ["asked to stop", "undone"]
    assert driver.finished
    assert isinstance(driver.error, asyncio.CancelledError)


@on_host
async def test_cancel_and_a_due_timer_in_one_turn_continue_the_action_once() -> None:
    def main(d: Driver) -> None:
        try:
            d.call("a").result(timeout=1)
        except asyncio.CancelledError:
            d.log.append("asked to stop")
        d.log.append(d.call("b").result())

    driver = Driver(main, plain=True).start()
    driver.turn(driver.context.cancel, after=2)
    assert driver.log == ["asked to stop"]
    driver.settle("b", "b")
    assert driver.log == ["asked to stop", "b"]
    assert driver.error is None


@pytest.mark.parametrize("error", [ValueError("x"), StopIteration("x"), greenlet.GreenletExit("x")])
@on_host
async def test_an_error_of_a_plain_action_is_kept(error: BaseException) -> None:
    def main(d: Driver) -> None:
        d.call("a").result()
        raise error

    driver = Driver(main, plain=True).start()
    driver.settle("a")
    assert driver.finished
    if isinstance(error, StopIteration):
        assert isinstance(driver.error, RuntimeError)
        assert "act raised StopIteration" in str(driver.error)
    else:
        assert driver.error is error


@on_host
async def test_a_closed_plain_action_leaves_through_its_finally_blocks() -> None:
    def main(d: Driver) -> None:
        try:
            d.call("a").result()
        except Exception:
            d.log.append("never")
        finally:
            d.log.append("left")

    driver = Driver(main, plain=True).start()
    host = asyncio.get_running_loop()
    driver.context.close()
    assert driver.log == ["left"]
    assert asyncio.get_running_loop() is host
    driver.context.close()
    assert driver.log == ["left"]


@on_host
async def test_a_finally_block_that_wants_more_does_not_stop_closing() -> None:
    def main(d: Driver) -> None:
        try:
            d.call("a").result()
        finally:
            d.call("undo").result()
            d.log.append("never")

    driver = Driver(main, plain=True).start()
    driver.context.close()
    assert driver.log == []
    assert driver.loop.is_closed()


@on_host
async def test_results_are_refused_outside_of_the_action() -> None:
    def main(d: Driver) -> None:
        d.call("a").result()

    driver = Driver(main, plain=True).start()
    with pytest.raises(ContextAccessError, match=r"act: \.result\(\) and perdure\.wait\(\)"):
        driver.calls["a"].result()
    driver.context.close()


@on_host
async def test_a_callback_of_a_plain_action_may_not_suspend_it() -> None:
    def main(d: Driver) -> None:
        def callback(_: object) -> None:
            try:
                d.call("b").result()
            except ContextAccessError:
                d.log.append("refused")

        call = d.call("a")
        call.add_done_callback(callback)
        call.result()

    driver = Driver(main, plain=True).start()
    driver.settle("a")
    assert driver.log == ["refused"]
    assert driver.finished
