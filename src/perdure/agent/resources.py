"""The resources that an agent or an engine declares, collected and checked."""

from __future__ import annotations

import contextlib
import inspect
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgspec

from perdure.annotations import signature_of
from perdure.errors import AgentDefinitionError, ConfigurationError
from perdure.resource import RESOURCE_MARK, Resource, ResourceDescriptor, ResourceType

__all__ = [
    "ResourceKey",
    "ResourceSpec",
    "added_resource",
    "declared_at",
    "declared_resources",
    "merged",
    "placed",
]

ResourceKey = tuple[ResourceType, str]
_PLACE = "__perdure_place__"


def declared_at(resource: Resource, place: str) -> None:
    """Take note of where a resource is declared that no Python code declares."""
    setattr(resource, _PLACE, place)


@contextlib.contextmanager
def placed(resource: Resource) -> Iterator[None]:
    """Say where a resource is declared, as far as that is known, if it is refused."""
    try:
        yield
    except ConfigurationError as error:
        place = getattr(resource, _PLACE, None)
        if place is None or type(error) is not ConfigurationError:
            raise
        raise ConfigurationError(f"{place}: {error}") from error


class ResourceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One declared resource.

    Attributes:
        type: What sort it is.
        name: Its name, unique within the type.
        source: It, or how it is made.
        where: Who declares it, for messages.
        for_use: It is made and opened when it is first asked for, on that thread, and not with the
            job: its `open` waits for nothing, and its types are known without it.
    """

    type: ResourceType
    name: str
    source: Resource | ResourceDescriptor
    where: str
    for_use: bool = False

    @property
    def key(self) -> ResourceKey:
        """Type and name."""
        return (self.type, self.name)


def added_resource(name: str, type_: Any, instance: Any, where: str) -> ResourceSpec:
    """Return the spec of a resource that is given by hand.

    Args:
        name: Its name.
        type_: What sort it is meant to be.
        instance: A resource or a descriptor; of a tool, also a function.
        where: Who declares it, for messages.

    Raises:
        AgentDefinitionError: It is not what it is meant to be.
    """
    if not isinstance(type_, ResourceType):
        raise AgentDefinitionError(
            f"{where}, resource {name!r}: {type_!r} is no ResourceType:"
            " add_resource(name, ResourceType.X, instance)"
        )
    if not isinstance(name, str) or not name:
        raise AgentDefinitionError(f"{where}: a resource's name must be a non-empty string")
    if type_ is ResourceType.AGENT and hasattr(instance, "as_sub_agent"):
        instance = instance.as_sub_agent()
    if type_ is ResourceType.TOOL and not isinstance(instance, ResourceDescriptor):
        instance = _as_tool(instance)
    if isinstance(instance, str) or not isinstance(instance, (Resource, ResourceDescriptor)):
        raise AgentDefinitionError(
            f"{where}: the {type_.value} {name!r} is a {type(instance).__name__}: pass a Resource"
            " or a ResourceDescriptor"
        )
    if isinstance(instance, Resource) and instance.resource_type() is not type_:
        raise AgentDefinitionError(
            f"{where}: {name!r} is declared as {type_.value} and is a"
            f" {instance.resource_type().value}"
        )
    return ResourceSpec(type=type_, name=name, source=instance, where=where)


def _as_tool(instance: Any) -> Any:
    from perdure.llm.tool import as_tool  # here: an agent without tools needs none of it

    return as_tool(instance)


def declared_resources(agent: Any) -> list[ResourceSpec]:
    """Return the resources that the class of an agent declares by decorators, bases first.

    Raises:
        AgentDefinitionError: A declaring function cannot be called or returns no resource.
    """
    found: dict[str, tuple[ResourceType, Any]] = {}
    for owner in reversed(type(agent).__mro__):
        for attribute, definition in vars(owner).items():
            mark = _mark_of(definition)
            if mark is not None:
                found[attribute] = (mark, definition)
            elif attribute in found:
                # Overridden: by a function without a decorator, or taken out with None.
                type_ = found.pop(attribute)[0]
                if definition is not None:
                    found[attribute] = (type_, definition)
    return [_declared(agent, name, *each) for name, each in found.items()]


def _function_of(definition: Any) -> Any:
    return definition.__func__ if isinstance(definition, staticmethod) else definition


def _mark_of(definition: Any) -> ResourceType | None:
    found = getattr(_function_of(definition), "__dict__", {}).get(RESOURCE_MARK)
    return found if isinstance(found, ResourceType) else None


def _declared(agent: Any, name: str, type_: ResourceType, definition: Any) -> ResourceSpec:
    where = f"{type(agent).__name__}.{name}"
    func = _function_of(definition)
    if type_ is ResourceType.TOOL:
        tool = _as_tool(func)
        tool_name = tool.name if isinstance(tool, Resource) else name
        return added_resource(tool_name, type_, tool, where)
    return added_resource(name, type_, _made_by(where, func, agent), where)


def _made_by(where: str, func: Callable[..., Any], agent: Any) -> Any:
    needed = [p for p in signature_of(func).parameters.values() if p.default is p.empty]
    if len(needed) > 1:
        raise AgentDefinitionError(
            f"{where} needs {len(needed)} arguments: a function that declares a resource takes none"
        )
    if inspect.iscoroutinefunction(func):
        raise AgentDefinitionError(f"{where} is a coroutine function: open things in open()")
    made = types.MethodType(func, agent)() if needed else func()
    if isinstance(made, (Resource, ResourceDescriptor)):
        return made
    raise AgentDefinitionError(
        f"{where} returned a {type(made).__name__}: return a Resource or a ResourceDescriptor"
    )


def merged(*groups: Iterable[ResourceSpec]) -> Mapping[ResourceKey, ResourceSpec]:
    """Return the resources of several declarers by type and name; the first group wins.

    Raises:
        AgentDefinitionError: One declarer has two of one name.
    """
    found: dict[ResourceKey, ResourceSpec] = {}
    for group in groups:
        own: dict[ResourceKey, ResourceSpec] = {}
        for spec in group:
            if spec.key in own:
                raise AgentDefinitionError(
                    f"{spec.where}: there are two resources {spec.name!r} of type"
                    f" {spec.type.value}: rename one"
                )
            own[spec.key] = spec
        found = {**own, **found}
    return types.MappingProxyType(found)
