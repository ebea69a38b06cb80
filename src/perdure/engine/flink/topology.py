"""The part of a Flink job that an agent is: its operators and what connects them.

    values ── elements ──┐
                         ├─ union ── by shard ── agent ──► outputs
    ticks ── all shards ─┘                          └────► failed runs

A tick takes up what a restored shard has: Flink gives a function no other occasion to look at all
of its state, and PyFlink loses timers that were set in the bundle before a checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import starmap
from typing import Any, Final

from pyflink.common import Row, Types
from pyflink.datastream import (
    DataStream,
    KeyedProcessFunction,
    KeyedStream,
    OutputTag,
    ProcessFunction,
)
from pyflink.java_gateway import get_gateway
from pyflink.util.java_utils import is_instance_of

from perdure.engine.flink.elements import Elements, MakeElements, ticks
from perdure.engine.flink.function import AgentFunction
from perdure.engine.flink.settings import CHECKPOINTS, options_of
from perdure.engine.flink.spec import FunctionSpec

__all__ = ["agent_stream", "failed_tag", "operator_name"]

_BYTES: Final = Types.PRIMITIVE_ARRAY(Types.BYTE())
_KEYED: Final = Types.ROW([Types.INT(), _BYTES])  # an Element, keyed by its shard
_TICKS_AFTER_CHECKPOINTS: Final = 2  # of a bounded input: at once, and after the first checkpoint


def failed_tag(spec: FunctionSpec) -> OutputTag:
    """Return the tag of the side output of failed runs."""
    return OutputTag(spec.failed_tag, _BYTES)


def operator_name(spec: FunctionSpec) -> str:
    """Return what the agent's operator is called in Flink."""
    return f"perdure {spec.job}"


def agent_stream(
    spec: FunctionSpec, stream: DataStream, make: MakeElements, output_type: Any
) -> DataStream:
    """Return the outputs of an agent over a stream of inputs, which may be keyed."""
    name = operator_name(spec)
    to_elements = _KeyedToElements if isinstance(stream, KeyedStream) else _ToElements
    elements = stream.process(to_elements(spec, make), _KEYED)
    # As many as there are of what is before, or Flink would deal inputs of a key out to several.
    elements.set_parallelism(stream._j_data_stream.getParallelism())
    elements = elements.name(f"{name} inputs").uid(f"{name} inputs")
    for ticking in _ticking(spec, stream):
        all_shards = ticking.process(_ToTicks(spec), _KEYED).set_parallelism(1)
        elements = elements.union(all_shards.name(f"{name} ticks").uid(f"{name} ticks"))
    # As key_by does it, behind the union instead of before: that adds an operator, and refuses
    # streams of unlike parallelism.
    j_keyed = elements._j_data_stream.keyBy(
        get_gateway().jvm.KeyByKeySelector(), Types.ROW([Types.INT()]).get_java_type_info()
    )
    keyed = KeyedStream(j_keyed, _BYTES, elements)
    outputs = keyed.process(AgentFunction(spec), output_type or Types.PICKLED_BYTE_ARRAY())
    # PyFlink sends a side output that nobody takes down the main stream.
    outputs.get_side_output(failed_tag(spec)).name(f"{name} failed runs")
    return outputs.name(name).uid(name)


class _MakesElements:
    """Sends what a value is to the agent; before the first one since a start, all ticks."""

    _elements: Elements | None = None

    def __init__(self, spec: FunctionSpec, make: MakeElements) -> None:
        self._spec = spec
        self._make = make
        self._has_ticked = False

    def open(self, runtime_context: Any) -> None:
        self._elements = self._make(self._spec)
        self._elements.open(runtime_context)
        self._has_ticked = False

    def close(self) -> None:
        if self._elements is not None:
            self._elements.close()

    def _sent(self, value: Any, key: Any) -> Iterator[Row]:
        if not self._has_ticked:
            self._has_ticked = True
            yield from starmap(Row, ticks(self._spec))
        assert self._elements is not None, "it is not open"
        yield Row(*self._elements.of(value, key))


class _ToElements(_MakesElements, ProcessFunction):
    def process_element(self, value: Any, ctx: Any) -> Iterator[Row]:
        return self._sent(value, None)


class _KeyedToElements(_MakesElements, KeyedProcessFunction):
    def process_element(self, value: Any, ctx: Any) -> Iterator[Row]:
        return self._sent(value, ctx.get_current_key())


class _ToTicks(ProcessFunction):
    """Makes a tick for each shard of one that comes."""

    def __init__(self, spec: FunctionSpec) -> None:
        self._spec = spec

    def process_element(self, value: Any, ctx: Any) -> Iterator[Row]:
        yield from starmap(Row, ticks(self._spec))


def _ticking(spec: FunctionSpec, stream: DataStream) -> Iterator[DataStream]:
    """Yield the stream of what ticks are made of; none where nothing is ever restored.

    With an input that ends it must end, too. Then it does after the first checkpoint that is
    complete: what is restored from that one is told again, and a later one has the timers by which
    each shard is looked at when the input ends.
    """
    env = stream.get_execution_environment()
    j_env, jvm = env._j_stream_execution_environment, get_gateway().jvm
    long_type, int_type = Types.LONG().get_java_type_info(), Types.INT().get_java_type_info()
    name = f"{operator_name(spec)} clock"
    if _is_unbounded(stream):
        legacy = jvm.org.apache.flink.streaming.api.functions.source.datagen
        source = legacy.DataGeneratorSource(legacy.RandomGenerator.longGenerator(0, 1), 1, None)
        j_stream = j_env.addSource(source, name, long_type)
    elif options_of(env).contains_key(CHECKPOINTS):
        datagen, api = jvm.org.apache.flink.connector.datagen, jvm.org.apache.flink.api
        numbers = list(range(_TICKS_AFTER_CHECKPOINTS))
        source = datagen.source.DataGeneratorSource(
            datagen.functions.IndexLookupGeneratorFunction(int_type, numbers),
            len(numbers),
            api.connector.source.util.ratelimit.RateLimiterStrategy.perCheckpoint(1),
            int_type,
        )
        watermarks = api.common.eventtime.WatermarkStrategy.noWatermarks()
        j_stream = j_env.fromSource(source, watermarks, name, int_type)
    else:
        return
    j_stream.getTransformation().setParallelism(1)
    yield DataStream(j_stream.uid(name))


def _is_unbounded(stream: DataStream) -> bool:
    jvm = get_gateway().jvm
    kind = jvm.org.apache.flink.streaming.api.transformations.WithBoundedness
    bounded = jvm.org.apache.flink.api.connector.source.Boundedness.BOUNDED
    # `toString`, since an enum's constants come as objects of their own through the gateway.
    return any(
        is_instance_of(each, kind)
        and each.getBoundedness().toString() != bounded.toString()
        and not _reads_a_format(each)
        for each in stream._j_data_stream.getTransformation().getTransitivePredecessors()
    )


def _reads_a_format(source: Any) -> bool:
    """Whether a source reads what an input format has, to its end: Flink calls that unbounded.

    A table of `from_elements` is one.
    """
    flink = get_gateway().jvm.org.apache.flink.streaming.api
    return bool(
        is_instance_of(source, flink.transformations.LegacySourceTransformation)
        and is_instance_of(source.getOperatorFactory(), flink.operators.SimpleOperatorFactory)
        and is_instance_of(
            source.getOperator().getUserFunction(),
            flink.functions.source.legacy.InputFormatSourceFunction,
        )
    )
