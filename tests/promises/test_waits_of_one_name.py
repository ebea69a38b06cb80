"""Several waits for one name, and answers to them: each answer is for one wait, oldest first."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.promises.legs import KINDS, Legs, agent_for, go, results, until
from tests.promises.support import out

from perdure import LocalEngine, PerdureError
from perdure.operate import control
from perdure.operate.history import blocking
from perdure.run.approval import Approval
from perdure.runtime.shared import later

HOUR = 3600 * 10**9  # ns


def asks_at_once(event: Any, ctx: Any) -> Any:
    waits = [ctx.wait_for_approval("refund", f"Pay {n} back?") for n in range(3)]
    said = []
    for wait in waits:
        said.append((yield wait))
    out(ctx, [each.by for each in said])


def asks_between(event: Any, ctx: Any) -> Any:
    yield ctx.wait_for_signal("go")
    said = yield ctx.wait_for_approval("refund", "Pay?")
    yield ctx.wait_for_signal("end")
    out(ctx, said.by)


def asked(engine: LocalEngine) -> list[str | None]:
    return [each.question for each in engine.waits() if each.kind == "approval"]


@pytest.mark.parametrize("kind", KINDS)  # without continuations it waits for one after the other
def test_g27_waits_of_one_action_for_one_name_get_an_answer_each_in_their_order(
    kind: str, store: str
) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, asks_at_once)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: len(asked(legs.engine)) == 3)
            await run.approve("refund", by="ann")
            await until(lambda: asked(legs.engine) == ["Pay 1 back?", "Pay 2 back?"])
            legs.engine.approve(run.id, by="bob")
            await until(lambda: asked(legs.engine) == ["Pay 2 back?"])
            await run.approve(by="cid", approved=False)
            with pytest.raises(
                PerdureError, match=r"answered already: no by cid|completed already"
            ):
                legs.engine.approve(run.id, "refund", by="dan")
            assert await results(run) == [["ann", "bob", "cid"]]

    go(test)


@pytest.mark.parametrize("kind", KINDS)
def test_g27_answers_that_come_at_once_are_for_one_wait_each(kind: str, sqlite: str) -> None:
    async def test() -> None:
        legs = Legs(sqlite, kind)
        async with legs.crashing(agent_for(kind, asks_at_once)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: len(asked(legs.engine)) == 3)
        for by in ("ann", "bob", "cid"):
            legs.engine.approve(run.id, by=by)
        with pytest.raises(PerdureError, match="answered already: yes by cid"):
            legs.engine.approve(run.id, by="dan")
        async with legs.opened(agent_for(kind, asks_at_once)) as job:
            assert await results(job.run(run.id)) == [["ann", "bob", "cid"]]

    go(test)


def test_g27_a_wait_is_gone_with_the_record_of_its_answer(
    kind: str, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the store is told nothing else of waits, in this process or the next."""

    async def test() -> None:
        legs = Legs(sqlite, kind)
        async with legs.crashing(agent_for(kind, asks_between)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: run.waits)
            await run.signal("go")
            await until(lambda: asked(legs.engine) == ["Pay?"])
            monkeypatch.setattr(later, "MOMENT", HOUR)
        legs.engine.approve(run.id, by="ann")
        async with legs.opened(agent_for(kind, asks_between)) as job:
            run = job.run(run.id)
            await until(lambda: [wait.name for wait in run.waits] == ["end"])
            with pytest.raises(PerdureError, match="answered already: yes by ann"):
                legs.engine.approve(run.id, "refund")
            again = await job.submit({}, key="b")
            await again.signal("go")
            await until(lambda: [wait.name for wait in again.waits] == ["refund"])
            await again.approve(by="bob")  # which has the store told of the wait before
            await until(lambda: [wait.name for wait in again.waits] == ["end"])
            assert asked(legs.engine) == []
            with pytest.raises(PerdureError, match="answered already: yes by bob"):
                legs.engine.approve(again.id, "refund")
            for each in (run, again):
                await each.signal("end")
            assert await results(run) == ["ann"]

    go(test)


def test_g27_a_wait_that_an_early_answer_is_none_for_is_told(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, asks_between)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: run.waits)
            for said in ("maybe", "perhaps"):
                await run.signal("refund", said)
            await run.signal("go")
            await until(lambda: asked(legs.engine) == ["Pay?"])
            await run.approve(by="ann")
            await run.signal("end")
            assert await results(run) == ["ann"]

    go(test)


def asks_again(event: Any, ctx: Any) -> Any:
    said = []
    for amount in (10, 1000):
        answer = yield ctx.wait_for_approval("pay", f"Pay {amount}?")
        said.append(answer.by)
    out(ctx, said)


