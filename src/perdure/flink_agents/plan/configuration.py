"""AgentConfiguration: keys and values, from a file and from code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field

from perdure.errors import ConfigurationError
from perdure.flink_agents.api.configuration import ConfigOption, Configuration

__all__ = ["AgentConfiguration", "flatten_dict"]

_TRUE_OR_FALSE = {"true": True, "false": False, "1": True, "0": False, "yes": True, "no": False}


def flatten_dict(d: Mapping[str, Any], parent_key: str = "", sep: str = ".") -> dict[str, Any]:
    """Return nested mappings as one, with joined keys."""
    found: dict[str, Any] = {}
    for key, value in d.items():
        joined = f"{parent_key}{sep}{key}" if parent_key else str(key)
        if isinstance(value, Mapping):
            found.update(flatten_dict(value, joined, sep))
        else:
            found[joined] = value
    return found


class AgentConfiguration(BaseModel, Configuration):
    """Keys and values; any key may be set.

    Attributes:
        conf_data: The values by key.
    """

    __journal_name__ = "perdure:flink_agents.AgentConfiguration"

    conf_data: dict[str, Any] = Field(default_factory=dict)

    def __init__(self, conf_data: Mapping[str, Any] | None = None, **rest: Any) -> None:
        super().__init__(conf_data=dict(conf_data or {}), **rest)

    def get_value_with_type(self, key: str, config_type: Any, default: Any) -> Any:
        """Return a value as this type, `default` where it is not set.

        Raises:
            ValueError: It cannot be one.
        """
        value = self.conf_data.get(key)
        return default if value is None else _as(value, config_type)

    def get_int(self, key: str, default: int | None = None) -> int | None:
        found: int | None = self.get_value_with_type(key, int, default)
        return found

    def get_float(self, key: str, default: float | None = None) -> float | None:
        found: float | None = self.get_value_with_type(key, float, default)
        return found

    def get_bool(self, key: str, default: bool | None = None) -> bool | None:
        found: bool | None = self.get_value_with_type(key, bool, default)
        return found

    def get_str(self, key: str, default: str | None = None) -> str | None:
        found: str | None = self.get_value_with_type(key, str, default)
        return found

    def get(self, option: ConfigOption) -> Any:
        return self.get_value_with_type(
            option.get_key(), option.get_type(), option.get_default_value()
        )

    def set_str(self, key: str, value: str) -> None:
        self.conf_data[key] = value

    def set_int(self, key: str, value: int) -> None:
        self.conf_data[key] = value

    def set_float(self, key: str, value: float) -> None:
        self.conf_data[key] = value

    def set_bool(self, key: str, value: bool) -> None:
        self.conf_data[key] = value

    def set(self, option: ConfigOption, value: Any) -> None:
        self.conf_data[option.get_key()] = value

    def load_from_file(self, config_path: str | os.PathLike[str] | None = None) -> None:
        """Take the `agent:` section of a YAML file; its values give way to what is set.

        Raises:
            ConfigurationError: The file cannot be read.
        """
        if config_path is None:
            return
        try:
            found = yaml.safe_load(Path(config_path).read_text("utf-8")) or {}
        except (OSError, yaml.YAMLError) as error:
            raise ConfigurationError(f"{config_path}: cannot be read: {error}") from error
        section = found.get("agent") if isinstance(found, Mapping) else None
        if isinstance(section, Mapping):
            self.conf_data = {**flatten_dict(section), **self.conf_data}

    def get_conf_data(self) -> dict[str, Any]:
        """Return all values by key."""
        return self.conf_data

    def get_config_data_by_prefix(self, prefix: str) -> dict[str, Any]:
        """Return the values whose keys begin so, by the rest of their keys."""
        return {
            key[len(prefix) :]: value
            for key, value in self.conf_data.items()
            if key.startswith(prefix)
        }


def _as(value: Any, config_type: Any) -> Any:
    if config_type is bool and isinstance(value, str):
        try:
            return _TRUE_OR_FALSE[value.strip().lower()]
        except KeyError:
            raise ValueError(f"Cannot convert {value!r} to bool") from None
    if isinstance(config_type, type) and issubclass(config_type, Enum):
        return _member(config_type, value)
    if config_type is list and isinstance(value, str):
        return [each.strip() for each in value.split(",") if each.strip()]
    if isinstance(value, config_type):
        return value
    return config_type(value)


def _member(enum: type[Enum], value: Any) -> Enum:
    if isinstance(value, enum):
        return value
    for each in enum:
        if str(value).lower() in (str(each.value).lower(), each.name.lower()):
            return each
    raise ValueError(f"Cannot convert {value!r} to {enum.__name__}")
