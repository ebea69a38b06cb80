"""Host: the event loop of a worker process, with the runtime of a job on it."""

from __future__ import annotations

import asyncio
import collections
import concurrent.futures
import contextlib
import functools
import threading
from collections.abc import Coroutine, Iterable
from typing import Any, NamedTuple, TypeVar

from perdure.codec.failure import encode_failure
from perdure.config.configuration import AgentExecutionOptions, Configuration
from perdure.engine.event_loop import runner_of
from perdure.engine.flink.reference import agent_of
from perdure.engine.flink.rows import WaitingInput
from perdure.engine.flink.spec import FunctionSpec
from perdure.engine.flink.store import FlinkStore
from perdure.engine.plan_of import plan_of
from perdure.errors import (
    EncodeError,
    InputError,
    PerdureError,
    ShardNotHeldError,
    StoreDataError,
)
from perdure.printable import printable_logger
from perdure.run import Output
from perdure.runtime.job_runtime import Admitted, JobRuntime, NewInput, RunTicket

__all__ = ["Host", "Loaded"]

logger = printable_logger("perdure")
T = TypeVar("T")

_hosts: dict[str, Host] = {}
_lock = threading.Lock()


class Loaded(NamedTuple):
    """What a shard has when it is taken.

    Attributes:
        live: how many of its runs go on.
        newest: the number of its newest input.
        kept: ids of inputs whose runs have ended, and since when, ns since the epoch.
    """

    live: int
    newest: int
    kept: list[tuple[str, int]]


def _say_what_is_of_a_process(spec: FunctionSpec, config: Configuration) -> None:
    in_flight = AgentExecutionOptions.MAX_RUNS_IN_FLIGHT.name
    bounds = ["limits"] if config.limits() else []
    bounds += [in_flight] if in_flight in spec.config else []
    if bounds:
        logger.warning(
            "job %s: %s hold in each worker process of Flink, not in all of them together",
            spec.job,
            " and ".join(bounds),
        )


