"""Resources: what actions use beside themselves: models, prompts, tools, stores, servers.

An agent or an engine declares a resource under a name and a `ResourceType`. The runtime makes one
instance a process when the job opens, opens it, and closes it when the job closes. All keys share
it, so an instance keeps no state of a key. A resource is declared as an instance, as a
`ResourceDescriptor` (class and arguments, made when it is needed), or by a decorated function that
returns either.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, ClassVar, Final, Protocol, TypeVar

from perdure.errors import AgentDefinitionError, ConfigurationError

__all__ = [
    "RESOURCE_MARK",
    "Resource",
    "ResourceContext",
    "ResourceDescriptor",
    "ResourceType",
    "chat_model_connection",
    "chat_model_setup",
    "embedding_model_connection",
    "embedding_model_setup",
    "http_client",
    "mcp_server",
    "prompt",
    "skills",
    "sub_agent",
    "vector_store",
]

F = TypeVar("F", bound="Callable[..., Any] | staticmethod[..., Any]")

RESOURCE_MARK: Final = "__perdure_resource__"


class ResourceType(enum.Enum):
    """What sort of thing a resource is; names are unique within a type."""

    __journal_name__ = "perdure:ResourceType"

    CHAT_MODEL = "chat_model"
    CHAT_MODEL_CONNECTION = "chat_model_connection"
    TOOL = "tool"
    EMBEDDING_MODEL = "embedding_model"
    EMBEDDING_MODEL_CONNECTION = "embedding_model_connection"
    VECTOR_STORE = "vector_store"
    PROMPT = "prompt"
    MCP_SERVER = "mcp_server"
    AGENT = "agent"
    HTTP_CLIENT = "http_client"
    SKILLS = "skills"


class ResourceContext(Protocol):
    """Where a resource finds what else the job has; usable from `open` on."""

    @property
    def document_index(self) -> Any:
        """The index on the job's own store (see `perdure.documents.index.DocumentIndex`)."""

    def get_resource(self, name: str, type: ResourceType) -> Resource:
        """Return another resource of the job, opened.

        Raises:
            ConfigurationError: there is none.
        """

    def names(self, type: ResourceType) -> tuple[str, ...]:
        """Return the names of all resources of one type, in the order of their declaration."""


class Resource:
    """Base of all resources.

    Lifecycle: made, given its name and context, `open`ed once on the host loop before the first
    run begins, used by all keys from any thread, `close`d when the job closes.

    Attributes:
        name: The name it is declared under; "" before.
        resource_context: Where it finds other resources; None before it is opened.
    """

    __journal_name__ = "perdure:Resource"

    RESOURCE_TYPE: ClassVar[ResourceType]

    name: str = ""
    resource_context: ResourceContext | None = None

    @classmethod
    def resource_type(cls) -> ResourceType:
        """Return what sort of resource the class makes."""
        return cls.RESOURCE_TYPE

    def open(self) -> Awaitable[None] | None:
        """Get ready; may be a coroutine function. Other resources can be looked up."""
        return None

    def close(self) -> Awaitable[None] | None:
        """Let go of what `open` took; may be a coroutine function. Not called unless opened."""
        return None

    def parts(self) -> Iterable[Resource]:
        """Return the resources that this one holds as objects; they are opened before it."""
        return ()

    def provided(self) -> Iterable[Resource]:
        """Return the resources that this one offers once it is open, such as a server's tools."""
        return ()

    def journaled_types(self) -> Iterable[Any]:
        """Return annotations of the values that this resource puts into the journal."""
        return ()

    @property
    def context(self) -> ResourceContext:
        """The context, for a resource that needs it.

        Raises:
            ConfigurationError: the resource is used before a job opened it.
        """
        if self.resource_context is None:
            raise ConfigurationError(
                f"the {self._called()} is not open: declare it on the agent or the"
                " engine and get it with ctx.get_resource"
            )
        return self.resource_context

    def __reduce__(self) -> Any:
        raise ConfigurationError(
            f"the {self._called()} was handed to a durable call or stored; pass its name"
        )

    def _called(self) -> str:
        return f"{self.resource_type().value} {self.name or type(self).__name__!r}"


