"""Loads the user's code: modules by name, files by path.

A file is loaded as a module named by its stem, with its folder on the path: its functions are then
called what they are called when the file runs as a script, so that one goes on with the journal of
the other.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import stat
import sys
import traceback
import types
from pathlib import Path

from perdure.errors import ConfigurationError, PerdureError, did_you_mean

__all__ = ["check_file", "is_path", "load_file", "load_module", "put_first"]


def is_path(place: str) -> bool:
    """Tell the path of a file from the name of a module."""
    separators = {os.sep, os.altsep or os.sep, "/"}
    return place.endswith(".py") or any(mark in place for mark in separators)


def put_first(folder: str) -> None:
    """Put a folder first on the path where modules are looked for."""
    if folder in sys.path:
        sys.path.remove(folder)
    sys.path.insert(0, folder)


def load_file(place: str) -> types.ModuleType:
    """Load a Python file as a module named by its stem; its folder is put on the path.

    Args:
        place: Its path; messages name it so.

    Raises:
        ConfigurationError: There is none, its name is taken, or its code does not load.
    """
    check_file(place, "agent.py", "*.py")
    path = Path(place)
    real = path.resolve()
    put_first(str(real.parent))
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
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise _does_not_load(place, error, str(spec.origin)) from error
    return module


def check_file(place: str, example: str, pattern: str) -> None:
    """Refuse the path of a file that is none, or that this user may not look for.

    Args:
        place: The path.
        example: What the name of such a file is like.
        pattern: Which files may have been meant, such as `*.py`.

    Raises:
        ConfigurationError: Says why.
    """
    try:
        mode = os.stat(place).st_mode
    except PermissionError as error:
        raise ConfigurationError(
            f"{place} cannot be read: {error.strerror}: give this user the right to search its"
            " folder"
        ) from error
    except (OSError, ValueError):
        mode = 0
    if stat.S_ISDIR(mode):
        raise ConfigurationError(f"{place} is a folder: name a file in it, such as {example}")
    if not stat.S_ISREG(mode):
        raise ConfigurationError(f"there is no file {place}{_nearest_file(Path(place), pattern)}")


def _nearest_file(path: Path, pattern: str) -> str:
    """Return what to say after naming a file that is not there.

    Args:
        path: The file.
        pattern: Which files may have been meant, such as `*.py`.
    """
    folder = path.parent
    if not folder.is_dir():
        return f": its folder {folder} does not exist; you are in {Path.cwd()}"
    names = [entry.name for entry in folder.glob(pattern)]
    here = f"you are in {Path.cwd()}"
    return ": " + did_you_mean(path.name, names, here, lambda near: f"{folder / near}", 0.5)


def load_module(name: str, folder: str | None = None) -> types.ModuleType:
    """Import a module by its name.

    Args:
        name: Its full name.
        folder: Put first on the path; None: the current folder.

    Raises:
        ConfigurationError: There is none, or its code does not load.
    """
    root = Path(folder or os.getcwd())
    put_first(str(root))
    importlib.invalidate_caches()
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if name != missing and not name.startswith(missing + "."):
            raise _does_not_load(name, error, None) from error
        is_file = (root / f"{name}.py").is_file()
        hint = f": did you mean {name}.py?" if is_file else _near_module(name, root)
        raise ConfigurationError(f"there is no module {name!r}{hint}") from error
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        spec = importlib.util.find_spec(name) if "." not in name else None
        raise _does_not_load(name, error, spec.origin if spec else None) from error


def _near_module(name: str, root: Path) -> str:
    head, dot, tail = name.rpartition(".")
    folder = root.joinpath(*head.split(".")) if head else root
    names = [e.stem for e in folder.glob("*.py")] if folder.is_dir() else []
    hint = did_you_mean(tail, names, "", lambda near: f"{head}{dot}{near}", 0.5)
    return (
        f": {hint}"
        if hint
        else f" in {root} or installed: name a module, or a file such as agent.py"
    )


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
