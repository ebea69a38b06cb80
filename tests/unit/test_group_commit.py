"""GroupCommit: batches, the order of callbacks, failures (G25)."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.unit.action_driver import on_host

from perdure.errors import StoreDataError, StoreError
from perdure.executor import running
from perdure.journal.record import Record, RecordKind
from perdure.store import group_commit
from perdure.store.base import ActionStateStore, Row
from perdure.store.batch import are_written, begin
from perdure.store.group_commit import GroupCommit, StallWatcher

pytestmark = pytest.mark.usefixtures("no_blocking")


def row(n: int) -> Record:
    return Record(run=1, event=0, action="a", n=n, kind=RecordKind.RESULT)


class FakeStore(ActionStateStore):
    """Writes batches when the test says so.

    Attributes:
        batches: numbers of the rows of every batch asked for, in order.
        bad: rows that are refused as data.
        full: probes fail.
        probes: their sizes.
        log: what happened, together with what the test writes into it.
    """

    def __init__(self, *, by_hand: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.bad: set[int] = set()
        self.full = False
        self.probes: list[int] = []
        self.log: list[Any] = []
        self._by_hand = by_hand
        self._open: list[asyncio.Future[None]] = []

    def commit(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        numbers = [r.n for r in rows if isinstance(r, Record)]
        self.batches.append(numbers)
        self.log.append(("write", *numbers))
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self.bad.intersection(numbers):
            future.set_exception(StoreDataError("a row was refused"))
        elif self._by_hand:
            self._open.append(future)
        else:
            future.set_result(None)
        return future

    async def probe(self, size: int) -> None:
        self.log.append(("probe",))
        self.probes.append(size)
        if self.full:
            raise StoreError("disk full")

    async def answer(self, error: Exception | None = None) -> None:
        """Settle the oldest commit and let its callbacks run."""
        future = self._open.pop(0)
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
        await turns()

    def done(self, n: int) -> Callable[[StoreError | None], None]:
        return lambda error: self.log.append((n, type(error).__name__ if error else "ok"))

    @property
    def told(self) -> list[Any]:
        return [entry for entry in self.log if entry[0] not in ("write", "probe")]


# A group commit only writes; whatever reads is left out.
FakeStore.__abstractmethods__ = frozenset()  # type: ignore[attr-defined]


class Owner:
    dropped = False


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


class Pauses:
    """The pauses before probes, in the running loop: each is over when the test says so."""

    def __init__(self, store: FakeStore) -> None:
        self._store = store
        self._over: list[Callable[[], Any]] = []
        asyncio.get_running_loop().call_later = self._begin  # type: ignore[method-assign]

    def _begin(self, delay: float, over: Callable[[], Any], **more: Any) -> asyncio.Handle:
        assert delay > 0
        self._over.append(over)
        return asyncio.Handle(over, (), asyncio.get_running_loop())

    async def probed(self, times: int = 1) -> None:
        """Let the next pauses be over; return when the store has been probed after them."""
        for _ in range(times):
            wanted = len(self._store.probes) + 1
            while not self._over:
                await asyncio.sleep(0)
            self._over.pop()()
            assert not self._over, "one probe at a time"
            while len(self._store.probes) < wanted:
                await asyncio.sleep(0)
            await turns()


# Batches


@on_host
async def test_what_one_turn_adds_is_one_commit() -> None:
    store = FakeStore()
    commits = GroupCommit(store)
    for n in range(3):
        commits.add([row(n)], store.done(n))
    assert store.batches == []
    await commits.drain()
    assert store.batches == [[0, 1, 2]]
    assert commits.commits == 1
    assert store.told == [(0, "ok"), (1, "ok"), (2, "ok")]


@on_host
async def test_rows_join_those_added_last_until_these_are_written() -> None:
    store = FakeStore(by_hand=True)
    commits = GroupCommit(store)
    first, other = [row(1)], [row(3)]
    commits.add(first, store.done(1))
    assert commits.join(first, row(2))
    commits.add(other, store.done(3))
    assert not commits.join(first, row(4))  # it would overtake what came between
    assert not commits.join([], row(4))
    await turns()
    assert not commits.join(other, row(4))  # it is being written
    await store.answer()
    assert store.batches == [[1, 2, 3]]
    assert store.told == [(1, "ok"), (3, "ok")]  # once for all that joined
    assert not commits.join(other, row(4))


@on_host
async def test_while_one_batch_is_written_the_next_gathers() -> None:
    store = FakeStore(by_hand=True)
    commits = GroupCommit(store)
    commits.add([row(1)], store.done(1))
    await turns()
    commits.add([row(2)], store.done(2))
    await turns()
    commits.add([row(3)], store.done(3))
    await turns()
    assert store.batches == [[1]]
    await store.answer()
    assert store.batches == [[1], [2, 3]]
    assert store.told == [(1, "ok")]
    await store.answer()
    await commits.drain()
    assert store.told == [(1, "ok"), (2, "ok"), (3, "ok")]


@on_host
async def test_the_next_batch_is_written_while_callbacks_run() -> None:
    store = FakeStore(by_hand=True)
    commits = GroupCommit(store)
    commits.add([row(1)], store.done(1))
    await turns()
    commits.add([row(2)], store.done(2))
    await store.answer()
    assert store.log == [("write", 1), ("write", 2), (1, "ok")]
    await store.answer()


@on_host
async def test_what_a_callback_adds_is_written_too() -> None:
    store = FakeStore()
    commits = GroupCommit(store)

    def done(n: int) -> Callable[[StoreError | None], None]:
        def more(_: StoreError | None) -> None:
            store.log.append((n, "ok"))
            if n < 4:
                commits.add([row(n + 1)], done(n + 1))

        return more

    commits.add([row(1)], done(1))
    await commits.drain()
    assert store.batches == [[1], [2], [3], [4]]
    assert store.told == [(n, "ok") for n in range(1, 5)]


@on_host
async def test_rows_of_one_item_stay_together() -> None:
    store = FakeStore()
    commits = GroupCommit(store)
    commits.add([row(1), row(2)], store.done(1))
    commits.add([], store.done(2))
    await commits.drain()
    assert store.batches == [[1, 2]]
    assert store.told == [(1, "ok"), (2, "ok")]


@on_host
async def test_write_returns_when_rows_are_written() -> None:
    store = FakeStore(by_hand=True)
    commits = GroupCommit(store)
    writing = asyncio.ensure_future(commits.write([row(1)]))
    await turns()
    assert not writing.done()
    await store.answer()
    await writing
    failing = asyncio.ensure_future(commits.write([row(2)]))
    await turns()
    await store.answer(StoreError("full"))
    with pytest.raises(StoreError, match="full"):
        await failing


@on_host
async def test_a_cancelled_write_is_harmless() -> None:
    store = FakeStore(by_hand=True)
    commits = GroupCommit(store)
    writing = asyncio.ensure_future(commits.write([row(1)]))
    await turns()
    writing.cancel()
    await turns()
    commits.add([row(2)], store.done(2))
    await store.answer()
    await store.answer()
    await commits.drain()
    assert store.told == [(2, "ok")]


@on_host
async def test_an_idle_group_commit_is_drained_at_once() -> None:
    commits = GroupCommit(FakeStore())
    await asyncio.wait_for(commits.drain(), PATIENCE)
    assert commits.commits == 0


@on_host
async def test_drain_waits_for_the_last_callback() -> None:
    store = FakeStore(by_hand=True)
    commits = GroupCommit(store)
    commits.add([row(1)], store.done(1))
    await turns()
    drains = [asyncio.ensure_future(commits.drain()) for _ in range(2)]
    commits.add([row(2)], store.done(2))
    await store.answer()
    assert not any(drain.done() for drain in drains)
    await store.answer()
    await asyncio.gather(*drains)
    assert store.told == [(1, "ok"), (2, "ok")]


# A store that takes what is pending when it begins


@pytest.fixture
def each_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask for the next commit as soon as one item has gathered."""
    monkeypatch.setattr(group_commit, "GATHERED", 1)


