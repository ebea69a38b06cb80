"""YAML as a tree that knows where each of its values stands."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
from collections.abc import Iterable
from typing import Any, Final

import yaml

from perdure.agent.loading import check_file
from perdure.checks import shown
from perdure.config.yaml_nodes import MERGE, Place, YamlNodes
from perdure.errors import ConfigurationError, did_you_mean

__all__ = ["Place", "Value", "near", "read_file", "typed"]

# `$${` stands for `${`; a name that is no variable's is refused, for it may be a mistyped one.
_VARIABLE: Final = re.compile(r"\$\$\{|\$\{(?P<name>[^}:]*)(?::-(?P<default>[^}]*))?\}")
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST_NUMBER: Final = 100  # characters


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value of a YAML file.

    Attributes:
        place: Where it begins.
        data: A str, int, float, bool, None or date, a list of values, or values by key.
        key_places: Where the keys stand, of a mapping.
        quoted: Whether a str is in quotes or a block: then it never becomes a number.
        literal: Whether a `${` in a str stands for itself: it is from the environment.
    """

    place: Place
    data: Any
    key_places: dict[str, Place] = dataclasses.field(default_factory=dict)
    quoted: bool = False
    literal: bool = False

    def error(self, message: str) -> ConfigurationError:
        """Return an error that says where this value stands."""
        return _error(self.place, message)

    def key_error(self, key: str, message: str) -> ConfigurationError:
        """Return an error that says where a key of this mapping stands."""
        return _error(self.key_places.get(key, self.place), message)

    @property
    def is_variable(self) -> bool:
        """Whether it is a text with environment variables in it."""
        return isinstance(self.data, str) and "${" in self.data and not self.literal

    @property
    def shown(self) -> str:
        """What stands there, for the message that refuses it; variables as they are written."""
        return shown(self._written())

    def _written(self) -> Any:
        if isinstance(self.data, dict):
            return {key: each._written() for key, each in self.data.items()}
        if isinstance(self.data, list):
            return [each._written() for each in self.data]
        return self.data

    def text(self) -> str:
        """Return a str with the environment's variables in it.

        Raises:
            ConfigurationError: A variable is not set and has no default.
        """
        found: str = self.data
        return _VARIABLE.sub(self._variable, found) if self.is_variable else found

    def plain(self) -> Any:
        """Return it as plain data, with the environment's variables in its strings.

        What a string without quotes becomes by its variables is read as YAML reads it: a number
        or a truth value may stand in the environment.

        Raises:
            ConfigurationError: A variable is not set and has no default.
        """
        if isinstance(self.data, dict):
            return {key: each.plain() for key, each in self.data.items()}
        if isinstance(self.data, list):
            return [each.plain() for each in self.data]
        if not isinstance(self.data, str):
            return self.data
        found = self.text()
        return found if self.quoted or found == self.data else typed(found)

    def _variable(self, match: re.Match[str]) -> str:
        if match.group(0) == "$${":
            return "${"
        name, default = match["name"], match["default"]
        if not _NAME.fullmatch(name):
            raise self.error(
                f"{match.group(0)} names no environment variable: write $${{ for a plain ${{"
            )
        value = os.environ.get(name)
        # As in a shell, `:-` stands for an empty variable too.
        if default is not None and not value:
            return default
        if value is None:
            raise self.error(
                f"the environment variable {name} is not set: set it, or write ${{{name}:-default}}"
            )
        return value


def _error(place: Place, message: str) -> ConfigurationError:
    # Messages of other packages may have several lines.
    line = " ".join(message.split()) if "\n" in message else message
    return ConfigurationError(f"{place}: {line}")


def typed(text: str) -> Any:
    """Return a number or a truth value as YAML reads it, anything else as it is."""
    if len(text) > LONGEST_NUMBER:
        return text
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError):
        return text
    return found if isinstance(found, bool | int | float) else text


def near(name: str, known: Iterable[str], what: str = "there are") -> str:
    """Return what to say after naming something that is not there: the nearest, or all."""
    names = list(known)
    return did_you_mean(name, names, f"{what}: {', '.join(names) or 'none'}", repr)


def read_file(path: str | os.PathLike[str]) -> Value:
    """Read a YAML file.

    Raises:
        ConfigurationError: It is not there, is no YAML, has a key twice, is out of bounds, or is
            empty.
    """
    file = os.fspath(path)
    check_file(file, "agent.yaml", "*.y*ml")
    try:
        nodes = YamlNodes(file)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read {file}: {error.strerror}: check its permissions"
        ) from error
    with contextlib.closing(nodes):
        if nodes.root is None:
            raise ConfigurationError(f"{file} is empty: declare an agent in it")
        return _Reader(nodes).value(nodes.root)


class _Reader:
    """Makes values of the nodes of one file.

    Owns: the value of each node, for an anchor's node stands in several places.
    """

    def __init__(self, nodes: YamlNodes) -> None:
        self._nodes = nodes
        self._made: dict[int, Value] = {}

    def value(self, node: yaml.Node) -> Value:
        known = self._made.get(id(node))
        if known is None:
            known = self._made[id(node)] = self._new_value(node)
        return known

    def _new_value(self, node: yaml.Node) -> Value:
        place = self._nodes.place(node)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, place)
        if isinstance(node, yaml.SequenceNode):
            return Value(place=place, data=[self.value(each) for each in node.value])
        is_plain = getattr(node, "style", None) is None
        return Value(place=place, data=self._nodes.scalar(node), quoted=not is_plain)

    def _mapping(self, node: yaml.MappingNode, place: Place) -> Value:
        own: dict[str, Value] = {}
        places: dict[str, Place] = {}
        merged: list[Value] = []
        for key_node, value_node in node.value:
            if key_node.tag == MERGE:
                merged += self._merged(value_node)
                continue
            own[key_node.value] = self.value(value_node)
            places[key_node.value] = self._nodes.place(key_node)
        for base in merged:
            for key, value in base.data.items():
                if key not in own:
                    own[key] = value
                    places[key] = base.key_places[key]
        return Value(place=place, data=own, key_places=places)

    def _merged(self, node: yaml.Node) -> list[Value]:
        value = self.value(node)
        several = value.data if isinstance(value.data, list) else [value]
        for each in several:
            if not isinstance(each.data, dict):
                raise each.error("<< takes in a mapping, or a list of mappings")
        return several
