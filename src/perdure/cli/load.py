"""AGENT arguments: finds the agent that `MODULE_OR_FILE:AGENT` names.

MODULE_OR_FILE is a Python file, an importable module, or a YAML file of agents.
"""

from __future__ import annotations

import dataclasses
import os
import types
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from perdure.agent.declaration import Agent
from perdure.agent.loading import is_path, load_file, load_module, put_first
from perdure.config.configuration import AnyConfiguration, Configuration
from perdure.errors import ConfigurationError, did_you_mean

AnyAgent = Agent | type[Agent] | Callable[[], Agent]

YAML_SUFFIXES = (".yaml", ".yml")


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class LoadedAgent:
    """An agent and what its job is called.

    Attributes:
        agent: an instance, a class or a factory.
        name: the file's stem or the module's last name, and the agent's name in it.
        former: what jobs were called before they were named after both: one of the two.
        config: options that a YAML file, or the agent's own part of a configuration, sets.
    """

    agent: AnyAgent
    name: str
    former: str
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def load_agent(target: str) -> LoadedAgent:
    """Load the agent that a command line names.

    Args:
        target: `MODULE_OR_FILE:AGENT`, or without `:AGENT` where it has one agent.

    Raises:
        ConfigurationError: there is no such file, module or agent, or the code does not load.
    """
    place, attribute = _split(target)
    if place.endswith(YAML_SUFFIXES):
        return _of_yaml(place, attribute)
    module = load_file(place) if is_path(place) else load_module(place)
    attribute = attribute or _only_agent(module, place)
    former = module.__name__.rpartition(".")[2]
    agent = _find(module, place, attribute)
    return LoadedAgent(agent=agent, name=f"{former}.{attribute}", former=former)


def load_with_configuration(
    target: str, config: AnyConfiguration, overrides: Iterable[str]
) -> tuple[LoadedAgent, Configuration]:
    """Load an agent, and put together what its job is configured with.

    Args:
        target: as for `load_agent`.
        config: a configuration, such as the path of a YAML file.
        overrides: `KEY=VALUE` texts.

    Raises:
        ConfigurationError: as `load_agent`, or the configuration is wrong.
    """
    loaded = load_agent(target)
    return loaded, Configuration.load(config, overrides=overrides, below=loaded.config)


def load_flink_agent(
    target: str, config: AnyConfiguration = None, overrides: Iterable[str] = ()
) -> tuple[LoadedAgent, Configuration]:
    """Load an agent of Flink Agents; `flink_agents` means `perdure.flink_agents` from then on.

    Args:
        target: `MODULE_OR_FILE:AGENT`.
        config: a configuration; its section `agent` has what is theirs.
        overrides: `KEY=VALUE` texts, with any key.

    Raises:
        ConfigurationError: as `load_with_configuration`, or the extra `flink-agents` is not
            installed.
        AgentDefinitionError: it is no agent of theirs.
    """
    # Here, for only these agents need pydantic.
    from perdure.flink_agents import install
    from perdure.flink_agents.border.compiled import compiled
    from perdure.flink_agents.border.core_config import (
        core_config,
        their_config,
        their_overrides,
    )
    from perdure.flink_agents.installing import check_flink

    install()
    place, attribute = _split(target)
    if not attribute:
        raise ConfigurationError(f"agent {target!r}: name it with --flink-agents: FILE:AGENT")
    try:
        module = load_file(place) if is_path(place) else load_module(place)
    except ConfigurationError as error:
        check_flink(error.__cause__, place)
        raise
    former = module.__name__.rpartition(".")[2]
    found: Any = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise ConfigurationError(f"{place} has no {attribute!r}")
        found = getattr(found, name)
    given = their_overrides(overrides)
    theirs = their_config(Configuration.load(config, overrides=given))
    both = core_config(theirs)  # also what stands among the agent's own
    agent = compiled(found, theirs)
    loaded = LoadedAgent(agent=agent, name=f"{former}.{attribute}", former=former, config=both)
    return loaded, Configuration.load(config, overrides=given, below=both)


def _split(target: str) -> tuple[str, str]:
    place, colon, attribute = target.rpartition(":")
    # The colon of a drive letter is followed by a path.
    if not colon or "/" in attribute or "\\" in attribute:
        place, attribute = target, ""
    # A relative module has nothing that it is relative to.
    is_relative = place.startswith(".") and not is_path(place)
    if not place or is_relative or (colon and place != target and not attribute):
        raise ConfigurationError(
            f"agent {target!r}: write MODULE_OR_FILE:AGENT, such as agent.py:agent"
        )
    return place, attribute


def _of_yaml(place: str, name: str) -> LoadedAgent:
    # Here, for only these agents need the parser.
    from perdure.yaml_agent.load import AgentFile

    put_first(os.getcwd())  # as for modules; the file's own folder goes before it
    file = AgentFile.read(place)
    chosen = file.choose(name or None)
    name = f"{Path(place).stem}.{chosen}"
    return LoadedAgent(agent=file.agent(chosen), name=name, former=chosen, config=file.config)


# The agent in the module


def _find(module: types.ModuleType, place: str, attribute: str) -> AnyAgent:
    found: Any = module
    for name in attribute.split("."):
        if not hasattr(found, name):
            hint = did_you_mean(name, _public(found), _listed(_candidates(module)))
            raise ConfigurationError(f"{place} has no {attribute!r}: {hint}")
        found = getattr(found, name)
    if isinstance(found, Agent) or callable(found):
        return cast("AnyAgent", found)
    raise ConfigurationError(
        f"{place}:{attribute} is a {type(found).__name__}, not an Agent, its class or a function"
        f" that makes one: {_listed(_candidates(module))}"
    )


def _only_agent(module: types.ModuleType, place: str) -> str:
    """Return the name of the module's one agent; an instance counts for its class."""
    candidates = _candidates(module)
    instances: dict[int, str] = {}
    for name, value in candidates.items():
        if isinstance(value, Agent):
            instances.setdefault(id(value), name)
    if len(instances) == 1:
        return next(iter(instances.values()))
    if not instances and len(candidates) == 1:
        return next(iter(candidates))
    if not candidates:
        raise ConfigurationError(f"{place} has no Agent: write {place}:NAME for what makes one")
    example = f"{place}:{next(iter(candidates))}"
    raise ConfigurationError(
        f"{place} has several agents: {_listed(candidates)}, such as {example}"
    )


def _candidates(module: types.ModuleType) -> dict[str, Agent | type[Agent]]:
    """Return the module's agents by name: instances first, then classes of its own."""
    own = vars(module)
    instances = {name: value for name, value in own.items() if isinstance(value, Agent)}
    classes = {
        name: value
        for name, value in own.items()
        if isinstance(value, type)
        and issubclass(value, Agent)
        and value.__module__ == module.__name__
    }
    return instances | classes


def _listed(candidates: Iterable[str]) -> str:
    names = " or ".join(", ".join(candidates).rsplit(", ", 1))
    return f"choose {names}" if names else "it has no Agent at all"


def _public(value: Any) -> list[str]:
    return [name for name in dir(value) if not name.startswith("_")]