class LateStore(FakeStore):
    """Looks at what it was asked for when the test says that it begins, and settles it later."""

    takes_late = True

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[Sequence[Row], asyncio.Future[None]]] = []

    def commit(self, rows: Sequence[Row]) -> asyncio.Future[None]:
        self.loops.append(asyncio.get_running_loop())
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.asked.append((rows, future))
        return future

    loops: list[Any] = []

    def begin(self) -> Sequence[Row]:
        """Begin with the oldest commit, as its writer does on a thread of its own."""
        rows = self.asked[0][0]
        if begin(rows):
            numbers = [r.n for r in rows if isinstance(r, Record)]
            self.batches.append(numbers)
            self.log.append(("write", *numbers))
        return rows

    def end(self, error: Exception | None = None, *, told: Exception | None = None) -> None:
        """End the oldest commit; its writer is told `told`, where that is something else."""
        rows, future = self.asked.pop(0)
        if error is None:
            are_written(rows)
        if error or told:
            future.set_exception(error or told)  # type: ignore[arg-type]
        else:
            future.set_result(None)


@pytest.mark.usefixtures("each_at_once")
@on_host
async def test_g11_the_writer_takes_what_is_pending_when_it_begins() -> None:
    store = LateStore()
    commits = GroupCommit(store)
    commits.add([row(1)], store.done(1), settles=True)
    await turns()
    store.begin()
    commits.add([row(2)], store.done(2), settles=True)  # asked for now, without a turn of the loop
    assert len(store.asked) == 2
    commits.add([row(3)], store.done(3), settles=True)
    assert len(store.asked) == 2
    store.end()
    store.begin()
    assert store.batches == [[1], [2, 3]]
    assert store.told == []  # all that without the loop
    commits.add([row(4)], store.done(4), settles=True)
    store.end()
    store.begin()
    store.end()
    await commits.drain()
    assert store.batches == [[1], [2, 3], [4]]
    assert store.told == [(n, "ok") for n in (1, 2, 3, 4)]
    assert commits.commits == 3


