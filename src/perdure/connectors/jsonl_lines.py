"""From bytes to lines to items: the reading half of JSON Lines."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from perdure.connectors.base import BadLinePolicy, SourceItem
from perdure.connectors.wrong_file import foreign_format, hint
from perdure.errors import InputError

__all__ = ["LineReader"]

CHUNK_BYTES = 1 << 18
LONGEST_LINE = 1 << 27  # bytes; the text of the largest value that a journal takes by default
_BOM = b"\xef\xbb\xbf"

# Python's reader makes an infinity of 1e400; msgspec reads the same floats, faster, and refuses.
_decode = json.JSONDecoder(parse_float=msgspec.json.Decoder(float).decode).decode


class _Line(NamedTuple):
    text: bytes
    is_cut_off: bool = False  # the file ends in it
    is_too_long: bool = False


class LineReader:
    """Reads a descriptor as items, a chunk at a time. Used by one thread at a time.

    Owns the counters of lines and items, and the bytes of the line that is not complete yet.

    Args:
        place: The file's path, for messages.
        source: Name for its items, "" for the source's own.
        on_bad_line: Whether a bad line ends the reading or becomes an item with a problem.
    """

    def __init__(self, place: str, source: str = "", on_bad_line: BadLinePolicy = "stop") -> None:
        self.finished = False
        self._place = place
        self._source = source
        self._on_bad_line = on_bad_line
        self._line = 0
        self._position = 0
        self._partial: list[bytes] = []
        self._partial_bytes = 0
        self._is_new = True
        # A descriptor closed before an abandoned read begins could be another file's by then.
        self._lock = threading.Lock()
        self._closed = False

    def read_from(self, descriptor: int) -> tuple[list[SourceItem], InputError | None]:
        """Read what is there, at most one chunk; waits only when there is nothing.

        Returns:
            The items of the complete lines, and the error that ended the reading after them.
        """
        items: list[SourceItem] = []
        try:
            with self._lock:
                chunk = b"" if self._closed else os.read(descriptor, CHUNK_BYTES)
            if self._is_new:
                self._check_format(chunk)
            for line in self._complete_lines(chunk):
                item = self._parse(line)
                if item is not None:
                    items.append(item)
        except InputError as error:
            self.finished = True
            return items, error
        except OSError as error:
            self.finished = True
            where = f"{self._place}:{self._line + 1}"
            return items, InputError(f"{where}: cannot read on: {error.strerror}: run again")
        return items, None

    def close(self, descriptor: int) -> None:
        """Close the descriptor once no read of it is under way."""
        with self._lock:
            self._closed = True
            os.close(descriptor)

    def _check_format(self, head: bytes) -> None:
        self._is_new = False
        if foreign := foreign_format(head[:64], self._place):
            raise InputError(f"cannot read {self._place}: {foreign}")

    def _complete_lines(self, chunk: bytes) -> Iterator[_Line]:
        if not chunk:
            self.finished = True
            if self._partial:
                yield self._taken(is_cut_off=True)
            return
        head, *rest = chunk.split(b"\n")
        self._add(head)
        if not rest:
            return
        last = rest.pop()
        yield self._taken()
        for text in rest:
            yield _Line(text)
        self._add(last)

    def _add(self, part: bytes) -> None:
        self._partial_bytes += len(part)
        if self._partial_bytes > LONGEST_LINE:
            self._partial = [b"?"]  # it is refused: what it holds need not be kept
        elif part:
            self._partial.append(part)

    def _taken(self, *, is_cut_off: bool = False) -> _Line:
        text = b"".join(self._partial)
        is_too_long = self._partial_bytes > LONGEST_LINE
        self._partial, self._partial_bytes = [], 0
        return _Line(text, is_cut_off, is_too_long)

    def _parse(self, line: _Line) -> SourceItem | None:
        self._line += 1
        text = line.text.removeprefix(_BOM) if self._line == 1 else line.text
        raw = text.strip()
        if not raw:
            return None
        if line.is_too_long:
            return self._bad(f"longer than {LONGEST_LINE >> 20} MiB", self._hint(raw, line, 0))
        try:
            value = _decode(raw.decode())
        except UnicodeDecodeError as error:
            return self._bad(f"not UTF-8 at byte {error.start + 1}", "")
        except json.JSONDecodeError as error:
            reason = f"not JSON at column {error.colno}: {error.msg}"
            return self._bad(reason, self._hint(raw, line, error.pos))
        except msgspec.ValidationError:
            return self._bad("it has a number that is larger than any number may be", "")
        except (ValueError, RecursionError) as error:
            return self._bad(f"not readable as JSON: {error}", "")
        item = SourceItem(self._position, value, raw, self._line, self._source)
        self._position += 1
        return item

    def _hint(self, raw: bytes, line: _Line, error_at: int) -> str:
        return hint(
            raw, self._line, self._place, error_at=error_at, is_cut_off=line.is_cut_off
        )  # fmt: skip

    def _bad(self, reason: str, what: str) -> SourceItem:
        problem = f"{reason} ({what})" if what else reason
        if self._on_bad_line == "stop":
            raise InputError(
                f"{self._place}:{self._line}: {problem}: correct the line and run again, or pass"
                " over such lines with --on-bad-line skip (on_bad_line='skip')"
            )
        item = SourceItem(
            self._position, None, None, self._line, self._source, problem=problem
        )  # fmt: skip
        self._position += 1
        return item
