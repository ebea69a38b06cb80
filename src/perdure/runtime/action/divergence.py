"""An action that ends before its journal does: whether it took another way, and what it says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from perdure.codec.error_texts import class_name, text_of
from perdure.errors import DecodeError, NonDeterminismError, StoreFormatError
from perdure.printable import printable_logger

__all__ = ["warn", "way_left"]

logger = printable_logger("perdure")
LONGEST = 300  # characters of the action's own error, in the message of the divergence


def way_left(
    failed: BaseException | None, check_end: Callable[[str], None]
) -> NonDeterminismError | None:
    """Return the error of an action that has left its journal; None where it has not.

    Args:
        failed: what it has failed by itself, if it has. What is kept and cannot be read is no way
            of its own, but what has to be mended.
        check_end: raises the error; given how the action has ended, to be put after its place.
    """
    if issubclass(type(failed), DecodeError | StoreFormatError):
        return None
    try:
        check_end("" if failed is None else _then_raised(failed))
    except NonDeterminismError as error:
        error.__cause__ = failed
        return error
    return None


def _then_raised(failed: BaseException) -> str:
    said = text_of(failed)[:LONGEST]
    return f", then raised {class_name(type(failed))}" + (f": {said}" if said else "")


def warn(error: NonDeterminismError, does: str, fields: Mapping[str, Any]) -> None:
    """Log that an action goes on against its journal, and what it does."""
    logger.warning("%s; on-divergence is reexecute: %s", error, does, extra=fields)
