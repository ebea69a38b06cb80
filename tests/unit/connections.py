"""A connection that only remembers what it was made of."""

from __future__ import annotations

from typing import Any

from perdure import BaseChatModelConnection


class Connection(BaseChatModelConnection):
    def __init__(self, **given: Any) -> None:
        self.given = given