@on_host
async def test_g11_what_has_gathered_is_asked_for_in_the_step_that_brings_the_last_of_it() -> None:
    store = LateStore()
    commits = GroupCommit(store)
    commits.add([row(0)], store.done(0), settles=True)
    await turns()
    store.begin()
    for n in range(1, group_commit.GATHERED):
        commits.add([row(n)], store.done(n), settles=True)
    assert len(store.asked) == 1  # a quick disk would write each alone
    commits.add([row(99)], store.done(99), settles=True)
    assert len(store.asked) == 2
    store.end()
    store.begin()
    store.end()
    await commits.drain()
    assert store.batches == [[0], [*range(1, group_commit.GATHERED), 99]]


@on_host
async def test_what_says_of_no_call_what_it_came_to_gathers_until_the_commit_is_over() -> None:
    store = LateStore()
    commits = GroupCommit(store)
    commits.add([row(0)], store.done(0))
    await turns()
    store.begin()
    many = range(1, 3 * group_commit.GATHERED)
    for n in many:
        commits.add([row(n)], store.done(n))
    assert len(store.asked) == 1
    store.end()
    await turns()
    store.begin()
    store.end()
    await commits.drain()
    assert store.batches == [[0], [*many]]


@on_host
async def test_what_has_not_gathered_is_asked_for_once_the_commit_before_is_over() -> None:
    store = LateStore()
    commits = GroupCommit(store)
    commits.add([row(1)], store.done(1), settles=True)
    await turns()
    store.begin()
    commits.add([row(2)], store.done(2), settles=True)
    store.end()
    await turns()
    assert store.told == [(1, "ok")]
    store.begin()
    store.end()
    await commits.drain()
    assert store.batches == [[1], [2]]


@pytest.mark.usefixtures("each_at_once")
@on_host
async def test_g25_an_interrupt_in_the_middle_of_a_commit_is_told_of_and_goes_on() -> None:
    store = LateStore()
    commits = GroupCommit(store)
    commits.add([row(1)], store.done(1), settles=True)
    await turns()
    store.begin()
    asked = store.commit
    store.commit = interrupted  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        commits.add([row(2)], store.done(2), settles=True)
    store.commit = asked  # type: ignore[method-assign]
    assert store.told == []  # whoever adds has not gone on
    store.end()
    await commits.drain()
    assert store.told == [(1, "ok"), (2, "StoreError")]


def interrupted(rows: Sequence[Row]) -> asyncio.Future[None]:
    raise KeyboardInterrupt


