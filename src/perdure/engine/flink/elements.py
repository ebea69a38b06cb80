"""From a value of a stream to what crosses to the agent: its shard, and the rest as our bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from perdure.codec.codec import Codec
from perdure.config.configuration import AgentExecutionOptions, Configuration
from perdure.engine.flink.failures import encode_failure
from perdure.engine.flink.reference import agent_of
from perdure.engine.flink.rows import dump
from perdure.engine.flink.spec import Element, FunctionSpec, shard_of
from perdure.engine.inputs import Field, field_of
from perdure.engine.plan_of import plan_of
from perdure.errors import EncodeError, InputError

__all__ = ["Elements", "MakeElements", "codec_of", "ticks"]

# What a program says of its stream; it is pickled into the job's graph.
MakeElements = Callable[[FunctionSpec], "Elements"]


def codec_of(spec: FunctionSpec) -> Codec:
    """Return the codec of a job, with the types that its agent's modules define.

    Raises:
        AgentDefinitionError: the agent cannot be imported here, or cannot be run as declared.
    """
    config = Configuration(spec.config)
    plan = plan_of(agent_of(spec), config)
    codec = Codec(max_bytes=config.get(AgentExecutionOptions.MAX_PAYLOAD_BYTES))
    codec.registry.know_modules(plan.modules)
    for annotated in plan.annotated_types:
        codec.registry.register_annotation(annotated)
    return codec


def ticks(spec: FunctionSpec) -> Iterator[Element]:
    """Yield a tick for every shard."""
    for shard in range(spec.shards):
        yield shard, b""


class Elements:
    """Makes elements of what a stream carries, on one worker; `open` and `close` enclose its use.

    Args:
        spec: the job.
        key: the key of a value: a field name or a function of the value; None: the key that the
            stream is keyed by.
        id: its idempotency id, likewise; None where there are none.
    """

    def __init__(self, spec: FunctionSpec, key: Field | None, id: Field | None) -> None:
        self._spec = spec
        self._key = key
        self._id = id
        self._codec = codec_of(spec)
        self._place = f"an input of job {spec.job!r}"

    def open(self, runtime_context: Any) -> None:
        """Get ready."""

    def close(self) -> None:
        """Let go of what `open` took."""

    def value_of(self, given: Any) -> Any:
        """Return the input that is made of what the stream carries.

        Raises:
            InputError: it is none.
        """
        return _plain(given)

    def key_of(self, given: Any, value: Any, stream_key: Any) -> Any:
        """Return its key.

        Args:
            given: what the stream carries.
            value: the input.
            stream_key: what the stream is keyed by there.

        Raises:
            InputError: it has none.
        """
        if self._key is None:
            return stream_key
        return field_of(value, self._key, "key", self._place)

    def of(self, given: Any, stream_key: Any = None) -> Element:
        """Return the element of what the stream carries.

        One of which there is none, since it has no key, say, becomes a failure: it must not fail
        the job, which would read it again.
        """
        key = id_ = None
        value = given
        try:
            value = self.value_of(given)
            if self._id is not None:
                id_ = self._text(field_of(value, self._id, "id", self._place))
            key = self.key_of(given, value, stream_key)
            shard = shard_of(key, self._spec.shards)
            encode = self._codec.encode
            return shard, dump((id_, encode(key), encode(value)))
        except (InputError, EncodeError) as error:
            failure = encode_failure(
                self._codec, id=id_, run=None, key=key, value=value, error=error
            )
            return 0, dump((id_, None, failure))

    def _text(self, id_: Any) -> str:
        if isinstance(id_, str) and id_:
            return id_
        if isinstance(id_, int) and not isinstance(id_, bool):
            return str(id_)
        raise InputError(
            f"{self._place} has the id {id_!r}: an id is a text or an integer; name another field,"
            " or a function that makes one (id=)"
        )


def _plain(value: Any) -> Any:
    """Return a Row of Flink as a dict where it has names, else as a list; the rest as it is."""
    from pyflink.common import Row

    if not isinstance(value, Row):
        return value
    return (
        value.as_dict(recursive=True) if hasattr(value, "_fields") else [_plain(v) for v in value]
    )
