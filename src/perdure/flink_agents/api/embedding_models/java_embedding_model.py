"""Embedding models in Java."""

from __future__ import annotations

from perdure.flink_agents.border.java import InJava

__all__ = [
    "JavaEmbeddingModelConnection",
    "JavaEmbeddingModelSetup",
]


class JavaEmbeddingModelConnection(InJava):
    """Refused when it is made."""


class JavaEmbeddingModelSetup(InJava):
    """Refused when it is made."""
