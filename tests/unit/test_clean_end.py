"""G24: what an action leaves behind is ended within it, and nothing is heard of it later."""

from __future__ import annotations

import asyncio
import gc
import logging
from typing import Any

import pytest
from tests.unit.action_driver import Driver, on_host

pytestmark = pytest.mark.usefixtures("no_blocking", "no_noise")


@on_host
async def test_g24_leftover_tasks_run_to_their_end() -> None:
    async def main(d: Driver) -> None:
        async def leftover(name: str) -> None:
            try:
                await d.call(name)
            finally:
                d.log.append(f"{name} stops")
                await asyncio.sleep(0)
                d.log.append(f"{name} stopped")

        for name in ("a", "b"):
            d.log.append(asyncio.create_task(leftover(name)))
        await asyncio.sleep(0)
        d.log.clear()

    driver = Driver(main).start()
    assert driver.log == ["a stops", "b stops", "a stopped", "b stopped"]
    assert driver.cancelled == ["a", "b"]
    assert driver.finished
    assert driver.error is None
    assert driver.loop.is_closed()


@on_host
async def test_g24_the_end_waits_for_a_call_of_a_finally_block() -> None:
    async def main(d: Driver) -> None:
        async def leftover() -> None:
            try:
                await d.call("a")
            finally:
                d.log.append(await d.call("undo"))

        task = asyncio.create_task(leftover())
        await asyncio.sleep(0)
        d.log.append(task.done())

    driver = Driver(main).start()
    assert not driver.finished
    driver.settle("undo", "undone")
    assert driver.log == [False, "undone"]
    assert driver.finished


@on_host
async def test_g24_a_task_started_while_ending_is_ended_too() -> None:
    async def main(d: Driver) -> None:
        async def stubborn() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                d.log.append(asyncio.create_task(asyncio.Event().wait()))

        task = asyncio.create_task(stubborn())
        await asyncio.sleep(0)
        assert not task.done()

    driver = Driver(main).start()
    assert driver.finished
    assert driver.log[0].cancelled()


@on_host
async def test_g24_open_generators_are_closed_in_the_order_of_their_creation() -> None:
    async def main(d: Driver) -> None:
        async def numbers(name: str) -> Any:
            try:
                while True:
                    yield 1
            finally:
                await asyncio.sleep(0)
                d.log.append(name)

        generators = [numbers(name) for name in ("a", "b", "c")]
        for generator in generators:
            await anext(generator)
        d.calls["generators"] = generators  # type: ignore[assignment]

    driver = Driver(main).start()
    assert driver.log == ["a", "b", "c"]
    assert driver.finished


@on_host
async def test_g24_a_dropped_generator_is_closed_within_the_action() -> None:
    async def main(d: Driver) -> None:
        async def numbers() -> Any:
            try:
                yield 1
                yield 2
            finally:
                d.log.append(asyncio.get_running_loop())

        async for _ in numbers():
            break
        gc.collect()

    driver = Driver(main).start()
    assert driver.log == [driver.loop]
    assert driver.finished


@on_host
async def test_g24_a_leftover_that_failed_is_logged_with_its_name(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(d: Driver) -> None:
        async def leftover() -> None:
            try:
                await d.call("a")
            finally:
                raise KeyError("lost")

        task = asyncio.create_task(leftover(), name="the-leftover")
        await asyncio.sleep(0)
        assert not task.done()

    with caplog.at_level(logging.ERROR, "perdure.action"):
        driver = Driver(main).start()
    assert driver.finished
    assert driver.error is None
    assert [record.message for record in caplog.records] == ["the-leftover: a leftover task failed"]
    assert "KeyError: 'lost'" in caplog.text


@on_host
async def test_a_closed_action_is_forgotten_without_noise() -> None:
    async def main(d: Driver) -> None:
        async def part(name: str) -> None:
            try:
                await d.call(name)
            finally:
                d.log.append(f"{name} closed")

        async with asyncio.TaskGroup() as group:
            group.create_task(part("a"))
            group.create_task(part("b"))

    driver = Driver(main).start()
    log = driver.log
    driver.context.close()
    assert sorted(log) == ["a closed", "b closed"]
    driver.turn(lambda: log.append("never"))
    assert "never" not in log
    del driver
    gc.collect()


@on_host
async def test_an_action_that_awaits_while_it_is_closed_is_dropped() -> None:
    async def main(d: Driver) -> None:
        try:
            await d.call("a")
        finally:
            await d.call("undo")

    driver = Driver(main).start()
    driver.context.close()
    assert driver.loop.is_closed()
    del driver
    gc.collect()


@on_host
async def test_an_action_that_broke_the_rules_ends_at_once() -> None:
    async def main(d: Driver) -> None:
        await d.call("a")

    driver = Driver(main).start()
    error = RuntimeError("divergence")
    driver.context.fail(error)
    assert driver.finished
    assert driver.error is error
    assert driver.loop.is_closed()
