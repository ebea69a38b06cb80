"""RunnerContext: what an action sees of the runtime."""

from __future__ import annotations

import asyncio
import datetime
import logging
import random
import uuid
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, Protocol, TypeVar, overload

from perdure.call import DurableCall, Gathered, RetryPolicy
from perdure.config.configuration import Configuration
from perdure.event import Event
from perdure.memory.memory import MemoryObject
from perdure.metrics import MetricGroup
from perdure.resource import ResourceType
from perdure.run import Output
from perdure.run.approval import Approval

if TYPE_CHECKING:  # few jobs have one
    from perdure.memory.long_term import LongTermMemory

P = ParamSpec("P")
T = TypeVar("T")


def current_context() -> RunnerContext | None:
    """Return the context of the action whose own code runs here; None anywhere else.

    For libraries that an action's code calls without handing it over. A durable callable has none.
    """
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return None
    context: RunnerContext | None = getattr(loop, "action_context", None)
    return context


class ChildRun(Protocol):
    """A run that an action started with `ctx.submit`; works in that action only."""

    @property
    def id(self) -> str:
        """The run's id, as `perdure runs` shows it."""

    def outputs(self) -> DurableCall[list[Output]]:
        """Return a call that settles with the run's outputs when it has come to its end.

        The call raises what made the run fail, or RunCancelledError.

        Raises:
            ContextAccessError: it is a run of the action's own key, which begins only after this
                run has ended.
        """


