"""Embedding models, as resources: a connection talks to a service, a setup says which model."""

from __future__ import annotations

import abc
import asyncio
import inspect
import math
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Final, Literal, TypeVar, cast, overload

from perdure.annotations import signature_of
from perdure.callables import is_coroutine_function
from perdure.errors import ConfigurationError, TerminalError
from perdure.llm.providers import provider
from perdure.resource import Resource, ResourceDescriptor, ResourceType

__all__ = [
    "BaseEmbeddingModelConnection",
    "BaseEmbeddingModelSetup",
    "EmbedKind",
    "EmbeddingModel",
    "resolved_resource",
]

R = TypeVar("R", bound=Resource)
EmbedKind = Literal["query", "document"]

BATCH_SIZE: Final = 128  # texts of one request


class BaseEmbeddingModelConnection(Resource, abc.ABC):
    """A connection to a service, or a library, that makes embeddings. Setups share it."""

    __journal_name__ = "perdure:BaseEmbeddingModelConnection"

    RESOURCE_TYPE: ClassVar = ResourceType.EMBEDDING_MODEL_CONNECTION

    @abc.abstractmethod
    def embed(
        self, texts: Sequence[str], *, model: str, kind: EmbedKind = "document", **kwargs: Any
    ) -> list[list[float]] | Awaitable[list[list[float]]]:
        """Return the embedding of each text; may be a coroutine function.

        A plain one is called in a thread. An implementation without a `kind` parameter is not
        given one.

        Args:
            texts: The texts.
            model: Name of the model, as the service knows it.
            kind: Whether they are looked for ("query") or stored ("document").
            **kwargs: Further arguments of the setup.

        Raises:
            RetryableError: The service may do it another time.
            TerminalError: It never will.
        """


class BaseEmbeddingModelSetup(Resource):
    """Which embedding model is used, through which connection.

    Attributes:
        connection: Name of the connection, or the connection; the latter once it is open.
        model: Name of the model.
        batch_size: Most texts of one request.
        settings: What each request is given besides, as the setup was made with it.
    """

    __journal_name__ = "perdure:BaseEmbeddingModelSetup"

    RESOURCE_TYPE: ClassVar = ResourceType.EMBEDDING_MODEL

    connection: str | BaseEmbeddingModelConnection

    def __init__(
        self,
        connection: str | BaseEmbeddingModelConnection,
        model: str = "",
        *,
        batch_size: int = BATCH_SIZE,
        **model_kwargs: Any,
    ) -> None:
        if batch_size < 1:
            raise ConfigurationError(f"batch_size={batch_size} is no positive number")
        self.connection = connection
        self.model = model
        self.batch_size = batch_size
        self.settings = model_kwargs
        self._opened: BaseEmbeddingModelConnection | None = None

    @property
    def model_kwargs(self) -> dict[str, Any]:
        """What each request is given besides; a class of one's own may say so itself."""
        return dict(self.settings)

    def parts(self) -> Iterable[Resource]:
        return () if isinstance(self.connection, str) else (self.connection,)

    def open(self) -> Awaitable[None] | None:
        self._opened = resolved_resource(
            self,
            self.connection,
            BaseEmbeddingModelConnection,  # type: ignore[type-abstract]  # isinstance takes it
            ResourceType.EMBEDDING_MODEL_CONNECTION,
        )
        return None

    @overload
    async def embed(
        self, text: str, *, kind: EmbedKind = "document", **kwargs: Any
    ) -> list[float]: ...
    @overload
    async def embed(
        self, text: Sequence[str], *, kind: EmbedKind = "document", **kwargs: Any
    ) -> list[list[float]]: ...
    async def embed(
        self, text: str | Sequence[str], *, kind: EmbedKind = "document", **kwargs: Any
    ) -> list[float] | list[list[float]]:
        """Return the embedding of a text, or of each of several.

        Args:
            text: One text, or several; these go out in batches, one after another.
            kind: Whether they are looked for or stored.
            **kwargs: What the connection is given besides, before `model_kwargs`.

        Raises:
            RetryableError: The service may do it another time.
            TerminalError: It never will, or returned another number of embeddings, or one with
                numbers that are not finite.
        """
        single = isinstance(text, str)
        texts = [text] if isinstance(text, str) else list(text)
        connection = self._opened
        if connection is None:
            if isinstance(self.connection, str):
                _ = self.context  # says that it is not open
            connection = cast(BaseEmbeddingModelConnection, self.connection)
        embeddings: list[list[float]] = []
        for start in range(0, len(texts), self.batch_size):
            batch = texts[start : start + self.batch_size]
            embeddings += await self._embed_batch(connection, batch, kind, kwargs)
        return embeddings[0] if single else embeddings

    async def _embed_batch(
        self,
        connection: BaseEmbeddingModelConnection,
        texts: list[str],
        kind: EmbedKind,
        kwargs: Mapping[str, Any],
    ) -> list[list[float]]:
        given = {"model": self.model, **self.model_kwargs, **kwargs}
        if "kind" in signature_of(connection.embed).parameters:
            given["kind"] = kind
        embed: Any = connection.embed
        if is_coroutine_function(embed):
            found = await embed(texts, **given)
        else:
            found = await asyncio.to_thread(embed, texts, **given)
            if inspect.isawaitable(found):
                found = await found
        if len(texts) == 1 and len(found) and isinstance(found[0], int | float):
            found = [found]  # one text, one embedding: some connections do not wrap it
        if len(found) != len(texts):
            raise TerminalError(
                f"embedding model {self.model or self.name!r} returned {len(found)} embeddings for"
                f" {len(texts)} texts"
            )
        made = [[float(number) for number in embedding] for embedding in found]
        if not all(all(map(math.isfinite, embedding)) for embedding in made):
            raise TerminalError(
                f"embedding model {self.model or self.name!r} returned an embedding with NaN or"
                " infinity, which is like no other: give it another text, or use another model"
            )
        return made