@pytest.mark.usefixtures("each_at_once")
@on_host
async def test_a_commit_that_finds_nothing_pending_writes_nothing() -> None:
    store = LateStore()
    commits = GroupCommit(store)
    owner = Owner()
    commits.add([row(1)], store.done(1), settles=True)
    await turns()
    store.begin()
    commits.add([row(2)], store.done(2), owner, settles=True)
    owner.dropped = True
    store.end()
    assert not store.begin()
    store.end()
    await commits.drain()
    commits.add([row(3)], store.done(3), settles=True)
    await turns()
    store.begin()
    store.end()
    await commits.drain()
    assert store.batches == [[1], [3]]
    assert store.told == [(1, "ok"), (3, "ok")]
    assert commits.commits == 2


@pytest.mark.usefixtures("each_at_once")
@pytest.mark.parametrize("begun", [False, True], ids=["before it begins", "after it has begun"])
@on_host
async def test_g25_nothing_overtakes_a_commit_that_failed(begun: bool) -> None:
    store = LateStore()
    commits = GroupCommit(store)
    for n in (1, 2):
        commits.add([row(n)], store.done(n), settles=True)
    await turns()
    store.begin()
    commits.add([row(3)], store.done(3), settles=True)
    store.end(StoreDataError("refused"))
    if begun:  # before anybody has heard of the failure
        assert not store.begin()
        store.end()
        await turns()
    else:
        await turns()
        assert not store.begin()
        store.end()
    await turns()
    for _ in range(2):  # one by one
        numbers = [r.n for r in store.asked[0][0] if isinstance(r, Record)]
        store.log.append(("write", *numbers))
        store.end()
        await turns()
    store.begin()
    store.end()
    await commits.drain()
    assert store.log == [
        ("write", 1, 2), ("write", 1), (1, "ok"), ("write", 2), (2, "ok"), ("write", 3), (3, "ok"),
    ]  # fmt: skip


@pytest.mark.usefixtures("each_at_once")
@on_host
async def test_g25_what_was_written_behind_a_commit_that_seemed_to_fail_is_told() -> None:
    store = LateStore()
    pauses = Pauses(store)
    commits = GroupCommit(store)
    commits.add([row(1)], store.done(1), settles=True)
    await turns()
    store.begin()
    commits.add([row(2)], store.done(2), settles=True)
    store.end(told=StoreError("the answer was lost"))
    store.begin()
    store.end()
    await turns()
    assert store.told == [(1, "StoreError"), (2, "ok")]
    commits.add([row(3)], store.done(3), settles=True)
    await pauses.probed()
    store.begin()
    store.end()
    await commits.drain()
    assert store.batches == [[1], [2], [3]]
    assert not commits.stalled


@pytest.mark.usefixtures("each_at_once")
@on_host
async def test_g25_a_later_commit_is_not_told_before_an_earlier_one() -> None:
    store = LateStore()
    commits = GroupCommit(store)
    commits.add([row(1)], store.done(1), settles=True)
    await turns()
    store.begin()
    commits.add([row(2)], store.done(2), settles=True)
    store.asked.pop()[1].set_result(None)  # it has not even looked at its rows
    await turns()
    assert store.told == []
    store.end()
    await commits.drain()
    assert store.told == [(1, "ok"), (2, "ok")]


@pytest.mark.usefixtures("each_at_once")
@on_host
async def test_a_turn_of_an_action_asks_with_the_host_loop_and_hears_of_nothing() -> None:
    store, host = LateStore(), asyncio.get_running_loop()
    store.loops = []
    commits = GroupCommit(store, running.as_loop(host))
    commits.add([row(1)], store.done(1), settles=True)
    await turns()
    store.begin()
    other = asyncio.new_event_loop()
    before = running.enter(other)
    try:
        commits.add([row(2)], store.done(2), settles=True)
        store.end()
        store.begin()
        store.end()
        assert store.told == []
    finally:
        running.leave(before)
        other.close()
    assert store.loops == [host, host]
    await commits.drain()
    assert store.told == [(1, "ok"), (2, "ok")]


# Slices


async def told_of_twelve(nanoseconds: int) -> list[Any]:
    """What was told, in order: the host, and the callbacks of a commit, which take so long each."""
    store, passed, host = FakeStore(), 0, asyncio.get_running_loop()
    commits = GroupCommit(store, monotonic=lambda: passed)

    def slow(n: int) -> Callable[[StoreError | None], None]:
        def done(_: StoreError | None) -> None:
            nonlocal passed
            store.log.append((n, "ok"))
            if n == 0:
                host.call_soon(store.log.append, ("host", "had its turn"))
            passed += nanoseconds

        return done

    for n in range(12):
        commits.add([row(n)], slow(n))
    await commits.drain()
    await asyncio.sleep(0)
    return [n for n, _ in store.told]


