"""install: `flink_agents` and all below it are the modules of `perdure.flink_agents`."""

from __future__ import annotations

import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Final

from perdure.errors import ConfigurationError, missing_extra

__all__ = ["check_flink", "install"]

THEIRS: Final = "flink_agents"
OURS: Final = __name__.rpartition(".")[0]


def install() -> None:
    """Make `import flink_agents` mean `perdure.flink_agents`, in this process.

    A module that was imported by either name is the same object by the other. Doing it again does
    nothing.

    Raises:
        ConfigurationError: The real package is imported already.
    """
    imported = sys.modules.get(THEIRS)
    if imported is not None and imported is not sys.modules[OURS]:
        where = getattr(imported, "__file__", None) or "somewhere"
        raise ConfigurationError(
            f"flink_agents is imported already, from {where}: call perdure.flink_agents.install()"
            " before anything imports it"
        )
    if not any(isinstance(each, _Finder) for each in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    sys.modules[THEIRS] = sys.modules[OURS]


def check_flink(error: BaseException | None, what: str) -> None:
    """Say what a program lacks where it imports PyFlink and there is none.

    Args:
        error: What it failed with.
        what: The program.

    Raises:
        ConfigurationError: It is so.
    """
    if isinstance(error, ModuleNotFoundError) and (error.name or "").split(".")[0] == "pyflink":
        raise missing_extra(what, "flink", error) from error


class _Finder(importlib.abc.MetaPathFinder):
    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,
        target: ModuleType | None = None,
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != THEIRS and not fullname.startswith(f"{THEIRS}."):
            return None
        ours = f"perdure.{fullname}"
        if importlib.util.find_spec(ours) is None:
            return None
        return importlib.machinery.ModuleSpec(fullname, _Loader(ours))


class _Loader(importlib.abc.Loader):
    """Hands over a module that has a loader, and a name, of its own."""

    def __init__(self, ours: str) -> None:
        self._ours = ours
        self._spec: importlib.machinery.ModuleSpec | None = None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType:
        module = importlib.import_module(self._ours)
        self._spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has put a spec of the other name on it.
        module.__spec__ = self._spec
        if self._spec is not None:
            module.__loader__ = self._spec.loader
            module.__package__ = self._spec.parent
