"""pydantic's ValidationError as an outcome: it has no constructor, only a form of its own."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

__all__ = ["build_validation_error", "is_validation_error", "take_validation_error"]

Parts = dict[str, Any]


def is_validation_error(exc: BaseException) -> bool:
    """Say whether an exception is pydantic's ValidationError; False where that is not loaded."""
    cls = getattr(sys.modules.get("pydantic_core"), "ValidationError", None)
    return cls is not None and type(exc) is cls


def take_validation_error(exc: Any, take: Callable[[BaseException], Any]) -> Parts:
    """Take a ValidationError apart.

    Args:
        exc: a ValidationError.
        take: returns the plain form of an exception, such as the one that a validator raised.

    Returns:
        Plain containers, the inputs that were refused, and what `take` returned.
    """
    lines = []
    for line in exc.errors(include_url=False):
        context = line.get("ctx", {})
        raised = {name: take(v) for name, v in context.items() if isinstance(v, BaseException)}
        lines.append(
            {
                "type": line["type"],
                "loc": line["loc"],
                "msg": line["msg"],
                "input": line["input"],
                "ctx": {name: value for name, value in context.items() if name not in raised},
                "raised": raised,
            }
        )
    return {"title": exc.title, "lines": lines, "hidden": _hides_input(exc)}


def _hides_input(exc: Any) -> bool:
    return "input_value=" not in str(exc)


def build_validation_error(
    cls: Any, parts: Parts, build: Callable[[Any], BaseException]
) -> BaseException:
    """Put a ValidationError together from what `take_validation_error` returned.

    Args:
        cls: the class.
        parts: its parts.
        build: makes an exception of what `take` returned.
    """
    core = sys.modules["pydantic_core"]
    lines = []
    for line in parts["lines"]:
        context = line["ctx"] | {name: build(form) for name, form in line["raised"].items()}
        kind: Any = line["type"]
        if not _is_known(core, kind, context):
            kind = core.PydanticCustomError(kind, line["msg"], context or None)
        lines.append({"type": kind, "loc": line["loc"], "input": line["input"], "ctx": context})
    made: BaseException = cls.from_exception_data(parts["title"], lines, hide_input=parts["hidden"])
    return made


def _is_known(core: Any, kind: str, context: Parts) -> bool:
    """Say whether an error is of pydantic's own sorts, which have texts."""
    try:
        core.PydanticKnownError(kind, context)
    except KeyError:
        return False
    return True
