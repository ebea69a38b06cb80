"""YAML files that stand for too much, or for nothing, are refused by line: options, agents.

What they cost is counted in values, so no test here looks at a clock: a file that were expanded
would not come to an end.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import ConfigurationError, load_agent
from perdure.config.configuration import Configuration
from perdure.config.yaml_nodes import DEEPEST, MOST_BYTES, MOST_NODES


def _laughs(levels: int = 30, by: int = 10) -> str:
    lines = ["a0: &a0 [x]"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} [{', '.join([f'*a{level - 1}'] * by)}]")
    return "\n".join(lines)


def _merges(levels: int = 30) -> str:
    lines = ["a0: &a0 {x: 1}"]
    for level in range(1, levels):
        lines.append(f"a{level}: &a{level} {{<<: [{', '.join([f'*a{level - 1}'] * 10)}]}}")
    return "\n".join(lines)


def _nested_anchors() -> str:
    return "a: " + "".join(f"&n{n} [" for n in range(20_000)) + "]" * 20_000


REFUSED: dict[str, tuple[str | bytes, str]] = {
    "aliases": (_laughs(), "comes to over 5,000 values"),
    "aliases that only lengthen a line": ("a: &a x\nb: [" + "*a, " * 20_000 + "]", "5,000 values"),
    "aliases of mappings": (
        _laughs().replace("[x]", "{k: x}").replace("[*", "[{k: *").replace(",", "},{k:"),
        ":",
    ),
    "merges": (_merges(), "5,000 values"),
    "anchors in anchors": (_nested_anchors(), f"more than {DEEPEST} deep"),
    "a chain of aliases": (
        "\n".join(["a0: &a0 x", *(f"a{n}: &a{n} [*a{n - 1}]" for n in range(1, 200))]),
        f"more than {DEEPEST} deep",
    ),
    "an anchor in itself": ("a: &a [*a]", "stands inside itself"),
    "a mapping in itself": ("a: &a {b: {c: *a}}", "stands inside itself"),
    "a merge of itself": ("a: &a {<<: *a}", "stands inside itself"),
    "deep lists": ("a: " + "[" * 100_000, f"more than {DEEPEST} deep"),
    "deep mappings": ("a: " + "{a: " * 100_000, f"more than {DEEPEST} deep"),
    "deep blocks": (
        "\n".join(" " * n + "a:" for n in range(300)), f"more than {DEEPEST} deep"
    ),
    "deep dashes": ("- " * 100_000, f"more than {DEEPEST} deep"),
    "many values": ("a: [" + "1, " * (MOST_NODES + 1) + "]", "5,000 values"),
    "many keys": ("\n".join(f"k{n}: 1" for n in range(MOST_NODES)), "5,000 values"),
    "a large file": ("# " + "x" * MOST_BYTES, "bytes, more than 500,000"),
    "a long number": ("max-retries: " + "9" * 450_000, "characters is too long"),
    "a long sexagesimal": ("max-retries: " + "1" + ":1" * 200_000, "characters is too long"),
    "a long float": ("timeout: 1." + "1" * 450_000, "characters is too long"),
    "a large number": ("max-retries: " + "9" * 90, "too large a number"),
    "a large hexadecimal": ("max-retries: 0x" + "f" * 90, "too large a number"),
    "a large float": ("timeout: 1.0e+999", "too large a number"),
    "a key twice": ("max-retries: 1\nmax-retries: 2", "stands here twice, first in line 1"),
    "a quoted key twice": ("max-retries: 1\n'max-retries': 2", "stands here twice"),
    "a nested key twice": ("a:\n  b: 1\n  b: 2", "twice, first in line 2"),
    "no UTF-8": (b"a: 1\nb: \xff\xfe", "byte 0xff is no UTF-8"),
    "UTF-16": ("a: 1".encode("utf-16"), "is no UTF-8"),
    "a NUL": ("a: 1\nb: \x00", "U+0000 may not stand in YAML"),
    "an escape": ("a: 1\nb: \x1b[31m", "U+001B may not stand in YAML"),
    "no date": ("a: 2024-13-45", "is no !!timestamp"),
    "no truth": ("a: !!bool maybe", "is no !!bool"),
    "no number": ("a: !!int ''", "is no !!int"),
    "code": ("a: !!python/object/apply:os.getpid []", "python/object"),
    "another's tag": ("a: !mine {x: 1}", "mine"),
    "a list as a key": ("? [a, b]\n: 1", "a key must be text"),
    "a number as a key": ("1: 2", "is no text: put it in quotes"),
    "two documents": ("a: 1\n---\nb: 2", "YAML"),
    "no anchor": ("a: *b", "undefined alias"),
    "not closed": ("a: [1,\nb: }", "YAML"),
}  # fmt: skip


def _options(path: Path) -> Any:
    return Configuration.from_yaml(path)


READERS = [pytest.param(_options, id="options"), pytest.param(load_agent, id="agent")]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("kind", REFUSED)
def test_a_file_out_of_bounds_is_refused_by_line(
    kind: str, read: Callable[[Path], Any], tmp_path: Path
) -> None:
    content, expected = REFUSED[kind]
    path = tmp_path / "it.yaml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError) as raised:
        read(path)
    message = str(raised.value)
    assert expected in message
    assert message.count(f"{path}:") == 1
    assert message.partition(f"{path}:")[2][:1].isdigit(), message
    assert "\n" not in message
    assert len(message) < 500


def test_a_value_that_is_refused_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "it.yaml"
    for text, line in [
        ("# first\nmax-retries: -1\n", 2), ("retry:\n  max-attempts: none\n", 2),
        ("x: &x {max-attempts: 0}\nretry: *x", 1), ("timeout: .inf", 1),
        ("retry: {max-attempts: 1}\n\nretry.max-attempts: 2", 3),
    ]:  # fmt: skip
        path.write_text(text, "utf-8")
        with pytest.raises(ConfigurationError, match=rf"\(line {line}\)|it\.yaml:{line}:"):
            Configuration.from_yaml(path)


def test_anchors_and_merges_within_bounds_are_read(tmp_path: Path) -> None:
    path = tmp_path / "it.yaml"
    path.write_text(
        "agent:\n"
        "  base: &base {a: 1, b: [x, 2.5, true, null]}\n"
        "  more: &more {<<: *base, c: 3}\n"
        "  both: {<<: [{a: 7}, *more], b: *base}\n"
        "  text: |\n    one\n    two\n"
        "  empty: {}\n",
        "utf-8",
    )
    assert Configuration.from_yaml(path).agent == {
        "base.a": 1, "base.b": ["x", 2.5, True, None],
        "more.a": 1, "more.b": ["x", 2.5, True, None], "more.c": 3,
        "both.a": 7, "both.c": 3, "both.b.a": 1, "both.b.b": ["x", 2.5, True, None],
        "text": "one\ntwo\n",
    }  # fmt: skip
    path.write_text("\ufefftimeout: 3\n", "utf-8")
    assert Configuration.from_yaml(path) == Configuration({"timeout": 3})
