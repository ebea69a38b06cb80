"""Runs that failed, as they leave a Flink job on its side output."""

from __future__ import annotations

import dataclasses
from typing import Any

from perdure.codec.codec import Codec
from perdure.errors import PerdureError

__all__ = ["FailedRun", "encode_failure", "read_failure"]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class FailedRun:
    """A run that failed; feed its input again under a new id to try it once more.

    Attributes:
        id: the id that its input came with, as text; None where it had none.
        run: the short id of the run; None where the input never became one.
        key: the key of the input; None where it had none.
        value: the input.
        error_type: the name of the class of what it failed with.
        error: what that said.
    """

    id: str | None
    run: str | None
    key: Any
    value: Any
    error_type: str
    error: str

    @property
    def told(self) -> str:
        """All of it in one line."""
        what = "an input" if self.run is None else f"run {self.run}"
        of = "" if self.key is None else f" of key {self.key!r:.100}"
        return f"{what}{of} failed: {self.error_type}: {' '.join(self.error.split())}"


def encode_failure(
    codec: Codec, *, id: str | None, run: str | None, key: Any, value: Any, error: BaseException
) -> bytes:
    """Return a failure as bytes; what the codec refuses goes in as its repr."""
    kind = f"{type(error).__module__}.{type(error).__qualname__}".removeprefix("builtins.")
    told = {"type": kind, "message": str(error)}
    whole = {"id": id, "run": run, "key": key, "value": value, "error": told}
    try:
        return codec.encode(whole)
    except PerdureError:
        shown = {"key": repr(key)[:1000], "value": repr(value)[:1000]}
        told["message"] = told["message"].encode("utf-8", "backslashreplace").decode()
        return Codec().encode({**whole, **shown})


def read_failure(data: bytes) -> FailedRun:
    """Return the failed run that is encoded in an element of the side output.

    Raises:
        DecodeError: it is none, or has a value of a type that this process does not know.
    """
    whole = Codec().decode(bytes(data))
    told = whole["error"]
    return FailedRun(
        id=whole["id"],
        run=whole["run"],
        key=whole["key"],
        value=whole["value"],
        error_type=told["type"],
        error=told["message"],
    )