@on_host
async def test_callbacks_that_take_long_give_the_host_its_turn() -> None:
    told = await told_of_twelve(1_000_000)
    assert [n for n in told if n != "host"] == list(range(12))
    assert 0 < told.index("host") < 12


@on_host
async def test_callbacks_that_take_no_time_are_told_at_once() -> None:
    assert await told_of_twelve(0) == [*range(12), "host"]


@on_host
async def test_slices_of_many_batches_stay_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "SLICE_SECONDS", 0.0)
    store = FakeStore()
    commits = GroupCommit(store)
    for n in range(50):
        commits.add([row(n)], store.done(n), settles=True)
        if n % 7 == 0:
            await asyncio.sleep(0)
    await commits.drain()
    assert store.told == [(n, "ok") for n in range(50)]


# Failures


@on_host
async def test_g25_all_of_a_failed_batch_are_told_before_anything_else_is_written() -> None:
    store = FakeStore(by_hand=True)
    pauses = Pauses(store)
    commits = GroupCommit(store)
    for n in (1, 2):
        commits.add([row(n)], store.done(n), settles=True)
    await turns()
    commits.add([row(3)], store.done(3), settles=True)
    await store.answer(StoreError("disk full"))
    assert store.log == [("write", 1, 2), (1, "StoreError"), (2, "StoreError")]
    await pauses.probed()
    assert store.log[3:] == [("probe",), ("write", 3)]
    await store.answer()
    await commits.drain()
    assert store.told[-1] == (3, "ok")


@on_host
async def test_g25_later_rows_of_a_failed_owner_are_dropped() -> None:
    store = FakeStore(by_hand=True)
    pauses = Pauses(store)
    commits = GroupCommit(store)
    owner, other = Owner(), Owner()

    def failed(error: StoreError | None) -> None:
        store.log.append((1, type(error).__name__))
        owner.dropped = True

    commits.add([row(1)], failed, owner)
    commits.add([row(2)], store.done(2), owner, settles=True)
    await turns()
    commits.add([row(3)], store.done(3), owner, settles=True)
    commits.add([row(4)], store.done(4), other)
    await store.answer(StoreError("disk full"))
    await pauses.probed()
    await store.answer()
    await commits.drain()
    assert store.batches == [[1, 2], [4]]
    assert store.told == [(1, "StoreError"), (4, "ok")]


@on_host
async def test_g25_an_error_of_another_kind_becomes_a_store_error() -> None:
    store = FakeStore(by_hand=True)
    commits = GroupCommit(store)
    writing = asyncio.ensure_future(commits.write([row(1)]))
    await turns()
    await store.answer(ConnectionResetError("gone"))
    with pytest.raises(StoreError, match="the store failed: ConnectionResetError: gone") as caught:
        await writing
    assert isinstance(caught.value.__cause__, ConnectionResetError)


@on_host
async def test_g25_only_the_culprit_of_a_refused_batch_fails() -> None:
    store = FakeStore()
    store.bad = {2}
    commits = GroupCommit(store)
    for n in (1, 2, 3):
        commits.add([row(n)], store.done(n), settles=True)
    await commits.drain()
    assert store.batches == [[1, 2, 3], [1], [2], [3]]
    assert store.told == [(1, "ok"), (2, "StoreDataError"), (3, "ok")]


@on_host
async def test_g25_a_culprit_alone_is_not_written_twice() -> None:
    store = FakeStore()
    store.bad = {1}
    commits = GroupCommit(store)
    commits.add([row(1)], store.done(1), settles=True)
    await commits.drain()
    assert store.batches == [[1]]
    assert store.told == [(1, "StoreDataError")]


@on_host
async def test_g25_what_follows_a_culprit_of_the_same_owner_is_dropped() -> None:
    store = FakeStore()
    store.bad = {1}
    commits = GroupCommit(store)
    owner = Owner()

    def failed(error: StoreError | None) -> None:
        store.log.append((1, type(error).__name__))
        owner.dropped = True

    commits.add([row(1)], failed, owner)
    commits.add([row(2)], store.done(2), owner, settles=True)
    commits.add([row(3)], store.done(3), settles=True)
    await commits.drain()
    assert store.batches == [[1, 2, 3], [1], [3]]
    assert store.told == [(1, "StoreDataError"), (3, "ok")]


