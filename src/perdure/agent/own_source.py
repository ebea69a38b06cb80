"""What an agent is told apart by: the name it is known as, and a digest of its own source."""

from __future__ import annotations

import hashlib
import sys
import types
from collections.abc import Iterable
from typing import Any, NamedTuple

__all__ = ["Origin", "declared_by", "name_of", "origin_of", "source_digest"]

_ORIGIN = "__perdure_origin__"


class Origin(NamedTuple):
    """Where an agent is declared that is no Python code: its name there, and the file."""

    name: str
    file: str


def declared_by(agent: Any, origin: Origin) -> None:
    """Take note of where an agent is declared."""
    setattr(agent, _ORIGIN, origin)


def origin_of(agent: Any) -> Origin | None:
    """Return where an agent is declared, None where that is Python code."""
    found: Origin | None = getattr(agent, _ORIGIN, None)
    return found


def name_of(agent: Any, instance: Any, actions: Iterable[str], modules: Iterable[str]) -> str:
    """Return what tells an agent from another: the name that its maker gave it.

    That is the name of its class; of one built by calls the name of the variable that holds it, or
    of the function that makes it; else what its actions are called.

    Args:
        agent: what was given: the instance, its class or a function that makes it.
        instance: the agent itself.
        actions: names of its own actions.
        modules: names of its own modules.
    """
    if (origin := origin_of(instance)) is not None:
        return origin.name
    cls = type(instance)
    if cls.__module__.partition(".")[0] != "perdure":
        return _last(cls.__qualname__)
    for module in sorted({*modules, "__main__"}):
        for name, value in list(vars(sys.modules.get(module, types)).items()):
            if value is instance and not name.startswith("__"):
                return name
    if isinstance(agent, types.FunctionType) and agent.__name__.isidentifier():
        return agent.__name__
    return f"{cls.__name__} of {', '.join(actions)}"


def _last(qualname: str) -> str:
    return qualname.rpartition("<locals>.")[2]


def source_digest(modules: Iterable[str], file: str | None = None) -> str:
    """Return a digest of the source of modules, whatever they are called; "" where one has none.

    It reads their files, as they are now. How their lines end does not count.

    Args:
        modules: names of modules that are loaded.
        file: path of another file that belongs to it.
    """
    digests = []
    sources = [_source(sys.modules.get(name)) for name in set(modules)]
    for source in [*sources, *([] if file is None else [_content(file, None)])]:
        if source is None:
            return ""
        text = source.replace(b"\r\n", b"\n")
        digests.append(hashlib.blake2b(text, digest_size=16).digest())
    whole = b"".join(sorted(digests))
    return hashlib.blake2b(whole, digest_size=16).hexdigest() if digests else ""


def _source(module: Any) -> bytes | None:
    """Return the source of a module; None for what was typed in, and for what has code alone."""
    path = getattr(module, "__file__", None)
    if not path or not path.endswith((".py", ".pyw")):
        return None
    return _content(path, getattr(module, "__loader__", None))


def _content(path: str, loader: Any) -> bytes | None:
    try:
        if loader is not None and hasattr(loader, "get_data"):  # it may be in an archive
            return bytes(loader.get_data(path))
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None