class RunnerContext(Protocol):
    """The runtime, as one action sees it.

    It works only inside its own action, between its start and its end: a durable callable, a
    thread or another task that uses it gets a `ContextAccessError`.
    """

    @property
    def key(self) -> Any:
        """The key of the input; the memory belongs to it."""

    @property
    def run_id(self) -> str:
        """The run's id, as `perdure runs` shows it."""

    @property
    def sensory_memory(self) -> MemoryObject:
        """Memory that ends with the run."""

    @property
    def short_term_memory(self) -> MemoryObject:
        """Memory of the key, which outlives runs."""

    @property
    def long_term_memory(self) -> LongTermMemory:
        """Searchable memory of the key, reached through durable calls."""

    @property
    def config(self) -> Configuration:
        """The job's configuration."""

    @property
    def action_config(self) -> Mapping[str, Any]:
        """What `@action(..., name=value)` gave this action."""

    @property
    def agent_metric_group(self) -> MetricGroup:
        """Metrics of the agent, in this process; a replay counts again."""

    @property
    def action_metric_group(self) -> MetricGroup:
        """Metrics of this action, in this process; a replay counts again."""

    @property
    def logger(self) -> logging.Logger:
        """A logger that names the run and says each line once, over crashes and replays.

        A line is emitted when it is durable that it was: with the commit of what the code between
        two calls leads to, or a moment later where that takes long. Values are formatted at once.
        """

    @property
    def random(self) -> random.Random:
        """A generator that gives the same numbers on replay."""

    def get_action_config_value(self, name: str, default: Any = None) -> Any:
        """Return one value of `action_config`."""

    def get_resource(self, name: str, type: ResourceType) -> Any:
        """Return a resource of the agent or the engine; all keys share it.

        Raises:
            ConfigurationError: there is none of this name and type.
        """

    def send_event(self, event: Event) -> None:
        """Send an event within the run, or an `OutputEvent` out of it; it has its `id` then.

        It is encoded now and becomes visible when this action completes, in the same transaction.

        Raises:
            EncodeError: it holds something that the journal cannot keep.
        """

    def now(self) -> datetime.datetime:
        """Return the durable time, aware, in UTC: that of the last settlement."""

    def uuid4(self) -> uuid.UUID:
        """Return a random-looking UUID that is the same on replay."""

    def sleep(self, seconds: float) -> DurableCall[None]:
        """Return a call that settles after `seconds`, a restart included."""

    def wait_for_signal(self, name: str, *, timeout: float | None = None) -> DurableCall[Any]:
        """Return a call that settles with the value of the run's next signal with this name.

        Signals come from `job.signal`, `engine.signal` or `perdure signal`. Each is delivered
        once, to one wait, in the order in which they came: also when it came before the wait, or
        while the process was down. A wait that is cancelled or times out takes none.

        Args:
            name: the signal's name.
            timeout: seconds of durable time after which the call raises TimeoutError; None for no
                limit. A restart does not begin them anew.
        """

    def wait_for_approval(
        self, name: str, question: str | None = None, timeout: float | None = None
    ) -> DurableCall[Approval]:
        """Return a call that settles with a person's yes or no.

        Answers come as signals with this name, from `perdure approve`, `perdure inbox`,
        `run.approve` or any of those that send signals. What can be read as neither yes nor no is
        refused where it is sent; sent before the wait, it is dropped with a warning, and the wait
        goes on. The first answer counts.

        Args:
            name: the name of the answer's signal.
            question: what the person is asked, for those who look.
            timeout: seconds of durable time after which the call raises TimeoutError; None for no
                limit. A restart does not begin them anew.
        """

    def set_status(self, value: Any, *, entry: tuple[str, str] | None = None) -> None:
        """Publish what the run is doing, for those who look at it; the newest value counts.

        `perdure show`, `Run.activity` and `RunInfo.activity` show it. It is written with the next
        commit; nothing waits for that.

        Args:
            value: any value that the journal takes.
            entry: the name of a list and a name in it: `value` becomes one of that list, beside
                what the run's other actions say, and None takes it out. As long as a list has
                values, the status is a mapping with the list under its name, and under "status"
                what was set without `entry`.

        Raises:
            EncodeError: it cannot be journaled.
        """

    def submit(self, value: Any, *, key: Any, delay: float = 0.0) -> DurableCall[ChildRun]:
        """Start another run of this job, exactly once, and return a call that settles with it.

        The run is independent of this one: it is not cancelled with it. It starts though the call
        is never awaited: this action completes only when the run is durable. It does not wait for
        room among the runs in flight.

        Args:
            value: the input of the run.
            key: its key.
            delay: seconds after which it joins its key's queue, a restart included.

        Raises:
            EncodeError: value or key cannot be journaled.
        """

    @overload
    def durable_execute_async(
        self, func: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> DurableCall[T]: ...
    @overload
    def durable_execute_async(
        self, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> DurableCall[T]: ...
    @overload
    def durable_execute_async(
        self,
        func: Callable[..., Any],
        /,
        *args: Any,
        reconciler: Callable[..., Any],
        durable_id: str | None = None,
        **kwargs: Any,
    ) -> DurableCall[Any]: ...
    @overload
    def durable_execute_async(
        self,
        func: Callable[..., Any],
        /,
        *args: Any,
        durable_id: str,
        **kwargs: Any,
    ) -> DurableCall[Any]: ...

    @overload
    def durable_execute(
        self, func: Callable[P, Coroutine[Any, Any, T]], /, *args: P.args, **kwargs: P.kwargs
    ) -> T: ...
    @overload
    def durable_execute(self, func: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T: ...
    @overload
    def durable_execute(
        self,
        func: Callable[..., Any],
        /,
        *args: Any,
        reconciler: Callable[..., Any],
        durable_id: str | None = None,
        **kwargs: Any,
    ) -> Any: ...
    @overload
    def durable_execute(
        self,
        func: Callable[..., Any],
        /,
        *args: Any,
        durable_id: str,
        **kwargs: Any,
    ) -> Any: ...

    def with_options(
        self,
        *,
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        limit: str | tuple[str, ...] | None = None,
        reconciler: Callable[..., Any] | None = None,
        durable_id: str | None = None,
        durable_aliases: Iterable[str] = (),
    ) -> RunnerContext:
        """Return the same context with these options for the calls made through it.

        Args:
            timeout: seconds for one attempt, from the moment it starts executing. A coroutine is
                cancelled; a thread's late result is dropped. `durable_execute` of a plain function
                is not bounded by it.
            retry: when a failed attempt is followed by another.
            limit: name of a limit of the job's configuration (`limits`); each attempt waits until
                it allows one more. Of several names, one after the other, those with a rate last:
                name them in the same order everywhere.
            reconciler: asked for the outcome, instead of executing again, when a crash leaves it
                open whether the call executed; takes the call's arguments, plain or coroutine.
            durable_id: name of the callable in the journal, where its own may change.
            durable_aliases: names that it had in the journal before, such as "shop.calc:price".

        Raises:
            ConfigurationError: the timeout is not positive, or there is no such limit.
        """

    @overload
    def gather(self, *calls: DurableCall[T]) -> Gathered[T]: ...
    @overload
    def gather(self, *calls: DurableCall[Any]) -> Any: ...
