"""RunnerContext: what an action sees of the runtime."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator
from concurrent.futures import Executor
from typing import TYPE_CHECKING, Any

from perdure.call import DurableCall, Outcome

if TYPE_CHECKING:
    from perdure.flink_agents.api.configuration import ReadableConfiguration
    from perdure.flink_agents.api.events.event import Event
    from perdure.flink_agents.api.memory.long_term_memory import BaseLongTermMemory
    from perdure.flink_agents.api.memory_object import MemoryObject
    from perdure.flink_agents.api.metric_group import MetricGroup
    from perdure.flink_agents.api.resource import ResourceType

__all__ = ["AsyncExecutionResult", "DurableCall", "DurableFuture", "Outcome", "RunnerContext"]

DurableFuture = DurableCall


class AsyncExecutionResult:
    """A function that an executor runs once it is awaited; nothing here makes one.

    `durable_execute_async` returns a DurableCall, which is awaited in the same way.
    """

    def __init__(
        self,
        executor: Executor,
        func: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        self._executor = executor
        self._func = func
        self._args = args
        self._kwargs = kwargs

    def __await__(self) -> Generator[Any, None, Any]:
        future = self._executor.submit(self._func, *self._args, **self._kwargs)
        while not future.done():
            yield
        return future.result()


class RunnerContext(ABC):
    """The runtime, as one action sees it."""

    @property
    @abstractmethod
    def key(self) -> Any:
        """The key of the input."""

    @abstractmethod
    def send_event(self, event: Event) -> None:
        """Send an event within the run, or an OutputEvent out of it."""

    @abstractmethod
    def get_resource(
        self, name: str, type: ResourceType, metric_group: MetricGroup | None = None
    ) -> Any:
        """Return a resource.

        Raises:
            KeyError: There is none.
        """

    @property
    @abstractmethod
    def action_config(self) -> dict[str, Any]:
        """Configuration of the action."""

    @abstractmethod
    def get_action_config_value(self, key: str) -> Any:
        """Return a value of the action's configuration, None where there is none."""

    @property
    @abstractmethod
    def sensory_memory(self) -> MemoryObject:
        """Memory that ends with the run."""

    @property
    @abstractmethod
    def short_term_memory(self) -> MemoryObject:
        """Memory of the key."""

    @property
    @abstractmethod
    def long_term_memory(self) -> BaseLongTermMemory:
        """Searchable memory of the key."""

    @property
    @abstractmethod
    def agent_metric_group(self) -> MetricGroup:
        """Metrics of the agent."""

    @property
    @abstractmethod
    def action_metric_group(self) -> MetricGroup:
        """Metrics of the action."""

    @abstractmethod
    def durable_execute(
        self,
        func: Callable[..., Any],
        *args: Any,
        reconciler: Callable[[], Any] | None = None,
        durable_id: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Call a function once, and return its recorded result ever after."""

    @abstractmethod
    def durable_execute_async(
        self,
        func: Callable[..., Any],
        *args: Any,
        reconciler: Callable[[], Any] | None = None,
        durable_id: str | None = None,
        **kwargs: Any,
    ) -> DurableCall[Any]:
        """Call a function once, beside others; await what is returned."""

    @abstractmethod
    def gather(self, *futures: DurableCall[Any]) -> Any:
        """Return what came of calls, in their order; to be awaited in a coroutine."""

    @property
    @abstractmethod
    def config(self) -> ReadableConfiguration:
        """Configuration of the job."""

    def close(self) -> None:
        """Let go of what it holds."""