@on_host
async def test_g25_what_gathered_meanwhile_comes_after_the_search_for_a_culprit() -> None:
    store = FakeStore()
    store.bad = {1}
    commits = GroupCommit(store)
    commits.add([row(1)], store.done(1), settles=True)
    commits.add([row(2)], lambda _: commits.add([row(4)], store.done(4), settles=True))
    await asyncio.sleep(0)
    commits.add([row(3)], store.done(3), settles=True)
    await commits.drain()
    assert store.batches == [[1, 2], [1], [2], [3, 4]]
    assert store.told == [(1, "StoreDataError"), (3, "ok"), (4, "ok")]


# Dropped owners


@on_host
async def test_nothing_of_a_dropped_owner_is_written_or_called_back() -> None:
    store = FakeStore(by_hand=True)
    commits = GroupCommit(store)
    owner, other = Owner(), Owner()
    commits.add([row(1)], store.done(1), owner, settles=True)
    commits.add([row(2)], store.done(2), other)
    await turns()
    commits.add([row(3)], store.done(3), owner, settles=True)
    commits.add([row(4)], store.done(4), other)
    owner.dropped = True
    await store.answer()
    await store.answer()
    await commits.drain()
    assert store.batches == [[1, 2], [4]]
    assert store.told == [(2, "ok"), (4, "ok")]


@on_host
async def test_only_dropped_items_need_no_commit() -> None:
    store = FakeStore()
    commits = GroupCommit(store)
    owner = Owner()
    commits.add([row(1)], store.done(1), owner, settles=True)
    owner.dropped = True
    await commits.drain()
    assert store.log == []
    commits.add([row(2)], store.done(2), settles=True)
    await commits.drain()
    assert store.log == [("write", 2), (2, "ok")]


@on_host
async def test_variables_of_a_writer_are_not_seen_by_what_is_told() -> None:
    span: contextvars.ContextVar[str] = contextvars.ContextVar("span", default="none")
    commits = GroupCommit(FakeStore())
    seen: list[str] = []

    async def writer() -> None:
        span.set("the writer's")
        commits.add([row(1)], lambda error: seen.append(span.get()))

    await asyncio.create_task(writer())
    await commits.drain()
    assert seen == ["none"]


# A store that does not write


def full(*, undone: bool = True) -> StoreError:
    error = StoreError("disk full")
    error.undone = undone
    return error


class Watched:
    """Notes what a watcher of a group commit is told."""

    def __init__(self, commits: GroupCommit, store: FakeStore) -> None:
        watcher = StallWatcher(
            lambda error: store.log.append(("stalled", str(error))),
            lambda: store.log.append(("writes",)),
        )
        commits.watch(watcher)


@on_host
async def test_g25_what_was_not_written_waits_and_is_written_in_its_order() -> None:
    store = FakeStore(by_hand=True)
    pauses = Pauses(store)
    commits = GroupCommit(store)
    Watched(commits, store)
    for n in (1, 2):
        commits.add([row(n)], store.done(n), settles=True)
    await turns()
    commits.add([row(3)], store.done(3), settles=True)
    store.full = True
    await store.answer(full())
    assert store.log == [("write", 1, 2), ("stalled", "disk full")]
    assert commits.stalled
    await pauses.probed(3)
    commits.add([row(4)], store.done(4), settles=True)
    await pauses.probed()
    assert store.batches == [[1, 2]], "nothing but probes"
    store.full = False
    await pauses.probed()
    assert store.batches == [[1, 2], [1, 2, 3, 4]]
    assert commits.stalled, "what waits has to prove it"
    await store.answer()
    assert not commits.stalled
    await commits.drain()
    told = [entry for entry in store.told if entry[0] != "stalled"]
    assert told == [("writes",), *((n, "ok") for n in (1, 2, 3, 4))]


