"""What people give instead of JSON Lines: each is named, with what to do."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import json
import lzma
import sqlite3
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure.connectors.base import BadLinePolicy
from perdure.connectors.jsonl import JsonlSource
from perdure.errors import InputError

VALUES = [{"id": 1, "text": "one"}, {"id": 2, "text": "two"}]
LINES = "".join(json.dumps(value) + "\n" for value in VALUES)


def refusal(path: Path, policy: BadLinePolicy = "stop") -> str:
    async def read() -> None:
        async for _ in JsonlSource(path, on_bad_line=policy).open():
            pass

    with pytest.raises(InputError) as caught:
        asyncio.run(read())
    text = str(caught.value)
    assert str(path) in text
    assert "\n" not in text
    return text


def _database(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE t (c)")
    connection.close()


def _archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("in.jsonl", LINES)


FOREIGN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "gzip": (lambda p: p.write_bytes(gzip.compress(LINES.encode())), "gunzip -c"),
    "bzip2": (lambda p: p.write_bytes(bz2.compress(LINES.encode())), "bunzip2 -c"),
    "xz": (lambda p: p.write_bytes(lzma.compress(LINES.encode())), "xz -dc"),
    "zip": (_archive, "ZIP archive"),
    "database": (_database, "an SQLite database"),
    "utf-16": (lambda p: p.write_text(LINES, "utf-16"), "iconv -f UTF-16"),
    "utf-16-le": (lambda p: p.write_text(LINES, "utf-16-le"), "iconv -f UTF-16"),
    "utf-16-be": (lambda p: p.write_text(LINES, "utf-16-be"), "iconv -f UTF-16"),
    "utf-32": (lambda p: p.write_text(LINES, "utf-32"), "iconv -f UTF-32"),
}


@pytest.mark.parametrize("policy", ["stop", "skip"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_of_another_format_is_named_and_never_passed_over(
    tmp_path: Path, kind: str, policy: BadLinePolicy
) -> None:
    make, remedy = FOREIGN[kind]
    path = tmp_path / "in.jsonl"
    make(path)
    assert remedy in refusal(path, policy)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("in.json", json.dumps(VALUES, indent=2), "one JSON array: make lines of it: jq -c '.[]'"),
        ("in.json", '[{"id": 1},\n{"id": 2}]\n', "one JSON array"),
        ("in.json", json.dumps(VALUES[0], indent=1), "JSON over several lines: make one line"),
        ("in.json", '{"id": 1,\n"text": "one"}\n', "JSON over several lines"),
        ("in.csv", "id,text\n1,one\n", "it looks like a table"),
        ("in.jsonl", f"{VALUES[0]}\n", "JSON has double quotes: json.dumps(value)"),
        ("in.jsonl", f'{LINES}{{"id": 3, "te', "the last line has no line end: is it still being"),
        ("in.jsonl", f"{LINES}{{oops}}\n{LINES}", ":3: not JSON at column 2"),
    ],
)
def test_a_bad_line_says_what_it_looks_like(
    tmp_path: Path, name: str, text: str, expected: str
) -> None:
    path = tmp_path / name
    path.write_text(text, "utf-8")
    found = refusal(path)
    assert expected in found
    assert "--on-bad-line skip" in found


def test_a_line_longer_than_any_value_may_be_is_not_kept_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from perdure.connectors import jsonl_lines

    monkeypatch.setattr(jsonl_lines, "LONGEST_LINE", 1 << 20)
    monkeypatch.setattr(jsonl_lines, "CHUNK_BYTES", 1 << 16)
    path = tmp_path / "in.jsonl"
    path.write_text(f'{LINES}"{"x" * (3 << 20)}"\n{LINES}', "utf-8")
    assert ":3: longer than 1 MiB" in refusal(path)

    async def read() -> list[Any]:
        records = JsonlSource(path, on_bad_line="skip").open()
        return [(record.line, record.position, record.problem) async for record in records]

    found = asyncio.run(read())
    assert [(line, position) for line, position, _ in found] == [(n + 1, n) for n in range(5)]
    assert [bool(problem) for _, _, problem in found] == [False, False, True, False, False]


# Several files


def positions(source: JsonlSource) -> list[tuple[str, int, Any]]:
    async def read() -> list[tuple[str, int, Any]]:
        return [(r.source or source.name, r.position, r.value) async for r in source.open()]

    return asyncio.run(read())


def test_a_pattern_reads_its_files_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    for n in (10, 9, 1):
        (tmp_path / f"part-{n}.jsonl").write_text(f"{n}\n{n}\n", "utf-8")
    (tmp_path / "other.jsonl").write_text("0\n", "utf-8")
    (tmp_path / "part-5.jsonl").mkdir()  # no file
    source = JsonlSource(tmp_path / "part-*.jsonl")
    names = [f"part-{n}.jsonl" for n in (1, 9, 10)]
    assert list(source.files()) == names
    assert positions(source) == [
        (name, at, n) for name, n in zip(names, (1, 9, 10), strict=True) for at in (0, 1)
    ]


def test_a_file_whose_name_looks_like_a_pattern_is_itself(tmp_path: Path) -> None:
    path = tmp_path / "part[1].jsonl"
    path.write_text("1\n", "utf-8")
    assert positions(JsonlSource(path)) == [("part[1].jsonl", 0, 1)]


def test_files_of_one_name_need_a_name_for_all(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "part-1.jsonl").write_text(f'"{folder}"\n', "utf-8")
    pattern = tmp_path / "*" / "part-1.jsonl"
    with pytest.raises(InputError, match=r"both be the source 'part-1\.jsonl'") as caught:
        positions(JsonlSource(pattern))
    assert "--source-name NAME" in str(caught.value)
    found = positions(JsonlSource(pattern, name="days"))
    assert [(name.partition(":")[0], value) for name, _, value in found] == [
        ("days", "a"), ("days", "b"),
    ]  # fmt: skip
    assert len({name for name, _, _ in found}) == 2


def test_a_pattern_without_a_match_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no file matches"):
        positions(JsonlSource(tmp_path / "none-*.jsonl"))
    with pytest.raises(InputError, match=r"it is a folder.*\*\.jsonl"):
        positions(JsonlSource(tmp_path))
