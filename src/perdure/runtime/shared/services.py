"""What all runs of a job share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from types import BuiltinFunctionType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import msgspec

from perdure.agent.plan import AgentPlan
from perdure.call import NO_OPTIONS, CallOptions, Limit
from perdure.callables import attribute
from perdure.checks import nanoseconds
from perdure.codec.codec import Codec
from perdure.codec.identity import (
    annotated_types,
    check_awaitable,
    function_identity,
    is_coroutine_callable,
)
from perdure.codec.names import NAMES
from perdure.config.configuration import AgentExecutionOptions, Configuration
from perdure.errors import EncodeError, StoreError
from perdure.executor import closing
from perdure.executor.executor import ContinuationActionExecutor
from perdure.executor.limits import Limits
from perdure.log_lines import PLACES
from perdure.metrics import MetricGroup
from perdure.runtime.shared.collector import Collector
from perdure.runtime.shared.failure_log import FailureLog
from perdure.runtime.shared.later import Later
from perdure.runtime.shared.measures import JobMeasures
from perdure.runtime.shared.memory_events import memory_events, notes_long_term
from perdure.runtime.shared.reach import Reach
from perdure.runtime.shared.resources import JobResources
from perdure.runtime.shared.soon import Soon
from perdure.runtime.shared.supervisor import RunSupervisor
from perdure.runtime.shared.timers import TimerService
from perdure.runtime.shared.world import World
from perdure.store.group_commit import GroupCommit


class JobCounters(msgspec.Struct):
    """Counts of this process's work on a job.

    Attributes:
        completed: runs completed; `failed`, `cancelled` likewise.
        calls_made: calls begun.
        calls_replayed: outcomes given from the journal instead.
        retries: runs put back.
        call_retries: attempts of calls after the first.
        divergences: actions that did something else on replay than their journal says.
        late_results: results that came after their calls had timed out or been cancelled.
        in_flight: runs admitted, not finished, and not resting, as of the moment of asking.
        queued: runs queued behind runs that wait, likewise.
        waiting: the other runs that are not finished, likewise.
        delayed: of these, those that are not due yet, likewise.
    """

    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    calls_made: int = 0
    calls_replayed: int = 0
    retries: int = 0
    call_retries: int = 0
    divergences: int = 0
    late_results: int = 0
    in_flight: int = 0
    queued: int = 0
    waiting: int = 0
    delayed: int = 0


class FunctionInfo:
    """What the runtime needs to know of a callable, found out once.

    Attributes:
        code: what it is known by, which is kept so that its id stays its own; None for nothing.
        name: its own in the journal; "" where it has none that lasts, see `named`.
        form: how its result is journaled (its `journal_form`); None for as it is.
        parts: what digests among its arguments were made of (its `digested_parts`); None if of
            nothing.
        keeps_arguments: its attempts may share one copy of their arguments.
        shares_arguments: it gets its arguments as they are.
    """

    __slots__ = (
        "_unnamed", "code", "declared", "form", "is_coroutine", "is_lone", "keeps_arguments",
        "name", "options", "parts", "shares_arguments", "version",
    )  # fmt: skip

    def __init__(self, func: Callable[..., Any], defaults: CallOptions) -> None:
        self.version = NAMES.version  # of what its name was derived from
        self.code: CodeType | BuiltinFunctionType | None = None
        self._unnamed: EncodeError | None = None
        self.name = ""
        try:
            self.name = function_identity(func)
        except EncodeError as error:
            self._unnamed = error
        self.is_coroutine = is_coroutine_callable(func)
        self.declared: CallOptions = attribute(func, "__perdure_options__", NO_OPTIONS)
        self.options = self.declared.over(defaults)
        self.is_lone = self.options.is_lone
        self.form: Any = attribute(func, "journal_form")
        self.parts: Mapping[str, Any] | None = attribute(func, "digested_parts")
        self.keeps_arguments = bool(attribute(func, "keeps_arguments"))
        self.shares_arguments = bool(attribute(func, "shares_arguments"))

    def named(self) -> str:
        """Return the callable's own name in the journal.

        Raises:
            EncodeError: it has none that lasts, so it needs a `durable_id`.
        """
        if self._unnamed is not None:
            raise self._unnamed.with_traceback(None)
        return self.name


class JobServices:
    """The parts of a job that its runs work with.

    Owns nothing of a single run. Lifecycle: made when the job opens, on the host loop.

    Args:
        job: the job's name.
        generation: number of its generation, from 1.
        plan: the agent.
        config: its configuration.
        codec: what values are journaled with.
        commits: where rows are written.
        executor: where calls execute.
        outbox: whether outputs wait for a sink; else they count as delivered.
        world: time, chance and threads.
        resources: the agent's resources.
        reach: what lies outside a run.
        supervisor: what runs ask of the job and tell it.
        collector: has set Python's collector of garbage for the job, until it is closed.
    """

    def __init__(
        self,
        *,
        job: str,
        generation: int,
        plan: AgentPlan,
        config: Configuration,
        codec: Codec,
        commits: GroupCommit,
        executor: ContinuationActionExecutor,
        outbox: bool,
        world: World,
        resources: JobResources,
        reach: Reach,
        supervisor: RunSupervisor,
        collector: Collector,
    ) -> None:
        self.job = job
        self.generation = generation
        self.plan = plan
        self.config = config
        self.codec = codec
        self.commits = commits
        self.executor = executor
        self.world = world
        self.resources = resources
        self.reach = reach
        self.supervisor = supervisor
        self.now = world.now
        self.rules = world.rules
        self.opened_at = world.now()
        self.timers = TimerService(world.now, supervisor.stop)
        # For what lasts a while wherever the clock is set: the bound of an attempt, a rate.
        self.spans = TimerService(world.monotonic, supervisor.stop)
        self.soon = Soon()
        self.later = Later(self.spans, world.monotonic)
        self.counters = JobCounters()
        self.failures = FailureLog(job, world.monotonic)
        self.metrics = MetricGroup()
        self.measures: JobMeasures | None = None  # until somebody asks for figures
        self.undelivered = 0 if outbox else 1  # what OutputRow.delivered begins with
        self.reexecute = config.get(AgentExecutionOptions.ON_DIVERGENCE) == "reexecute"
        ttl_ms = config.get(AgentExecutionOptions.SHORT_TERM_MEMORY_STATE_TTL_MS)
        self.short_term_ttl = ttl_ms * 1_000_000
        update_type = config.get(AgentExecutionOptions.SHORT_TERM_MEMORY_STATE_TTL_UPDATE_TYPE)
        self.keeps_read_memory = update_type == "on-read-and-write"
        limits = {**config.limits(), **_blocking(config)}
        self.limits = Limits(limits, world.monotonic, self.spans.arm)
        self.memory_events = memory_events(plan, config)
        self.notes_long_term = notes_long_term(self.memory_events)
        self.max_calls = config.get(AgentExecutionOptions.MAX_CALLS_PER_RUN)
        self.run_timeout = nanoseconds(config.get(AgentExecutionOptions.RUN_TIMEOUT))
        timeout = config.get(AgentExecutionOptions.TIMEOUT)
        defaults = CallOptions(timeout=timeout or None, retry=config.retry_policy())
        self.defaults = NO_OPTIONS if defaults == NO_OPTIONS else defaults  # nothing to be merged
        self._functions: dict[int, FunctionInfo] = {}  # by the id of their `code`
        self._collector = collector
        self._is_closed = False
        PLACES.begin()
        closing.begin(self)

    def stop(self) -> None:
        """Let nothing become due from here on; what was to be told in a moment is told now."""
        self.later.stop()
        self.timers.close()
        self.spans.close()
        self.soon.close()

    def close(self) -> None:
        """Tell what was only counted, and let go of what is the process's; again nothing."""
        if not self._is_closed:
            self._is_closed = True
            self.failures.close()
            PLACES.end()
            self._collector.restore()
            closing.end(self)

    def loop_ends(self, loop: asyncio.AbstractEventLoop) -> None:
        """Start no call any more, and take none that is cancelled for over."""
        if self.commits.host is loop:
            self.executor.start_nothing()

    def loop_left(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let go of what is the process's, if the job was never closed on its loop."""
        if self.commits.host is loop:
            self.close()

    def hold_calls(self, error: StoreError) -> None:
        """Start no call: the store does not write, so what came of one would be lost (G25)."""
        self.limits.hold()
        self.executor.hold()
        if error.is_final:
            self.supervisor.stop(error)

    def let_calls_go(self) -> None:
        """Start what was held, and calls as they come again."""
        self.executor.let_go()
        self.limits.let_go()

    def measure(self) -> JobMeasures:
        """Return what is counted of calls and commits: from the first time that it is asked for."""
        if self.measures is None:
            self.measures = JobMeasures(self.now)
            self.commits.measure = self.measures.committed
        return self.measures

    def check_limit(self, limit: str | tuple[str, ...]) -> None:
        """Make sure that limits of these names are configured.

        Raises:
            ConfigurationError: one is not.
        """
        for name in (limit,) if isinstance(limit, str) else limit:
            self.limits.check(name)

    def function(self, func: Callable[..., Any]) -> FunctionInfo:
        """Return what is known of a callable; its annotated types become known to the codec."""
        # Functions only, bound as methods too, by their code, since a lambda is a new object each
        # time, and those of modules in C. A closure may be a wrapper that has taken another's name;
        # partials and objects come and go. What a factory makes is of one code and may have options
        # of its own each time.
        code: CodeType | BuiltinFunctionType | None = None
        declared: CallOptions = NO_OPTIONS
        plain: Any = func.__func__ if type(func) is MethodType else func
        if type(plain) is FunctionType:
            declared = getattr(plain, "__perdure_options__", NO_OPTIONS)
            if plain.__closure__ is None:
                code = plain.__code__
        elif type(func) is BuiltinFunctionType and type(func.__self__) is ModuleType:
            code = func
        # By its id, since the hash of a code takes the longer, the longer the function is.
        known = self._functions.get(id(code))
        if known is None or known.declared is not declared or known.version != NAMES.version:
            known = self._found_out(func)
            if code is not None:
                known.code = code
                self._functions[id(code)] = known
        return known

    def _found_out(self, func: Callable[..., Any]) -> FunctionInfo:
        check_awaitable(func)
        found = FunctionInfo(func, self.defaults)
        for annotated in annotated_types(func):
            self.codec.registry.register_annotation(annotated)
        return found


def _blocking(config: Configuration) -> dict[str, Limit]:
    """Return a limit of one for each sort of built-in call that shall not overlap with its kind."""
    toggles = (
        AgentExecutionOptions.CHAT_ASYNC,
        AgentExecutionOptions.TOOL_CALL_ASYNC,
        AgentExecutionOptions.RAG_ASYNC,
    )
    return {each.name: Limit(concurrency=1) for each in toggles if not config.get(each)}
