"""YAML files as nodes, read within bounds: what is refused is named by file, line and column.

What a file costs is bounded by counting nodes while they are made, each alias as what it stands
for: a few lines of anchors can stand for more values than memory holds.
"""

from __future__ import annotations

import dataclasses
import math
import os
from pathlib import Path
from typing import Any, Final

import yaml

from perdure.errors import ConfigurationError

__all__ = ["MERGE", "Place", "YamlNodes"]

MOST_BYTES: Final = 500_000
MOST_NODES: Final = 5_000  # aliases and merged keys included
DEEPEST: Final = 50
LONGEST_NUMBER: Final = 100  # characters
LARGEST_INTEGER: Final = 2**63 - 1
MERGE: Final = "tag:yaml.org,2002:merge"
_PREFIX: Final = "tag:yaml.org,2002:"
_STRING: Final = f"{_PREFIX}str"
_MAPPING: Final = f"{_PREFIX}map"
_SEQUENCE: Final = f"{_PREFIX}seq"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where something stands in a file; lines and columns count from 1."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"


@dataclasses.dataclass(slots=True)
class _Weight:
    """How many nodes a node stands for, and how deep they go."""

    size: int = 1
    depth: int = 1


class YamlNodes:
    """The nodes of one file. Whoever takes them closes this.

    Attributes:
        root: the outermost node, None of an empty file.

    Args:
        path: the file.
        refusal: what is said of a file that is no YAML.

    Raises:
        ConfigurationError: it cannot be read, is no YAML, has a key twice, or is out of bounds.
    """

    def __init__(self, path: str | os.PathLike[str], refusal: str = "this is no YAML") -> None:
        self._file = os.fspath(path)
        self._refusal = refusal
        text = self._text(Path(path).read_bytes())
        try:
            self._loader = _Loader(text, self)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise ConfigurationError(
                f"{self._file}:{line}: the character U+{ord(text[error.position]):04X} may not"
                " stand in YAML"
            ) from error
        try:
            self.root: yaml.Node | None = self._loader.get_single_node()
        except yaml.MarkedYAMLError as error:
            self.close()
            raise self._syntax_error(error) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Let go of the reader."""
        self._loader.dispose()

    def place(self, node: yaml.Node) -> Place:
        """Return where a node begins."""
        return self._at(node.start_mark)

    def scalar(self, node: yaml.Node) -> Any:
        """Return what a scalar stands for.

        Raises:
            ConfigurationError: it is not what its tag says, or too large a number.
        """
        try:
            value = self._loader.construct_object(node)
        except yaml.MarkedYAMLError as error:
            raise self._syntax_error(error) from error
        except Exception as error:  # of any kind: the constructors expect what fits their tag
            tag = node.tag.replace(_PREFIX, "!!")
            raise ConfigurationError(
                f"{self.place(node)}: {node.value[:60]!r} is no {tag}: correct it, or put it in"
                " quotes"
            ) from error
        is_huge = isinstance(value, int) and abs(value) > LARGEST_INTEGER
        if isinstance(value, float) and math.isinf(value):
            is_huge = "inf" not in node.value.lower()
        if is_huge:
            raise ConfigurationError(
                f"{self.place(node)}: {node.value[:40]} is too large a number: give a smaller one"
            )
        return value

    def _at(self, mark: Any) -> Place:
        return Place(file=self._file, line=mark.line + 1, column=mark.column + 1)

    def _text(self, data: bytes) -> str:
        if len(data) > MOST_BYTES:
            raise ConfigurationError(
                f"{self._file}:1: the file has {len(data):,} bytes, more than {MOST_BYTES:,}: keep"
                " long texts in files of their own"
            )
        try:
            # utf-8-sig: some editors begin a file with a byte order mark.
            return data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            raise ConfigurationError(
                f"cannot read {self._file}:{line}: the byte {data[error.start]:#04x} is no UTF-8:"
                " save the file as UTF-8"
            ) from error

    def _syntax_error(self, error: yaml.MarkedYAMLError) -> ConfigurationError:
        mark = error.problem_mark or error.context_mark
        where = self._file if mark is None else str(self._at(mark))
        problem = error.problem or error.context or "it cannot be read"
        if problem.startswith("but ") and error.context:
            problem = f"{error.context}, {problem}"
        reason = " ".join(problem.split())
        lines = (mark.buffer or "").splitlines() if mark is not None else []
        if mark is not None and mark.line < len(lines) and "${" in lines[mark.line]:
            reason += "; inside { } and [ ], put ${...} in quotes"
        return ConfigurationError(f"{where}: {self._refusal}: {reason}")

    # While nodes are made

    def refused(self, mark: Any, reason: str) -> ConfigurationError:
        """Return the error that names a place."""
        return ConfigurationError(f"{self._at(mark)}: {reason}")

    def check_tag(self, node: yaml.Node) -> None:
        """Refuse a tag of a mapping or list that says it is something else."""
        if node.tag not in (_MAPPING, _SEQUENCE):
            raise self.refused(
                node.start_mark, f"{self._refusal}: the tag {node.tag[:60]!r} is not known here"
            )

    def check_keys(self, node: yaml.MappingNode) -> None:
        """Refuse keys that are no text, and those given twice."""
        self.check_tag(node)
        places: dict[str, Any] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise self.refused(key.start_mark, "a key must be text")
            if key.tag not in (_STRING, MERGE):
                raise self.refused(
                    key.start_mark, f"the key {key.value[:60]!r} is no text: put it in quotes"
                )
            if (first := places.get(key.value)) is not None:
                raise self.refused(
                    key.start_mark,
                    f"the key {key.value[:60]!r} stands here twice, first in line {first.line + 1}:"
                    " remove one",
                )
            places[key.value] = key.start_mark


class _Loader(yaml.SafeLoader):
    """Makes nodes, and weighs them."""

    def __init__(self, text: str, nodes: YamlNodes) -> None:
        super().__init__(text)
        self._owner = nodes
        self._open: list[_Weight] = []
        self._made = 0
        self._weights: dict[int, _Weight] = {}

    def compose_node(self, parent: Any, index: Any) -> Any:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            node: Any = super().compose_node(parent, index)
            weight = self._weights.get(id(node))
            if weight is None:
                raise self._owner.refused(node.start_mark, "this anchor stands inside itself")
        else:
            weight = _Weight()
            self._open.append(weight)
            self._made += 1
            self._check_bounds(mark, 0, self._made)
            node = super().compose_node(parent, index)
            self._check(node)
            self._weights[id(node)] = self._open.pop()
        if self._open:
            outer = self._open[-1]
            outer.size += weight.size
            outer.depth = max(outer.depth, weight.depth + 1)
            self._check_bounds(mark, weight.depth, outer.size)
        return node

    def _check_bounds(self, mark: Any, depth: int, size: int) -> None:
        if len(self._open) + depth > DEEPEST:
            raise self._owner.refused(
                mark, f"this is nested more than {DEEPEST} deep: make it flatter"
            )
        if size > MOST_NODES:
            raise self._owner.refused(
                mark,
                f"here the file comes to over {MOST_NODES:,} values, each alias (*name) counted"
                " as what it stands for: make it smaller",
            )

    def _check(self, node: yaml.Node) -> None:
        if isinstance(node, yaml.MappingNode):
            self._owner.check_keys(node)
        elif isinstance(node, yaml.SequenceNode):
            self._owner.check_tag(node)
        elif isinstance(node, yaml.ScalarNode) and node.tag != _STRING:
            is_text = node.tag in (f"{_PREFIX}binary", MERGE) or not node.tag.startswith(_PREFIX)
            if len(node.value) > LONGEST_NUMBER and not is_text:
                raise self._owner.refused(
                    node.start_mark,
                    f"a number or date of {len(node.value):,} characters is too long: put it in"
                    " quotes if it is text",
                )
