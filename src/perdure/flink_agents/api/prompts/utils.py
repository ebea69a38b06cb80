"""Texts with places, filled in."""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["SafeFormatter", "format_string"]

_PLACE = re.compile(r"\{([a-zA-Z_]\w*)\}")


class SafeFormatter:
    """Fills the places of a text that it has values for, and leaves all other braces as they are.

    Args:
        kwargs: Values by the names of the places.
    """

    def __init__(self, kwargs: Mapping[str, object] | None = None) -> None:
        self.kwargs = dict(kwargs or {})

    def format(self, text: str) -> str:
        """Return the text with its places filled."""
        return _PLACE.sub(
            lambda found: str(self.kwargs[found[1]]) if found[1] in self.kwargs else found[0], text
        )


def format_string(_template: str, **kwargs: object) -> str:
    """Return a text with its places filled; those without a value stay."""
    return SafeFormatter(kwargs).format(_template)
