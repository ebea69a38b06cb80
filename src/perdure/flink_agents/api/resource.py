"""Resources: models, prompts, tools, stores; their descriptors and types."""

from __future__ import annotations

import importlib
from abc import ABC, abstractmethod
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from perdure.flink_agents.api.metric_group import MetricGroup
from perdure.flink_agents.api.resource_context import ResourceContext
from perdure.flink_agents.api.resource_name import ResourceName
from perdure.flink_agents.api.resource_type import ResourceType

__all__ = [
    "CALLABLE_NAME_PREFIX",
    "Resource",
    "ResourceDescriptor",
    "ResourceName",
    "ResourceType",
    "SerializableResource",
    "get_resource_class",
]


# Before the name of a sub-agent where a chat model asks for it as for a tool.
CALLABLE_NAME_PREFIX: Final = "_subagent_"


def check_registrable(name: str, resource_type: ResourceType) -> None:
    """Refuse what cannot be added from Python.

    Raises:
        NotImplementedError: It is a model router.
        ValueError: It is a tool with the name of a sub-agent.
    """
    if resource_type is ResourceType.MODEL_ROUTER:
        raise NotImplementedError(
            "a MODEL_ROUTER cannot be registered from Python, here as in Flink Agents: in an agent"
            " of perdure's own, fallbacks= of a chat model names the models to ask next"
        )
    if resource_type is ResourceType.TOOL and name.startswith(CALLABLE_NAME_PREFIX):
        raise ValueError(
            f"the tool {name!r}: {CALLABLE_NAME_PREFIX} is what sub-agents are called by: name it"
            " otherwise"
        )


class Resource(BaseModel, ABC):
    """Base of all resources: a pydantic model, which users subclass as such.

    Attributes:
        resource_context: Where it finds other resources; set before it is opened.
    """

    __journal_name__ = "perdure:flink_agents.Resource"

    model_config = ConfigDict(arbitrary_types_allowed=True)

    resource_context: ResourceContext | None = Field(exclude=True, default=None)
    _metric_group: MetricGroup | None = PrivateAttr(default=None)

    @classmethod
    @abstractmethod
    def resource_type(cls) -> ResourceType:
        """Return what sort of resource the class makes."""

    def set_metric_group(self, metric_group: MetricGroup) -> None:
        """Set where it counts."""
        self._metric_group = metric_group

    @property
    def metric_group(self) -> MetricGroup | None:
        """Where it counts; None before it was got with `ctx.get_resource`."""
        return self._metric_group

    def open(self) -> None:
        """Get ready; other resources can be looked up."""

    def close(self) -> None:
        """Let go of what `open` took."""


class SerializableResource(Resource, ABC):
    """A resource that can be written as JSON."""

    __journal_name__ = "perdure:flink_agents.SerializableResource"

    @model_validator(mode="after")
    def validate_serializable(self) -> SerializableResource:
        """Refuse one that cannot."""
        self.model_dump_json()
        return self


class ResourceDescriptor(BaseModel):
    """A resource yet to be made: the name of its class, and its arguments.

    Attributes:
        target_module: The module of the class.
        target_clazz: The name of the class in it.
        arguments: Keyword arguments of the class.
    """

    __journal_name__ = "perdure:flink_agents.ResourceDescriptor"

    _clazz: type[Resource] | None = PrivateAttr(default=None)
    target_module: str
    target_clazz: str
    arguments: dict[str, Any]

    def __init__(
        self,
        /,
        *,
        clazz: str | type[Resource] | None = None,
        target_module: str | None = None,
        target_clazz: str | None = None,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Describe a resource.

        Args:
            clazz: Full name of its class.
            target_module: Instead of `clazz`: its module.
            target_clazz: Instead of `clazz`: its name in the module.
            arguments: Arguments of the class.
            **kwargs: Further ones.

        Raises:
            ValueError: No class is named.
        """
        if isinstance(clazz, type):
            target_module, target_clazz = clazz.__module__, clazz.__qualname__
        elif clazz is not None:
            target_module, _, target_clazz = clazz.rpartition(".")
        if target_clazz is None or target_module is None:
            raise ValueError("The fully qualified name of the resource must be specified")
        super().__init__(
            target_module=target_module,
            target_clazz=target_clazz,
            arguments={**(arguments or {}), **kwargs},
        )
        self._clazz = clazz if isinstance(clazz, type) else None

    @property
    def clazz(self) -> type[Resource]:
        """The class, imported when it is asked for."""
        if self._clazz is None:
            self._clazz = get_resource_class(self.target_module, self.target_clazz)
        return self._clazz

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ResourceDescriptor):
            return False
        return (self.target_module, self.target_clazz, self.arguments) == (
            other.target_module,
            other.target_clazz,
            other.arguments,
        )

    def __hash__(self) -> int:
        arguments = tuple(sorted(self.arguments.items()))
        return hash((self.target_module, self.target_clazz, arguments))


def get_resource_class(module_path: str, class_name: str) -> type[Resource]:
    """Return a class by module and name; `flink_agents.` means what is here."""
    if module_path.partition(".")[0] == "flink_agents":
        module_path = f"perdure.{module_path}"
    found: type[Resource] = getattr(importlib.import_module(module_path), class_name)
    return found
