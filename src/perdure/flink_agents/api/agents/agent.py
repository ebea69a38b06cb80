"""Agents: actions and resources, declared in a class or added to an instance."""

from __future__ import annotations

from abc import ABC
from collections.abc import Callable
from typing import Any, Final, Self

from perdure.flink_agents.api.function import Function, PythonFunction
from perdure.flink_agents.api.resource import ResourceType, check_registrable

__all__ = ["STRUCTURED_OUTPUT", "Agent"]

STRUCTURED_OUTPUT: Final = "structured_output"

Added = tuple[list[str], Function, dict[str, Any] | None]


class Agent(ABC):  # noqa: B024  # theirs is one
    """Actions and resources: subclass it, or add to an instance."""

    def __init__(self) -> None:
        """Make one without added actions and resources."""
        _ = self.actions, self.resources

    @property
    def actions(self) -> dict[str, Added]:
        """Added actions by name: triggers, function, configuration."""
        found: dict[str, Added] = self.__dict__.setdefault("_actions", {})
        return found

    @property
    def resources(self) -> dict[ResourceType, dict[str, Any]]:
        """Added resources by type and name."""
        found: dict[ResourceType, dict[str, Any]]
        found = self.__dict__.setdefault("_resources", {each: {} for each in ResourceType})
        return found

    def add_action(
        self,
        name: str,
        trigger_conditions: Any = None,
        func: Callable[..., Any] | Function | None = None,
        *,
        events: Any = None,
        **config: Any,
    ) -> Self:
        """Add an action.

        Args:
            name: Unique in this agent.
            trigger_conditions: Event types or conditions.
            func: Takes `(event, ctx)`.
            events: What `trigger_conditions` is called in 0.3.
            **config: Configuration of the action.

        Raises:
            ValueError: The name is taken.
        """
        triggers = trigger_conditions if trigger_conditions is not None else events
        if triggers is None or func is None:
            raise TypeError("add_action needs trigger_conditions and func")
        if name in self.actions:
            raise ValueError(f"Action {name} already defined")
        several: list[Any] = [triggers] if isinstance(triggers, (str, type)) else list(triggers)
        names: list[str] = [getattr(each, "EVENT_TYPE", each) for each in several]
        target = func if isinstance(func, Function) else PythonFunction.from_callable(func)
        self.actions[name] = (names, target, config or None)
        return self

    def add_resource(self, name: str, resource_type: ResourceType, instance: Any) -> Self:
        """Add a resource.

        Args:
            name: Unique among the agent's resources of this type.
            resource_type: What sort of resource it is.
            instance: A resource, or its descriptor.

        Raises:
            ValueError: The name is taken, or a tool has one of a sub-agent.
            NotImplementedError: Resources of this type cannot be added from Python.
        """
        check_registrable(name, resource_type)
        if name in self.resources[resource_type]:
            raise ValueError(f"{resource_type.value} {name} already defined")
        self.resources[resource_type][name] = instance
        return self
