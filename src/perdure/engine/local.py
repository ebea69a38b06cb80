"""LocalEngine: jobs in this process, on one event loop."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import TYPE_CHECKING, Any, Self

from perdure.agent.resources import ResourceSpec, added_resource, merged
from perdure.config.configuration import AgentExecutionOptions, AnyConfiguration, Configuration
from perdure.connectors.base import Sink
from perdure.connectors.iterable import as_sink, as_source
from perdure.engine.event_loop import runner_of
from perdure.engine.files import check_output
from perdure.engine.generations import end_generation
from perdure.engine.inputs import Field, check_fields
from perdure.engine.interrupts import Interrupts, closed_at_its_end
from perdure.engine.job import Job
from perdure.engine.open_job import OpenJob
from perdure.engine.plan_of import AnyAgent, plan_of
from perdure.engine.progress import DriveResult
from perdure.engine.waiting import WaitingWatch
from perdure.errors import ConfigurationError, RunsFailedError
from perdure.executor.running import running_loop
from perdure.operate.selection import selection_of
from perdure.printable import printable_logger
from perdure.resource import ResourceType
from perdure.run import Output, RunStatus, status_named
from perdure.run.approval import Approval
from perdure.store.base import ActionStateStore
from perdure.store.generations import check_job_text
from perdure.store.url import DEFAULT_STORE, open_store

# What looks into stores from outside is imported where it is asked for: running needs none of it.
if TYPE_CHECKING:
    from perdure.operate.history import History
    from perdure.run import BadLine, RunInfo, WaitInfo

logger = printable_logger("perdure")

HINT_SECONDS = 5.0  # that only waiting runs keep `run` from its end before a log line says so


class LocalEngine:
    """Runs agents in this process and keeps their journal in a store.

    Running again with the same store and job resumes: finished inputs are not run again, unfinished
    runs go on from their journal.

    Args:
        store: `sqlite:///PATH`, or `memory://` (kept as long as the engine).
        job: name of the job in the store. One process at a time runs a job.
        config: a `Configuration`, a mapping of options, or the path of a YAML file.

    Raises:
        ConfigurationError: the store or an option is not known, or it or the job has a wrong value.
    """

    def __init__(
        self,
        store: str = DEFAULT_STORE,
        job: str = "default",
        config: AnyConfiguration = None,
    ) -> None:
        check_job_text(job)
        self.job = job
        self.config = config if isinstance(config, Configuration) else Configuration.load(config)
        relaxed = self.config.get(AgentExecutionOptions.DURABILITY) == "relaxed"
        mode = int(self.config.get(AgentExecutionOptions.STORE_FILE_MODE), 8)
        self._store: ActionStateStore = open_store(store, relaxed=relaxed, mode=mode)
        self._resources: list[ResourceSpec] = []

    def add_resource(self, name: str, resource_type: ResourceType, instance: Any) -> Self:
        """Add a resource for all agents that this engine runs; an agent's own of that name wins.

        Returns:
            This engine.

        Raises:
            AgentDefinitionError: the name is taken, or it is no resource of this type.
        """
        spec = added_resource(name, resource_type, instance, "the engine")
        merged([*self._resources, spec])
        self._resources.append(spec)
        return self

    # Running

    def run(
        self,
        agent: AnyAgent,
        inputs: Any,
        *,
        key: Field,
        id: Field | None = None,
        sink: Sink | Callable[[Output], Any] | None = None,
        fresh: bool = False,
        abandon: bool = False,
    ) -> list[Output]:
        """Run the agent over `inputs` to the end, on an event loop of its own.

        Args:
            agent: the agent, its class or a function that makes it.
            inputs: an iterable, an async iterable or a `Source`.
            key: the key of an input: a field name or a function of the value.
            id: its idempotency id, likewise; without it inputs are known by their position.
            sink: where outputs are delivered as they come.
            fresh: run all inputs anew, in another generation of the job: with empty memory and
                documents, and ids of its own. What was before is kept, as job `NAME@N`.
            abandon: with `fresh`, cancel unfinished runs of the generation before.

        Returns:
            The outputs of all the inputs given, recorded ones included, in the order of their
            commits; those of one key in the order of its inputs.

        Raises:
            RunsFailedError: some runs failed; it has the outputs and the failed runs.
            InputError: an input is bad or is not what this job read there before.
            StoreError: the store cannot be used, or another process runs the job; or it is to
                begin afresh and has unfinished runs.
            TooManyFailuresError: as many runs failed as `max-failures` allows.
            ConfigurationError: `event-loop` is uvloop, which is not installed.
        """
        if running_loop() is not None:
            raise RuntimeError(
                "LocalEngine.run blocks, and an event loop is running here:"
                " use `await engine.run_async(...)`"
            )
        result = self._run_on_own_loop(
            lambda: self._drive(
                agent, inputs, key=key, id=id, sink=sink, fresh=fresh, abandon=abandon
            )
        )
        if result is None:
            self._say_how_to_resume(fresh=fresh)
            raise KeyboardInterrupt
        return _outputs_of(result)

    def _run_on_own_loop(
        self, drive: Callable[[], Coroutine[Any, Any, DriveResult]]
    ) -> DriveResult | None:
        """Run to the end; return None after an interrupt."""
        interrupts, kept = Interrupts(), list[DriveResult]()

        async def driving() -> None:
            interrupts.stop_this_task()
            # It returns nothing: the runner makes a text of its task, and of its result with it.
            kept.append(await drive())

        # What is raised below is raised outside of any `except`: a traceback begins with it.
        with contextlib.suppress(KeyboardInterrupt), interrupts:
            runner = runner_of(self.config)
            with closed_at_its_end(runner, interrupts, self._store.close_now):
                try:
                    runner.run(driving())
                except asyncio.CancelledError:
                    if not interrupts.count:
                        raise
                else:
                    return kept.pop()
        return None

    async def run_async(
        self,
        agent: AnyAgent,
        inputs: Any,
        *,
        key: Field,
        id: Field | None = None,
        sink: Sink | Callable[[Output], Any] | None = None,
        fresh: bool = False,
        abandon: bool = False,
    ) -> list[Output]:
        """Do what `run` does, inside a running event loop."""
        return _outputs_of(
            await self._drive(
                agent, inputs, key=key, id=id, sink=sink, fresh=fresh, abandon=abandon
            )
        )

    async def _drive(
        self,
        agent: AnyAgent,
        inputs: Any,
        *,
        key: Field,
        id: Field | None,
        sink: Sink | Callable[[Output], Any] | None,
        fresh: bool,
        abandon: bool,
    ) -> DriveResult:
        check_fields(key, id)
        source, sink = as_source(inputs), as_sink(sink) if sink is not None else None
        check_output(sink, self._store, self.job, source)  # before anything is written
        async with self.open(agent, sink=sink, fresh=fresh, abandon=abandon) as job:
            watching = asyncio.ensure_future(self._watch(job))
            try:
                result = await job.drive(source, key=key, id=id)
            finally:
                watching.cancel()
        return result

    def _say_how_to_resume(self, *, fresh: bool) -> None:
        """Say in a log line that nothing is lost by the interrupt, and what to do."""
        options = selection_of(self._store.url, self.job)
        same = "the same without fresh=True" if fresh else "the same"
        if options is None:
            how = "run it again with this engine to go on; memory:// ends with the process"
        else:
            how = f"run {same} again to go on; see where it stands: perdure runs{options}"
        logger.warning("job %r: interrupted; nothing is lost: %s", self.job, how)

    async def _watch(self, job: Job) -> None:
        """Say it in a log line when only runs that wait keep `run` from its end."""
        watch = WaitingWatch(
            job, lambda text: logger.warning("job %s", text), after=HINT_SECONDS,
            selection=selection_of(self._store.url, self.job),
        )  # fmt: skip
        await watch.watch()

    @contextlib.asynccontextmanager
    async def open(
        self,
        agent: AnyAgent,
        *,
        sink: Sink | Callable[[Output], Any] | None = None,
        fresh: bool = False,
        abandon: bool = False,
    ) -> AsyncIterator[Job]:
        """Open the job for submissions: `async with engine.open(agent) as job`.

        Unfinished runs go on at once. Leaving the block normally waits for the runs in flight;
        leaving it with an exception stops them, and the next `open` goes on with them. `fresh` and
        `abandon` are those of `run`.
        """
        job = await self.start(agent, sink=sink, fresh=fresh, abandon=abandon)
        try:
            yield job
            await job.drain()
        finally:
            await job.close()

    async def start(
        self,
        agent: AnyAgent,
        *,
        sink: Sink | Callable[[Output], Any] | None = None,
        fresh: bool = False,
        abandon: bool = False,
    ) -> Job:
        """Open the job for submissions, until `await job.close()`; see `open`."""
        if abandon and not fresh:
            raise ConfigurationError(
                "--abandon goes with --fresh (abandon=True with fresh=True): it cancels what a job"
                " has unfinished that is to begin anew"
            )
        plan = plan_of(agent, self.config, self._resources)
        to = as_sink(sink) if sink is not None else None
        if fresh:
            await end_generation(self._store, self.job, plan, self.config, to, abandon=abandon)
        job = OpenJob(self._store, self.job, plan, self.config, to, fresh=fresh)
        await job.open()
        return Job(job)

    # Looking and acting

    def runs(
        self, *, status: RunStatus | str | None = None, key: Any = None, limit: int = 50
    ) -> list[RunInfo]:
        """Return the newest runs of the job, newest first.

        Args:
            status: those that stand so alone: a RunStatus, or its text such as "running".
            key: those of this key alone.
            limit: how many at most.

        Raises:
            ConfigurationError: there is no such status.
        """
        wanted = status_named(status) if isinstance(status, str) else status
        with self._history() as history:
            return history.runs(history.job(self.job), status=wanted, key=key, limit=limit)

    def run_info(self, id: str) -> RunInfo:
        """Return one run, with its outputs.

        Args:
            id: the id that was given with its input, or its own.

        Raises:
            RunNotFoundError: there is none.
            PerdureError: the id names two: one run by what was given with it, and another's own.
        """
        with self._history() as history:
            return history.run_with_outputs(history.job(self.job), id)

    def bad_lines(self, *, limit: int = 50) -> list[BadLine]:
        """Return the inputs that sources with `on_bad_line="skip"` passed over, by source."""
        with self._history() as history:
            return history.bad_lines(history.job(self.job), limit=limit)

    def retry(self, id: str) -> RunInfo:
        """Put a failed or cancelled run back into its key's queue.

        Durable when it returns; it happens at once where the job is open, else when it is next.
        """
        from perdure.operate.control import retry
        from perdure.operate.history import blocking

        with self._history() as history:
            return blocking(retry)(history, history.job(self.job), id)

    def signal(self, id: str, name: str, value: Any = None) -> RunInfo:
        """Send an unfinished run a signal; durable when it returns, like `retry`.

        Raises:
            EncodeError: the value cannot be journaled.
        """
        from perdure.operate.control import signal
        from perdure.operate.history import blocking

        with self._history() as history:
            return blocking(signal)(history, history.job(self.job), id, name, value)

    def approve(
        self,
        id: str,
        name: str | None = None,
        *,
        approved: bool = True,
        by: str | None = None,
        comment: str | None = None,
    ) -> RunInfo:
        """Answer a run that waits for an approval; durable when it returns, like `retry`.

        Args:
            id: the run's id.
            name: name of the approval; None for the only one that the run waits for.
            approved: yes or no.
            by: who answers.
            comment: what the agent is told with it.

        Raises:
            ConfigurationError: no name is given, and the run waits for several.
            PerdureError: there is no such run, it waits for none, or somebody has answered: the
                message says who.
        """
        answer = Approval(approved=approved, by=by, comment=comment)
        from perdure.operate.control import approve
        from perdure.operate.history import blocking

        with self._history() as history:
            return blocking(approve)(history, history.job(self.job), id, name, answer)[0]

    def waits(self, *, limit: int = 1000) -> list[WaitInfo]:
        """Return what the job's runs wait for from outside, those that wait longest first."""
        with self._history() as history:
            return history.waits(history.job(self.job), limit=limit)

    def cancel(self, id: str) -> RunInfo:
        """Ask that an unfinished run is stopped; that it was asked is durable when it returns.

        The process that has the job open does it within a second, without one the next that opens
        it. A run that comes to its end before that stays as it ended; `Run.cancel` knows which.
        """
        from perdure.operate.control import cancel
        from perdure.operate.history import blocking

        with self._history() as history:
            return blocking(cancel)(history, history.job(self.job), id)

    def _history(self) -> History:
        """Open the store for looking; it blocks."""
        from perdure.operate.history import History

        return History.of(self._store)


def _outputs_of(result: DriveResult) -> list[Output]:
    """Return the outputs of a job that has come to its end.

    Raises:
        RunsFailedError: some runs failed.
    """
    if result.failed:
        raise RunsFailedError(outputs=result.outputs, failed=result.failed)
    return result.outputs
