"""What runs wait for from outside is told while they wait, and answers are yes, no or refused."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from tests.inside import executions_of, runtime_of
from tests.promises.legs import (
    KINDS,
    SECONDS,
    Legs,
    action_for,
    agent_for,
    go,
    has_kind,
    results,
    until,
)
from tests.promises.test_store_failures import Trouble

from perdure import (
    Agent,
    ConfigurationError,
    InputEvent,
    LocalEngine,
    OutputEvent,
    PerdureError,
    RunStatus,
    UnreadableAnswerError,
)
from perdure.journal.record import RecordKind
from perdure.operate.history import History
from perdure.run.approval import read_approval
from perdure.runtime import job_runtime
from perdure.runtime.action.open_waits import OpenWaits
from perdure.runtime.shared import later
from perdure.runtime.shared.world import World
from perdure.store.base import WaitRow
from perdure.store.group_commit import GroupCommit

COUNT = "SELECT count(*) FROM wait"
UNREADABLE = ["maybe", "", "yes please", 1, 0, None, [], {}, {"approved": "perhaps"}, {"ok": True},
              {"approved": True, "by": 5}, {"approved": True, "arguments": "none"},
              {"approved": True, "argument": {}}]  # fmt: skip
ANSWERS = [
    (True, True), ("YES", True), (" ok ", True), ("approved", True), ({"approved": "y"}, True),
    (False, False), ("no", False), ("N", False), ("false", False), ("Rejected", False),
    ({"approved": False}, False), ({"approved": "no", "comment": "not now"}, False),
]  # fmt: skip


def asks(event: Any, ctx: Any) -> Any:
    said = yield ctx.wait_for_approval("refund", "Pay 40 back?")
    ctx.send_event(OutputEvent(output=[said.approved, said.by, said.comment]))


def asks_twice(event: Any, ctx: Any) -> Any:
    first = ctx.wait_for_approval("first")
    second = ctx.wait_for_approval("second", timeout=3600)
    one = yield first
    other = yield second
    ctx.send_event(OutputEvent(output=[bool(one), bool(other)]))


def waits_then_asks(event: Any, ctx: Any) -> Any:
    yield ctx.wait_for_signal("go")
    said = yield ctx.wait_for_approval("refund")
    ctx.send_event(OutputEvent(output=bool(said)))


def asks_between(event: Any, ctx: Any) -> Any:
    yield ctx.wait_for_signal("go")
    said = yield ctx.wait_for_approval("refund")
    yield ctx.wait_for_signal("end")
    ctx.send_event(OutputEvent(output=bool(said)))


def waits_in(engine: LocalEngine) -> int:
    """Return how many rows the store has of waits."""
    with History.of(engine._store) as history:
        view: Any = history.awaited.view

        async def count() -> int:
            return await view._read(lambda: view._db.execute(COUNT).fetchone()[0])

        return history.wait(count())


async def output_of(run: Any) -> Any:
    (output,) = await asyncio.wait_for(run.outputs(), SECONDS)
    return output.value


def told(engine: LocalEngine) -> list[tuple[str, str, str, str | None]]:
    return [(each.run, each.name, each.kind, each.question) for each in engine.waits()]


def test_g27_a_wait_is_told_while_it_is_open(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, asks)) as job:
            run = await job.submit({}, key="a")
            wanted = [(run.id, "refund", "approval", "Pay 40 back?")]
            await until(lambda: told(legs.engine) == wanted)
            (wait,) = legs.engine.run_info(run.id).waits
            assert (wait.key, wait.action, wait.event) == ("a", "go", 0)
            assert wait == run.waits[0]
            assert await run.approve(by="ann", comment="fine") == "refund"
            assert await output_of(run) == [True, "ann", "fine"]
            assert told(legs.engine) == []
            assert run.waits == []

    go(test)


def says_between(event: Any, ctx: Any) -> Any:
    yield ctx.wait_for_signal("go")
    ctx.set_status("second")
    yield ctx.wait_for_signal("go2")


@pytest.mark.parametrize("kind", KINDS)
def test_g10_what_is_told_of_a_wait_is_told_of_no_run_that_was_cancelled(
    kind: str, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store fails the run within the moment in which its wait would be told."""
    monkeypatch.setattr(later, "MOMENT", 3600 * 10**9)

    async def test() -> None:
        legs = Legs(sqlite, kind)
        trouble = Trouble(has_kind(RecordKind.NOTE), after=True)
        async with legs.opened(agent_for(kind, says_between)) as job:
            run_ = await job.submit({}, key="a")
            await until(lambda: run_.status is RunStatus.WAITING)
            trouble.install(monkeypatch)
            await run_.signal("go")
            await until(lambda: trouble.failed and not executions_of(job))
            assert await run_.cancel()
            await runtime_of(job).caught_up()
            assert legs.engine.run_info(run_.id).status is RunStatus.CANCELLED
            assert legs.engine.waits() == []
        async with legs.opened(agent_for(kind, says_between)) as job:
            assert not await job.run(run_.id).signal("go2")

    go(test)


