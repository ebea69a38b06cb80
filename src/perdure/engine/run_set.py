"""RunSet: numbers of runs, a bit each."""

from __future__ import annotations

from collections.abc import Iterator


class RunSet:
    """A set of the numbers of one job's runs, or of positions in a source.

    They are given one after another, so a bit each is enough: a source of a million lines takes
    an eighth of a megabyte, where a set of Python numbers takes sixty.

    Args:
        first: no number is below it.
    """

    def __init__(self, first: int = 0) -> None:
        self._first = first
        self._bits = bytearray()
        self._size = 0

    def add(self, number: int) -> bool:
        """Add a number; False where it was there."""
        byte, bit = divmod(number - self._first, 8)
        if byte >= len(self._bits):
            self._bits.extend(bytes(max(byte + 1 - len(self._bits), len(self._bits) // 8)))
        if self._bits[byte] >> bit & 1:
            return False
        self._bits[byte] |= 1 << bit
        self._size += 1
        return True

    def __contains__(self, number: int) -> bool:
        byte, bit = divmod(number - self._first, 8)
        return 0 <= byte < len(self._bits) and bool(self._bits[byte] >> bit & 1)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        """Give the numbers in their order."""
        for at, byte in enumerate(self._bits):
            if byte:
                start = self._first + 8 * at
                yield from (start + bit for bit in range(8) if byte >> bit & 1)
