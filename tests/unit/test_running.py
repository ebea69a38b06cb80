"""Running loop and current task: what changes them puts both back, on every Python."""

from __future__ import annotations

import asyncio
import contextvars
import sys
from typing import Any

import greenlet
import pytest
from tests.unit.action_driver import Driver, on_host

from perdure.executor import running
from perdure.executor.hub import new_hub
from perdure.executor.loop import ActionLoop


def place() -> tuple[Any, Any]:
    """Return the running loop and the current task of this thread."""
    loop = running.running_loop()
    return loop, None if loop is None else asyncio.current_task()


@on_host
async def test_the_loop_and_the_task_of_the_host_come_back() -> None:
    host = place()
    inner = ActionLoop(1, "act")  # type: ignore[abstract]
    seen: list[Any] = []

    async def main() -> None:
        seen.append(place())

    before = running.enter(inner)
    try:
        assert place() == (inner, None)
        task = inner.create_task(main())
        inner.run_ready()
        assert seen == [(inner, task)]
        assert place() == (inner, None)
    finally:
        running.leave(before)
    assert place() == host
    await asyncio.sleep(0)
    assert place() == host
    inner.close()


@on_host
async def test_outside_every_loop_another_one_may_run() -> None:
    async def main() -> tuple[Any, Any]:
        await asyncio.sleep(0)
        return place()

    host = place()
    before = running.enter(None)
    try:
        assert place() == (None, None)
        loop, task = asyncio.run(main())
    finally:
        running.leave(before)
    assert loop not in (None, host[0])
    assert task.done()
    assert place() == host


def test_a_thread_without_a_loop_has_none_again() -> None:
    before = running.enter(inner := ActionLoop(1, "act"))  # type: ignore[abstract]
    assert place() == (inner, None)
    running.leave(before)
    assert place() == (None, None)
    inner.close()


@on_host
async def test_an_error_inside_leaves_the_host_as_it_was() -> None:
    async def main(d: Driver) -> None:
        raise OSError

    host = place()
    assert isinstance(Driver(main).start().error, OSError)
    assert place() == host


@pytest.mark.parametrize("first", ["a", "b"])
@on_host
async def test_turns_that_park_keep_their_tasks_apart(first: str) -> None:
    seen: list[Any] = []

    async def main(d: Driver) -> None:
        mine = place()
        d.call_and_block("x")
        seen.append(place() == mine)
        await d.call("y")
        seen.append(place() == mine)

    host = place()
    hub = new_hub()
    one, two = Driver(main, hub=hub).start(), Driver(main, hub=hub).start()
    assert place() == host
    for driver in (one, two) if first == "a" else (two, one):
        driver.settle("x", 1)
        assert place() == host
    for driver in (one, two):
        driver.settle("y", 1)
        assert (driver.finished, driver.error) == (True, None)
    assert place() == host
    assert seen == [True] * 4


@on_host
async def test_a_parked_turn_that_is_dropped_leaves_the_host_as_it_was() -> None:
    seen: list[str] = []

    async def main(d: Driver) -> None:
        try:
            d.call_and_block("x")
        except greenlet.GreenletExit:
            seen.append("left")
            raise

    host = place()
    driver = Driver(main).start()
    driver.context.close()
    assert seen == ["left"]
    assert place() == host
    await asyncio.sleep(0)
    again = Driver(main).start()
    again.settle("x", 1)
    assert (again.finished, again.error) == (True, None)


def test_this_python_is_known_to_keep_the_task_where_it_is_looked_for() -> None:
    """By thread from 3.14 on: there `current_task` of a loop that runs nowhere is None."""

    async def main() -> Any:
        host = asyncio.get_running_loop()
        before = running.enter(None)
        try:
            return asyncio.current_task(host)
        finally:
            running.leave(before)

    assert (asyncio.run(main()) is None) == (sys.version_info >= (3, 14))


def a_turn() -> None:
    running.within(ActionLoop(1, "act"), lambda: None)  # type: ignore[abstract]


def a_task_at_once() -> None:
    work = asyncio.sleep(0)
    try:
        running.task_at_once(
            asyncio.get_running_loop(), work, contextvars.copy_context(),
            sys.get_asyncgen_hooks(), name="early",
        ).cancel()  # fmt: skip
    finally:
        work.close()


def in_a_loop() -> None:
    running.as_loop(ActionLoop(1, "act"))(lambda: None)  # type: ignore[abstract]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("step", ["go_to", "leave"])
@pytest.mark.parametrize("work", [a_turn, a_task_at_once, in_a_loop])
@on_host
async def test_an_interrupt_on_the_way_leaves_the_host_as_it_was(
    monkeypatch: pytest.MonkeyPatch, work: Any, step: str, when: str
) -> None:
    if work is a_task_at_once and sys.version_info < (3, 12):
        pytest.skip("tasks begin later there")
    host, hooks, real, come = place(), sys.get_asyncgen_hooks(), getattr(running, step), []

    def interrupted(*given: Any) -> None:
        is_first = not come
        come.append("here")
        if when == "after" or not is_first:
            real(*given)
        if is_first:
            raise KeyboardInterrupt

    monkeypatch.setattr(running, step, interrupted)
    with pytest.raises(KeyboardInterrupt):
        work()
    assert (place(), sys.get_asyncgen_hooks()) == (host, hooks)