def waits_again(event: Any, ctx: Any) -> Any:
    for _ in range(20):
        yield ctx.wait_for_signal("go")
    ctx.send_event(OutputEvent(output="done"))


@pytest.mark.parametrize("kind", KINDS)
def test_a_wait_that_is_over_in_a_moment_costs_no_row(
    kind: str, store: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(later, "MOMENT", 3_600_000_000_000)

    async def test() -> None:
        legs = Legs(store, kind)
        written: list[str] = []
        add = GroupCommit.add

        def noted(self: GroupCommit, rows: Any, *rest: Any, **more: Any) -> None:
            written.extend(type(row).__name__ for row in rows)
            add(self, rows, *rest, **more)

        monkeypatch.setattr(GroupCommit, "add", noted)
        async with legs.opened(agent_for(kind, waits_again)) as job:
            run = await job.submit({}, key="a")
            for _ in range(20):
                await until(lambda: run.waits != [])
                await run.signal("go")
            assert await output_of(run) == "done"
            assert not {"WaitRow", "WaitEndRow"} & set(written)
            assert written.count("StatusRow") == 1  # the end

    go(test)


@pytest.mark.parametrize("name", ["refund", None])
def test_g27_an_answer_awaits_that_what_is_seen_is_durable(
    name: str | None, kind: str, store: str
) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        held = legs.hold_commits(lambda rows: any(isinstance(row, WaitRow) for row in rows))
        async with legs.opened(agent_for(kind, asks)) as job:
            run = await job.submit({}, key="a")
            await held.is_reached()
            assert [wait.name for wait in run.waits] == ["refund"]
            answers = [
                asyncio.create_task(run.approve(name, by="ann")),
                asyncio.create_task(job.approve(run.id, name, approved=False)),
            ]
            over, _ = await asyncio.wait(answers, timeout=0.2)  # as long as the row is held
            held.release()
            assert not over
            said = await asyncio.gather(*answers, return_exceptions=True)
            assert "refund" in said
            assert (await output_of(run))[0] in (True, False)

    go(test)


def test_g27_what_can_be_read_as_neither_is_refused_where_it_is_sent(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, asks)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: told(legs.engine) != [])
            for said in UNREADABLE:
                with pytest.raises(UnreadableAnswerError, match=f"{run.id} waits for the approval"):
                    await run.signal("refund", said)
                with pytest.raises(UnreadableAnswerError, match="the answer"):
                    legs.engine.signal(run.id, "refund", said)
            assert run.status is RunStatus.WAITING
            await run.signal("other", "maybe")  # nobody waits for an approval of this name
            await run.approve(approved=False)
            assert await output_of(run) == [False, None, None]

    go(test)


@pytest.mark.parametrize(("said", "approved"), ANSWERS)
def test_g27_answers_are_read_alike_everywhere(said: Any, approved: bool, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, "coroutine")
        async with legs.opened(agent_for("coroutine", asks)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: run.waits != [])
            await run.signal("refund", said)
            assert (await output_of(run))[0] is approved

    go(test)


def test_g27_an_early_answer_that_is_neither_is_dropped_at_the_wait(
    kind: str, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, waits_then_asks)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: run.waits != [])
            for said in ("maybe", 7, {"approved": True, "argument": {}}):
                await run.signal("refund", said)
            with caplog.at_level(logging.WARNING, "perdure"):
                await run.signal("go")
                await until(lambda: [wait.name for wait in run.waits] == ["refund"])
                await until(lambda: caplog.text.count("still waits for the approval") == 3)
            assert run.status is not RunStatus.COMPLETED
            await run.signal("refund", "no")
            assert await output_of(run) is False

    go(test)


