"""AgentFile: the agents that a YAML file declares."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Self

from perdure.agent.declaration import Agent
from perdure.agent.own_source import Origin, declared_by
from perdure.agent.plan import AgentPlan
from perdure.config.configuration import Configuration, check_option
from perdure.errors import ConfigurationError, PerdureError
from perdure.yaml_agent.build import build_agent
from perdure.yaml_agent.check import Document, check_document
from perdure.yaml_agent.node import Value, near, read_file
from perdure.yaml_agent.scope import Scope

__all__ = ["AgentFile", "load_agent"]


def load_agent(path: str | os.PathLike[str], name: str | None = None) -> Agent:
    """Load an agent from a YAML file.

    Args:
        path: The file.
        name: Which of its agents; it may be left out where there is one.

    Raises:
        ConfigurationError: The file is no good; the message begins with file, line and column.
    """
    return AgentFile.read(path).agent(name)


class AgentFile:
    """A YAML file of agents, checked.

    The code that it names is loaded when an agent is made, with the file's folder on the path.

    Attributes:
        path: The file.
        config: The options that it sets, for `LocalEngine(config=...)`.
    """

    def __init__(self, path: Path, document: Document) -> None:
        self.path = path
        self._document = document
        self.config: dict[str, Any] = _config_of(document)

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Self:
        """Read and check a file; no code is loaded.

        Raises:
            ConfigurationError: The file is no good; the message begins with file, line and column.
        """
        document = check_document(read_file(path), Path(path))
        for spec in document.agents.values():
            Scope(document, spec).check(environment=False)
        return cls(Path(path), document)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of its agents."""
        return tuple(self._document.agents)

    def choose(self, name: str | None = None) -> str:
        """Return the name of an agent, of the only one without `name`.

        Raises:
            ConfigurationError: There is no such agent, or there are several to choose from.
        """
        if name is None:
            if len(self.names) > 1:
                raise ConfigurationError(
                    f"{self.path} has several agents: choose of {', '.join(self.names)}, such as"
                    f" {self.path}:{self.names[0]}"
                )
            return self.names[0]
        if name not in self.names:
            raise ConfigurationError(f"{self.path} has no agent {name!r}: {near(name, self.names)}")
        return name

    def agent(self, name: str | None = None) -> Agent:
        """Make an agent; each call makes another.

        Args:
            name: Which; it may be left out where there is one.

        Raises:
            ConfigurationError: There is no such agent, or what it is made of is no good.
        """
        chosen = self.choose(name)
        agent = build_agent(self._document, chosen)
        value = self._document.agents[chosen].value
        try:
            # What the runtime would refuse is said here, where there is a place to point to.
            AgentPlan.from_agent(agent)
        except PerdureError as error:
            raise value.error(f"agent {chosen!r}: {error}") from error
        declared_by(agent, Origin(chosen, os.path.abspath(self.path)))
        return agent


def _config_of(document: Document) -> dict[str, Any]:
    """Return the options, each checked where it stands, then all of them together."""
    value = document.config
    if value is None or value.data is None:
        return {}
    _check_options(value, "")
    plain: dict[str, Any] = value.plain()
    try:
        Configuration(plain)
    except ConfigurationError as error:
        raise value.error(_reason(error)) from error
    return plain


def _check_options(value: Value, prefix: str) -> None:
    for key, each in value.data.items():
        path = f"{prefix}{key}"
        if isinstance(each.data, dict) and each.data:
            _check_options(each, f"{path}.")
            continue
        try:
            check_option(path, each.plain())
        except ConfigurationError as error:
            raise value.key_error(key, _reason(error)) from error


def _reason(error: ConfigurationError) -> str:
    return str(error).removeprefix("configuration: ")
