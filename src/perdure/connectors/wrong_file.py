"""Files that are given for JSON Lines and are none: what they are, and what to do with them."""

from __future__ import annotations

import codecs
import os

__all__ = ["foreign_format", "hint"]

_UNPACK = "unpack it first, or through a pipe: {} {} | perdure run ... --input -"
_MAGIC = (
    (b"\x1f\x8b", "compressed with gzip", _UNPACK.format("gunzip -c", "{}")),
    (b"BZh", "compressed with bzip2", _UNPACK.format("bunzip2 -c", "{}")),
    (b"\xfd7zXZ\x00", "compressed with xz", _UNPACK.format("xz -dc", "{}")),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", _UNPACK.format("zstd -dc", "{}")),
    (b"PK\x03\x04", "a ZIP archive or an office document", "take the file out of it first"),
    (b"SQLite format 3\x00", "an SQLite database", "write what you need of it as JSON lines"),
    (b"PAR1", "a Parquet file", "write it as JSON lines first"),
)


def foreign_format(head: bytes, place: str) -> str:
    """Say what a file is by its first bytes, and what to do; "" where it may be JSON Lines.

    Args:
        head: Its first bytes.
        place: Its path, for the command that helps.
    """
    for magic, what, remedy in _MAGIC:
        if head.startswith(magic):
            return f"it is {what}, not JSON lines: {remedy.format(place)}"
    if head.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        return _recode("UTF-32", place)
    wide = head[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
    # Without a mark every other byte of ASCII text in UTF-16 is zero.
    if wide or (len(head) >= 4 and (head[0] == head[2] == 0) is not (head[1] == head[3] == 0)):
        return _recode("UTF-16", place)
    return ""


def _recode(encoding: str, place: str) -> str:
    return (
        f"it is {encoding}, not UTF-8: recode it first: iconv -f {encoding} -t UTF-8 {place}"
        " >utf8.jsonl"
    )


def hint(line: bytes, number: int, place: str, *, error_at: int, is_cut_off: bool) -> str:
    """Say what a bad line looks like; "" where it looks like nothing special.

    Args:
        line: The line, stripped.
        number: Its number from 1.
        place: The path of its file.
        error_at: Where in its text reading failed, from 0.
        is_cut_off: It is the last one and has no line end.
    """
    if is_cut_off and number > 1:
        return "the last line has no line end: is it still being written?"
    text = line.decode(errors="replace")
    goes_on = not is_cut_off and error_at >= len(text) - 1
    if number == 1 and text[:1] in ("[", "{") and goes_on:
        if text[0] == "[":
            return f"it looks like one JSON array: make lines of it: jq -c '.[]' {place}"
        return f"it looks like JSON over several lines: make one line of each: jq -c . {place}"
    if number == 1 and os.path.splitext(place)[1].lower() in (".csv", ".tsv"):
        return "it looks like a table: write its rows as JSON lines first"
    if text[:1] == "{" and text[1:].lstrip()[:1] == "'":
        return "JSON has double quotes: json.dumps(value) writes them, str(value) does not"
    return ""