class Host:
    """The runtime of one job in this process, for all subtasks of its operator that are here.

    Owns: a daemon thread with an event loop, the runtime and its store, which shards are held and
    by whom. Lifecycle: `join` starts it for the first subtask; with the `leave` of the last it
    ends. Its methods are called on the threads of subtasks, and never wait for a run.

    Args:
        spec: the job.

    Attributes:
        members: how many subtasks have joined and not left.
    """

    def __init__(self, spec: FunctionSpec) -> None:
        config = Configuration(spec.config)
        self._changes = threading.Condition()
        self._waiters = 0  # for a change
        self._count = 0  # of changes
        self.store = FlinkStore(
            spec.shards,
            keeps_rows=spec.store != "memory://",
            keeps_ids=spec.ids_ttl is not None,
        )
        self._runtime = JobRuntime(
            self.store, spec.job, plan_of(agent_of(spec), config), config,
            listeners=[self], shards=spec.shards,
        )  # fmt: skip
        self._job = spec.job
        _say_what_is_of_a_process(spec, config)
        self._limit = config.get(AgentExecutionOptions.MAX_RUNS_IN_FLIGHT)
        self._inbox: collections.deque[tuple[int, int, str, WaitingInput]] = collections.deque()
        self._is_woken = False
        self._admitting = 0  # taken from the inbox, and neither admitted nor refused
        self._error: BaseException | None = None
        self._owners: dict[int, object] = {}
        self.members = 0
        self._started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._loop: asyncio.AbstractEventLoop
        self._ending: asyncio.Future[None]
        self._thread = threading.Thread(
            target=self._run, args=(config,), daemon=True, name=f"perdure-{spec.job}"
        )

    # Its life

    @classmethod
    def join(cls, spec: FunctionSpec) -> Host:
        """Return the host of a job in this process; `leave` says that it is not needed any more.

        Raises:
            PerdureError: the job cannot be run here.
        """
        name = repr(spec)
        with _lock:
            host = _hosts.get(name)
            if host is None:
                host = cls(spec)
                host.start()
                _hosts[name] = host
            host.members += 1
            return host

    def start(self) -> None:
        """Start its thread, and return when the job is open.

        Raises:
            PerdureError: the job cannot be run here.
        """
        self._thread.start()
        self._started.result()

    def leave(self, owner: object) -> None:
        """Stop the runs of the shards that `owner` took; with the last owner the host ends."""
        if self._left(unless_others=True):
            self._stop()
            return
        try:
            # A member until that is done: else the last would end the host in the midst of it.
            if self._error is None:
                with contextlib.suppress(concurrent.futures.CancelledError):  # by what stopped it
                    self._call(self._give_back_all(owner))
        finally:
            if self._left(unless_others=False):
                self._stop()

    def _stop(self) -> None:
        with contextlib.suppress(RuntimeError):  # what stopped the job has ended it
            self._loop.call_soon_threadsafe(self._end)
        self._thread.join()

    def _left(self, *, unless_others: bool) -> bool:
        """Count that a member leaves, `unless_others` are left; say whether it was the last."""
        with _lock:
            if self.members > 1 and unless_others:
                return False
            self.members -= 1
            if not self.members:
                for name in [name for name, host in _hosts.items() if host is self]:
                    del _hosts[name]
            return not self.members

    def _end(self) -> None:
        if not self._ending.done():
            self._ending.set_result(None)

    def _run(self, config: Configuration) -> None:
        try:
            with runner_of(config) as runner:
                runner.run(self._main())
        except BaseException as error:
            self._failed(error)
            if not self._started.done():
                self._started.set_exception(error)

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ending = self._loop.create_future()
        await self._runtime.open()
        self._runtime.stopped.add_done_callback(lambda each: self._failed(each.exception()))
        self._started.set_result(None)
        try:
            await self._ending
        finally:
            await self._runtime.close()

    def _failed(self, error: BaseException | None) -> None:
        if self._error is None:
            self._error = error
        self._changed()

    def check(self) -> None:
        """Raise what has stopped the job in this process.

        Raises:
            BaseException: likewise: Flink restarts the job.
        """
        if self._error is not None:
            raise self._error

    # Shards

    def take(self, shard: int, entries: Iterable[tuple[str, bytes]], owner: object) -> Loaded:
        """Hold a shard as its state has it; its unfinished runs go on."""
        return self._call(self._take(shard, entries, owner))

    async def _take(
        self, shard: int, entries: Iterable[tuple[str, bytes]], owner: object
    ) -> Loaded:
        if shard in self._runtime.held:  # by a subtask that is about to be closed
            await self._give_back(shard)
        newest, newest_input, kept = self.store.load(shard, entries)
        live = self.store.unfinished_in(shard)
        self._owners[shard] = owner
        await self._runtime.take(shard, newest)
        return Loaded(live, newest_input, kept)

    async def _give_back_all(self, owner: object) -> None:
        for shard in [each for each, its in self._owners.items() if its is owner]:
            await self._give_back(shard)

    async def _give_back(self, shard: int) -> None:
        await self._runtime.give_back(shard)
        del self._owners[shard]
        self.store.drop(shard)

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    # Inputs

    @property
    def has_room(self) -> bool:
        """Whether another input may be handed over (G20): those beyond it stay in the state."""
        return len(self._inbox) + self._admitting + self._runtime.in_flight < self._limit

    def hand_over(self, shard: int, number: int, id_: str, given: WaitingInput) -> None:
        """Have an input admitted: what becomes of it is in the changes of its shard."""
        self._inbox.append((shard, number, id_, given))
        if not self._is_woken:
            self._is_woken = True
            self._loop.call_soon_threadsafe(self._admit_all)

    def _admit_all(self) -> None:
        self._is_woken = False
        inbox, decode = self._inbox, self._runtime.codec.decode
        while inbox:
            shard, number, id_, given = inbox.popleft()
            self._admitting += 1
            self.store.wait(shard, id_, number)
            assert given.key is not None, "a failure is no input"
            try:
                item = NewInput(
                    decode(given.value), decode(given.key), id=id_, encoded=(given.value, given.key)
                )
            except PerdureError as error:
                self._refused(shard, id_, given, error)
                self._admitting -= 1
                continue
            told = self._runtime.admit(item)
            told.add_done_callback(functools.partial(self._admitted, shard, id_, given))

    def _admitted(
        self, shard: int, id_: str, given: WaitingInput, told: asyncio.Future[Admitted]
    ) -> None:
        self._admitting -= 1
        if told.cancelled():
            return
        error = told.exception()
        if error is None:
            if not told.result().is_new:
                self.store.becomes_none(shard, id_, None)
                self._changed()
        elif isinstance(error, InputError | EncodeError | StoreDataError):
            self._refused(shard, id_, given, error)
        elif not isinstance(error, ShardNotHeldError):  # it waits in the state
            self._failed(error)

    def _refused(self, shard: int, id_: str, given: WaitingInput, error: BaseException) -> None:
        logger.error("job %s: an input of shard %d is refused: %s", self._job, shard, error)
        told = encode_failure(self._runtime.codec, error)
        assert given.key is not None, "a failure is no input"
        self.store.becomes_none(shard, id_, (given.id, given.key, given.value, told))
        self._changed()

    # Values

    @property
    def codec(self) -> Any:
        """What values are encoded with."""
        return self._runtime.codec

    # What the runtime tells: in each case something may go on that waits

    def on_output(self, ticket: RunTicket, number: int, output: Output) -> None:
        """An output leaves with the next change of its shard."""
        self._changed()

    def on_resting(self, ticket: RunTicket) -> None:
        """There is room for another run."""
        self._changed()

    def on_finished(self, ticket: RunTicket) -> None:
        """Likewise; and the run's rows may go."""
        self._changed()

    # What has changed

    def changed(self, owner: object) -> list[int]:
        """Return the shards of an owner in which something has changed."""
        owners = self._owners
        return [shard for shard in self.store.changed() if owners.get(shard) is owner]

    def _changed(self) -> None:
        self._count += 1
        if self._waiters:
            with self._changes:
                self._changes.notify_all()

    @property
    def changes(self) -> int:
        """How often something has changed; see `wait_for_change`."""
        return self._count

    def wait_for_change(self, since: int) -> None:
        """Return when something has changed since `changes` was `since`."""
        with self._changes:
            self._waiters += 1  # before it looks: what changes from here on tells it
            try:
                self._changes.wait_for(lambda: self._count != since)
            finally:
                self._waiters -= 1
