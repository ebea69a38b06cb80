"""Options from a YAML file, and the lines that they stand in."""

from __future__ import annotations

import contextlib
import os
from typing import Any, NamedTuple

import yaml

from perdure.config.yaml_nodes import MERGE, YamlNodes
from perdure.errors import ConfigurationError

__all__ = ["YamlOptions", "read_options"]


class YamlOptions(NamedTuple):
    """What a file sets: nested values, and the line of each by its dotted key."""

    values: dict[str, Any]
    lines: dict[str, int]


def read_options(path: str | os.PathLike[str]) -> YamlOptions:
    """Read a file of options.

    Raises:
        OSError: It cannot be read.
        ConfigurationError: It is no YAML mapping, has a key twice, or is out of bounds.
    """
    with contextlib.closing(YamlNodes(path, "this is not YAML")) as nodes:
        if nodes.root is None or (
            isinstance(nodes.root, yaml.ScalarNode) and nodes.scalar(nodes.root) is None
        ):
            return YamlOptions({}, {})
        if not isinstance(nodes.root, yaml.MappingNode):
            where = nodes.place(nodes.root)
            raise ConfigurationError(f"{where}: the file must be a mapping of keys to values")
        reader = _Reader(nodes)
        return YamlOptions(reader.mapping(nodes.root, ""), reader.lines)


class _Reader:
    """Makes plain data of nodes."""

    def __init__(self, nodes: YamlNodes) -> None:
        self._nodes = nodes
        self.lines: dict[str, int] = {}

    def mapping(self, node: yaml.MappingNode, prefix: str) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: list[yaml.MappingNode] = []
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                merged += self._merged(value_node)
                continue
            path, line = f"{prefix}{key_node.value}", self._nodes.place(key_node).line
            if path in self.lines and not isinstance(value_node, yaml.MappingNode):
                raise ConfigurationError(
                    f"{self._nodes.place(key_node)}: {path} is set twice, first in line"
                    f" {self.lines[path]}: remove one of them"
                )
            own[key_node.value] = self._value(value_node, path)
            self.lines[path] = line
        for base in merged:
            for key_node, value_node in base.value:
                if key_node.tag == MERGE:
                    continue
                if key_node.value not in own:
                    path = f"{prefix}{key_node.value}"
                    own[key_node.value] = self._value(value_node, path)
                    self.lines[path] = self._nodes.place(key_node).line
        return own

    def _value(self, node: yaml.Node, path: str) -> Any:
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, f"{path}.")
        if isinstance(node, yaml.SequenceNode):
            return [self._value(each, f"{path}[]") for each in node.value]
        return self._nodes.scalar(node)

    def _merged(self, node: yaml.Node) -> list[yaml.MappingNode]:
        """Return the mappings that `<<` takes in, and those that they take in themselves."""
        found = []
        for each in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(each, yaml.MappingNode):
                raise ConfigurationError(
                    f"{self._nodes.place(each)}: << takes in a mapping, or a list of mappings"
                )
            found.append(each)
            for key_node, value_node in each.value:
                if key_node.tag == MERGE:
                    found += self._merged(value_node)
        return found
