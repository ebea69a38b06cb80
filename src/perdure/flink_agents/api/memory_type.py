"""The memories that an action has."""

from __future__ import annotations

from enum import Enum

__all__ = ["MemoryType"]


class MemoryType(Enum):
    """Which memory; the first one's value is a tuple, as it is there."""

    __journal_name__ = "perdure:flink_agents.MemoryType"

    SENSORY = ("sensory",)
    SHORT_TERM = "short_term"
