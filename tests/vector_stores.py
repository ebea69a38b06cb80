"""Opens resources as a job does, without a job."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from perdure.codec.codec import Codec
from perdure.errors import ConfigurationError
from perdure.resource import Resource, ResourceType
from perdure.runtime.shared.documents import JobDocuments
from perdure.store.group_commit import GroupCommit
from perdure.store.url import open_store

R = TypeVar("R", bound=Resource)


class Context:
    """A ResourceContext of given resources."""

    def __init__(self, document_index: Any = None, **resources: Resource) -> None:
        self.document_index = document_index
        self.resources = resources

    def get_resource(self, name: str, type: ResourceType) -> Resource:
        found = self.resources.get(name)
        if found is None or found.resource_type() is not type:
            raise ConfigurationError(f"there is no {type.value} {name!r}")
        return found

    def names(self, type: ResourceType) -> tuple[str, ...]:
        return tuple(self.resources)


@asynccontextmanager
async def opened(resource: R, context: Any = None) -> AsyncIterator[R]:
    """Open a resource with its parts; close them in the end."""
    context = context or Context()
    all_: list[Resource] = []

    async def open_(each: Resource) -> None:
        for part in each.parts():
            await open_(part)
        each.resource_context = context
        opening = each.open()
        if inspect.isawaitable(opening):
            await opening
        all_.append(each)

    try:
        await open_(resource)
        yield resource
    finally:
        for each in reversed(all_):
            closing = each.close()
            if inspect.isawaitable(closing):
                await closing
            each.resource_context = None


@asynccontextmanager
async def document_index(
    url: str = "memory://", job: str = "job", *, max_bytes: int = 1 << 24
) -> AsyncIterator[JobDocuments]:
    """The document index of a job on a new or existing store."""
    store = open_store(url)
    await store.open(job)
    commits = GroupCommit(store)
    try:
        yield JobDocuments(store, commits, Codec(max_bytes=max_bytes))
    finally:
        await commits.drain()
        await store.close()


def on_loop(test: Callable[..., Any]) -> Callable[..., None]:
    """Run a coroutine test on an event loop of its own; pytest sees its fixtures."""

    def run(**fixtures: Any) -> None:
        asyncio.run(test(**fixtures))

    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]
    run.__name__, run.__doc__ = test.__name__, test.__doc__
    return run


def sqlite_url(folder: Path) -> str:
    return f"sqlite:///{folder / 'documents.db'}"
