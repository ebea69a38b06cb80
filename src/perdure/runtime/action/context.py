"""ActionContext: the one RunnerContext."""

from __future__ import annotations

import datetime
import functools
import logging
import random
import uuid
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, cast

import msgspec

from perdure.call import (
    NO_OPTIONS,
    CallOptions,
    DurableCall,
    Gathered,
    RetryPolicy,
    checked_calls,
    checked_retry,
    outcome_of,
    park_for_all,
)
from perdure.checks import (
    checked_aliases,
    checked_durable_id,
    checked_limit,
    checked_name,
    checked_seconds,
    checked_timeout,
)
from perdure.config.configuration import Configuration
from perdure.context import ChildRun, RunnerContext
from perdure.errors import ConfigurationError, ContextAccessError, EncodeError
from perdure.event import Event, EventType, wrong_type
from perdure.executor.running import running_loop
from perdure.journal.record import Record
from perdure.memory.cells import Cell
from perdure.memory.memory import ActionMemory, MemoryKind, MemoryObject
from perdure.metrics import MetricGroup
from perdure.printable import PrintableFilter
from perdure.resource import ResourceType
from perdure.run.approval import APPROVAL, Approval, reader_of
from perdure.runtime.action.event_ids import EventIds
from perdure.runtime.action.log import ActionLogger
from perdure.runtime.action.runner import ActionRunner

if TYPE_CHECKING:  # few jobs have such a memory
    from perdure.memory.long_term import LongTermMemory, LongTermOperation

_READ_EVENTS: Final[Mapping[MemoryKind, str]] = {
    "sensory": EventType.SensoryReadEvent,
    "short_term": EventType.ShortTermReadEvent,
}


class Sent(msgspec.Struct, frozen=True):
    """An event as the action handed it over."""

    type: str
    data: bytes  # encoded attributes; of an output, the encoded value
    is_output: bool
    id: str


class ActionMemories:
    """One action's views of both memories, made when it first looks: many actions never do."""

    __slots__ = ("_bases", "_runner", "_services", "_started", "_views")

    def __init__(
        self,
        runner: ActionRunner,
        bases: tuple[Mapping[str, Cell], Mapping[str, Cell]],
        started: Record,
    ) -> None:
        self._services = runner.run.services
        self._runner = runner
        self._bases = bases
        self._started = started
        self._views: dict[MemoryKind, ActionMemory] | None = None

    def view(self, kind: MemoryKind) -> ActionMemory:
        """Return the action's view of one memory."""
        if self._views is None:
            self._views = {}
        view = self._views.get(kind)
        if view is None:
            is_sensory, services = kind == "sensory", self._services
            view = self._views[kind] = ActionMemory(
                self._bases[0 if is_sensory else 1],
                kind=kind,
                encode=services.codec.encode,
                decode=services.codec.decode,
                check=functools.partial(self._runner.check_turn, "memory"),
                now=self._runner.began_at,
                ttl_ns=0 if is_sensory else services.short_term_ttl,
                keeps_read=services.keeps_read_memory,
                replaces=self._started.rules is None,
                notes_reads=_READ_EVENTS[kind] in services.memory_events,
            )
        return view

    @property
    def is_used(self) -> bool:
        """True when the action has looked at a memory."""
        return self._views is not None

    def reads(self, kind: MemoryKind) -> Mapping[str, bytes]:
        """Return the encoded values that were read by path, where reads are noted."""
        view = None if self._views is None else self._views.get(kind)
        return {} if view is None else view.reads

    def written(self, kind: MemoryKind) -> ActionMemory | None:
        """Return the view of a memory that the action has written to; None where it has not."""
        view = self._views.get(kind) if self._views is not None else None
        return view if view is not None and view.pending() else None


