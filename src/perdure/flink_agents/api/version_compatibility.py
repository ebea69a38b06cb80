"""Which version of Flink is here."""

from __future__ import annotations

import importlib.metadata

__all__ = ["FlinkVersionManager", "flink_version_manager"]


class FlinkVersionManager:
    """Tells the version of PyFlink that is installed; none is a version of "0"."""

    def __init__(self) -> None:
        try:
            self._version = importlib.metadata.version("apache-flink")
        except importlib.metadata.PackageNotFoundError:
            self._version = "0"

    @property
    def version(self) -> str:
        """The version."""
        return self._version

    @property
    def major_version(self) -> str:
        """Its first two numbers."""
        return ".".join(self._version.split(".")[:2])

    def ge(self, target_version: str) -> bool:
        """Say whether it is this one or a later one."""
        return _numbers(self._version) >= _numbers(target_version)

    def lt(self, target_version: str) -> bool:
        """Say whether it is one before this one."""
        return not self.ge(target_version)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(each) for each in version.split(".") if each.isdigit())


flink_version_manager = FlinkVersionManager()