def test_g27_who_is_told_of_is_who_counted(kind: str, sqlite: str) -> None:
    async def test() -> None:
        legs = Legs(sqlite, kind)
        async with legs.crashing(agent_for(kind, asks_again)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: asked(legs.engine) == ["Pay 10?"])
        for said in ({"approved": False, "by": "ann"}, {"approved": True, "by": "bob"}):
            legs.engine.signal(run.id, "pay", said)
        with pytest.raises(PerdureError, match="answered already: no by ann"):
            legs.engine.approve(run.id, by="cid")
        async with legs.opened(agent_for(kind, asks_again)) as job:
            assert await results(job.run(run.id)) == [["ann", "bob"]]

    go(test)


def asks_two_names(event: Any, ctx: Any) -> Any:
    for name in ("pay", "ship"):
        yield ctx.wait_for_approval(name, f"{name}?")
    yield ctx.wait_for_signal("end")


def test_g27_who_gives_no_name_is_told_of_the_newest_that_was_answered(
    kind: str, store: str
) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, asks_two_names)) as job:
            run = await job.submit({}, key="a")
            for name in ("pay", "ship"):
                await until(lambda name=name: name in [wait.name for wait in run.waits])
                await run.approve(by="ann")
            await until(lambda: [wait.name for wait in run.waits] == ["end"])
            with pytest.raises(PerdureError, match="'ship' has been answered already: yes by ann"):
                await run.approve(by="bob")
            await run.signal("end")

    go(test)


def asks_for_the_next(event: Any, ctx: Any) -> Any:
    said = []
    for name in ("pay", "ship"):
        answer = yield ctx.wait_for_approval(name, f"{name}?")
        said.append(answer.by)
    out(ctx, said)


@pytest.mark.parametrize("name", ["pay", None])
def test_g27_of_two_who_answer_at_the_same_moment_the_first_counts(
    kind: str, name: str | None, store: str
) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, asks_again)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: run.waits)
            answers = [run.approve(name, by=by) for by in ("ann", "bob", "cid")]
            first, *late = await asyncio.gather(*answers, return_exceptions=True)
            assert first == "pay"
            for each in late:
                assert isinstance(each, PerdureError)
                assert "'pay' has been answered already: yes by ann" in str(each)
            await until(lambda: [wait.question for wait in run.waits] == ["Pay 1000?"])
            await run.approve(by="dan")
            assert await results(run) == [["ann", "dan"]]

    go(test)


def test_g27_an_answer_without_a_name_is_not_for_what_is_asked_after_it(
    kind: str, store: str
) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, asks_for_the_next)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: run.waits)
            answers = [run.approve(by=by) for by in ("ann", "bob", "cid")]
            first, *late = await asyncio.gather(*answers, return_exceptions=True)
            assert first == "pay"
            assert all("'pay' has been answered already: yes by ann" in str(each) for each in late)
            await until(lambda: [wait.name for wait in run.waits] == ["ship"])
            await run.approve(by="dan")
            assert await results(run) == [["ann", "dan"]]

    go(test)


def asks_again_in_time(event: Any, ctx: Any) -> Any:
    with contextlib.suppress(TimeoutError):
        yield ctx.wait_for_approval("pay", "Pay?", timeout=0.05)
    said = yield ctx.wait_for_approval("pay", "Nobody answers: pay?")
    out(ctx, said.by)


def test_g27_an_answer_is_not_for_what_was_asked_after_the_time_was_over(
    kind: str, store: str
) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, asks_again_in_time)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: run.waits)
            shown = run.waits
            await until(lambda: asked(legs.engine) == ["Nobody answers: pay?"])
            with legs.engine._history() as history:
                of_job = history.job(job.name)
                late = (of_job, run.id, "pay", Approval(approved=True), shown)
                with pytest.raises(PerdureError, match="waits for the approval 'pay' no longer"):
                    blocking(control.approve)(history, *late)
            await run.approve(by="ann")
            assert await results(run) == ["ann"]

    go(test)


@pytest.mark.parametrize("other", ["through the inbox", "in its process"])
def test_g27_of_two_who_answer_at_the_same_moment_from_outside_the_first_counts(
    other: str, kind: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = control.checked_answer

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, asks_again)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: asked(legs.engine) == ["Pay 10?"])
            loop = asyncio.get_running_loop()

            def answered_by_bob() -> None:
                if other == "through the inbox":
                    legs.engine.approve(run.id, by="bob")
                else:
                    sending = run.approve(by="bob")
                    asyncio.run_coroutine_threadsafe(sending, loop).result(PATIENCE)

            async def checked(*given: Any) -> Any:
                found = await real(*given)
                if control.checked_answer is checked:  # who is checked first is last to send
                    monkeypatch.setattr(control, "checked_answer", real)
                    await asyncio.to_thread(answered_by_bob)
                return found

            monkeypatch.setattr(control, "checked_answer", checked)
            with pytest.raises(PerdureError, match="'pay' has been answered already: yes by bob"):
                await asyncio.to_thread(legs.engine.approve, run.id, by="ann")
            await until(lambda: [wait.question for wait in run.waits] == ["Pay 1000?"])
            await run.approve(by="dan")
            assert await results(run) == [["bob", "dan"]]

    go(test)