class ActionContext:
    """What one action sees of the runtime (see `perdure.context.RunnerContext`).

    Owns: the events sent, the action's view of both memories, its derived randomness. Lifecycle:
    made when the action starts; refuses everything outside its turns.

    Args:
        runner: the action.
        bases: sensory and short-term memory as of its start.
        started: its START record.
    """

    def __init__(
        self,
        runner: ActionRunner,
        bases: tuple[Mapping[str, Cell], Mapping[str, Cell]],
        started: Record,
    ) -> None:
        self._run = runner.run
        self._runner = runner
        self.sent: list[Sent] = []
        self._event_ids = EventIds(
            self._run.event_ids(runner.event, runner.name),
            from_making=started.rules is not None,
        )
        loop = runner.continuation.loop
        loop.new_event_id, loop.action_context = self._event_ids.made, self
        self.memories = ActionMemories(runner, bases, started)
        self._rules = started.rules
        self._logger: logging.Logger | None = None
        self._options = NO_OPTIONS
        self._own_key: Any = None
        # What was done to long-term memory, where somebody is told of it.
        noted = self._run.services.notes_long_term
        self.long_term: list[LongTermOperation] | None = [] if noted else None

    # What it knows

    @property
    def key(self) -> Any:
        if self._own_key is None:  # what can change is the action's own
            key = self._run.ticket.key
            self._own_key = self._run.services.codec.read_back(key.value, key.row.value)
        return self._own_key

    @property
    def run_id(self) -> str:
        return self._run.ticket.id

    @property
    def config(self) -> Configuration:
        return self._run.services.config

    @property
    def action_config(self) -> Mapping[str, Any]:
        return self._runner.spec.config

    def get_action_config_value(self, name: str, default: Any = None) -> Any:
        return self._runner.spec.config.get(name, default)

    @property
    def agent_metric_group(self) -> MetricGroup:
        return self._run.services.metrics

    @property
    def action_metric_group(self) -> MetricGroup:
        return self._run.services.metrics.sub_group(self._runner.name)

    @property
    def logger(self) -> logging.Logger:
        if self._logger is None:
            name = f"perdure.run.{self.run_id}.{self._runner.name}"
            logger = ActionLogger(name, self._runner.log.add, self._runner.continuation.loop.place)
            logger.addFilter(PrintableFilter(lines=True))
            self._logger = logger
        return self._logger

    @property
    def keeps_refused_calls(self) -> bool:
        """Whether a tool call that no tool takes is a durable call too, see `record.RULES`."""
        return self._rules is not None and self._rules >= 3

    @property
    def chats_make_events(self) -> bool:
        """Whether a chat inside an action makes an event of its request, see `record.RULES`."""
        return self._rules is None or self._rules < 3

    def get_resource(self, name: str, type: ResourceType) -> Any:
        self._runner.check_turn("get_resource")
        return self._run.services.resources.get_resource(name, type)

    # Memory and events

    @property
    def sensory_memory(self) -> MemoryObject:
        return self.memories.view("sensory").root

    @property
    def short_term_memory(self) -> MemoryObject:
        return self.memories.view("short_term").root

    @property
    def long_term_memory(self) -> LongTermMemory:
        self._runner.check_turn("long_term_memory")
        builtin = self._run.services.plan.builtin
        if builtin is None:
            raise ContextAccessError(f"{self._runner.where()}: there is no long-term memory here")
        # Of this job and key alone, also in a store that others share.
        services = self._run.services
        scope = f"{services.job}/{self._run.key_digest.hex()}"
        if services.generation > 1:  # what another generation remembers is not for this one
            scope += f"/{services.generation}"
        # The overloads of the protocol are for callers; this is its one implementation.
        return builtin.long_term_memory(cast(RunnerContext, self), scope, self.long_term)

    def send_event(self, event: Event) -> None:
        self._runner.check_turn("send_event")
        if not isinstance(event, Event):
            raise EncodeError(
                f"{self._runner.where()}: send_event takes an Event, not a {type(event).__name__}"
            )
        if why := wrong_type(event.type):  # set on the event since
            raise EncodeError(f"{self._runner.where()}: {event.type!r:.60} is no event type: {why}")
        is_output = event.type == EventType.OutputEvent
        value = event.attributes.get("output") if is_output else event.attributes
        try:
            data = self._run.services.codec.encode(value)
        except EncodeError as error:
            raise EncodeError(
                f"{self._runner.where()}: the event {event.type} cannot be journaled: {error}"
            ) from error
        self._event_ids.sent(event)
        self.sent.append(Sent(event.type, data, is_output, event.id))

    # Time and chance

    def now(self) -> datetime.datetime:
        self._runner.check_turn("now")
        seconds, ns = divmod(self._runner.continuation.loop.now, 1_000_000_000)
        moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
        return moment.replace(microsecond=ns // 1000)

    @property
    def random(self) -> random.Random:
        self._runner.check_turn("random")
        return self._runner.random

    def uuid4(self) -> uuid.UUID:
        return uuid.UUID(int=self.random.getrandbits(128), version=4)

    def sleep(self, seconds: float) -> DurableCall[None]:
        runner = self._runner
        runner.check_turn("sleep")
        seconds = checked_seconds(seconds)
        return runner.continuation.make_call(lambda: runner.waits.sleep(seconds))

    def wait_for_signal(self, name: str, *, timeout: float | None = None) -> DurableCall[Any]:
        runner = self._runner
        runner.check_turn("wait_for_signal")
        timeout = checked_timeout(timeout)
        checked_name(name)
        self._run.services.reach.check_wait(runner.where, f"the signal {name!r}")
        return runner.continuation.make_call(lambda: runner.waits.wait_for_signal(name, timeout))

    def wait_for_approval(
        self, name: str, question: str | None = None, timeout: float | None = None
    ) -> DurableCall[Approval]:
        runner = self._runner
        runner.check_turn("wait_for_approval")
        timeout = checked_timeout(timeout)
        checked_name(name)
        if question is not None and not isinstance(question, str):
            raise ConfigurationError(
                f"{runner.where()}: a question is text, not a {type(question).__name__}"
            )
        self._run.services.reach.check_wait(runner.where, f"an answer to the approval {name!r}")
        read = reader_of(self._rules)
        return runner.continuation.make_call(
            lambda: runner.waits.wait_for_signal(
                name, timeout, kind=APPROVAL, question=question, read=read
            )
        )

    def set_status(self, value: Any, *, entry: tuple[str, str] | None = None) -> None:
        runner, run = self._runner, self._run
        runner.check_turn("set_status")
        try:
            data = run.services.codec.encode(value)
        except EncodeError as error:
            raise EncodeError(
                f"{runner.where()}: the status cannot be journaled: {error}"
            ) from error
        own = run.services.codec.decode(data)  # what its maker does with the value is not said

        def publish() -> None:
            run.set_status(own, entry)
            runner.note()

        runner.continuation.on_host(publish)

    # Other runs

    def submit(self, value: Any, *, key: Any, delay: float = 0.0) -> DurableCall[ChildRun]:
        runner = self._runner
        runner.check_turn("submit")
        delay = checked_seconds(delay, "delay=")
        self._run.services.reach.check_child(runner.where, self._run.key_digest, key)
        return runner.continuation.make_call(runner.calls.submit, value, key, delay)

    # Calls

    def with_options(
        self,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        limit: str | tuple[str, ...] | None = None,
        reconciler: Callable[..., Any] | None = None,
        durable_id: str | None = None,
        durable_aliases: Iterable[str] = (),
    ) -> ActionContext:
        if limit is not None:
            limit = checked_limit(limit)
            self._run.services.check_limit(limit)
        options = CallOptions(
            timeout=checked_timeout(timeout),
            retry=checked_retry(retry),
            limit=limit,
            reconciler=reconciler,
            durable_id=checked_durable_id(durable_id),
            durable_aliases=checked_aliases(durable_aliases) if durable_aliases else (),
        )
        other = object.__new__(ActionContext)
        other.__dict__.update(self.__dict__)
        other._options = options.over(self._options)
        return other

    def durable_execute_async(
        self,
        func: Callable[..., Any],
        /,
        *args: Any,
        reconciler: Callable[..., Any] | None = None,
        durable_id: str | None = None,
        **kwargs: Any,
    ) -> DurableCall[Any]:
        runner = self._runner
        continuation = runner.continuation
        if runner.ended or running_loop() is not continuation.loop:
            runner.check_turn("durable_execute_async")
        options = self._options
        if reconciler is not None or durable_id is not None:
            options = self._options_for(reconciler, durable_id)
        if not continuation.is_sequential:
            return runner.calls.make(func, args, kwargs, options)
        return continuation.make_call(runner.calls.make, func, args, kwargs, options)

    def durable_execute(
        self,
        func: Callable[..., Any],
        /,
        *args: Any,
        reconciler: Callable[..., Any] | None = None,
        durable_id: str | None = None,
        **kwargs: Any,
    ) -> Any:
        runner = self._runner
        runner.check_turn("durable_execute")
        options = self._options
        if reconciler is not None or durable_id is not None:
            options = self._options_for(reconciler, durable_id)
        continuation = runner.continuation
        call = continuation.make_call(runner.calls.make, func, args, kwargs, options, True)
        if not call.done():
            continuation.suspend(call)
        return call.result()

    def _options_for(
        self, reconciler: Callable[..., Any] | None, durable_id: str | None
    ) -> CallOptions:
        named = checked_durable_id(durable_id)
        return CallOptions(reconciler=reconciler, durable_id=named).over(self._options)

    def gather(self, *calls: DurableCall[Any]) -> Any:
        self._runner.check_turn("gather")
        waited = checked_calls(calls, "ctx.gather")
        parker = self._runner.continuation.parker
        if parker is None:
            return Gathered(waited)
        if waited:
            park_for_all(parker, waited)
        return [outcome_of(call) for call in calls]

    def __repr__(self) -> str:
        return f"<RunnerContext of {self._runner.where()}>"

    def __reduce__(self) -> Any:
        raise ContextAccessError(
            f"{self._runner.where()}: the context was handed to a durable call or stored; hand over"
            " the values that are needed"
        )
