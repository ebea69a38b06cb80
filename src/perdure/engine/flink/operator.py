"""AgentOperator: what the agent's function does with elements, timers and state; without Flink.

Inputs go into the state and to the host; a pump fetches what has happened. It writes rows and
yields outputs in one callback, so each checkpoint has a consistent part of each shard's past:
outputs that have left have their rows, and no row tells of an output that has not.
"""

from __future__ import annotations

import collections
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, Protocol

from perdure.checks import nanoseconds
from perdure.codec.failure import decode_failure
from perdure.engine.flink.failures import encode_failure, read_failure
from perdure.engine.flink.host import Host
from perdure.engine.flink.output_types import fitted
from perdure.engine.flink.rows import VERSION, WaitingInput, check_version, dump, hex_of, load
from perdure.engine.flink.spec import FunctionSpec
from perdure.engine.flink.tables import Failure, Leaving
from perdure.errors import EncodeError, FlinkJobError
from perdure.run import run_cancelled, run_id

__all__ = ["END", "AgentOperator", "Failed", "State", "Timers"]

END: Final = 2**63 - 2  # event time, ms: the end of a bounded input
_LATE: Final = 1_000  # ms: so much over its time, a timer will not come


class State(Protocol):
    """The state of a subtask, as Flink has it, a shard at a time."""

    def select(self, shard: int) -> None:
        """Have what follows be of a shard, until a callback begins, which selects its own."""

    def items(self) -> Iterable[tuple[str, bytes]]:
        """Return all entries."""

    def get(self, name: str) -> bytes | None:
        """Return an entry."""

    def put(self, name: str, data: bytes) -> None:
        """Write an entry."""

    def remove(self, name: str) -> None:
        """Remove an entry, if it is there."""


class Timers(Protocol):
    """The timers of the current shard; times in ms."""

    def current_processing_time(self) -> int:
        """Return the time by the clock, since the epoch."""

    def register_processing_time_timer(self, timestamp: int) -> None:
        """Have the operator called at a time by the clock."""

    def register_event_time_timer(self, timestamp: int) -> None:
        """Have the operator called at a time of the stream."""


class Failed(NamedTuple):
    """What leaves by the side output."""

    data: bytes


class _Shard:
    """What is known of a shard since it was touched; the rest is in its state."""

    __slots__ = ("has_version", "ids", "newest")

    def __init__(self) -> None:
        self.has_version = False
        self.newest = 0  # number of its newest input
        self.ids: collections.deque[tuple[int, str]] = collections.deque()  # kept since, ns


