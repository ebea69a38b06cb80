"""Sources over iterables, and the sinks that keep no state."""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from tests.patience import PATIENCE

from perdure.connectors.base import SinkState, Source, SourceItem
from perdure.connectors.iterable import (
    CallableSink,
    IterableSource,
    ListSink,
    as_sink,
    as_source,
)
from perdure.connectors.jsonl import JsonlSource
from perdure.errors import ConfigurationError, InputError, SinkError
from perdure.run import Output, RunStatus


async def read(source: Source, limit: int | None = None) -> list[SourceItem]:
    items: list[SourceItem] = []
    stream = source.open()
    try:
        async for item in stream:
            items.append(item)
            if len(items) == limit:
                break
    finally:
        await stream.aclose()
    return items


def outputs(count: int) -> list[Output]:
    return [Output(value=n, key="k", run_id=f"r{n}", id=f"r{n}-0") for n in range(count)]


def test_list_is_numbered_from_zero_and_can_be_read_again() -> None:
    source = as_source(["a", "b"])
    expected = [SourceItem(0, "a"), SourceItem(1, "b")]
    assert asyncio.run(read(source)) == expected
    assert asyncio.run(read(source)) == expected


def test_async_iterable() -> None:
    async def values() -> AsyncIterator[int]:
        for n in range(3):
            await asyncio.sleep(0)
            yield n

    assert [r.value for r in asyncio.run(read(as_source(values())))] == [0, 1, 2]


def test_iterator_read_twice_is_an_error_and_not_an_empty_source() -> None:
    source = as_source(iter([1, 2]))
    assert len(asyncio.run(read(source))) == 2
    with pytest.raises(InputError, match="read already"):
        asyncio.run(read(source))


def test_g20_endless_iterable_is_read_only_as_far_as_asked() -> None:
    counter = itertools.count()
    items = asyncio.run(read(IterableSource(counter), limit=1000))
    assert items[-1] == SourceItem(999, 999)
    assert next(counter) == 1000


def test_endless_iterable_lets_the_loop_run() -> None:
    async def main() -> int:
        task = asyncio.create_task(read(IterableSource(itertools.count()), limit=10**9))
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return 1

    assert asyncio.run(asyncio.wait_for(main(), PATIENCE)) == 1


def test_error_of_the_iterable_reaches_the_reader_after_the_items_before_it() -> None:
    def values() -> Iterator[int]:
        yield 1
        raise KeyError("broken feed")

    async def main() -> list[Any]:
        seen: list[Any] = []
        with pytest.raises(KeyError, match="broken feed"):
            async for item in as_source(values()).open():
                seen.append(item.value)
        return seen

    assert asyncio.run(main()) == [1]


@pytest.mark.parametrize("inputs", ["reviews.jsonl", b"x", {"id": 1}, 7, None])
def test_what_is_no_sequence_of_inputs_is_refused(inputs: Any) -> None:
    with pytest.raises(InputError, match="give a"):
        as_source(inputs)


def test_source_is_taken_as_it_is() -> None:
    source = IterableSource([])
    assert as_source(source) is source


def test_list_sink_keeps_the_order() -> None:
    async def main() -> list[Output]:
        sink = ListSink()
        assert await sink.open(None) == SinkState(0, 0)
        await sink.write(outputs(2))
        await sink.close()
        return sink.outputs

    assert asyncio.run(main()) == outputs(2)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_callable_sink(asynchronous: bool) -> None:
    seen: list[Output] = []

    async def deliver_later(output: Output) -> None:
        await asyncio.sleep(0)
        seen.append(output)

    sink = as_sink(deliver_later if asynchronous else seen.append)
    assert not sink.transactional
    asyncio.run(sink.write(outputs(3)))
    assert seen == outputs(3)


def test_g4_failing_callable_sink_names_the_output() -> None:
    def deliver(output: Output) -> None:
        if output.value == 1:
            raise OSError("no route")

    with pytest.raises(SinkError, match=r"output r1-0 of key 'k': OSError: no route") as caught:
        asyncio.run(CallableSink(deliver).write(outputs(3)))
    assert isinstance(caught.value.__cause__, OSError)


class Untold(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no text")


class Foreign(BaseException):
    pass


@pytest.mark.parametrize("raised", [Untold(), Foreign("no"), SystemExit(3), GeneratorExit("no")])
def test_whatever_a_sink_raises_is_a_sink_error(raised: BaseException) -> None:
    def deliver(output: Output) -> None:
        raise raised

    name = type(raised).__name__
    with pytest.raises(SinkError, match=rf"output r0-0 of key 'k': {name}: ") as caught:
        asyncio.run(CallableSink(deliver).write(outputs(1)))
    assert caught.value.__cause__ is raised


def test_what_ends_the_process_or_the_delivery_leaves_a_sink_as_it_is() -> None:
    async def main(raised: BaseException) -> None:
        def deliver(output: Output) -> None:
            raise raised

        with pytest.raises(type(raised)):
            await CallableSink(deliver).write(outputs(1))

    for raised in (KeyboardInterrupt(), asyncio.CancelledError()):
        asyncio.run(main(raised))


def test_a_delivery_that_is_done_away_with_is_no_fault_of_the_sink() -> None:
    async def deliver(output: Output) -> None:
        await asyncio.get_running_loop().create_future()

    async def main() -> None:
        delivery = CallableSink(deliver).write(outputs(1))

        async def begin() -> None:
            delivery.send(None)

        await asyncio.create_task(begin())
        with pytest.raises(GeneratorExit):
            delivery.throw(GeneratorExit())

    asyncio.run(main())


def yields(output: Output) -> Iterator[None]:
    yield


async def yields_later(output: Output) -> AsyncIterator[None]:
    yield


class Yields:
    def __call__(self, output: Output) -> Iterator[None]:
        yield


@pytest.mark.parametrize(
    ("sink", "name"),
    [
        (yields, "yields"),
        (yields_later, "yields_later"),
        (functools.partial(yields), "yields"),
        (Yields(), "Yields"),
    ],
)
def test_a_generator_function_is_no_sink(sink: Any, name: str) -> None:
    with pytest.raises(SinkError, match=rf"sink .*{name}.* is a generator function"):
        as_sink(sink)


def test_a_decorator_that_runs_a_generator_makes_a_sink_of_it() -> None:
    @functools.wraps(yields)
    def runs(output: Output) -> None:
        list(yields(output))

    assert isinstance(as_sink(runs), CallableSink)


@pytest.mark.parametrize("sink", [yields, yields_later])
def test_a_generator_that_a_sink_returns_is_its_failure(sink: Any) -> None:
    with pytest.raises(SinkError, match="output r0-0 of key 'k': it returned a generator"):
        asyncio.run(CallableSink(lambda output: sink(output)).write(outputs(1)))


@pytest.mark.parametrize("policy", ["Stop", "skip ", "raise", None, True, ["skip"]])
def test_what_becomes_of_bad_lines_is_one_of_two(policy: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"on_bad_line=.* is none of stop, skip"):
        IterableSource([1], on_bad_line=policy)
    with pytest.raises(ConfigurationError, match=r"on_bad_line=.* is none of stop, skip"):
        JsonlSource("in.jsonl", on_bad_line=policy)


def test_what_is_no_sink_is_refused() -> None:
    with pytest.raises(SinkError, match="sink is a str"):
        as_sink("out.jsonl")


def test_final_statuses() -> None:
    final = {status for status in RunStatus if status.is_final}
    assert final == {RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELLED}
