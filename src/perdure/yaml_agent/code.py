"""The user's functions and classes that a YAML file names."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from perdure.agent.loading import is_path, load_file, load_module
from perdure.annotations import signature_of
from perdure.errors import ConfigurationError, PerdureError
from perdure.resource import Resource, ResourceType
from perdure.yaml_agent.aliases import CLASSES
from perdure.yaml_agent.check import is_function
from perdure.yaml_agent.node import Value, near

__all__ = ["Code", "made"]


class Code:
    """Finds what a file names as `module:name` or `file.py:name`.

    Files are relative to the folder of the file that names them; modules are found in it too.
    """

    def find(self, value: Value) -> Any:
        """Return the object that a value names.

        Raises:
            ConfigurationError: There is none, or its code does not load.
        """
        place, _, attribute = value.text().rpartition(":")
        return self._attribute(value, place, attribute)

    def _attribute(self, value: Value, place: str, attribute: str) -> Any:
        folder = Path(value.place.file).parent
        try:
            if is_path(place):
                module = load_file(str(folder / place))
            else:
                module = load_module(place, str(folder.resolve()))
        except ConfigurationError as error:
            raise value.error(str(error)) from error
        found: Any = module
        for name in attribute.split("."):
            if not hasattr(found, name):
                names = [each for each in vars(found) if not each.startswith("_")]
                raise value.error(f"{place} has no {attribute!r}: {near(name, names, 'it has')}")
            found = getattr(found, name)
        return found

    def function(self, value: Value) -> Any:
        """Return the function that a value names.

        Raises:
            ConfigurationError: There is none, or it cannot be called.
        """
        found = self.find(value)
        if not callable(found):
            raise value.error(f"{value.data} is a {type(found).__name__}: name a function")
        return found

    def resource_class(self, value: Value, type_: ResourceType) -> type[Resource]:
        """Return the class that a `clazz` names.

        Raises:
            ConfigurationError: There is none, or it is none of this sort of resource.
        """
        name = value.text()
        aliases = CLASSES.get(type_, {})
        full = aliases.get(name, name)
        if is_function(full):
            found = self.find(value)
        elif "." in full:
            place, _, attribute = full.rpartition(".")
            found = self._attribute(value, place, attribute)
        else:
            hint = near(name, aliases, "the aliases are")
            raise value.error(
                f"clazz {name!r} is no alias and no full name of a class: {hint}, or write"
                " package.module.Class or file.py:Class"
            )
        if not (isinstance(found, type) and issubclass(found, Resource)):
            raise value.error(f"{name!r} is no Resource class")
        kind = getattr(found, "RESOURCE_TYPE", None)
        if kind is not type_:
            said = "nothing" if kind is None else repr(kind.value)
            raise value.error(f"{name!r} is the class of {said}, not of {type_.value!r}")
        return found


def made(value: Value, cls: Any, arguments: Mapping[str, Any]) -> Any:
    """Make an object; what is wrong with its arguments is said with their place.

    Args:
        value: The mapping that the arguments are from.
        cls: A class, or a function.
        arguments: Its keyword arguments.

    Raises:
        ConfigurationError: It refuses them.
    """
    name = getattr(cls, "__name__", str(cls))
    parameters = signature_of(cls).parameters
    if not any(each.kind is each.VAR_KEYWORD for each in parameters.values()):
        for key in arguments:
            if key not in parameters:
                hint = near(key, parameters, "it takes")
                raise value.key_error(key, f"{name} takes no {key!r}: {hint}")
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    for key, each in parameters.items():
        if each.kind in named and each.default is each.empty and key not in arguments:
            raise value.error(f"{name} needs {key}: add the key {key!r}")
    try:
        return cls(**arguments)
    except (PerdureError, TypeError, ValueError) as error:
        raise value.error(f"{name}: {error}") from error
