"""AgentOperator: what the agent's function does with elements, timers and state; without Flink.

Inputs go into the state and to the host; a pump fetches what has happened. It writes rows and
yields outputs in one callback, so each checkpoint has a consistent part of each shard's past:
outputs that have left have their rows, and no row tells of an output that has not.
"""

from __future__ import annotations

import collections
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, NamedTuple, Protocol

from perdure.codec.failure import decode_failure
from perdure.engine.flink.failures import encode_failure
from perdure.engine.flink.host import Host
from perdure.engine.flink.rows import VERSION, WaitingInput, check_version, dump, hex_of, load
from perdure.engine.flink.spec import FunctionSpec
from perdure.engine.flink.tables import Failure
from perdure.run import run_cancelled, run_id

__all__ = ["END", "AgentOperator", "Failed", "State", "Timers"]

END: Final = 2**63 - 2  # event time, ms: the end of a bounded input


class State(Protocol):
    """The state of the current shard, as Flink has it."""

    def items(self) -> Iterable[tuple[str, bytes]]:
        """Return all entries."""

    def get(self, name: str) -> bytes | None:
        """Return an entry."""

    def put(self, name: str, data: bytes) -> None:
        """Write an entry."""

    def remove(self, name: str) -> None:
        """Remove an entry that is there."""


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

    __slots__ = ("ids", "is_armed", "live", "names", "newest", "waiting")

    def __init__(self, names: set[str]) -> None:
        self.names = names  # of the entries that the state has
        self.waiting: collections.deque[int] = collections.deque()  # numbers of inputs in the state
        self.live = 0  # inputs handed over, and runs begun otherwise, that have not ended
        self.newest = 0
        self.ids: collections.deque[tuple[int, str]] = collections.deque()  # kept since, ns
        self.is_armed = False


class AgentOperator:
    """One subtask of the operator of a job.

    Owns: what it knows of the shards that it has touched. Lifecycle: `open`, callbacks, `close`,
    on one thread, which never waits for a run but at the end of a bounded input.

    Args:
        spec: the job.
        state: the state of the shard that a callback is for.
        now: wall-clock time, ns since the epoch.
    """

    def __init__(self, spec: FunctionSpec, state: State, now: Callable[[], int]) -> None:
        self._spec = spec
        self._state = state
        self._now = now
        self._shards: dict[int, _Shard] = {}
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

    def element(self, element: Any, timers: Timers) -> Iterator[Any]:
        """Take an input, a tick, or a failure that is to leave by the side output."""
        number, key, id_, value = element[0], element[1], element[2], element[3]
        if key is None and value is not None:
            yield Failed(bytes(value))
            return
        shard = self._touched(number, timers)
        if key is None:
            self._forget_ids(number, shard)
        else:
            shard.newest += 1
            given = WaitingInput(id_, bytes(key), bytes(value))
            self._put(shard, f"i:{hex_of(shard.newest)}", given)
            shard.waiting.append(shard.newest)
            self._hand_over(number, shard, given)
        yield from self._pump(number, shard) if key is None else ()
        self._arm(shard, timers)

    def timer(self, timestamp: int, number: int, timers: Timers) -> Iterator[Any]:
        """Fetch what has happened in a shard; at the end of the input wait until it is done."""
        shard = self._touched(number, timers)
        if timestamp >= END:
            yield from self._drain(number, shard)
            return
        shard.is_armed = False
        yield from self._pump(number, shard)
        self._arm(shard, timers)

    def _drain(self, number: int, shard: _Shard) -> Iterator[Any]:
        host = self._at_work
        while True:
            since = host.changes
            yield from self._pump(number, shard)
            if not (shard.live or shard.waiting):
                return
            if host.changes == since:
                host.wait_for_change(since)

    # Shards

    def _touched(self, number: int, timers: Timers) -> _Shard:
        host = self._at_work
        shard = self._shards.get(number)
        if shard is not None:
            return shard
        entries = [(str(name), bytes(data)) for name, data in self._state.items()]
        found = dict(entries)
        check_version(found.get("v"), found)
        shard = _Shard(set(found))
        shard.waiting.extend(sorted(int(name[2:], 16) for name in found if name[0] == "i"))
        loaded = host.take(number, entries, self)
        self._shards[number] = shard
        shard.newest = max([loaded.newest, *shard.waiting])
        shard.live = loaded.live
        shard.ids.extend(sorted((ended_at, id_) for id_, ended_at in loaded.kept))
        timers.register_event_time_timer(END)
        self._hand_over(number, shard)
        return shard

    def _hand_over(self, number: int, shard: _Shard, newest: WaitingInput | None = None) -> None:
        """Hand inputs over as long as there is room, in their order; the others stay in the state.

        Args:
            number: the shard's number.
            shard: the shard.
            newest: the newest of them, where it is known.
        """
        host = self._at_work
        while shard.waiting and host.has_room:
            each = shard.waiting.popleft()
            given = newest if newest is not None and not shard.waiting else None
            if given is None:
                data = self._state.get(f"i:{hex_of(each)}")
                assert data is not None, f"input {each} of shard {number} is not in the state"
                given = WaitingInput(*load(bytes(data)))
            shard.live += 1
            id_ = given.id if self._spec.has_ids and given.id is not None else f"#{number}-{each}"
            host.hand_over(number, each, id_, given)

    def _arm(self, shard: _Shard, timers: Timers) -> None:
        if (shard.live or shard.waiting) and not shard.is_armed:
            shard.is_armed = True  # in memory alone: the timer may not be in the checkpoint
            now = timers.current_processing_time()
            timers.register_processing_time_timer(now + self._spec.pump_ms)

    def _pump(self, number: int, shard: _Shard) -> Iterator[Any]:
        host = self._at_work
        change = host.store.take_change(number)
        if change is not None:
            shard.live += change.begun - change.ended
            for name, row in change.entries.items():
                if row is not None:
                    self._put(shard, name, row)
                    if name[0] == "d":
                        shard.ids.append((row[2], name[2:]))
                elif name in shard.names:
                    self._state.remove(name)
                    shard.names.discard(name)
            yield from map(host.codec.decode, change.outputs)
            yield from map(self._failed, change.failures)
        self._hand_over(number, shard)

    def _put(self, shard: _Shard, name: str, row: Any) -> None:
        if not shard.names:
            self._state.put("v", dump(VERSION))
            shard.names.add("v")
        self._state.put(name, dump(row))
        shard.names.add(name)

    def _forget_ids(self, number: int, shard: _Shard) -> None:
        """Forget ids that were kept for long enough, which the next pump removes."""
        if self._spec.ids_ttl is not None:
            until = self._now() - int(self._spec.ids_ttl * 1e9)
            while shard.ids and shard.ids[0][0] <= until:
                self._at_work.store.forget_id(number, shard.ids.popleft()[1])

    def _failed(self, failure: Failure) -> Failed:
        codec = self._at_work.codec
        run = run_id(failure.run) if failure.run else None
        error: BaseException = run_cancelled(run or "")
        if failure.error:
            error = decode_failure(codec, failure.error)
        key, value = _decoded(codec, failure.key), _decoded(codec, failure.value)
        return Failed(
            encode_failure(codec, id=failure.id, run=run, key=key, value=value, error=error)
        )


def _decoded(codec: Any, data: bytes) -> Any:
    """Return a value, or its bytes where it cannot be read, which may be why it failed."""
    try:
        return codec.decode(data)
    except Exception:
        return data