class AgentOperator:
    """One subtask of the operator of a job.

    One timer is armed for all its shards together: a timer each would cost more than the runs
    where many wait for something.

    Owns: what it knows of the shards that it has touched. Lifecycle: `open`, callbacks, `close`,
    on one thread, which never waits for a run but at the end of a bounded input.

    Args:
        spec: the job.
        state: the state of the subtask; the shard that a callback is for is selected.
        now: wall-clock time, ns since the epoch.
    """

    def __init__(self, spec: FunctionSpec, state: State, now: Callable[[], int]) -> None:
        self._spec = spec
        self._state = state
        self._now = now
        self._shards: dict[int, _Shard] = {}
        # Inputs that are only in the state: shards and numbers, in the order in which they came.
        self._waiting: collections.deque[tuple[int, int]] = collections.deque()
        self._live = 0  # inputs handed over, and runs begun otherwise, that have not ended
        self._armed: int | None = None  # when its timer is due
        self._host: Host | None = None

    def open(self) -> None:
        """Join the host of this process, which the first to come starts."""
        self._host = Host.join(self._spec)

    def close(self) -> None:
        """Stop the runs of its shards, where they are; closing again does nothing."""
        host, self._host = self._host, None
        if host is not None:
            host.leave(self)

    @property
    def _at_work(self) -> Host:
        assert self._host is not None, "it is not open"
        self._host.check()
        return self._host

    # Callbacks

    def element(self, number: int, data: bytes, timers: Timers) -> Iterator[Any]:
        """Take an input, a tick, or a failure that is to leave by the side output.

        Args:
            number: the shard.
            data: see `Element`.
            timers: those of the shard.
        """
        if not data:
            self._forget_ids(number, self._touched(number, timers))
            if self._armed is not None and self._armed < timers.current_processing_time() - _LATE:
                self._armed = None  # Flink has lost it
            yield from self._pump()
            self._arm(timers)
            return
        given = WaitingInput(*load(data))
        if given.key is None:
            yield self._told(given.value)
            return
        shard = self._touched(number, timers)
        shard.newest += 1
        if not shard.has_version:
            self._put_version(shard)
        self._state.put(f"i:{hex_of(shard.newest)}", data)
        if self._waiting or not self._at_work.has_room:
            self._waiting.append((number, shard.newest))
        else:
            self._hand_over(number, shard.newest, given)
        if self._armed is None:
            self._arm(timers)

    def timer(self, timestamp: int, number: int, timers: Timers) -> Iterator[Any]:
        """Fetch what has happened; at the end of the input wait until all is done."""
        self._touched(number, timers)
        if timestamp >= END:
            yield from self._drain()
            return
        if timestamp == self._armed:
            self._armed = None
        yield from self._pump()
        self._arm(timers)

    def _drain(self) -> Iterator[Any]:
        host = self._at_work
        while True:
            since = host.changes
            yield from self._pump()
            if not (self._live or self._waiting):
                return
            host.wait_for_change(since)
            time.sleep(self._spec.pump_ms / 1000)  # for more of it: there is no timer here

    # Shards

    def _touched(self, number: int, timers: Timers) -> _Shard:
        shard = self._shards.get(number)
        return self._take(number, timers) if shard is None else shard

    def _take(self, number: int, timers: Timers) -> _Shard:
        entries = [(str(name), bytes(data)) for name, data in self._state.items()]
        found = dict(entries)
        check_version(found.get("v"), found)
        waiting = sorted(int(name[2:], 16) for name in found if name[0] == "i")
        loaded = self._at_work.take(number, entries, self)
        shard = self._shards[number] = _Shard()
        shard.has_version = bool(found)
        shard.newest = max([loaded.newest, *waiting])
        shard.ids.extend(sorted((ended_at, id_) for id_, ended_at in loaded.kept))
        self._live += loaded.live
        self._waiting.extend((number, each) for each in waiting)
        timers.register_event_time_timer(END)
        return shard

    def _hand_over_waiting(self) -> None:
        """Hand inputs over as long as there is room; the others stay in the state."""
        host, waiting = self._at_work, self._waiting
        while waiting and host.has_room:
            number, each = waiting.popleft()
            self._state.select(number)
            data = self._state.get(f"i:{hex_of(each)}")
            assert data is not None, f"input {each} of shard {number} is not in the state"
            self._hand_over(number, each, WaitingInput(*load(bytes(data))))

    def _hand_over(self, number: int, each: int, given: WaitingInput) -> None:
        self._live += 1
        id_ = given.id if self._spec.has_ids and given.id is not None else f"#{number}-{each}"
        self._at_work.hand_over(number, each, id_, given)

    def _arm(self, timers: Timers) -> None:
        if self._armed is None and (self._live or self._waiting):
            # Known in memory alone: the timer may not be in the checkpoint.
            self._armed = timers.current_processing_time() + self._spec.pump_ms
            timers.register_processing_time_timer(self._armed)

    def _pump(self) -> Iterator[Any]:
        host = self._at_work
        for number in host.changed(self):
            change = host.store.take_change(number)
            if change is None:
                continue
            self._live += change.begun - change.ended
            shard, state = self._shards[number], self._state
            state.select(number)
            if not shard.has_version:
                self._put_version(shard)
            for name, row in change.entries.items():
                if row is None:
                    state.remove(name)
                else:
                    state.put(name, dump(row))
                    if name[0] == "d":
                        shard.ids.append((row[2], name[2:]))
            yield from map(self._leaving, change.outputs)
            yield from map(self._failed, change.failures)
        self._hand_over_waiting()

    def _put_version(self, shard: _Shard) -> None:
        self._state.put("v", dump(VERSION))
        shard.has_version = True

    def _forget_ids(self, number: int, shard: _Shard) -> None:
        """Forget ids that were kept for long enough, which the next pump removes."""
        if self._spec.ids_ttl is not None:
            until = self._now() - nanoseconds(self._spec.ids_ttl)
            while shard.ids and shard.ids[0][0] <= until:
                self._at_work.store.forget_id(number, shard.ids.popleft()[1])

    def _leaving(self, output: Leaving) -> Any:
        """Return the value of an output; as a failure, one that Flink does not take as its type."""
        value = self._at_work.codec.decode(output.value)
        if self._spec.output_shape is None:
            return value
        try:
            return fitted(value, self._spec.output_shape)
        except EncodeError as error:
            return self._refused(output.run, output.id, output.key, value, error)

    def _failed(self, failure: Failure) -> Failed:
        codec, error = self._at_work.codec, None
        if failure.error:
            error = decode_failure(codec, failure.error)
        return self._refused(
            failure.run, failure.id, failure.key, _decoded(codec, failure.value), error
        )

    def _refused(
        self, number: int, id_: str | None, key: bytes, value: Any, error: BaseException | None
    ) -> Failed:
        """Return what leaves by the side output; without an error the run was cancelled."""
        codec, run = self._at_work.codec, run_id(number) if number else None
        return self._told(
            encode_failure(
                codec,
                id=id_ if self._spec.has_ids else None,
                run=run,
                key=_decoded(codec, key),
                value=value,
                error=error or run_cancelled(run or ""),
            )
        )

    def _told(self, data: bytes) -> Failed:
        """Return a failure as it leaves by the side output, if it does.

        Raises:
            FlinkJobError: it fails the job.
        """
        if self._spec.fails:
            raise FlinkJobError(read_failure(data).told)
        return Failed(data)


def _decoded(codec: Any, data: bytes) -> Any:
    """Return a value, or its bytes where it cannot be read, which may be why it failed."""
    try:
        return codec.decode(data)
    except Exception:
        return data
