"""Values to journal bytes and back.

The first byte is the format's version, the rest is one msgpack value in which everything that
msgpack has no form for is a tagged extension (`lower.Tag`); what is compressed (`compressed`) is
read as well. Reading runs no code that the bytes choose: there is no pickle, and only registered
types are rebuilt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from perdure.codec.compressed import COMPRESSED, decompressed
from perdure.codec.error_types import ErrorTypes
from perdure.codec.lower import Lowering, Refusal, pack
from perdure.codec.names import type_name
from perdure.codec.restore import reader, restorer, viewer
from perdure.codec.types import TypeRegistry, describe
from perdure.errors import DecodeError, EncodeError

__all__ = ["DEFAULT_MAX_BYTES", "Codec", "next_step", "packed"]

DEFAULT_MAX_BYTES = 16 * 1024 * 1024

_VERSION = b"\x01"
_UNCHANGING = frozenset((type(None), bool, int, float, str, bytes))
_SMALL = 4096  # bytes that are copied sooner than looked at in place
_VIEW = viewer()
_READ = reader()
_SHOWN_TOO_LARGE = "make it smaller, keep it elsewhere and journal a reference, or raise"

_NEXT_STEPS = {
    "collections:defaultdict": "convert it with dict(...)",
    "collections:Counter": "convert it with dict(...)",
    "collections:deque": "convert it with list(...)",
    "builtins:memoryview": "convert it with bytes(...)",
    "builtins:range": "convert it with list(...)",
    "builtins:generator": "convert it with list(...)",
    "builtins:coroutine": "await it first",
}
_BASES = (bool, int, float, str, bytes, dict, list, tuple, set, frozenset)


def _unjournaled(cls: type) -> str:
    """Why a value of an unregistered class cannot be journaled, and what to do."""
    name = type_name(cls)
    if describe(cls) is not None:
        step = (
            "call perdure.register_type on it, define it in the agent's own module, or pass plain "
            "data; what a durable function's result or an event's field is annotated with is known "
            "too"
        )
        return f"type {name} cannot be journaled because this job does not know it: {step}"
    return f"an object of type {name} cannot be journaled: {next_step(cls)}"


def next_step(cls: type) -> str:
    """Return what to do with an object that has no journal form."""
    step = _NEXT_STEPS.get(type_name(cls))
    if step is not None:
        return step
    numpy = {base.__name__ for base in cls.__mro__ if base.__module__.partition(".")[0] == "numpy"}
    if numpy:  # not imported for this: whoever has such a value has done it
        return f"convert it with .{'item' if 'generic' in numpy else 'tolist'}()"
    for base in _BASES:
        if issubclass(cls, base):
            return f"convert it with {base.__name__}(...), which it extends"
    return "pass plain data instead, or a dataclass, enum, NamedTuple, Struct or pydantic model"


class Codec:
    """The journal's form of values for one job.

    Owns nothing that changes but the registry it was given, and where exception classes are looked
    up (`errors`); safe on any thread.
    """

    def __init__(
        self, registry: TypeRegistry | None = None, max_bytes: int = DEFAULT_MAX_BYTES
    ) -> None:
        """Bind the codec to the types it may rebuild.

        Args:
            registry: Types of the job; those of the whole process alone when not given.
            max_bytes: Most bytes of one encoded value.
        """
        self.registry = TypeRegistry() if registry is None else registry
        self.max_bytes = max_bytes
        self.errors = ErrorTypes()
        self._lowering = Lowering(self.registry.lookup, unknown=_unjournaled)
        self._exact = Lowering(self.registry.lookup, unknown=_unjournaled, exact=True)
        self._plain = self._lowering.plain
        self._unpack = restorer(self.registry.shape_of)
        self._view = _VIEW

    def encode(self, value: Any) -> bytes:
        """Return the journal bytes of a value; the value is not kept.

        Args:
            value: Any value that reads back as it is.

        Raises:
            EncodeError: The value, or something in it, has no journal form, or it is too large.
        """
        if type(value) in self._plain:
            try:
                data = _VERSION + pack(value)
            except (OverflowError, UnicodeEncodeError):
                data = _VERSION + packed(value, self._lowering, self._exact, "value")
        else:
            data = _VERSION + packed(value, self._lowering, self._exact, "value")
        if len(data) > self.max_bytes:
            raise EncodeError(
                f"a value of type {type_name(type(value))} takes {len(data)} bytes in the journal, "
                f"more than the {self.max_bytes} allowed: {_SHOWN_TOO_LARGE} max-payload-bytes"
            )
        return data

    def decode(self, data: bytes) -> Any:
        """Return the value that journal bytes hold, as a new object.

        Args:
            data: What `encode` returned, in any process.

        Raises:
            DecodeError: The bytes are damaged, of a newer format, or hold a type that is not
                registered.
        """
        if data[:1] == _VERSION and len(data) < _SMALL:
            try:
                return self._unpack(data[1:])
            except Exception:
                pass  # read again for its error
        return _read(data, self._unpack)

    def read_back(self, value: Any, data: bytes) -> Any:
        """Return what `decode(data)` does, where `data` is `encode(value)`.

        That is the value itself where it cannot change.
        """
        return value if type(value) in _UNCHANGING else self.decode(data)

    def to_json(self, data: bytes) -> Any:
        """Return what journal bytes hold as JSON data for people to look at.

        Rebuilds no registered type and imports nothing. Not a form to read back.

        Args:
            data: What `encode` returned.

        Raises:
            DecodeError: The bytes are damaged or of a newer format.
        """
        return _read(data, self._view)

    def fields(self, data: bytes) -> Any:
        """Return the value that journal bytes hold, without the classes that it may be made of.

        An object is a dict of its fields, an enum the name of its member. Rebuilds no registered
        type and imports nothing.

        Args:
            data: What `encode` returned.

        Raises:
            DecodeError: The bytes are damaged or of a newer format.
        """
        return _read(data, _READ)


def packed(value: Any, lowering: Lowering, exact: Lowering, root: str) -> bytes:
    """Return the msgpack bytes of a value, lowered by `lowering`, or by `exact` where it must be.

    Raises:
        EncodeError: Something in it has no form; `root` is what the whole is called.
    """
    try:
        try:
            return pack(lowering.lower(value))
        except (OverflowError, UnicodeEncodeError):
            # Rare enough not to look at every number and text for it.
            return pack(exact.lower(value))
    except Refusal as refusal:
        raise EncodeError(refusal.said(root)) from None
    except RecursionError:
        # The walk bounds its own depth, so the caller's stack was nearly used up.
        raise EncodeError(f"{root}: nested too deep to encode from here: flatten it") from None


def _is_sound(data: bytes) -> bool:
    """Say whether bytes hold some value, known here or not."""
    try:
        _VIEW(memoryview(data)[1:])
    except Exception:
        return False
    return True


def _read(data: bytes, unpack: Callable[[Any], Any]) -> Any:
    if data[:2] == COMPRESSED:
        data = decompressed(data)
    if data[:1] != _VERSION:
        found = f"format {data[0]}" if data else "nothing"
        raise DecodeError.of_damage(
            f"journal bytes hold {found}, not format 1: read them with a newer perdure"
        )
    try:
        return unpack(memoryview(data)[1:])
    except DecodeError:
        raise
    except RecursionError:
        raise DecodeError.of_damage(
            "journal bytes are nested too deep: they are damaged or foreign"
        ) from None
    except Exception as error:
        make = DecodeError if _is_sound(data) else DecodeError.of_damage
        raise make(
            f"journal bytes cannot be read back ({type(error).__name__}: {error}): they are "
            "damaged, or a type in them has changed"
        ) from error
