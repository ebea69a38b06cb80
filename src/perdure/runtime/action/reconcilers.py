"""What a reconciler is called with: the call's arguments, or nothing, as Flink Agents calls it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from perdure.annotations import signature_of
from perdure.callables import attribute
from perdure.codec.identity import check_awaitable
from perdure.errors import EncodeError

__all__ = ["check_reconciler", "takes_arguments"]


def check_reconciler(reconciler: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Refuse what could not be called if the call were in doubt: then it is too late to say so.

    Raises:
        EncodeError: it cannot be called, gives nothing that can be waited for, or takes neither the
            call's arguments nor none.
    """
    if not callable(reconciler):
        raise EncodeError(
            f"reconciler={reconciler!r:.60} cannot be called: give a function that returns the"
            " outcome of a call that may have been made"
        )
    check_awaitable(reconciler, "the reconciler ")
    signature = _signature(reconciler)
    if signature is None or _fits(signature, args, kwargs) or _fits(signature, (), {}):
        return
    raise EncodeError(
        f"the reconciler {_name(reconciler)}{signature} takes neither the arguments of the call"
        f" ({len(args) + len(kwargs)} given) nor none: it is asked with the one or the other"
    )


def takes_arguments(
    reconciler: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> bool:
    """Say whether a reconciler is called with the call's arguments; else it is with none."""
    signature = _signature(reconciler)
    return signature is None or _fits(signature, args, kwargs)


def _signature(func: Callable[..., Any]) -> inspect.Signature | None:
    try:
        return signature_of(func)
    except Exception:
        return None  # one of C, or a proxy, that does not say: the call's arguments are for it


def _fits(signature: inspect.Signature, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _name(func: Any) -> str:
    while isinstance(func, functools.partial):
        func = func.func
    return str(attribute(func, "__qualname__", type(func).__name__))
