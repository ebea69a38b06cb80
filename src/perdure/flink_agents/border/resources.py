"""Held: a resource of theirs, held by one of the core, which opens and closes it."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from perdure.errors import ConfigurationError
from perdure.flink_agents.api.resource import Resource, ResourceDescriptor, ResourceType
from perdure.flink_agents.api.resource_context import ResourceContext
from perdure.flink_agents.border.skills import HeldSkills, ModelSkills
from perdure.flink_agents.border.straight_calls import name_of, name_resource
from perdure.flink_agents.runtime.base_subagent import BaseSubagentSetup
from perdure.llm.skills.skill import Skill
from perdure.llm.skills.skills import chosen_skills
from perdure.llm.skills.told import skills_prompt
from perdure.resource import Resource as CoreResource
from perdure.resource import ResourceContext as CoreResourceContext
from perdure.resource import ResourceType as CoreResourceType

__all__ = ["Held", "core_type", "found_in"]


def core_type(type: ResourceType) -> CoreResourceType | None:
    """Return the core's name of a type of resource; None where it has none."""
    try:
        return CoreResourceType(type.value)
    except ValueError:
        return None


def found_in(
    find: Callable[[str, CoreResourceType], Any],
    name: str,
    type: ResourceType,
    opening: CoreResourceContext | None = None,
) -> Any:
    """Return the user's own object of a resource.

    Args:
        find: The core's look-up.
        name: The resource's name.
        type: What sort of resource it is.
        opening: Where resources look for each other: one that is not open yet is opened first.

    Raises:
        KeyError: There is none.
    """
    core = core_type(type)
    try:
        found = None if core is None else find(name, core)
    except ConfigurationError as error:
        raise KeyError(str(error)) from None
    if found is None:
        raise KeyError(f"there is no {type.value} {name!r}")
    if isinstance(found, Held) and opening is not None:
        return found.needed_in(opening)
    return found.theirs if isinstance(found, Held | HeldSkills) else found


class Held(CoreResource):
    """A resource of theirs, or its descriptor.

    Owns: the object that is made of a descriptor. Lifecycle: made and opened when the job opens,
    closed when it closes.

    Args:
        type: What sort of resource it is.
        source: It, or its descriptor.
    """

    __journal_name__ = "perdure:flink_agents.Held"

    def __init__(self, type: CoreResourceType, source: Resource | ResourceDescriptor) -> None:
        self._type = type
        self._source = source
        self._theirs: Resource | None = None
        self._open_in: CoreResourceContext | None = None  # the job in which it is open
        self._offered: list[Held] | None = None  # tools and prompts of an MCP server

    def resource_type(self) -> CoreResourceType:  # type: ignore[override]  # of each one
        return self._type

    @property
    def theirs(self) -> Resource:
        """The user's own object."""
        if self._theirs is None:
            raise ConfigurationError(f"the {self._type.value} {self.name!r} is not open yet")
        return self._theirs

    def open(self) -> Awaitable[None] | None:
        return None if self._open_in is self.context else self._opened_in(self.context)

    def needed_in(self, context: CoreResourceContext) -> Resource:
        """Return the user's own object; opened now, where another needs it to open.

        Args:
            context: Of the job whose resources are being opened.

        Raises:
            ConfigurationError: It is not open, and its `open` is a coroutine function.
        """
        if self._open_in is not context:
            opening = self._opened_in(context)
            if opening is not None:
                if inspect.iscoroutine(opening):
                    opening.close()
                self._open_in = None
                raise ConfigurationError(
                    f"the {self._type.value} {self.name!r} is needed to open another resource, and"
                    " its own open is a coroutine function: make that a plain one"
                )
        return self.theirs

    def _opened_in(self, context: CoreResourceContext) -> Awaitable[None] | None:
        self._open_in = context
        self._theirs = self._made()
        self._theirs.resource_context = _Context(context)
        name_resource(self._theirs, self.name)
        theirs: Any = self._theirs  # its open() may be a coroutine function
        if isinstance(theirs, BaseSubagentSetup):
            theirs.set_subagent_name(self.name)
        opening = theirs.open()
        return opening if inspect.isawaitable(opening) else None

    def _made(self) -> Resource:
        if isinstance(self._source, ResourceDescriptor):
            cls = self._source.clazz
            arguments = dict(self._source.arguments)
            try:
                return cls(**arguments)
            except TypeError as error:
                raise ConfigurationError(
                    f"the {self._type.value} {self.name!r}: {cls.__module__}.{cls.__qualname__}"
                    f" refuses its arguments: {error}"
                ) from error
        return self._source

    def provided(self) -> Iterable[CoreResource]:
        offers = getattr(self._theirs, "offered", None)
        if self._offered is None and offers is not None:
            self._offered = [self._holding(*each) for each in offers()]
        return self._offered or ()

    def _holding(self, type: ResourceType, name: str, theirs: Resource) -> Held:
        """Return one that holds a resource which this one has opened, and closes."""
        core = core_type(type)
        assert core is not None
        held = Held(core, theirs)
        held.name, held._theirs, held._open_in = name, theirs, self.context
        theirs.resource_context = _Context(self.context)
        name_resource(theirs, name)
        if hasattr(theirs, "mcp_server_name"):
            theirs.mcp_server_name = self.name
        return held

    def close(self) -> Awaitable[None] | None:
        for each in self._offered or ():
            name_resource(each._theirs, None)
        self._offered = None
        theirs: Any = self._theirs
        self._theirs = self._open_in = None
        if theirs is None:
            return None
        name_resource(theirs, None)
        closing = theirs.close()
        return closing if inspect.isawaitable(closing) else None


class _Context(ResourceContext):
    """Where a resource of theirs finds others."""

    def __init__(self, core: CoreResourceContext) -> None:
        self._core = core

    def get_resource(self, name: str, resource_type: ResourceType) -> Any:
        return found_in(self._core.get_resource, name, resource_type, self._core)

    def generate_available_skills_prompt(self, *skill_names: str) -> str:
        skills = self._skills(skill_names)
        return skills_prompt(skills.values()) if skills else ""

    def get_skill_dirs(self, *skill_names: str) -> list[str]:
        return [each.folder for each in self._skills(skill_names).values()]

    def _skills(self, names: tuple[str, ...]) -> dict[str, Skill]:
        return chosen_skills(names, self._core, "skills")

    def skills_of(self, setup: Resource) -> ModelSkills:
        """Return what a chat model has of skills."""
        return ModelSkills(name_of(setup), setup, self._core)
