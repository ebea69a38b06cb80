"""What every environment has: resources, agents, inputs and the agent for them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from perdure.flink_agents.api.resource import ResourceType, check_registrable
from perdure.flink_agents.api.yaml.loader import load_yaml
from perdure.flink_agents.plan.configuration import AgentConfiguration

__all__ = ["AgentBuilder", "Environment"]


class AgentBuilder(ABC):
    """Inputs, and the agent that is applied to them."""

    @abstractmethod
    def apply(self, agent: Any) -> AgentBuilder:
        """Say which agent: an Agent, or the name of one that a YAML file declares."""

    @abstractmethod
    def to_list(self) -> list[dict[Any, Any]]:
        """Return the list that `execute` fills with `{key: output}`."""

    @abstractmethod
    def to_datastream(self, output_type: Any = None) -> Any:
        """Return the outputs as a DataStream of Flink."""

    @abstractmethod
    def to_table(self, schema: Any, output_type: Any = None) -> Any:
        """Return the outputs as a table of Flink."""


class Environment(ABC):
    """Where agents are run, and the resources that all of them have."""

    def __init__(self) -> None:
        self._resources: dict[ResourceType, dict[str, Any]] = {each: {} for each in ResourceType}
        self._agents: dict[str, Any] = {}
        self._config = AgentConfiguration()

    @property
    def resources(self) -> dict[ResourceType, dict[str, Any]]:
        """Added resources by type and name."""
        return self._resources

    @property
    def agents(self) -> dict[str, Any]:
        """Agents by name that YAML files declare."""
        return self._agents

    def get_config(self, path: str | None = None) -> AgentConfiguration:
        """Return the configuration, which may be changed until the agent is compiled.

        A list is compiled for by `execute`, a stream by `to_datastream` and `to_table`.

        Args:
            path: A YAML file whose `agent:` section is read first.
        """
        if path is not None:
            self._config.load_from_file(path)
        return self._config

    @abstractmethod
    def from_list(self, input: list[dict[str, Any]]) -> AgentBuilder:
        """Take inputs from a list, which is read at `execute`.

        Args:
            input: Each a mapping with `value` or `v`, and perhaps `key` or `k`.
        """

    @abstractmethod
    def from_datastream(self, input: Any, key_selector: Any = None) -> AgentBuilder:
        """Take inputs from a DataStream of Flink."""

    @abstractmethod
    def from_table(self, input: Any, key_selector: Any = None) -> AgentBuilder:
        """Take inputs from a table of Flink."""

    @abstractmethod
    def execute(self, job_name: str | None = None) -> None:
        """Run the agent on all inputs, and wait until it is done."""

    def add_resource(self, name: str, resource_type: ResourceType, instance: Any) -> Self:
        """Add a resource for all agents; an agent's own of that name wins.

        Raises:
            ValueError: The name is taken, or a tool has one of a sub-agent.
            NotImplementedError: Resources of this type cannot be added from Python.
        """
        check_registrable(name, resource_type)
        if name in self._resources[resource_type]:
            raise ValueError(f"{resource_type.value} {name} already defined")
        self._resources[resource_type][name] = instance
        return self

    def agent_named(self, agent: Any) -> Any:
        """Return an agent: itself, or the one of this name that a YAML file declares.

        Raises:
            ValueError: There is none of this name.
        """
        if not isinstance(agent, str):
            return agent
        if agent not in self._agents:
            known = ", ".join(self._agents) or "none"
            raise ValueError(
                f"there is no agent {agent!r}: load_yaml a file that declares it; loaded are:"
                f" {known}"
            )
        return self._agents[agent]

    def load_yaml(self, paths: str | Path | Sequence[str | Path]) -> Self:
        """Take agents and resources from YAML files."""
        load_yaml(self, paths)
        return self
