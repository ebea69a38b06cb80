"""What crosses from the program that describes a Flink job to the workers that run it.

Plain data and nothing else: it is pickled into the job's graph, and needs neither pyflink nor the
agent's own code where it is made.
"""

from __future__ import annotations

import dataclasses
from typing import Any, Final

from perdure.codec import digests

__all__ = ["SHARDS", "TICKS_PER_SECOND", "Element", "FunctionSpec", "shard_of"]

SHARDS: Final = 128  # of a job, unless it says otherwise: its parallelism is at most this
TICKS_PER_SECOND: Final = 1  # for each shard

# What the stream carries: a shard, and an input's id, key and value, the latter two as the codec
# writes them, all in one as the state has them (`rows.WaitingInput`). Without a key the value is a
# failure. A tick is (shard, b"").
Element = tuple[int, bytes]


@dataclasses.dataclass(frozen=True)
class FunctionSpec:
    """What a worker needs to know of a job.

    Attributes:
        agent: where the agent is, `module:attribute`; a class or a function is called.
        job: name of the job.
        store: the store's URL: `flink://` or `memory://`.
        config: the options of the job, plain data as a YAML file would give them.
        shards: number of shards that keys are spread over; part of the job's state, so fixed.
        ids_ttl: seconds for which the ids of finished inputs are kept; None keeps none.
        has_ids: elements have ids of the user's; without, ids come from a counter of their shard.
        pump_ms: how often outputs are fetched while runs are live, milliseconds.
        output_shape: what Flink's type of the outputs wants of them, as plain data
            (`output_types.shape_of`); None takes any.
        failed_tag: name of the side output that takes failed runs, encoded by the codec.
        fails: a failed run fails the job, and so does an input or an output that is none; else
            they leave by the side output.
        packed: what `agent`, a function then, makes the agent of; None where it is the agent.
    """

    agent: str
    job: str
    store: str = "flink://"
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    shards: int = SHARDS
    ids_ttl: float | None = None
    has_ids: bool = True
    pump_ms: int = 10
    output_shape: tuple[Any, ...] | None = None
    failed_tag: str = "perdure-failed"
    fails: bool = False
    packed: bytes | None = None


def shard_of(key: Any, shards: int) -> int:
    """Return the shard that a key belongs to, the same on every machine.

    Raises:
        EncodeError: the key cannot be journaled.
    """
    return digests.shard_of(digests.digest(key), shards)
