"""AgentFunction: the agent's operator as Flink knows it. All that it does is `AgentOperator`'s."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from pyflink.common import Types
from pyflink.datastream import KeyedProcessFunction, OutputTag, RuntimeContext
from pyflink.datastream.state import MapState, MapStateDescriptor

from perdure.engine.flink import orphans
from perdure.engine.flink.operator import AgentOperator, Failed
from perdure.engine.flink.spec import FunctionSpec

__all__ = ["AgentFunction"]

_BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())


class _MapState:
    """Flink's state of the current key as the operator wants it.

    Args:
        state: Flink's.
    """

    def __init__(self, state: MapState) -> None:
        self._state = state
        self.get = state.get
        self.put = state.put
        self.remove = state.remove

    def items(self) -> Any:
        return self._state.items()


class AgentFunction(KeyedProcessFunction):
    """Runs an agent over elements that are keyed by their shards.

    Args:
        spec: the job.
    """

    def __init__(self, spec: FunctionSpec) -> None:
        self._spec = spec
        self._operator: AgentOperator | None = None

    def open(self, runtime_context: RuntimeContext) -> None:
        """Join the job's host in this process."""
        orphans.watch()
        state = runtime_context.get_map_state(MapStateDescriptor("perdure", Types.STRING(), _BYTES))
        self._failed = OutputTag(self._spec.failed_tag, _BYTES)
        self._operator = AgentOperator(self._spec, _MapState(state), time.time_ns)
        self._operator.open()

    def close(self) -> None:
        """Leave it; runs stop where they are."""
        if self._operator is not None:
            self._operator.close()

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        """Take an element."""
        assert self._operator is not None
        yield from self._told(self._operator.element(value, ctx.timer_service()))

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        """Fetch what has happened."""
        assert self._operator is not None
        shard = ctx.get_current_key()
        number = shard if isinstance(shard, int) else shard[0]
        yield from self._told(self._operator.timer(timestamp, number, ctx.timer_service()))

    def _told(self, told: Iterator[Any]) -> Iterator[Any]:
        for each in told:
            yield (self._failed, each.data) if isinstance(each, Failed) else each
