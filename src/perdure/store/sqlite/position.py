"""Where a job is, as `changes` goes on from: an opaque word for all others."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Position"]


class Position(NamedTuple):
    """Where a job is: see `position` in the SQL."""

    created_at: int
    record: int
    output: int
    run: int
    command: int
    statuses: str

    @classmethod
    def parse(cls, text: str) -> Position | None:
        """Return what `str` has made; None where it has not."""
        try:
            *numbers, statuses = text.split(".")
            created_at, record, output, run, command = (int(number, 16) for number in numbers)
        except ValueError:
            return None
        if min(created_at, record, output, run, command) < 0:
            return None
        return cls(created_at, record, output, run, command, statuses)

    def __str__(self) -> str:
        return ".".join([*(f"{number:x}" for number in self[:-1]), self.statuses])

    def is_before(self, now: Position) -> bool:
        """Say whether a store could have come from this position to another."""
        return self.created_at == now.created_at and all(
            old <= new for old, new in zip(self[1:-1], now[1:-1], strict=True)
        )
