"""Arguments of tools that the model does not see."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from pydantic import BaseModel

__all__ = [
    "InjectedArg",
    "ToolParameterSource",
    "merge_injected_args",
    "normalize_injected_args",
    "validate_injected_arg_names",
]


class ToolParameterSource(str, Enum):  # noqa: UP042  # theirs
    """Where an argument comes from."""

    __journal_name__ = "perdure:flink_agents.ToolParameterSource"

    CONFIG = "config"
    SENSORY_MEMORY = "sensory_memory"
    SHORT_TERM_MEMORY = "short_term_memory"


class InjectedArg(BaseModel):
    """Where one argument of a tool comes from.

    Attributes:
        source: Where.
        key: Its key or path there; None: the name of the parameter.
    """

    __journal_name__ = "perdure:flink_agents.InjectedArg"

    source: ToolParameterSource = ToolParameterSource.SENSORY_MEMORY
    key: str | None = None

    @staticmethod
    def from_config(key: str) -> InjectedArg:
        """Return one that is read from the configuration."""
        return InjectedArg(source=ToolParameterSource.CONFIG, key=key)

    @staticmethod
    def from_sensory_memory(path: str) -> InjectedArg:
        """Return one that is read from the memory of the run."""
        return InjectedArg(source=ToolParameterSource.SENSORY_MEMORY, key=path)

    @staticmethod
    def from_short_term_memory(path: str) -> InjectedArg:
        """Return one that is read from the memory of the key."""
        return InjectedArg(source=ToolParameterSource.SHORT_TERM_MEMORY, key=path)

    def with_default_key(self, key: str) -> InjectedArg:
        """Return it with this key where it has none."""
        return self if self.key else self.model_copy(update={"key": key})


def normalize_injected_args(
    injected_args: Mapping[str, InjectedArg | dict[str, Any]] | None,
) -> dict[str, InjectedArg]:
    """Return injected arguments, which may be written as mappings, with a key each."""
    return {
        name: InjectedArg.model_validate(each).with_default_key(name)
        for name, each in (injected_args or {}).items()
    }


def merge_injected_args(
    annotated_args: Mapping[str, InjectedArg] | None,
    declared_args: Mapping[str, InjectedArg] | None,
    *,
    tool_name: str,
) -> dict[str, InjectedArg]:
    """Return the arguments that a decorator and a declaration inject.

    Raises:
        ValueError: They disagree about one.
    """
    merged = dict(annotated_args or {})
    for name, each in (declared_args or {}).items():
        if merged.setdefault(name, each) != each:
            raise ValueError(
                f"Tool {tool_name}: injected argument {name!r} is declared twice, differently"
            )
    return merged


def validate_injected_arg_names(
    func: Callable[..., Any], injected_args: Mapping[str, InjectedArg]
) -> None:
    """Make sure that a function has the parameters that are injected.

    Raises:
        ValueError: It lacks one.
    """
    known = inspect.signature(func).parameters
    unknown = [name for name in injected_args if name not in known]
    if unknown:
        raise ValueError(
            f"Injected arguments {', '.join(sorted(unknown))} are no parameters of"
            f" {getattr(func, '__qualname__', func)}"
        )
