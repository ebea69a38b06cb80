"""The options of an MCPServer, as they may be given in code and in files."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeVar

from perdure.errors import ConfigurationError

__all__ = ["command_of", "is_said", "text_of_option", "texts", "texts_by_name", "tool_options_of"]

T = TypeVar("T")

_OPTIONS: Final = frozenset({"timeout", "retry", "limit", "requires_approval", "on_error"})


def command_of(command: str | None, args: Sequence[str] | None) -> tuple[str, ...]:
    """Return a program and its arguments; nothing where there is none.

    Raises:
        ConfigurationError: there are arguments alone, or the text is no command.
    """
    checked = texts("args", args)
    if command is None:
        if checked:
            raise ConfigurationError("an MCPServer has args= only with a command")
        return ()
    if checked is not None:
        return (command, *checked)
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise ConfigurationError(f"MCPServer({command!r}): {error}") from None
    if not words:
        raise ConfigurationError("MCPServer(''): give a command or a URL")
    return tuple(words)


def texts(option: str, given: Iterable[str] | None) -> tuple[str, ...] | None:
    """Return several texts; None where there are none given.

    Raises:
        ConfigurationError: it is one text, whose letters they would be, or something else.
    """
    if given is None:
        return None
    is_several = isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping))
    found = tuple(given) if is_several else ()
    if not is_several or not all(isinstance(each, str) for each in found):
        raise _wrong(option, given, "a list of texts, such as ['a', 'b']")
    return found


def texts_by_name(option: str, given: Mapping[str, str] | None) -> Mapping[str, str] | None:
    """Return texts by name, as they were given.

    Raises:
        ConfigurationError: it is something else.
    """
    if given is None:
        return None
    if not isinstance(given, Mapping):
        raise _wrong(option, given, "texts by name")
    for name, each in given.items():
        if not (isinstance(name, str) and isinstance(each, str)):  # not shown: it may be a secret
            raise ConfigurationError(
                f"an MCPServer's {option}[{name!r:.60}] is a {type(each).__name__}: give a text"
            )
    return given


def text_of_option(option: str, given: T, *also: type) -> T:
    """Return a text, or None, as it was given.

    Raises:
        ConfigurationError: it is something else, and not one of `also`.
    """
    if given is None or isinstance(given, (str, *also)):
        return given
    raise _wrong(option, given, "a text")


def is_said(option: str, given: bool) -> bool:
    """Return True or False.

    Raises:
        ConfigurationError: it is something else: any text would be a yes.
    """
    if isinstance(given, bool):
        return given
    raise _wrong(option, given, "True or False")


def tool_options_of(
    given: Mapping[str, Mapping[str, Any]] | None,
) -> dict[str, dict[str, Any]]:
    """Return the options of single tools, by the server's names for them.

    Raises:
        ConfigurationError: there is no such option, or they are something else.
    """
    if not isinstance(given or {}, Mapping):
        raise _wrong("tool_options", given, "options by the names of tools")
    for name, each in (given or {}).items():
        if not isinstance(each, Mapping):
            raise _wrong(f"tool_options[{name!r}]", each, "options by name, such as {'timeout': 5}")
        unknown = {str(key) for key in each} - _OPTIONS
        if unknown:
            raise ConfigurationError(
                f"tool_options[{name!r}]: there is no {', '.join(sorted(unknown))}; there are:"
                f" {', '.join(sorted(_OPTIONS))}"
            )
    return {name: dict(each) for name, each in (given or {}).items()}


def _wrong(option: str, given: Any, wanted: str) -> ConfigurationError:
    return ConfigurationError(f"an MCPServer's {option}={given!r:.60} is wrong: give {wanted}")
