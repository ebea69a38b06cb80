"""Damage: what a store holds that cannot have been written so, as one error that says where."""

from __future__ import annotations

from perdure.errors import StoreFormatError
from perdure.printable import printable

__all__ = ["damaged"]

_LONGEST = 300


def damaged(store: object, place: str, what: object) -> StoreFormatError:
    """Return the error that names what is damaged. Nobody tries again: it would be so again.

    Args:
        store: its file or URL.
        place: the table, and the row where one is known: `table run, r1f`.
        what: what is wrong there.
    """
    said = printable(" ".join(str(what).split()))
    said = said if len(said) <= _LONGEST else said[: _LONGEST - 1] + "…"
    return StoreFormatError(
        f"{store} is damaged: {printable(place)}: {said}; restore it from a backup, or name another"
        " file with --store"
    )