@on_host
async def test_g25_what_does_not_wait_fails_when_the_store_has_been_tried() -> None:
    store = FakeStore(by_hand=True)
    pauses = Pauses(store)
    commits = GroupCommit(store)
    commits.add([row(1)], store.done(1), waits=False)
    commits.add([row(2)], store.done(2), settles=True)
    await turns()
    commits.add([row(3)], store.done(3), waits=False)
    store.full = True
    await store.answer(full())
    assert store.told == [(1, "StoreError"), (3, "StoreError")]
    writing = asyncio.ensure_future(commits.write([row(4)]))
    await turns()
    assert not writing.done()
    await pauses.probed()
    with pytest.raises(StoreError, match="does not write, so nothing was written: disk full") as no:
        await writing
    assert no.value.undone
    waiting = asyncio.ensure_future(commits.writes())
    patient = asyncio.ensure_future(commits.write([row(5)], waits=True))
    await pauses.probed()
    assert not waiting.done()
    assert not patient.done()
    store.full = False
    await pauses.probed()
    await store.answer()
    await asyncio.gather(waiting, patient)
    assert store.batches == [[1, 2], [2, 5]]


@on_host
async def test_g25_a_probe_is_as_large_as_what_failed_and_what_waits() -> None:
    store = FakeStore(by_hand=True)
    pauses = Pauses(store)
    commits = GroupCommit(store)
    large = row(1)._replace(payload=b"x" * 5000)
    commits.add([large], store.done(1))
    await turns()
    store.full = True
    await store.answer(full(undone=False))
    await pauses.probed()
    commits.add([large], store.done(2))
    await pauses.probed()
    assert store.probes[-2] >= 5000
    assert store.probes[-1] >= 10_000
    store.full = False
    await pauses.probed()
    await store.answer()
    assert store.told == [(1, "StoreError"), (2, "ok")]


def test_g25_the_pauses_grow_to_ten_seconds_and_begin_anew_when_as_much_was_written() -> None:
    pauses: list[float] = []

    async def main() -> None:
        host = asyncio.get_running_loop()
        real = host.call_later

        def at_once(delay: float, *arguments: Any, **more: Any) -> Any:
            pauses.append(delay)
            return real(0, *arguments, **more)

        host.call_later = at_once  # type: ignore[method-assign]
        store = FakeStore(by_hand=True)
        commits = GroupCommit(store)

        async def commit(error: StoreError | None) -> None:
            commits.add([row(1)], store.done(1), settles=True)
            await turns()
            await store.answer(error)

        store.full = True
        await commit(full(undone=False))
        while pauses[-1] < 10:
            await asyncio.sleep(0)
        store.full = False
        await commits.writes()
        await commit(full(undone=False))
        assert pauses[-1] == 10.0, "a probe alone is no proof"
        await commits.writes()
        await commit(None)
        await commit(full(undone=False))
        assert pauses[-1] == 0.05
        await commits.writes()

    asyncio.run(main())
    assert pauses[:8] == [0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4]


@on_host
async def test_g25_draining_tries_a_store_once_more_and_tells_all_that_wait() -> None:
    store = FakeStore(by_hand=True)
    commits = GroupCommit(store)
    commits.add([row(1)], store.done(1), settles=True)
    await turns()
    await store.answer(full())
    assert store.told == []
    commits.add([row(2)], lambda error: commits.add([row(3)], store.done(3), settles=True))
    draining = asyncio.ensure_future(commits.end())
    await turns()
    assert store.batches == [[1], [1, 2]]
    await store.answer(full())
    await draining
    assert store.told == [(1, "StoreError"), (3, "StoreError")]
    assert not store.probes


@on_host
async def test_g25_a_store_that_fails_in_the_search_for_a_culprit_is_waited_for() -> None:
    store = FakeStore()
    store.bad = {2}
    real = store.commit

    def commit(rows: Sequence[Row]) -> asyncio.Future[None]:
        written = real(rows)
        if store.batches[-1] == [3] and store.batches.count([3]) == 1:
            written = asyncio.get_running_loop().create_future()
            written.set_exception(full())
        return written

    store.commit = commit  # type: ignore[method-assign]
    pauses = Pauses(store)
    commits = GroupCommit(store)
    for n in (1, 2, 3, 4):
        commits.add([row(n)], store.done(n), settles=True)
    await pauses.probed()
    await commits.drain()
    assert store.batches == [[1, 2, 3, 4], [1], [2], [3], [3, 4]]
    assert store.told == [(1, "ok"), (2, "StoreDataError"), (3, "ok"), (4, "ok")]
