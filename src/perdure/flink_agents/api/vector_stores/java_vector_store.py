"""Vector stores in Java."""

from __future__ import annotations

from perdure.flink_agents.border.java import InJava

__all__ = [
    "JavaCollectionManageableVectorStore",
    "JavaVectorStore",
]


class JavaCollectionManageableVectorStore(InJava):
    """Refused when it is made."""


class JavaVectorStore(InJava):
    """Refused when it is made."""
