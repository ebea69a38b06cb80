"""Configuration: options with a type and a default, and who reads and writes them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

__all__ = ["ConfigOption", "Configuration", "ReadableConfiguration", "WritableConfiguration"]


class ConfigOption:
    """One option.

    Args:
        key: Its key.
        config_type: The type of its value.
        default: Its value where none is set.
    """

    def __init__(self, key: str, config_type: Any, default: Any = None) -> None:
        self._key = key
        self._type = config_type
        self._default = default

    def get_key(self) -> str:
        """Return its key."""
        return self._key

    def get_type(self) -> Any:
        """Return the type of its value."""
        return self._type

    def get_default_value(self) -> Any:
        """Return its value where none is set."""
        return self._default

    def __repr__(self) -> str:
        return f"ConfigOption({self._key!r}, {self._type.__name__}, {self._default!r})"


class WritableConfiguration(ABC):
    """A configuration that is written."""

    @abstractmethod
    def set_str(self, key: str, value: str) -> None:
        """Set a text."""

    @abstractmethod
    def set_int(self, key: str, value: int) -> None:
        """Set a whole number."""

    @abstractmethod
    def set_float(self, key: str, value: float) -> None:
        """Set a number."""

    @abstractmethod
    def set_bool(self, key: str, value: bool) -> None:
        """Set a truth value."""

    @abstractmethod
    def set(self, option: ConfigOption, value: Any) -> None:
        """Set the value of an option."""


class ReadableConfiguration(ABC):
    """A configuration that is read."""

    @abstractmethod
    def get_int(self, key: str, default: int | None = None) -> int | None:
        """Return a whole number."""

    @abstractmethod
    def get_float(self, key: str, default: float | None = None) -> float | None:
        """Return a number."""

    @abstractmethod
    def get_bool(self, key: str, default: bool | None = None) -> bool | None:
        """Return a truth value."""

    @abstractmethod
    def get_str(self, key: str, default: str | None = None) -> str | None:
        """Return a text."""

    @abstractmethod
    def get(self, option: ConfigOption) -> Any:
        """Return the value of an option."""


class Configuration(WritableConfiguration, ReadableConfiguration, ABC):
    """A configuration that is written and read."""
