"""AGENT arguments: finds the agent that `MODULE_OR_FILE:AGENT` names.

A file is loaded as a module named by its stem, with its folder on the path: its functions are then
called what they are called when the file runs as a script, so that one goes on with the journal of
the other.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib
import importlib.util
import os
import sys
import traceback
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, cast

from perdure.agent import Agent
from perdure.errors import ConfigurationError, PerdureError

AnyAgent = Agent | type[Agent] | Callable[[], Agent]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoadedAgent:
    """An agent and the name of the file or module that it is from.

    Attributes:
        agent: an instance, a class or a factory.
        name: the file's stem, or the module's last name.
    """

    agent: AnyAgent
    name: str


def load_agent(target: str) -> LoadedAgent:
    """Load the agent that a command line names.

    Args:
        target: `MODULE_OR_FILE:AGENT`, or without `:AGENT` where the module has one agent.

    Raises:
        ConfigurationError: there is no such file, module or agent, or the code does not load.
    """
    place, attribute = _split(target)
    if _is_path(place):
        module = _load_file(place)
    else:
        module = _load_module(place)
    agent = _find(module, place, attribute) if attribute else _only_agent(module, place)
    return LoadedAgent(agent=agent, name=module.__name__.rpartition(".")[2])


def _split(target: str) -> tuple[str, str]:
    place, colon, attribute = target.rpartition(":")
    # The colon of a drive letter is followed by a path.
    if not colon or "/" in attribute or "\\" in attribute:
        place, attribute = target, ""
    if not place or (colon and place != target and not attribute):
        raise ConfigurationError(f"agent {target!r}: write MODULE_OR_FILE:AGENT")
    return place, attribute


def _is_path(place: str) -> bool:
    separators = {os.sep, os.altsep or os.sep, "/"}
    return place.endswith(".py") or any(mark in place for mark in separators)


# Files


def _load_file(place: str) -> types.ModuleType:
    path = Path(place)
    if path.is_dir():
        raise ConfigurationError(f"{place} is a folder: name a file in it, such as agent.py")
    if not path.is_file():
        raise ConfigurationError(f"there is no file {place}{_nearest_file(path)}")
    real = path.resolve()
    _put_first(str(real.parent))
    name = path.stem
    known = sys.modules.get(name)
    if known is not None:
        file = getattr(known, "__file__", None)
        if file and os.path.realpath(file) == str(real):
            return known
        raise ConfigurationError(
            f"{place} has the name of a module that is loaded already, {name!r}"
            f" ({file or 'built in'}): rename the file"
        )
    spec = importlib.util.spec_from_file_location(name, os.path.abspath(place))
    if spec is None or spec.loader is None:
        raise ConfigurationError(f"{place} is not a Python file: name a file that ends in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _does_not_load(place, error, str(spec.origin)) from error
    return module


def _nearest_file(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f": its folder {folder} does not exist; you are in {Path.cwd()}"
    names = [entry.name for entry in folder.glob("*.py")]
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    if near:
        return f": did you mean {folder / near[0]}?"
    return f": you are in {Path.cwd()}"


# Modules


def _load_module(name: str) -> types.ModuleType:
    _put_first(os.getcwd())
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(missing + "."):
            raise _does_not_load(name, error, None) from error
        hint = f": did you mean {name}.py?" if Path(f"{name}.py").is_file() else _near_module(name)
        raise ConfigurationError(f"there is no module {name!r}{hint}") from error
    except (Exception, SystemExit) as error:
        spec = importlib.util.find_spec(name) if "." not in name else None
        raise _does_not_load(name, error, spec.origin if spec else None) from error


def _near_module(name: str) -> str:
    head, dot, tail = name.rpartition(".")
    folder = Path(*head.split(".")) if head else Path()
    names = [e.stem for e in folder.glob("*.py")] if folder.is_dir() else []
    near = difflib.get_close_matches(tail, names, n=1, cutoff=0.5)
    if near:
        return f": did you mean {head}{dot}{near[0]}?"
    return f" in {Path.cwd()} or installed: name a module, or a file such as agent.py"


def _put_first(folder: str) -> None:
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)


def _does_not_load(place: str, error: BaseException, file: str | None) -> ConfigurationError:
    """Return an error that names the line of the user's own code."""
    line = 0
    if isinstance(error, SyntaxError) and error.filename == file:
        line = error.lineno or 0
    else:
        for frame in traceback.extract_tb(error.__traceback__):
            if frame.filename == file:
                line = frame.lineno or 0
    where = f"{place}:{line}" if line else place
    if isinstance(error, PerdureError):
        return ConfigurationError(f"{where}: {error}")
    message = error.msg if isinstance(error, SyntaxError) else str(error)
    if isinstance(error, SystemExit):
        message = 'it ends the program when imported; put that under `if __name__ == "__main__":`'
    elif isinstance(error, ImportError) and "relative import" in message:
        message += "; name it as a module, such as package.agent:agent"
    return ConfigurationError(
        f"{where} does not load: {type(error).__name__}: {message} (--debug shows where)"
    )


# The agent in the module


def _find(module: types.ModuleType, place: str, attribute: str) -> AnyAgent:
    found: Any = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            near = difflib.get_close_matches(name, _public(found), n=1, cutoff=0.6)
            hint = f"did you mean {near[0]}?" if near else _listed(_candidates(module))
            raise ConfigurationError(f"{place} has no {attribute!r}: {hint}")
        found = getattr(found, name)
    if isinstance(found, Agent) or callable(found):
        return cast("AnyAgent", found)
    raise ConfigurationError(
        f"{place}:{attribute} is a {type(found).__name__}, not an Agent, its class or a function"
        f" that makes one: {_listed(_candidates(module))}"
    )


def _only_agent(module: types.ModuleType, place: str) -> AnyAgent:
    candidates = _candidates(module)
    instances = {id(value): value for value in candidates.values() if isinstance(value, Agent)}
    if len(instances) == 1:
        return next(iter(instances.values()))
    if not instances and len(candidates) == 1:
        return next(iter(candidates.values()))
    if not candidates:
        raise ConfigurationError(f"{place} has no Agent: write {place}:NAME for what makes one")
    example = f"{place}:{next(iter(candidates))}"
    raise ConfigurationError(
        f"{place} has several agents: {_listed(candidates)}, such as {example}"
    )


def _candidates(module: types.ModuleType) -> dict[str, Agent | type[Agent]]:
    """Return the module's agents by name: instances first, then classes of its own."""
    own = vars(module)
    instances = {name: value for name, value in own.items() if isinstance(value, Agent)}
    classes = {
        name: value
        for name, value in own.items()
        if isinstance(value, type)
        and issubclass(value, Agent)
        and value.__module__ == module.__name__
    }
    return instances | classes


def _listed(candidates: Iterable[str]) -> str:
    names = ", ".join(candidates)
    return f"choose of {names}" if names else "it has no Agent at all"


def _public(value: Any) -> list[str]:
    return [name for name in dir(value) if not name.startswith("_")]
