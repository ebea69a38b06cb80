"""Which exception classes the journal may rebuild, and where they are looked up (G9, G21).

A name in the journal becomes a class only if the class is registered, or its module was loaded when
the job had opened. Nothing is ever imported because a journal says so, live and on replay alike.
"""

from __future__ import annotations

import asyncio
import sys
import types
from collections.abc import Callable
from typing import Any, TypeGuard, TypeVar

from perdure.codec.names import NAMES, main_module_name

__all__ = ["ErrorTypes", "NotLoaded"]

E = TypeVar("E", bound=BaseException)

# Raised in an action they would end or unwind something of the interpreter's instead of telling it
# what happened.
_CONTROL_FLOW = (StopIteration, StopAsyncIteration, GeneratorExit, asyncio.CancelledError)


class NotLoaded(LookupError):
    """The module of an exception class came after the job had opened, or not at all."""

    def __init__(self, module: str) -> None:
        super().__init__(
            f"raised again as DurableCallError, since module {module} was not loaded when the job"
            " opened: import it at the top of the agent's module, or call perdure.register_type on"
            " the exception"
        )


class ErrorTypes:
    """Finds exception classes by their names in the journal.

    Owns: the names of the modules that were loaded when it was fixed. Safe on any thread.
    """

    def __init__(self) -> None:
        self._modules: frozenset[str] | None = None  # None: those that are loaded when it is asked

    def fix(self) -> None:
        """Look into no module that is loaded from now on: the job has opened."""
        self._modules = frozenset(sys.modules)

    def find(self, name: str) -> type[Exception]:
        """Return the exception class of a journaled name, which it may have had before.

        Raises:
            NotLoaded: its module was not loaded in time.
            LookupError: there is none, or it is no exception that may be raised in an action.
        """
        return self._find(name, is_outcome)

    def find_class(self, name: str) -> type[BaseException]:
        """Return the exception class of a journaled name, of any kind: it is not to be raised.

        Raises:
            NotLoaded: its module was not loaded in time.
            LookupError: there is none.
        """
        return self._find(name, _is_exception)

    def _find(self, name: str, is_wanted: Callable[[Any], TypeGuard[type[E]]]) -> type[E]:
        named = NAMES.find(name) or NAMES.find_error(name)
        if named is not None and is_wanted(named):
            return named
        module_name, _, qualname = name.partition(":")
        if "<" in qualname:
            raise LookupError(f"{name} was defined in a function")
        for module in self._loaded(module_name):
            found: Any = module
            for part in qualname.split("."):
                found = getattr(found, part, None)
            if is_wanted(found) and name in NAMES.of(found):
                return found
        raise LookupError(f"{name} is no exception here")

    def _loaded(self, name: str) -> list[types.ModuleType]:
        # The running script must not be run a second time under its own name.
        names = ("__main__", name) if name == main_module_name() else (name,)
        known = self._modules
        modules = [
            module
            for each in names
            if (known is None or each in known) and (module := sys.modules.get(each)) is not None
        ]
        if not modules:
            raise NotLoaded(name)
        return modules


def is_outcome(cls: Any) -> TypeGuard[type[Exception]]:
    """Say whether a class is one of exceptions that are raised in an action as themselves."""
    return _is_exception(cls) and issubclass(cls, Exception) and not issubclass(cls, _CONTROL_FLOW)


def _is_exception(cls: Any) -> TypeGuard[type[BaseException]]:
    return isinstance(cls, type) and issubclass(cls, BaseException)
