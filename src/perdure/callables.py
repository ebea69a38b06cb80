"""What callables are made of, and marked with.

Some have an attribute of any name: a proxy of a server, a mock. What is read here is really there.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
from collections.abc import Iterator
from typing import Any

__all__ = ["attribute", "innermost", "is_coroutine_function", "layers"]

MAX_LAYERS = 1000  # a property may make up more without end

_MISSING = object()
# Those that define how their attributes are read, and make none up.
_HONEST = frozenset((types.FunctionType, types.BuiltinFunctionType, functools.partial, type))


def attribute(thing: Any, name: str, default: Any = None) -> Any:
    """Return an attribute that an object or its type has, and not one that it makes up when asked.

    Args:
        thing: Any object; a bound method has the attributes of its function.
        name: The attribute's name.
        default: What is returned where there is none.
    """
    cls = type(thing)
    if cls in _HONEST:
        return getattr(thing, name, default)
    if cls is types.MethodType:
        return attribute(thing.__func__, name, default)
    if not _makes_up(cls) or inspect.getattr_static(thing, name, _MISSING) is not _MISSING:
        return getattr(thing, name, default)
    return default


def _makes_up(cls: type) -> bool:
    bases = cls.__mro__[:-1]
    return any("__getattr__" in vars(one) or "__getattribute__" in vars(one) for one in bases)


def layers(func: Any) -> Iterator[Any]:
    """Yield a callable and, inwards, what it binds or wraps: partials, methods, `__wrapped__`.

    Args:
        func: Any object; a circle is left where it closes.
    """
    seen: dict[int, Any] = {}  # which keeps them, so that no other gets the identity of one
    while id(func) not in seen and len(seen) < MAX_LAYERS:
        yield seen.setdefault(id(func), func)
        if issubclass(type(func), functools.partial):
            func = func.func
        elif type(func) is types.MethodType:
            func = func.__func__
        else:
            func = attribute(func, "__wrapped__", func)


def innermost(func: Any) -> Any:
    """Return the last of the `layers` of a callable; itself where it is made of nothing else."""
    *_, last = layers(func)
    return last


def is_coroutine_function(func: Any) -> bool:
    """Return whether a callable is a coroutine function, or is marked as one.

    Args:
        func: Any object; what a partial or a method binds is looked at, but no `__call__`.
    """
    passes_for_one = isinstance(func, types.FunctionType) and type(func) is not types.FunctionType
    if passes_for_one and attribute(func, "__code__") is None:
        return False  # Mock(spec=function): the flags of its code would be a mock too
    try:
        return inspect.iscoroutinefunction(func) or asyncio.iscoroutinefunction(func)
    except Exception:
        return False  # raised by an object that was asked for an attribute
