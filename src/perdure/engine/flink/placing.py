"""Where an agent is put into a Flink job: what is looked at first, on the side of the program."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from perdure.config.configuration import Configuration
from perdure.engine.flink import settings
from perdure.engine.flink.elements import MakeElements
from perdure.engine.flink.output_types import shape_of
from perdure.engine.flink.reference import agent_of
from perdure.engine.flink.refusals import check_plan
from perdure.engine.flink.spec import FunctionSpec
from perdure.engine.plan_of import plan_of
from perdure.errors import ConfigurationError

if TYPE_CHECKING:
    from pyflink.common.typeinfo import TypeInformation
    from pyflink.datastream import DataStream, StreamExecutionEnvironment
    from pyflink.table import StreamTableEnvironment

__all__ = ["is_keyed", "place", "table_environment"]


def place(
    spec: FunctionSpec, stream: Any, make: MakeElements, output_type: TypeInformation | None
) -> tuple[FunctionSpec, DataStream]:
    """Return a job as it was placed, and the stream of its agent's outputs.

    Args:
        spec: the job.
        stream: the inputs: a DataStream, or a table that rows are only added to.
        make: how inputs are made of what the stream carries.
        output_type: Flink's type of the outputs; None: Flink's own pickled bytes.

    Raises:
        AgentDefinitionError: workers could not import the agent, or it uses what this store cannot
            do.
        ConfigurationError: the environment is in batch mode, its parallelism is above the number
            of shards, or `stream` is none.
    """
    check_plan(plan_of(agent_of(spec), Configuration(spec.config)), spec.store)
    stream = _as_stream(stream)
    env = stream.get_execution_environment()
    settings.complete(env)
    if env.get_parallelism() > spec.shards:
        raise ConfigurationError(
            f"parallelism {env.get_parallelism()} is above the {spec.shards} shards that keys"
            " are spread over: lower it, or pass shards= of at least it"
        )
    from perdure.engine.flink.topology import agent_stream  # now that Java is known

    if output_type is not None:
        spec = dataclasses.replace(spec, output_shape=shape_of(output_type))
    return spec, agent_stream(spec, stream, make, output_type)


def is_keyed(stream: Any) -> bool:
    """Return whether something is a KeyedStream."""
    from pyflink.datastream import KeyedStream

    return isinstance(stream, KeyedStream)


def table_environment(env: StreamExecutionEnvironment) -> StreamTableEnvironment:
    """Return a new table environment over an environment."""
    from pyflink.table import StreamTableEnvironment

    return StreamTableEnvironment.create(env)


def _as_stream(stream: Any) -> DataStream:
    from pyflink.datastream import DataStream

    if isinstance(stream, DataStream):
        return stream
    to_data_stream = getattr(getattr(stream, "_t_env", None), "to_data_stream", None)
    if to_data_stream is None:
        raise ConfigurationError(
            f"apply was given a {type(stream).__name__}: pass a DataStream, or a table of a"
            " StreamTableEnvironment"
        )
    rows: DataStream = to_data_stream(stream)
    return rows
