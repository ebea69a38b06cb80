"""What stands in for callables in a simulation, and what of it was used."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

from perdure.callables import innermost
from perdure.errors import ConfigurationError

__all__ = ["Fakes"]

_SHOWN = 10  # callables in a message


class Fakes:
    """Stands in for callables, and keeps which callables were executed.

    Args:
        given: what is executed, by the callable in whose place.

    Raises:
        ConfigurationError: it is no mapping, or something there is no callable.
    """

    def __init__(
        self, given: Mapping[Callable[..., Any], Callable[..., Any]] | None = None
    ) -> None:
        if given is not None and not isinstance(given, Mapping):
            raise ConfigurationError(
                f"callables is a {type(given).__name__}: give a dict of functions by the functions"
                " that they stand in for"
            )
        self._given = dict(given or {})
        self._left = dict(self._given)
        self._others: dict[str, None] = {}
        for real, fake in self._given.items():
            for each in (real, fake):
                if not callable(each):
                    # It would stand in for nothing, and the real one be executed.
                    raise ConfigurationError(
                        f"callables: {each!r:.60} is not callable: give functions by the"
                        " functions that they stand in for, not by their names"
                    )

    def of(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """Return what is executed in the place of `func`, which is about to be."""
        if not self._given:
            return func
        fake = self._fake(func)
        if fake is None:
            self._others[_name(innermost(func))] = None
        return fake or func

    def _fake(self, func: Callable[..., Any]) -> Callable[..., Any] | None:
        try:
            fake = self._given.get(func)
        except TypeError:  # an object that has no hash
            fake = None
        if fake is not None:
            self._left.pop(func, None)
            return fake
        if isinstance(func, functools.partial) and (fake := self._fake(func.func)) is not None:
            return functools.partial(fake, *func.args, **func.keywords)  # a tool is called so
        return None

    def unused(self) -> str:
        """Return what to say of callables that were not executed; "" where all were."""
        if not self._left:
            return ""
        names = ", ".join(map(_name, self._left))
        others = ", ".join([*self._others][:_SHOWN]) or "no other"
        return (
            f"callables: nothing has called {names}, so what stands in for it was not executed;"
            f" without a stand-in were called: {others}; give the callable that the agent calls, or"
            " leave this one out"
        )


def _name(func: Callable[..., Any]) -> str:
    return getattr(func, "__qualname__", None) or f"{func!r:.60}"
