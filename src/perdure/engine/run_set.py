"""RunSet: numbers of runs, a bit each."""

from __future__ import annotations

from collections.abc import Iterator

_BYTES = 4096  # of a piece


class RunSet:
    """A set of the numbers of one job's runs, or of positions in a source.

    They are given one after another, so a bit each is enough: a source of a million lines takes
    an eighth of a megabyte, where a set of Python numbers takes sixty. A number far from the others
    takes a piece of its own, and not what lies between.

    Args:
        first: where most of them begin.
    """

    def __init__(self, first: int = 0) -> None:
        self._first = first
        self._pieces: dict[int, bytearray] = {}
        self._size = 0

    def _place(self, number: int) -> tuple[int, int, int]:
        """Return the piece of a number, the byte in it, and the bit in that."""
        byte, bit = divmod(number - self._first, 8)
        return *divmod(byte, _BYTES), bit

    def add(self, number: int) -> bool:
        """Add a number; False where it was there."""
        at, byte, bit = self._place(number)
        piece = self._pieces.get(at)
        if piece is None:
            piece = self._pieces[at] = bytearray(_BYTES)
        if piece[byte] >> bit & 1:
            return False
        piece[byte] |= 1 << bit
        self._size += 1
        return True

    def __contains__(self, number: int) -> bool:
        at, byte, bit = self._place(number)
        piece = self._pieces.get(at)
        return piece is not None and bool(piece[byte] >> bit & 1)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        """Give the numbers in their order."""
        for at, piece in sorted(self._pieces.items()):
            for byte, bits in enumerate(piece):
                if bits:
                    start = self._first + 8 * (at * _BYTES + byte)
                    yield from (start + bit for bit in range(8) if bits >> bit & 1)
