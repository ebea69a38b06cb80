"""JobResources: the resources of a job while it is open."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from perdure.agent.resources import ResourceKey, ResourceSpec, placed
from perdure.checks import checked_limit
from perdure.errors import AgentDefinitionError, ConfigurationError, PerdureError, did_you_mean
from perdure.printable import printable_logger
from perdure.resource import Resource, ResourceDescriptor, ResourceType

if TYPE_CHECKING:
    from perdure.codec.codec import Codec
    from perdure.runtime.shared.documents import JobDocuments
    from perdure.store.base import ActionStateStore
    from perdure.store.group_commit import GroupCommit

logger = printable_logger("perdure")
CheckLimit = Callable[[str | tuple[str, ...]], object]

# What is opened first may be used by what is opened later.
_ORDER: Final = (
    ResourceType.HTTP_CLIENT,
    ResourceType.PROMPT,
    ResourceType.SKILLS,
    ResourceType.TOOL,
    ResourceType.CHAT_MODEL_CONNECTION,
    ResourceType.EMBEDDING_MODEL_CONNECTION,
    ResourceType.MCP_SERVER,
    ResourceType.EMBEDDING_MODEL,
    ResourceType.VECTOR_STORE,
    ResourceType.CHAT_MODEL,
    ResourceType.AGENT,
)


class JobResources:
    """The resources of a job: one instance of each, shared by all runs.

    An instance that another open job of this process has already is not shared with it, since it
    finds other resources, and the store, through its job: this job has a copy.

    Owns: the instances made from descriptors, the copies, and which are open. Lifecycle: `open`
    when the job opens, on the host loop, before the first run; `close` when it closes, in the
    opposite order. What is declared for use alone is made and opened by whoever first asks for it.

    Args:
        specs: what the agent and the engine declare.
        document_index: makes the document index of the job's store, on first use.
    """

    def __init__(
        self,
        specs: Mapping[ResourceKey, ResourceSpec],
        document_index: Callable[[], Any],
    ) -> None:
        self._specs = specs
        self._make_index = document_index
        self._index: Any = None
        self._found: dict[ResourceKey, Resource] = {}
        self._opened: list[Resource] = []
        self._for_use: dict[ResourceKey, ResourceSpec] = {}  # not asked for yet
        self._using = threading.Lock()  # actions and calls ask from any thread
        self._check_limit: CheckLimit = lambda limit: None
        self._opening = ""  # what is being opened, for messages
        self._own: dict[int, tuple[Resource, Resource]] = {}  # by id: one given, and this job's

    @property
    def document_index(self) -> Any:
        """The document index on the job's own store."""
        if self._index is None:
            self._index = self._make_index()
        return self._index

    def get_resource(self, name: str, type: ResourceType) -> Resource:
        """Return a resource.

        Raises:
            ConfigurationError: there is none of this name and type.
        """
        try:
            return self._found[(type, name)]
        except TypeError:
            raise self._missing(name, type) from None
        except KeyError:
            pass
        return self._first_used((type, name))

    def _first_used(self, key: ResourceKey) -> Resource:
        """Return what was declared for use, and is asked for the first time."""
        with self._using:
            if key in self._found:  # another thread was faster
                return self._found[key]
            spec = self._for_use.get(key)
            if spec is None:
                raise self._missing(key[1], key[0])
            resource = self._made(spec)
            resource.resource_context = self
            with placed(resource):
                resource.open()
            self._opened.append(resource)
            self._found[key] = resource
            del self._for_use[key]
            return resource

    def _missing(self, name: Any, type_: Any) -> ConfigurationError:
        if not isinstance(type_, ResourceType):
            return ConfigurationError(f"get_resource({name!r}, ...): {type_!r} is no ResourceType")
        known = [each for each in self.names(type_) if not each.startswith("_")]  # perdure's own
        hint = did_you_mean(str(name), known, f"declared are: {', '.join(known)}", repr)
        return ConfigurationError(
            f"{self._opening}there is no {type_.value} {name!r}:"
            f" {hint if known else 'none is declared'}"
        )

    def names(self, type: ResourceType) -> tuple[str, ...]:
        """Return the names of all resources of one type."""
        return tuple(name for kind, name in (*self._found, *self._for_use) if kind is type)

    # Life

    async def open(self, check_limit: CheckLimit = lambda limit: None) -> None:
        """Make and open all resources.

        Args:
            check_limit: refuses limits that the job does not have.

        Raises:
            ConfigurationError: one cannot be made or opened; those opened before are closed again.
        """
        self._check_limit = check_limit
        for key, spec in self._specs.items():
            if spec.for_use:
                self._for_use[key] = spec
            else:
                self._found[key] = self._made(spec)
        try:
            for type_ in _ORDER:
                for (kind, _), resource in list(self._found.items()):
                    if kind is type_:
                        with placed(resource):
                            await self._open_with_parts(resource)
        except BaseException:
            await self.close()
            raise

    def _made(self, spec: ResourceSpec) -> Resource:
        source = spec.source
        if isinstance(source, ResourceDescriptor):
            source = source.make(f"{spec.where}, {spec.type.value} {spec.name!r}")
            if source.resource_type() is not spec.type:
                raise AgentDefinitionError(
                    f"{spec.where}: {spec.name!r} is declared as {spec.type.value} and is a"
                    f" {source.resource_type().value}"
                )
        source = self._this_jobs(source)
        source.name = spec.name
        return source

    def _this_jobs(self, given: Resource) -> Resource:
        """Return a resource, or a copy where it or a part of it is another open job's."""
        known = self._own.get(id(given))
        if known is None:
            parts = {id(part): self._this_jobs(part) for part in given.parts()}
            is_shared = any(id(own) != part for part, own in parts.items())
            own = _copied(given, parts) if is_shared or self._is_anothers(given) else given
            known = self._own[id(given)] = (given, own)  # held, so that the id stays its own
        return known[1]

    def _is_anothers(self, resource: Resource) -> bool:
        context = resource.resource_context
        return isinstance(context, JobResources) and context is not self and bool(context._opened)

    async def _open_with_parts(self, resource: Resource) -> None:
        if any(each is resource for each in self._opened):
            return
        resource.resource_context = self
        for part in resource.parts():
            if not part.name:
                part.name = resource.name
            await self._open_with_parts(part)
        what = f"{resource.resource_type().value} {resource.name!r}"
        self._check_calls(resource, what)
        self._opening = f"{what}: "
        try:
            opening = resource.open()
            if inspect.isawaitable(opening):
                await opening
        except PerdureError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ConfigurationError(f"the {what} cannot be opened: {reason}") from error
        finally:
            self._opening = ""
        self._opened.append(resource)
        self._take_provided(resource, what)

    def _take_provided(self, resource: Resource, what: str) -> None:
        for offered in resource.provided():
            key = (offered.resource_type(), offered.name)
            if self._found.setdefault(key, offered) is not offered:
                raise AgentDefinitionError(
                    f"the {what} offers the {key[0].value} {key[1]!r}, which is declared already:"
                    " rename one, or give the server a prefix"
                )
            offered.resource_context = self
            self._check_calls(offered, f"{key[0].value} {key[1]!r} of the {what}")

    def _check_calls(self, resource: Resource, what: str) -> None:
        """Refuse now what all of its calls would be refused for."""
        if resource.resource_type() not in (ResourceType.TOOL, ResourceType.CHAT_MODEL):
            return
        limit = getattr(resource, "limit", None)
        if limit is not None:
            try:
                self._check_limit(checked_limit(limit))
            except ConfigurationError as error:
                raise ConfigurationError(f"the {what}: {error}") from None

    def journaled_types(self) -> Iterable[Any]:
        """Return annotations of what the open resources put into the journal."""
        for resource in self._opened:
            yield from resource.journaled_types()

    async def close(self) -> None:
        """Close what is open, the last opened first; failures are logged."""
        interrupted: BaseException | None = None
        while self._opened:
            resource = self._opened.pop()
            try:
                closing = resource.close()
                if inspect.isawaitable(closing):
                    await closing
            except Exception:
                what = f"{resource.resource_type().value} {resource.name!r}"
                logger.exception("the %s could not be closed", what)
            except BaseException as error:  # the others are closed all the same
                interrupted = error
            resource.resource_context = None
        self._found.clear()
        self._for_use.clear()
        self._own.clear()
        if interrupted is not None:
            raise interrupted


def documents_of(store: ActionStateStore, commits: GroupCommit, codec: Codec) -> JobDocuments:
    """Return the document index of a job; see there."""
    from perdure.runtime.shared.documents import JobDocuments  # here: few jobs have documents

    return JobDocuments(store, commits, codec)


def _copied(resource: Resource, parts: Mapping[int, Resource]) -> Resource:
    """Return a shallow copy of a resource with other parts."""

    def replaced(value: Any) -> Any:
        if id(value) in parts:
            return parts[id(value)]
        if type(value) in (tuple, list) and any(id(each) in parts for each in value):
            return type(value)(replaced(each) for each in value)
        return value

    own = object.__new__(type(resource))
    vars(own).update({name: replaced(value) for name, value in vars(resource).items()})
    return own
