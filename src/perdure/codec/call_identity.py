"""CallIdentity: what a durable call is known by, under every name that its parts ever had."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from perdure.callables import attribute
from perdure.codec.digests import DIGEST_SIZE, call_digests
from perdure.codec.identity import function_identities
from perdure.codec.sketch import differences
from perdure.errors import EncodeError

__all__ = ["CallIdentity"]


class CallIdentity:
    """A call that an action makes now, to be compared with a recorded one.

    Made only where the newest names do not match: what it finds out takes a digest for each
    generation of names.

    Args:
        func: What is called; None for what has no callable. What it has as `recorded_with` are
            arguments that the same call may have been recorded with; None for any.
        names: Names that were given to the call or its function, the newest first.
        args: Positional arguments.
        kwargs: Keyword arguments.
        parts: What a digest among the arguments is made of, by name.
    """

    __slots__ = ("_args", "_func", "_kwargs", "_names", "_parts")

    def __init__(
        self,
        func: Callable[..., Any] | None,
        names: tuple[str, ...],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        parts: Mapping[str, Any] | None = None,
    ) -> None:
        self._func = func
        self._names = names
        self._args = args
        self._kwargs = kwargs
        self._parts = parts

    def is_recorded_as(self, function: str, digest: bytes | None) -> bool:
        """Say whether this call is the one that was recorded, under older names."""
        if digest is None or function not in self._functions():
            return False
        if digest[:DIGEST_SIZE] in call_digests(self._args, self._kwargs):
            return True
        others: tuple[Any, ...] | None = attribute(self._func, "recorded_with", ())
        if not others:
            return others is None
        return digest[:DIGEST_SIZE] in call_digests(others, {})

    def differs_in(self, digest: bytes | None) -> str:
        """Return which of its arguments are not those that were recorded; "" where none knows."""
        return differences(digest, self._args, self._kwargs, self._parts)

    def _functions(self) -> Iterator[str]:
        yield from self._names
        if self._func is not None:
            try:
                yield from function_identities(self._func)
            except EncodeError:
                return  # only the names that were given to it last
