"""Their configuration as one of the core: what both have goes over, the rest is warned about."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum
from typing import Any, Final

from perdure.config.configuration import Configuration, all_options
from perdure.flink_agents.plan.configuration import AgentConfiguration
from perdure.printable import printable_logger

__all__ = ["core_config", "their_config", "their_overrides"]

logger = printable_logger("perdure")

# Read by the built-in actions here; in the core these words are about runs.
_READ_HERE: Final = frozenset(
    {
        "error-handling-strategy",
        "max-retries",
        "retry-wait-interval",
        "tool-call.batch.timeout.ms",
        "tool-call.parallel",
        "tool-call.num-async-threads",
        "short-term-memory.state-ttl.visibility",
    }
)
# Theirs that mean nothing here: what they are about is another way here, or is not.
_WITHOUT_MEANING: Final = (
    "kafka",
    "fluss",
    "event-log",
    "actionStateStoreBackend",
    "eventLoggerType",
    "event-listeners",
    "baseLogDir",
    "prettyPrint",
    "job-identifier",
    "long-term-memory.mem0.",
)
_CORE: Final = frozenset(each.name for each in all_options())
_OURS: Final = ("agent.", "limits.", "retry.")  # how other keys of the core begin
_warned: set[str] = set()


def core_config(config: AgentConfiguration) -> dict[str, Any]:
    """Return what the core is configured with.

    Any key may be set; one that Flink Agents has and that means nothing here is warned about, once.
    """
    found: dict[str, Any] = {}
    for key, value in config.conf_data.items():
        if key in _READ_HERE:
            continue
        if key in _CORE:
            found[key] = value.value if isinstance(value, Enum) else value
        elif key.startswith(_WITHOUT_MEANING) and key not in _warned:
            _warned.add(key)
            logger.warning("the option %r has no meaning here and is passed over", key)
    return found


def their_overrides(overrides: Iterable[str]) -> list[str]:
    """Return `KEY=VALUE` texts for the core: keys that are theirs are the agent's own there."""
    return [each if _is_core(_key(each)) else f"agent.{each}" for each in overrides]


def _key(override: str) -> str:
    return override.partition("=")[0].strip()


def _is_core(key: str) -> bool:
    return key not in _READ_HERE and (not key or key in _CORE or key.startswith(_OURS))


def their_config(core: Configuration) -> AgentConfiguration:
    """Return a configuration of the core as theirs: the agent's own values, and what both have."""
    both = {
        key: value for key, value in core.values().items() if key in _CORE and key not in _READ_HERE
    }
    return AgentConfiguration({**both, **core.agent})
