"""Results are let go when the action lets them go, live and on replay, however large they are."""

from __future__ import annotations

import dataclasses
import weakref
from typing import Any

import pytest
from tests.promises.support import ONE, State, config_of, crash_and_resume, hold, out, pick

from perdure.journal.record import Record, RecordKind
from perdure.runtime.action.runner import ActionRunner


@dataclasses.dataclass
class Page:
    """A large result that can be watched."""

    number: int
    text: str


async def read(number: int) -> Page:
    State.calls.append(number)
    return Page(number, "x" * 70_000)


async def fails(number: int) -> Page:
    State.calls.append(number)
    raise LookupError("x" * 5_000, b"y" * 70_000)


class Watched:
    """The results that an action has let go, and whether they are gone."""

    def __init__(self) -> None:
        self.seen: list[weakref.ref[Page]] = []

    def alive(self, page: Page) -> int:
        """Say how many of the results before `page` are still in memory."""
        alive = sum(reference() is not None for reference in self.seen)
        self.seen.append(weakref.ref(page))
        return alive


def test_g5_results_are_let_go_live_and_on_replay(kind: str, store: str) -> None:
    async def go(event: Any, ctx: Any) -> None:
        watched, alive = Watched(), []
        for number in range(5):
            page = await ctx.durable_execute_async(read, number)
            alive.append(watched.alive(page))
            assert (page.number, len(page.text)) == (number, 70_000)
            del page
        [failed] = await ctx.gather(ctx.durable_execute_async(fails, 5))
        await ctx.durable_execute_async(hold)
        out(ctx, [alive, type(failed.error).__name__, len(failed.error.args[1])])

    def go_plain(event: Any, ctx: Any) -> None:
        watched, alive = Watched(), []
        for number in range(5):
            page = ctx.durable_execute_async(read, number).result()
            alive.append(watched.alive(page))
            assert (page.number, len(page.text)) == (number, 70_000)
            del page
        [failed] = ctx.gather(ctx.durable_execute_async(fails, 5))
        ctx.durable_execute_async(hold).result()
        out(ctx, [alive, type(failed.error).__name__, len(failed.error.args[1])])

    agent = pick(kind, go, go_plain)
    [(alive, error, size)] = crash_and_resume(agent, ONE, store=store, config=config_of(kind))
    assert (error, size) == ("LookupError", 70_000)
    assert max(alive) <= 2  # of five: the last ones may still be on their way out
    assert State.calls == [0, 1, 2, 3, 4, 5]


def test_g6_a_replay_reads_a_large_outcome_when_it_feeds_it(
    kind: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[tuple[int, int]] = []
    feed = ActionRunner._feed

    def watched(runner: ActionRunner, record: Record) -> bool:
        if record.kind == RecordKind.RESULT:
            fed.append((record.call, len(record.payload or b"")))
        return feed(runner, record)

    monkeypatch.setattr(ActionRunner, "_feed", watched)

    async def go(event: Any, ctx: Any) -> None:
        pages = [await ctx.durable_execute_async(read, number) for number in range(2)]
        await ctx.durable_execute_async(hold)
        out(ctx, [len(page.text) for page in pages])

    def go_plain(event: Any, ctx: Any) -> None:
        pages = [ctx.durable_execute_async(read, number).result() for number in range(2)]
        ctx.durable_execute_async(hold).result()
        out(ctx, [len(page.text) for page in pages])

    agent = pick(kind, go, go_plain)
    assert crash_and_resume(agent, ONE, store=store, config=config_of(kind)) == [[70_000] * 2]
    # Each comes twice: what stands for it, then itself.
    assert [call for call, _ in fed] == [1, 1, 2, 2]
    assert [size > 70_000 for _, size in fed] == [False, True, False, True]
