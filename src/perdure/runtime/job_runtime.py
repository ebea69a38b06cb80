"""JobRuntime: a job while it is open, as an engine drives it; and all that an engine needs for it.

An engine imports nothing else of `runtime`. It owns sources and sinks, and gives the store.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from typing import TYPE_CHECKING

import msgspec

from perdure.agent.plan import AgentPlan
from perdure.checks import checked_name
from perdure.codec.codec import Codec
from perdure.codec.digests import stored_ids_of_text
from perdure.config.configuration import AgentExecutionOptions, Configuration
from perdure.errors import RunNotFoundError
from perdure.executor import closing, running
from perdure.run import STATUS_BY_NUMBER, Output, RunStatus, names_two, run_id, which_run
from perdure.run.approval import check_readable
from perdure.runtime.action.children import ORIGIN as CHILD_SOURCE
from perdure.runtime.commands import RunCommands
from perdure.runtime.job_agent import know_types, take_job
from perdure.runtime.job_files import JobFiles
from perdure.runtime.listener import JobListener
from perdure.runtime.live_runs import LiveRuns
from perdure.runtime.outbox import NumberedOutput, Outbox, SinkPosition
from perdure.runtime.shards import Shards
from perdure.runtime.shared.admission import Admitted
from perdure.runtime.shared.backoff import BACKOFF_SECONDS, until_store_answers
from perdure.runtime.shared.collector import Collector
from perdure.runtime.shared.inputs import NewInput
from perdure.runtime.shared.kept_outputs import KeptOutputs
from perdure.runtime.shared.mailbox import RunTicket
from perdure.runtime.shared.measures import Distribution, JobMeasures
from perdure.runtime.shared.numbers import Numbers
from perdure.runtime.shared.reach import Reach
from perdure.runtime.shared.resources import JobResources, documents_of
from perdure.runtime.shared.series import NotAdmittedError, Series
from perdure.runtime.shared.services import JobCounters, JobServices
from perdure.runtime.shared.world import World
from perdure.runtime.stored_runs import PAGE
from perdure.store.base import ActionStateStore, JobInfo, ShardInfo
from perdure.store.group_commit import GroupCommit, StallWatcher

if TYPE_CHECKING:
    from perdure.runtime.snapshot import JobSnapshot as JobSnapshot  # for engines
    from perdure.runtime.snapshot import Snapshots

__all__ = [
    "BACKOFF_SECONDS",
    "CHILD_SOURCE",
    "Admitted",
    "Distribution",
    "JobCounters",
    "JobFiles",
    "JobListener",
    "JobMeasures",
    "JobRuntime",
    "KeptOutputs",
    "NewInput",
    "NotAdmittedError",
    "NumberedOutput",
    "Outbox",
    "RunTicket",
    "Series",
    "ShardInfo",
    "SinkPosition",
    "World",
]


class JobRuntime:
    """A job while it is open.

    Owns: ownership of the job in its store, group commit, the executor, the runs of the job.
    Lifecycle: `open` recovers and begins what is unfinished; `close` stops it, after which another
    process may go on. On one event loop, which may be any thread's: every method is called there.

    Args:
        store: where the journal is; opened and closed with the job.
        job: the job's name.
        plan: the agent, see `engine.plan_of`.
        config: its configuration.
        listeners: told about outputs, rests and ends of runs.
        outbox: whether outputs wait in `outbox` until a sink has them; else they count as delivered
            when they are durable.
        shards: how many shards its keys are spread over, for ever. The only one of a job is taken
            by `open`; of several an engine takes those that are its own (`take`, `give_back`).
        before_recovery: awaited when the job was taken and no run goes on yet: for what is to be
            told of their outputs.
        world: time, chance and threads; the real ones by default.
        fresh: begin another generation of the job, with nothing of those before.
        holds: let no run begin: what is unfinished is only looked at and cancelled.

    Attributes:
        job: the job's name.
        codec: what values are journaled with; it knows the agent's types once the job is open.
        job_number: its number in the store, of which the ids of runs are made; 0 before `open`.
        outbox: the outputs that wait for a sink; once open.
        files: what is kept of the files that sources and sinks are; once open.
        stopped: fails with what stops the job before `close`; once open. Its engine closes it then.
    """

    def __init__(
        self,
        store: ActionStateStore,
        job: str,
        plan: AgentPlan,
        config: Configuration,
        *,
        listeners: Iterable[JobListener] = (),
        outbox: bool = False,
        shards: int = 1,
        before_recovery: Callable[[], Awaitable[None]] | None = None,
        world: World | None = None,
        fresh: bool = False,
        holds: bool = False,
    ) -> None:
        self.job = job
        self.job_number = 0
        self.stopped: asyncio.Future[None]
        self.outbox: Outbox
        self.files: JobFiles
        self._store = store
        self._plan = plan
        self._config = config
        self._listeners = list(listeners)
        self._keeps_outbox = outbox
        self._shard_count = shards
        self._before_recovery = before_recovery
        self._world = world or World()
        self._fresh = fresh
        self._holds = holds
        self.codec = Codec(max_bytes=config.get(AgentExecutionOptions.MAX_PAYLOAD_BYTES))
        tuned = config.get(AgentExecutionOptions.GARBAGE_COLLECTOR) == "tuned"
        self._collector = Collector(tuned=tuned)
        self._commits: GroupCommit
        self._resources: JobResources
        self._services: JobServices
        self._runs: LiveRuns
        self._shards: Shards
        self._commands: RunCommands

    # Life

    async def open(self) -> None:
        """Take the job and go on with its unfinished runs.

        Raises:
            StoreError: the store cannot be opened, or another process owns the job.
        """
        know_types(self.codec.registry, self._plan)
        agent = None if self._holds else self._plan
        info = await take_job(self._store, self.job, agent, fresh=self._fresh)
        self._collector.relax()
        self.job_number = info.job
        self.stopped = asyncio.get_running_loop().create_future()
        self._make_parts(info)
        try:
            await self._resources.open(self._services.check_limit)
            for annotated in self._resources.journaled_types():
                self.codec.registry.register_annotation(annotated)
            self.codec.errors.fix()
            if self._before_recovery is not None:
                await self._before_recovery()
            if self._holds:
                self._runs.begin_nothing()
            if self._shard_count == 1:
                await self._shards.take(0, ShardInfo(info.last_run, info.last_key))
            await self._commands.empty_inbox()  # what was left for a job that was not open
        except BaseException:
            await closing.to_its_end(self.close)
            raise
        if self._world.watches_inbox:
            self._runs.spawn(self._commands.watch())

    def _make_parts(self, info: JobInfo) -> None:
        self._commits = commits = GroupCommit(
            self._store, running.as_loop(asyncio.get_running_loop()), self._world.monotonic
        )
        max_abandoned = self._config.get(AgentExecutionOptions.MAX_ABANDONED_THREADS)
        executor = self._world.make_executor(
            num_async_threads=self._config.get(AgentExecutionOptions.NUM_ASYNC_THREADS),
            continuations=self._config.get(AgentExecutionOptions.CONTINUATIONS) != "off",
            on_shutdown=self.stop,
            max_abandoned_threads=max_abandoned if max_abandoned >= 0 else None,
            now=self._world.now,
        )
        self._resources = JobResources(
            self._plan.resources, lambda: documents_of(self._store, commits, self.codec)
        )
        numbers = Numbers(info.job, self.job, self._shard_count)
        takes_commands = self._store.takes_commands
        make_services = functools.partial(
            JobServices,
            job=self.job,
            generation=info.generation,
            plan=self._plan,
            config=self._config,
            codec=self.codec,
            commits=commits,
            executor=executor,
            outbox=self._keeps_outbox,
            world=self._world,
            resources=self._resources,
            reach=Reach(self._store.url, takes_commands=takes_commands, numbers=numbers),
            collector=self._collector,
        )
        self._runs = LiveRuns(
            self._store,
            info.job,
            numbers,
            self._listeners,
            self.stop,
            self._collector,
            lambda runs: make_services(supervisor=runs),
        )
        self._services, self.outbox = self._runs.services, self._runs.outbox
        commits.watch(StallWatcher(self._services.hold_calls, self._services.let_calls_go))
        self.files = JobFiles(self._store, commits, info.job, self.job)
        self._shards = Shards(self._runs, commits)
        self._commands = RunCommands(self._store, self._runs)

    async def drain(self, shard: int | None = None) -> None:
        """Return when all runs have ended but those that are due later, which stay in the store.

        It does not return while more is admitted than ends, nor when the job was stopped.

        Args:
            shard: of this shard alone.

        Raises:
            ShardNotHeldError: it is not held.
        """
        await (self._runs.drain() if shard is None else self._shards.drain(shard))

    def leave_resting(self) -> None:
        """Let runs that rest or are queued stay in the store too: `drain` waits for them no longer.

        What is queued begins only where a run in flight waits for its outputs.
        """
        self._runs.leave_resting()

    def stop(self, error: BaseException) -> None:
        """Have `stopped` fail with `error`, and no queued run begin; the first error wins."""
        self._runs.begin_nothing()
        if not self.stopped.done():
            self.stopped.set_exception(error)
            self.stopped.exception()  # an engine that closes anyway need not look at it

    async def close(self) -> None:
        """Stop everything, write what is pending and give the job back."""
        self._runs.stop_all()
        # Nothing new starts from here on; what is finished is written, so that it is not repeated.
        await self._services.executor.close()
        await self._commits.end()
        self._runs.drop_all()
        self._services.executor.release()
        self._services.close()
        try:
            await self._resources.close()
        finally:
            await self._store.close()

    # Shards

    @property
    def held(self) -> Collection[int]:
        """The shards that this process holds; changes as they come and go."""
        return self._runs.numbers.held

    async def take(self, shard: int, newest: ShardInfo) -> None:
        """Hold a shard from now on; its unfinished runs go on (G6).

        Args:
            shard: its number, below `shards`.
            newest: the newest numbers that its store has.

        Raises:
            PerdureError: it is held already.
            StoreError: its runs cannot be read; it is not held.
        """
        await self._shards.take(shard, newest)

    async def give_back(self, shard: int) -> None:
        """Hold a shard no longer: its runs stop where they are, and what came of them is written.

        Whoever waits for one of them here is told nothing any more.

        Raises:
            ShardNotHeldError: it is not held.
        """
        await self._shards.give_back(shard)

    def shard_of_run(self, run: int) -> int:
        """Return the shard of the run with a number."""
        return self._runs.numbers.shard_of_run(run)

    def _check_held(self, run: int) -> None:
        self._runs.numbers.check(self.shard_of_run(run))

    # Inputs

    def admit(self, item: NewInput) -> asyncio.Future[Admitted]:
        """Admit one input; the future is done when its run is durable, and says which it is.

        Inputs of one key are run in the order of these calls. Admitting one again that has an id or
        a position is safe and gives the run it has (G2): its ticket, or None where it has ended.

        Raises (through the future):
            InputError: its id or position was admitted with another key or value.
            EncodeError: it cannot be journaled.
            ShardNotHeldError: its key is of a shard that this process does not hold.
            Exception: what an input before it in its series was refused with.
            StoreError: it is not durable, or nobody knows. What was admitted behind it fails as
                well, so that nothing overtakes it.
        """
        return self._runs.admission.submit(item)

    async def wait_for_room(self) -> int:
        """Return how many inputs may be admitted now, at least 1; wait while there is no room.

        More may be admitted all the same: they wait until others have ended (G20).
        """
        return await self._runs.admission.wait_for_room()

    async def wait_for_store(self) -> None:
        """Return when the store writes, as far as is known: what is admitted before that fails."""
        await self._commits.writes()

    # Outcomes

    def keep_outputs(self, ticket: RunTicket) -> KeptOutputs:
        """Have a run's outputs kept in memory for as long as the caller holds what this returns."""
        return ticket.keep_outputs(self._runs.keeper)

    async def outputs_of(self, run: int) -> list[Output]:
        """Return a run's outputs when it has come to its end, in this process or before.

        Raises:
            BaseException: what made it fail.
            RunCancelledError: it was cancelled.
        """
        return await self._runs.outputs_of(run)

    async def recorded_outputs(self, runs: Collection[int]) -> list[NumberedOutput]:
        """Return the outputs of runs that are durable by now, in commit order."""
        return [self.outbox.decoded(stored) for stored in await self._store.outputs(runs)]

    async def statuses(self, runs: Collection[int]) -> dict[int, RunStatus]:
        """Return the stored statuses of those of these runs that there are; tickets know better."""
        found = await self._store.runs(runs)
        return {run: STATUS_BY_NUMBER[row.status] for run, row in found.items()}

    async def status(self, run: int) -> RunStatus:
        """Return the stored status of a run that was admitted.

        Raises:
            StoreFormatError: the store is damaged: it does not have it.
        """
        return STATUS_BY_NUMBER[(await self._runs.row(run)).status]

    async def number_of(self, id_: str) -> int:
        """Return the number of the run with an id: the one given with its input, or its own.

        Raises:
            RunNotFoundError: there is none.
            PerdureError: it names two.
        """
        inputs = await self._store.inputs("", stored_ids_of_text(id_))
        given, own = which_run(self.job_number, id_, (run for run, _ in inputs.values()))
        has_own = own is not None and (own in self.runs or bool(await self._store.runs([own])))
        if given is not None and own is not None and has_own and given != own:
            raise names_two(id_, given, own)
        number = given if given is not None or not has_own else own
        if number is None:
            raise RunNotFoundError(f"job {self.job!r} has no run {id_!r}")
        return number

    # Commands, and time

    async def cancel(self, run: int, why: str = "") -> bool:
        """Ask a run to stop; False when it has ended. Durable when this returns.

        After True the run does not complete. Of one that had not begun its error says `why`.

        Raises:
            ShardNotHeldError: another process may hold the run; likewise of `retry` and `signal`.
        """
        self._check_held(run)
        return await self._commands.cancel(run, why=why)

    async def cancel_all(self) -> int:
        """Cancel all unfinished runs, in the order of their places; return how many there were."""
        count = after = 0
        while rows := await self._store.unfinished(after, PAGE):
            count, after = count + len(rows), rows[-1].place
            await asyncio.gather(*(self.cancel(row.run) for row in rows))
        return count

    async def retry(self, run: int) -> bool:
        """Put a failed or cancelled run at the end of its key's queue; False when it is neither.

        Durable when this returns.
        """
        self._check_held(run)
        return await self._commands.retry(run)

    async def signal(self, run: int, name: str, value: object) -> bool:
        """Send a run a signal; False when it is finished. Durable when this returns.

        Raises:
            RunNotFoundError: there is no such run.
            UnreadableAnswerError: the run waits for an approval, and this is neither yes nor no.
            EncodeError: the value cannot be journaled.
            StoreError: it is not durable, or nobody knows.
        """
        self._check_held(run)
        data = self.codec.encode(value)
        if (ticket := self.runs.get(run)) is not None:
            check_readable(ticket.id, ticket.waits.values(), name, value)
        sent = await self._commands.signal(run, checked_name(name), data)
        if not sent and not await self._store.runs([run]):
            raise RunNotFoundError(f"job {self.job!r} has no run {run_id(run)!r}")
        return sent

    async def caught_up(self) -> None:
        """Return when the store has what runs have told it until now, such as what they wait for.

        Raises StoreError where it does not write.
        """
        self._services.later.write()
        await self._commits.caught_up()

    def now(self) -> int:
        """Return the job's time, ns since the epoch."""
        return self._world.now()

    def call_at(self, due: int, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback` when `due` (ns since the epoch) has passed, unless the job closes first.

        Returns:
            What cancels it.
        """
        timers = self._services.timers
        return functools.partial(timers.cancel, timers.arm(due, callback))

    def insist(self, work: Callable[[], Awaitable[object]], failing: str) -> None:
        """Do `work` beside the runs, again for as long as the store fails, until the job closes.

        What else it raises stops the job.

        Args:
            work: what is done; may be done several times.
            failing: what does not succeed meanwhile, for the log.
        """

        async def insisting() -> None:
            await until_store_answers(self._commits, work, failing)

        self._runs.spawn(insisting())

    # What there is to see

    @functools.cached_property
    def snapshots(self) -> Snapshots:
        """What the job does at this moment; once open."""
        from perdure.runtime.snapshot import Snapshots  # here: few jobs are looked at

        return Snapshots(self._runs, lambda: self.counters)

    @property
    def runs(self) -> Mapping[int, RunTicket]:
        """The runs that are not finished, by number; changes as they come and end.

        Of many that are queued behind runs that wait, only the first are among them.
        """
        return self._runs.admission.tickets

    @property
    def in_flight(self) -> int:
        """How many runs go on or wait for their turn, and count for what may be in flight (G20)."""
        return self._runs.admission.in_flight

    @property
    def counters(self) -> JobCounters:
        """Counts of this process's work on the job, as of now."""
        in_flight, backlog = self.in_flight, self._runs.backlog
        return msgspec.structs.replace(
            self._services.counters,
            late_results=self._services.executor.late_results,
            in_flight=in_flight,
            waiting=len(self.runs) - in_flight - backlog.in_memory,
            queued=len(backlog),
            delayed=self._runs.resting.delayed,
        )