@dataclasses.dataclass(frozen=True, init=False)
class ResourceDescriptor:
    """A resource yet to be made: a class, by itself or by its name, and its arguments.

    Attributes:
        clazz: `package.module.Class`.
        arguments: Keyword arguments of the class.
    """

    __journal_name__ = "perdure:ResourceDescriptor"

    clazz: str
    arguments: Mapping[str, Any]
    _cls: type[Resource] | None = dataclasses.field(repr=False, compare=False)

    def __init__(
        self,
        clazz: str | type[Resource],
        arguments: Mapping[str, Any] | None = None,
        **more: Any,
    ) -> None:
        """Describe a resource.

        Args:
            clazz: The class, or its full name.
            arguments: Keyword arguments of the class, also those called `clazz` or `arguments`.
            **more: Further ones.
        """
        is_class = isinstance(clazz, type)
        name = f"{clazz.__module__}.{clazz.__qualname__}" if isinstance(clazz, type) else clazz
        object.__setattr__(self, "clazz", name)
        object.__setattr__(self, "arguments", {**(arguments or {}), **more})
        object.__setattr__(self, "_cls", clazz if is_class else None)

    def make(self, where: str) -> Resource:
        """Return an instance.

        Args:
            where: What is being made, for messages.

        Raises:
            ConfigurationError: The class cannot be found, is no resource or refuses its arguments.
        """
        cls = _checked_class(self._cls or _class_named(self.clazz, where), self.clazz, where)
        try:
            return cls(**self.arguments)
        except TypeError as error:
            raise ConfigurationError(
                f"{where}: {self.clazz} refuses its arguments: {error}"
            ) from error


def _class_named(name: Any, where: str) -> Any:
    module, _, attribute = name.rpartition(".") if isinstance(name, str) else ("", "", "")
    if not module or module.startswith("."):
        raise ConfigurationError(f"{where}: {name!r} is no full name such as package.module.Class")
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(f"{where}: {name!r} cannot be imported: {error}") from error


def _checked_class(found: Any, name: str, where: str) -> type[Resource]:
    if not (isinstance(found, type) and issubclass(found, Resource)):
        raise ConfigurationError(f"{where}: {name!r} is no Resource class")
    return found


def function_of(definition: Any, decorator: str) -> Any:
    """Return the function that a decorator is to mark.

    Raises:
        AgentDefinitionError: it is on something that is no function.
    """
    func = definition.__func__ if isinstance(definition, staticmethod) else definition
    # From Python 3.14 on a partial is a method descriptor, which counts as a routine.
    is_partial = isinstance(func, functools.partial)
    if is_partial or not inspect.isroutine(func) or not hasattr(func, "__dict__"):
        raise AgentDefinitionError(
            f"{decorator} is on {definition!r}: put it on a function or a static method"
        )
    return func


def _marking(type_: ResourceType, summary: str) -> Callable[[F], F]:
    def decorate(definition: F) -> F:
        setattr(function_of(definition, f"@{type_.value}"), RESOURCE_MARK, type_)
        return definition

    decorate.__doc__ = summary
    return decorate


chat_model_connection = _marking(
    ResourceType.CHAT_MODEL_CONNECTION, "Declare that a function returns a chat model connection."
)
chat_model_setup = _marking(
    ResourceType.CHAT_MODEL, "Declare that a function returns a chat model setup."
)
embedding_model_connection = _marking(
    ResourceType.EMBEDDING_MODEL_CONNECTION,
    "Declare that a function returns an embedding model connection.",
)
embedding_model_setup = _marking(
    ResourceType.EMBEDDING_MODEL, "Declare that a function returns an embedding model setup."
)
vector_store = _marking(
    ResourceType.VECTOR_STORE, "Declare that a function returns a vector store."
)
prompt = _marking(ResourceType.PROMPT, "Declare that a function returns a prompt.")
mcp_server = _marking(ResourceType.MCP_SERVER, "Declare that a function returns an MCP server.")
http_client = _marking(ResourceType.HTTP_CLIENT, "Declare that a function returns an HTTP client.")
skills = _marking(ResourceType.SKILLS, "Declare that a function returns skills.")
sub_agent = _marking(ResourceType.AGENT, "Declare that a function returns a sub-agent.")
