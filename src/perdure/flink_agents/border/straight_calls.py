"""StraightCalls: methods of resources that are durable calls where an action calls them straight.

`setup.chat(...)` inside of an action returns the value, and is one durable call that is named by
resource and method. A plain action is parked meanwhile, so that no other key waits for it; in an
`async def` it runs inline. Inside a durable callable, and where there is no action, it is a plain
call.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from perdure.context import current_context
from perdure.printable import printable_logger

__all__ = ["StraightCalls", "name_of", "name_resource", "straight", "warn_of"]

logger = printable_logger("perdure")

_NAMES: dict[int, tuple[Any, str]] = {}  # by id: an open resource, held, and its name
_WARNED: set[str] = set()


def name_resource(resource: Any, name: str | None) -> None:
    """Say what an open resource is called; None when it is closed."""
    if name is None:
        _NAMES.pop(id(resource), None)
    else:
        _NAMES[id(resource)] = (resource, name)


def name_of(resource: Any) -> str:
    """Return what a resource is called; its class where it is not open."""
    found = _NAMES.get(id(resource))
    return type(resource).__name__ if found is None else found[1]


class StraightCalls:
    """A mixin of resources: the methods in STRAIGHT are durable calls where actions call them."""

    STRAIGHT: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Wrap the methods that the class defines."""
        super().__init_subclass__(**kwargs)
        for name in cls.STRAIGHT:
            method = vars(cls).get(name)
            if inspect.isfunction(method) and not hasattr(method, "__straight__"):
                setattr(cls, name, _wrapped(method))


def _wrapped(method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if current_context() is None or inspect.iscoroutinefunction(method):
            return method(self, *args, **kwargs)
        return straight(
            f"{name_of(self)}.{method.__name__}", functools.partial(method, self), args, kwargs
        )

    call.__straight__ = method  # type: ignore[attr-defined]
    return call


def straight(
    durable_id: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Return what a function returns, by a durable call of the action that runs here.

    Args:
        durable_id: The call's name in the journal.
        func: What is called.
        args: Its arguments.
        kwargs: Those by name.
    """
    ctx = current_context()
    assert ctx is not None
    calling = ctx.with_options(durable_id=durable_id)
    if asyncio.current_task() is None:  # a plain action
        return calling.durable_execute_async(func, *args, **kwargs).result()
    warn_of(durable_id)
    return calling.durable_execute(func, *args, **kwargs)


def warn_of(called: str) -> None:
    """Say, once, that what is called straight in an `async def` action holds up all others."""
    if called not in _WARNED:
        _WARNED.add(called)
        logger.warning(
            "%s is called straight in an `async def` action, and holds up all others meanwhile:"
            " write `await ctx.durable_execute_async(...)`",
            called,
        )
