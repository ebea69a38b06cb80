"""KeyedMailbox: one run of a key at a time, in order (G1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.action_driver import on_host

from perdure.errors import StoreError
from perdure.memory.cells import Cell
from perdure.run import RunStatus
from perdure.runtime.shared.mailbox import Key, KeyedMailbox, RunTicket
from perdure.store.base import KeyRow, KeyState, MemoryRow, RunRow


def row_of(name: str) -> KeyRow:
    return KeyRow(key=1, job=1, digest=name.encode(), value=name.encode(), sequence=0)


class Mailbox:
    """A mailbox with the runs that it has begun."""

    def __init__(self, begin: Callable[[RunTicket], None] | None = None) -> None:
        self.begun: list[RunTicket] = []
        self.box = KeyedMailbox(begin or self.begun.append, self._read, bytes.decode)
        self.stored = {b"old": KeyState(row_of("old"), [MemoryRow(1, "a", b"1", 5)])}
        self.reads: list[list[bytes]] = []
        self.failure: StoreError | None = None
        self.reading = asyncio.Event()
        self.reading.set()
        self._runs = 0

    async def _read(self, digests: Collection[bytes]) -> dict[bytes, KeyState]:
        self.reads.append(list(digests))
        await self.reading.wait()
        if self.failure is not None:
            raise self.failure
        return {d: self.stored[d] for d in digests if d in self.stored}

    def key(self, name: str) -> Key:
        digest = name.encode()
        if digest not in self.box.keys:
            self.box.add(Key(row_of(name), name, None))
        return self.box.keys[digest]

    def ticket(self, key: Key, status: int = 1) -> RunTicket:
        self._runs += 1
        row = RunRow(
            run=(1 << 40) + self._runs, job=1, key=1, sequence=self._runs, label="", value=b"",
            status=status, place=self._runs, attempt=0, error=None, admitted_at=0, finished_at=0,
        )  # fmt: skip
        return RunTicket(row, key)

    def enqueue(self, name: str) -> RunTicket:
        ticket = self.ticket(self.key(name))
        self.box.enqueue(ticket)
        return ticket


@pytest.fixture
def mailbox() -> Mailbox:
    return Mailbox()


# Order


def test_g1_the_first_run_of_a_key_begins_and_the_next_when_it_has_ended(mailbox: Mailbox) -> None:
    first, second, third = (mailbox.enqueue("k") for _ in range(3))
    assert mailbox.begun == [first]
    assert mailbox.box.is_first(first)
    assert not mailbox.box.is_first(second)
    mailbox.box.release(first)
    assert mailbox.begun == [first, second]
    assert not mailbox.box.is_first(first)
    mailbox.box.release(second)
    assert mailbox.begun == [first, second, third]


def test_g1_keys_do_not_wait_for_each_other(mailbox: Mailbox) -> None:
    a, b = mailbox.enqueue("a"), mailbox.enqueue("b")
    assert mailbox.begun == [a, b]


def test_a_waiting_run_can_be_taken_out(mailbox: Mailbox) -> None:
    """A queued run that is cancelled leaves; the one that executes goes on."""
    first, second, third = (mailbox.enqueue("k") for _ in range(3))
    mailbox.box.release(second)
    assert mailbox.begun == [first]
    mailbox.box.release(first)
    assert mailbox.begun == [first, third]


def test_a_run_gets_the_memory_that_the_one_before_left(mailbox: Mailbox) -> None:
    first, second = mailbox.enqueue("k"), mailbox.enqueue("k")
    before = first.key.memory
    left = {"a": Cell(b"1", 1)}
    mailbox.box.release(first, left)
    assert mailbox.begun[-1].key.memory is left
    assert before == {}
    mailbox.box.release(second)
    assert second.key.memory is left


def test_an_idle_key_is_forgotten(mailbox: Mailbox) -> None:
    first, second = mailbox.enqueue("k"), mailbox.enqueue("k")
    mailbox.box.release(first)
    assert b"k" in mailbox.box.keys
    mailbox.box.release(second)
    assert mailbox.box.keys == {}


def test_a_reserved_key_is_kept(mailbox: Mailbox) -> None:
    ticket = mailbox.enqueue("k")
    ticket.key.reserved += 1
    mailbox.box.release(ticket)
    assert mailbox.box.keys[b"k"] is ticket.key
    ticket.key.reserved -= 1
    mailbox.box.forget_if_idle(ticket.key)
    assert mailbox.box.keys == {}


def test_a_run_may_end_while_it_begins() -> None:
    """A run that has nothing to do ends within `begin`; the queue goes on all the same."""
    begun: list[RunTicket] = []

    def begin(ticket: RunTicket) -> None:
        begun.append(ticket)
        if len(begun) < 3:
            mailbox.box.release(ticket)

    mailbox = Mailbox(begin)
    first, second, third = (mailbox.enqueue("k") for _ in range(3))
    assert begun == [first, second, third]
    assert mailbox.box.is_first(third)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40))
def test_g1_runs_of_a_key_begin_one_at_a_time_in_order(steps: list[tuple[str, bool]]) -> None:
    mailbox = Mailbox()
    put: dict[str, list[RunTicket]] = {name: [] for name in "abc"}
    ended: set[RunTicket] = set()
    for name, enqueue in steps:
        if enqueue:
            put[name].append(mailbox.enqueue(name))
        else:
            running = [t for t in mailbox.begun if t not in ended and t in put[name]]
            for ticket in running:
                ended.add(ticket)
                mailbox.box.release(ticket)
        for runs in put.values():
            begun = [ticket for ticket in mailbox.begun if ticket in runs]
            assert begun == runs[: len(begun)]
            assert sum(ticket not in ended for ticket in begun) == bool(
                len(runs) - len(ended & set(runs))
            )


# Holding keys


@on_host
async def test_holding_reads_the_keys_that_are_not_here_and_exist() -> None:
    mailbox = Mailbox()
    here = mailbox.enqueue("here").key
    held = await mailbox.box.hold([b"here", b"old", b"new"])
    assert mailbox.reads == [[b"old", b"new"]]
    assert [key.value for key in held] == ["here", "old"]
    assert held[0] is here
    assert held[1].memory == {"a": Cell(b"1", 5)}
    assert b"new" not in mailbox.box.keys
    mailbox.box.let_go(held)
    assert set(mailbox.box.keys) == {b"here"}


@on_host
async def test_a_held_key_outlives_its_last_run() -> None:
    mailbox = Mailbox()
    ticket = mailbox.enqueue("here")
    mailbox.reading.clear()
    holding = asyncio.ensure_future(mailbox.box.hold([b"here", b"old"]))
    await asyncio.sleep(0)
    mailbox.box.release(ticket, {"a": Cell(b"2", 6)})
    mailbox.reading.set()
    held = await holding
    assert held[0] is ticket.key is mailbox.box.keys[b"here"]
    assert held[0].memory == {"a": Cell(b"2", 6)}
    mailbox.box.let_go(held)
    assert mailbox.box.keys == {}


@on_host
async def test_a_key_that_two_want_at_once_is_read_once() -> None:
    mailbox = Mailbox()
    mailbox.reading.clear()
    holding = [asyncio.ensure_future(mailbox.box.hold([b"old"])) for _ in range(2)]
    await asyncio.sleep(0)
    mailbox.reading.set()
    (first,), (second,) = [await held for held in holding]
    assert first is second
    assert mailbox.reads == [[b"old"]]
    mailbox.box.let_go([first])
    assert b"old" in mailbox.box.keys
    mailbox.box.let_go([second])
    assert mailbox.box.keys == {}


@on_host
async def test_nothing_is_held_when_keys_cannot_be_read() -> None:
    mailbox = Mailbox()
    ticket = mailbox.enqueue("here")
    mailbox.failure = StoreError("no answer")
    with pytest.raises(StoreError, match="no answer"):
        await mailbox.box.hold([b"here", b"old"])
    mailbox.box.release(ticket)
    assert mailbox.box.keys == {}
    mailbox.failure = None
    assert [key.value for key in await mailbox.box.hold([b"old"])] == ["old"]


def test_the_memory_of_a_key_is_read_without_tombstones() -> None:
    row = KeyRow(key=1, job=1, digest=b"k", value=b"k", sequence=4)
    cells = [MemoryRow(1, "a", b"1", 5), MemoryRow(1, "b", None, 6)]
    key = Key(row, "k", KeyState(row, cells))
    assert key.memory == {"a": Cell(b"1", 5)}
    assert key.row.sequence == 4


@on_host
async def test_whoever_waits_for_a_run_is_told_of_its_end() -> None:
    mailbox = Mailbox()
    running = mailbox.enqueue("k")
    assert running.status is RunStatus.QUEUED
    assert running.id == "r1"
    waiting, other, gone = (running.new_waiter() for _ in range(3))
    assert not waiting.done()
    other.cancel()  # each has its own
    running.forget(gone)
    running.tell_waiters()
    assert waiting.done()
    assert not waiting.cancelled()
    assert not gone.done()
    done = mailbox.ticket(mailbox.key("k"), status=4)
    assert done.status is RunStatus.COMPLETED
    assert done.new_waiter().done()
