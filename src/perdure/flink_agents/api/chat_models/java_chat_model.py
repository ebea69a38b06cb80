"""Chat models in Java."""

from __future__ import annotations

from perdure.flink_agents.border.java import InJava

__all__ = [
    "JavaChatModelConnection",
    "JavaChatModelSetup",
]


class JavaChatModelConnection(InJava):
    """Refused when it is made."""


class JavaChatModelSetup(InJava):
    """Refused when it is made."""