def test_g27_an_answer_with_a_misspelt_key_is_told_which_one_is_meant() -> None:
    said = {"approved": True, "Argument": {"amount": 1}}
    with pytest.raises(UnreadableAnswerError, match=r"has 'Argument'.*did you mean 'arguments'"):
        read_approval(said)


def test_g6_an_answer_is_read_by_the_rules_that_its_action_began_by(
    kind: str, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of before, with a key that no answer has, was a yes, and stays one on replay."""

    async def test() -> None:
        legs = Legs(sqlite, kind)
        with monkeypatch.context() as before:
            before.setattr(job_runtime, "World", lambda: World(rules=1))
            async with legs.crashing(agent_for(kind, asks_between)) as job:
                run = await job.submit({}, key="a", id="i")
                await until(lambda: [wait.name for wait in run.waits] == ["go"])
                await run.signal("refund", {"approved": True, "argument": {}})
                await run.signal("go")
                await until(lambda: [wait.name for wait in run.waits] == ["end"])
        async with legs.opened(agent_for(kind, asks_between)) as job:
            run = await job.submit({}, key="a", id="i")
            await run.signal("end")
            assert await output_of(run) is True

    go(test)


def test_g27_an_early_answer_counts(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, waits_then_asks)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: run.waits != [])
            await run.signal("refund", "maybe")
            await run.signal("refund", "yes")
            await run.signal("go")
            assert await output_of(run) is True

    go(test)


@pytest.mark.parametrize("kind", KINDS)  # without continuations it waits for one after the other
def test_g27_the_first_answer_counts_and_the_second_is_told_who_gave_it(
    kind: str, store: str
) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, asks_twice)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: len(told(legs.engine)) == 2)
            with pytest.raises(ConfigurationError, match=r"2 approvals.*'first', 'second'"):
                await run.approve()
            await run.approve("first", by="ann", comment="once")
            for again in (run.approve("first"), job.approve(run.id, "first", approved=False)):
                with pytest.raises(PerdureError, match=r"answered already: yes by ann \(once\)"):
                    await again
            with pytest.raises(PerdureError, match="answered already: yes by ann"):
                legs.engine.approve(run.id, "first", by="bob")
            assert await run.approve(by="bob", approved=False) == "second"  # the one that is left
            assert await output_of(run) == [True, False]
            with pytest.raises(PerdureError, match="completed already"):
                legs.engine.approve(run.id)

    go(test)


@pytest.mark.parametrize("kind", KINDS)
def test_g27_two_actions_that_ask_by_one_name_get_an_answer_each(kind: str, store: str) -> None:
    async def test() -> None:
        legs = Legs(store, kind)
        waits = action_for(kind, asks)
        agent = (
            Agent().add_action("one", [InputEvent], waits).add_action("two", [InputEvent], waits)
        )
        async with legs.opened(agent) as job:
            run_ = await job.submit({}, key="a")
            await until(lambda: len(run_.waits) == 2)
            await run_.approve("refund", approved=True, by="Ada")
            await until(lambda: len(run_.waits) == 1)
            await run_.approve("refund", approved=False, by="Bob")
            with pytest.raises(PerdureError, match="answered already: no by Bob"):
                await run_.approve("refund", approved=True)
            assert await results(run_) == [[True, "Ada", None], [False, "Bob", None]]

    go(test)


def test_g27_waits_and_answers_outlive_the_process(kind: str, sqlite: str) -> None:
    async def test() -> None:
        legs = Legs(sqlite, kind)
        async with legs.crashing(agent_for(kind, waits_then_asks)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: run.waits != [])
            await run.signal("go")
            await until(lambda: [each[1] for each in told(legs.engine)] == ["refund"])
            since = legs.engine.waits()[0].since
        assert [each[1] for each in told(legs.engine)] == ["refund"]
        with pytest.raises(UnreadableAnswerError):
            legs.engine.signal(run.id, "refund", "maybe")
        async with legs.crashing(agent_for(kind, waits_then_asks)) as job:
            await until(lambda: [each[1] for each in told(legs.engine)] == ["refund"])
            assert legs.engine.waits()[0].since == since
        legs.engine.approve(run.id, by="ann")
        with pytest.raises(PerdureError, match="answered already: yes by ann"):
            legs.engine.approve(run.id, by="bob", approved=False)
        async with legs.opened(agent_for(kind, waits_then_asks)) as job:
            again = await job.submit({}, key="b")
            await again.cancel()
        assert legs.engine.run_info(run.id).status is RunStatus.COMPLETED
        assert told(legs.engine) == []

    go(test)


def test_g27_waits_are_written_again_only_where_they_differ(
    kind: str, sqlite: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    question = "Pay?"
    written: list[Any] = []
    write = OpenWaits._write

    def noted(waits: OpenWaits, rows: list[Any]) -> None:
        written.extend(rows)
        write(waits, rows)

    monkeypatch.setattr(OpenWaits, "_write", noted)

    def asks_this(event: Any, ctx: Any) -> Any:
        approval = ctx.wait_for_approval("refund", question)
        other = ctx.wait_for_signal("go")
        said = yield approval
        yield other
        ctx.send_event(OutputEvent(output=bool(said)))

    async def test() -> None:
        nonlocal question
        legs = Legs(sqlite, kind)

        async def life(asked: str) -> list[Any]:
            nonlocal question
            question = asked
            written.clear()
            async with legs.crashing(agent_for(kind, asks_this)) as job:
                run = await job.submit({}, key="a", id="a")
                await until(lambda: job.progress.waiting == 1)
                assert {wait.name for wait in run.waits} >= {"refund"}
                await until(lambda: asked in [each[3] for each in told(legs.engine)])
                return [*written]

        begun = await life("Pay?")
        assert begun
        assert await life("Pay?") == []
        (refund,) = [row for row in begun if isinstance(row, WaitRow) and row.name == "refund"]
        assert refund._replace(question="Really?") in await life("Really?")
        async with legs.opened(agent_for(kind, asks_this)) as job:
            run = await job.submit({}, key="a", id="a")
            await run.approve(by="ann")
            await run.signal("go")
            assert await output_of(run) is True
        assert waits_in(legs.engine) == 0

    go(test)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("end", ["cancelled", "failed", "timed out"])
def test_g27_a_wait_is_gone_however_its_action_ends(end: str, kind: str, store: str) -> None:
    def ends(event: Any, ctx: Any) -> Any:
        call = ctx.wait_for_approval("refund", timeout=0.05 if end == "timed out" else None)
        if end == "failed":
            yield ctx.sleep(0.05)
            raise ValueError("no")
        yield call

    async def test() -> None:
        legs = Legs(store, kind)
        async with legs.opened(agent_for(kind, ends)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: run.waits != [] or run.status.is_final)
            if end == "cancelled":
                await run.cancel()
            await asyncio.wait_for(run.wait(), SECONDS)
            assert told(legs.engine) == []
            assert waits_in(legs.engine) == 0  # not hidden because the run has ended, but gone

    go(test)


def test_a_signal_that_nobody_waits_for_is_kept_with_a_warning(
    store: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        legs = Legs(store, "coroutine")
        async with legs.opened(agent_for("coroutine", asks)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: told(legs.engine) != [])
            legs.engine.signal(run.id, "refnud", True)
            assert "waits for the approval 'refund', not for 'refnud'" in caplog.text
            await run.approve()
            await output_of(run)

    go(test)


@pytest.mark.parametrize("is_outside", [True, False])
def test_an_answer_under_a_name_that_nobody_waits_for_is_kept_with_a_warning(
    is_outside: bool, store: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        legs = Legs(store, "coroutine")
        async with legs.opened(agent_for("coroutine", asks)) as job:
            run = await job.submit({}, key="a")
            await until(lambda: told(legs.engine) != [])
            if is_outside:
                legs.engine.approve(run.id, "refnud")
            else:
                assert await run.approve("refnud") == "refnud"
            assert "waits for the approval 'refund', not for 'refnud'" in caplog.text
            caplog.clear()
            await run.approve()
            assert "refund" not in caplog.text
            await output_of(run)

    go(test)