class EmbeddingModel(BaseEmbeddingModelSetup):
    """An embedding model named in one text, such as "openai:text-embedding-3-small".

    Its connection is made for it, of whatever the text begins with: a provider (extra `llm`), or
    `local:minilm` (extra `embeddings-local`), which needs no network.

    Args:
        model: `provider:model`.
        batch_size: Most texts of one request.
        base_url: Where the provider is, for those that are OpenAI-compatible.
        api_key: The provider's key; None: it is in the environment.
        **model_kwargs: What each request is given besides, such as `dimensions=256`.
    """

    __journal_name__ = "perdure:EmbeddingModel"

    def __init__(
        self,
        model: str,
        *,
        batch_size: int = BATCH_SIZE,
        base_url: str | None = None,
        api_key: str | None = None,
        **model_kwargs: Any,
    ) -> None:
        vendor, _, name = model.partition(":")
        if not (vendor and name):
            raise ConfigurationError(
                f"embedding model {model!r}: name provider and model, such as"
                " 'openai:text-embedding-3-small' or 'local:minilm'"
            )
        if vendor == "local" and (base_url or api_key):
            raise ConfigurationError(f"embedding model {model!r} has no base_url and no api_key")
        clazz = provider(ResourceType.EMBEDDING_MODEL_CONNECTION, vendor)
        given = {"provider": vendor, "base_url": base_url, "api_key": api_key}
        self._descriptor = ResourceDescriptor(clazz, {} if vendor == "local" else given)
        super().__init__("", name, batch_size=batch_size, **model_kwargs)

    def parts(self) -> Iterable[Resource]:
        return (self._made(),)

    def open(self) -> Awaitable[None] | None:
        self._made()
        return super().open()

    def _made(self) -> BaseEmbeddingModelConnection:
        if isinstance(self.connection, str):
            made = self._descriptor.make(f"the connection of embedding model {self.name!r}")
            self.connection = cast(BaseEmbeddingModelConnection, made)
        return self.connection


def resolved_resource(holder: Resource, given: str | R, cls: type[R], type_: ResourceType) -> R:
    """Return the resource that is meant by a name, or is given."""
    found = holder.context.get_resource(given, type_) if isinstance(given, str) else given
    if not isinstance(found, cls):
        raise ConfigurationError(
            f"{holder.resource_type().value} {holder.name!r}: {given!r} is a"
            f" {type(found).__name__}, no {cls.__name__}"
        )
    return found
