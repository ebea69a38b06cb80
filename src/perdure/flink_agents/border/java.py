"""What is Java in Flink Agents: it can be named, and is refused when it is made."""

from __future__ import annotations

from typing import Any

__all__ = ["InJava"]


class InJava:
    """A class whose implementation is Java."""

    def __init__(self, *args: Any, java_clazz: str = "", **kwargs: Any) -> None:
        raise NotImplementedError(
            f"{java_clazz or type(self).__name__} is Java, which does not run here: name the Python"
            " implementation"
        )
