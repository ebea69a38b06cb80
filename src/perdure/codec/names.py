"""Names that last: what the journal calls classes and callables, now and before.

A name is given where a class is declared: `register_type(cls, name=...)` for those of users,
`__journal_name__` in the bodies of perdure's own. A class without one is called by its place,
`module:qualname`, which a move changes. Every name that a class ever had still finds it.

Where a digest has to be compared with one that was made under older names, all classes go back
together: generation 0 is the newest name of each, generation n its n-th older one.
"""

from __future__ import annotations

import functools
import os
import sys
import types
import weakref
from collections.abc import Iterator
from typing import Any

from perdure.codec.old_names import OLD_PLACES
from perdure.errors import ConfigurationError, PerdureError

__all__ = [
    "MAX_NAMES",
    "NAMES",
    "OWN_PLACES",
    "OWN_PREFIX",
    "NameTable",
    "main_module_name",
    "module_name",
    "named_function",
    "stable_names",
    "type_name",
]

MAX_NAMES = 8
"""Names that one class may have, the newest and its place included."""

OWN_PREFIX = "perdure:"
OWN_PLACES = "perdure."
_OWN_ATTRIBUTE = "__journal_name__"


def main_module_name(main: types.ModuleType | None = None) -> str:
    """Return the name that the running script would have if it were imported.

    Args:
        main: The script's module; the running one when not given.

    Returns:
        The name after `python -m`, or the stem of the script's file, or `__main__` when there
        is neither, as in an interactive session.
    """
    main = sys.modules.get("__main__") if main is None else main
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return os.path.splitext(os.path.basename(file))[0] if file else "__main__"


def module_name(module: str) -> str:
    """Return the name of a module as the journal knows it: a script by its own name."""
    if module == "__main__" or module == "__mp_main__":
        return main_module_name(sys.modules.get(module))
    return module


def type_name(cls: type) -> str:
    """Return a class's place, the same whether a module runs as a script or is imported."""
    return f"{module_name(cls.__module__)}:{cls.__qualname__}"


@functools.cache
def _by_old_place() -> dict[str, str]:
    return {place: name for name, places in OLD_PLACES.items() for place in places}


def stable_names(thing: Any) -> tuple[str, ...] | None:
    """Return the names of a class or function of perdure's own; None for any other."""
    if not str(getattr(thing, "__module__", "")).startswith(OWN_PLACES):
        return None
    name = vars(thing).get(_OWN_ATTRIBUTE)
    return None if name is None else (name, *OLD_PLACES.get(name, ()))


class NameTable:
    """The names of classes in this process.

    Owns: the names given to classes, and the newest class of each name. `version` grows with
    each name that is given, so that what was derived from names is derived again. Names are given
    at import time as a rule, from any thread.
    """

    def __init__(self) -> None:
        """Start without names."""
        self.version = 0
        self._given: weakref.WeakKeyDictionary[type, tuple[str, ...]] = weakref.WeakKeyDictionary()
        self._classes: dict[str, type] = {}

    def give(self, cls: type, name: str | None, aliases: tuple[str, ...]) -> None:
        """Give a class its name, and those that it had before.

        Args:
            cls: The class; its place stays one of its names.
            name: Its name from now on; its place when None.
            aliases: Names that it had before, the newest first.

        Raises:
            ConfigurationError: A name is another class's, or is no name, or there are too many.
        """
        place, before = type_name(cls), self._given.get(cls, ())
        newest = name or (before[0] if before else place)
        names = tuple(dict.fromkeys((newest, *aliases, *before, place)))
        for each in names:
            _check(cls, each)
        if len(names) > MAX_NAMES:
            raise ConfigurationError(
                f"{place} has {len(names)} names in the journal, its place included, and at most"
                f" {MAX_NAMES} are looked up: leave out the oldest aliases that no unfinished run"
                " was recorded under"
            )
        older: set[type] = set()
        for each in names:
            known = self._classes.get(each)
            if known is None or known is cls:
                continue
            if type_name(known) != place:
                raise ConfigurationError(
                    f"two types are called {each!r} in the journal: {type_name(known)} and"
                    f" {place}; give one of them another name, or take the alias off"
                )
            older.add(known)  # made by the same statement before: a notebook cell, a reload
        if older:
            self._classes = {n: known for n, known in self._classes.items() if known not in older}
        for each in names:
            self._classes[each] = cls
        self._given[cls] = names
        self.version += 1

    def of(self, cls: type) -> tuple[str, ...]:
        """Return the names of a class, the newest first."""
        given = self._given.get(cls)
        if given is not None:
            return given
        own = stable_names(cls)
        if own is None:
            return (type_name(cls),)
        self._given[cls] = own
        return own

    def name(self, cls: type, generation: int = 0) -> str:
        """Return the name of a class `generation` names ago, its oldest where it has fewer."""
        names = self.of(cls)
        return names[min(generation, len(names) - 1)]

    def find(self, name: str) -> type | None:
        """Return the class that was given a name, or has it among its older ones."""
        return self._classes.get(name)

    def find_error(self, name: str) -> type[PerdureError] | None:
        """Return the error class of perdure's own that has, or had, a name."""
        stable = name if name.startswith(OWN_PREFIX) else _by_old_place().get(name)
        if stable is None:
            return None
        return next((cls for cls in _errors(PerdureError) if self.of(cls)[0] == stable), None)


def _check(cls: type, name: str) -> None:
    if not isinstance(name, str) or not name or not name.isprintable():
        raise ConfigurationError(
            f"{type_name(cls)} cannot be called {name!r} in the journal: a name is printable text"
        )
    if name.startswith(OWN_PREFIX) and stable_names(cls) is None:
        raise ConfigurationError(
            f"{type_name(cls)} cannot be called {name!r} in the journal: names that begin with"
            f" {OWN_PREFIX!r} are perdure's own; choose another"
        )


def _errors(cls: type[PerdureError]) -> Iterator[type[PerdureError]]:
    yield cls
    for below in cls.__subclasses__():
        yield from _errors(below)


NAMES = NameTable()
"""The names of this process: types are registered for all of its jobs."""


def named_function(module: str, qualname: str, generation: int) -> str:
    """Return the name of what stands at a place in a class or module.

    Args:
        module: Name of a module, as the journal knows it.
        qualname: Place in it. What is inside of a class that has a name goes by that name.
        generation: How many names ago.
    """
    outer, _, last = qualname.rpartition(".")
    if outer and not outer.endswith("<locals>"):
        owner = NAMES.find(f"{module}:{outer}") or _class_at(module, outer)
        if owner is not None:
            return f"{NAMES.name(owner, generation)}.{last}"
    return f"{module}:{qualname}"


def _class_at(module: str, qualname: str) -> type | None:
    """Return the class of perdure's own at a place, where it has a stable name."""
    if not module.startswith(OWN_PLACES):
        return None
    found: Any = sys.modules.get(module)
    for part in qualname.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) and stable_names(found) else None
