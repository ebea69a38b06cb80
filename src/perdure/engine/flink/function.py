"""AgentFunction: the agent's operator as Flink knows it. All that it does is `AgentOperator`'s."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from pyflink.common import Row, Types
from pyflink.datastream import KeyedProcessFunction, OutputTag, RuntimeContext
from pyflink.datastream.state import MapState, MapStateDescriptor

from perdure.engine.flink import orphans
from perdure.engine.flink.operator import AgentOperator, Failed
from perdure.engine.flink.spec import FunctionSpec

__all__ = ["AgentFunction"]

_BYTES = Types.PRIMITIVE_ARRAY(Types.BYTE())


class _States:
    """Flink's state as the operator wants it: of any shard of the subtask, in any callback.

    PyFlink gives a function the state of the key that its callback is for. Which key that is, is
    known to its backend alone, and may be said to it.

    Args:
        state: Flink's.
        backend: what has it, of PyFlink.
    """

    def __init__(self, state: MapState, backend: Any) -> None:
        self._state = state
        self._set_key = backend.set_current_key
        self.get = state.get
        self.put = state.put
        self.remove = state.remove

    def select(self, shard: int) -> None:
        self._set_key(Row(shard))

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
        states = _States(state, runtime_context._keyed_state_backend)
        self._operator = AgentOperator(self._spec, states, time.time_ns)
        self._operator.open()

    def close(self) -> None:
        """Leave it; runs stop where they are."""
        if self._operator is not None:
            self._operator.close()

    def process_element(self, value: Any, ctx: KeyedProcessFunction.Context) -> Iterator[Any]:
        """Take an element."""
        return self._told(self._at_work.element(ctx.get_current_key(), value, ctx.timer_service()))

    def on_timer(self, timestamp: int, ctx: KeyedProcessFunction.OnTimerContext) -> Iterator[Any]:
        """Fetch what has happened."""
        shard, timers = ctx.get_current_key(), ctx.timer_service()
        return self._told(self._at_work.timer(timestamp, shard, timers))

    @property
    def _at_work(self) -> AgentOperator:
        assert self._operator is not None, "it is not open"
        return self._operator

    def _told(self, told: Iterator[Any]) -> Iterator[Any]:
        for each in told:
            yield (self._failed, each.data) if isinstance(each, Failed) else each
