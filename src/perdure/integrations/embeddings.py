"""EmbeddingConnection: embedding models of providers, by Pydantic AI's embedding layer."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from perdure.annotations import signature_of
from perdure.errors import ConfigurationError, did_you_mean, missing_extra
from perdure.integrations.llm_errors import translated, unreadable, unusable
from perdure.integrations.llm_models import check_address
from perdure.llm.embedding_model import BaseEmbeddingModelConnection, EmbedKind
from perdure.llm.sendable import sendable

if TYPE_CHECKING:
    from pydantic_ai.embeddings import EmbeddingModel, EmbeddingSettings
    from pydantic_ai.providers import Provider

__all__ = ["EmbeddingConnection"]

COMPATIBLE: Final = "openai-compatible"


class EmbeddingConnection(BaseEmbeddingModelConnection):
    """Embedding models of one provider (extra `llm`).

    Owns: the provider's client, while open, and the models made of it. Nothing is tried again
    here: that is for the retry policy of the durable call.

    Args:
        provider: Its name, such as "openai", "google", "cohere", "bedrock", "ollama"; or
            "openai-compatible", which takes `base_url`.
        base_url: Where it is; None: as the provider's environment variable says.
        api_key: Its key; None: as the provider's environment variable says.
        **options: Further arguments of Pydantic AI's provider.
    """

    __journal_name__ = "perdure:EmbeddingConnection"

    def __init__(
        self,
        provider: str = "openai",
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        **options: Any,
    ) -> None:
        self.provider = provider
        given = {"base_url": base_url, "api_key": api_key}
        self._arguments: dict[str, Any] = {k: v for k, v in given.items() if v is not None}
        self._arguments.update(options)
        self._client: Provider[Any] | None = None
        self._models: dict[str, EmbeddingModel] = {}

    async def open(self) -> None:
        self._client = await asyncio.to_thread(self._provider)  # the import takes a second or two
        await self._client.__aenter__()

    async def close(self) -> None:
        client, self._client = self._client, None
        self._models.clear()
        if client is not None:
            await client.__aexit__(None, None, None)

    async def embed(
        self, texts: Sequence[str], *, model: str, kind: EmbedKind = "document", **kwargs: Any
    ) -> list[list[float]]:
        """Return the embedding of each text.

        Args:
            texts: The texts.
            model: Name of the model, as the provider knows it.
            kind: Whether they are looked for or stored; some models make a difference.
            **kwargs: Pydantic AI's EmbeddingSettings, such as `dimensions`.

        Raises:
            RetryableError: The provider is busy or cannot be reached; with the time it asks for.
                Or its answer cannot be read.
            TerminalError: It refuses the request.
            ConfigurationError: The connection is not open, the model cannot be used, or there is no
                such setting.
        """
        if kwargs:
            self._check(kwargs)
        settings: EmbeddingSettings = {**kwargs}  # type: ignore[typeddict-item]  # the user's
        asked = f"{self.provider}:{model}"
        try:
            found = await self._model(model).embed(
                sendable(list(texts)), input_type=kind, settings=settings or None
            )
        except Exception as error:
            if (meant := translated(asked, error)) is error:
                raise
            raise meant from error
        try:
            return [[float(number) for number in embedding] for embedding in found.embeddings]
        except (TypeError, ValueError) as error:
            raise unreadable(asked, error) from None

    def _check(self, settings: Iterable[str]) -> None:
        """Refuse settings that no model knows: the models ignore them without a word."""
        from pydantic_ai.embeddings import EmbeddingSettings

        known = EmbeddingSettings.__annotations__
        own = (f"{self.provider.partition('-')[0]}_", "openai_")
        for name in settings:
            if name not in known and not name.startswith(own):
                hint = did_you_mean(name, known, f"there are {', '.join(known)}")
                raise ConfigurationError(f"{name}= is no setting of an embedding model: {hint}")

    def _model(self, name: str) -> EmbeddingModel:
        if name in self._models:
            return self._models[name]
        client = self._client
        if client is None:
            raise ConfigurationError(
                f"the embedding connection {self.name or self.provider!r} is not open: declare it"
                " on the agent or the engine"
            )
        from pydantic_ai.embeddings import infer_embedding_model
        from pydantic_ai.embeddings.openai import OpenAIEmbeddingModel
        from pydantic_ai.exceptions import UserError

        model: EmbeddingModel
        try:
            if self.provider == COMPATIBLE:
                model = OpenAIEmbeddingModel(name, provider=client)
            else:
                model = infer_embedding_model(
                    f"{self.provider}:{name}", provider_factory=lambda _: client
                )
        except (ImportError, UserError, ValueError) as error:
            raise self._unusable(error) from None
        self._models[name] = model
        return model

    def _provider(self) -> Provider[Any]:
        try:
            import pydantic_ai.embeddings.openai  # noqa: F401  # and with it all of the layer
            from pydantic_ai.exceptions import UserError
        except ImportError as error:
            what = f"the embedding provider {self.provider!r}"
            raise missing_extra(what, "llm", error) from None
        try:
            client = self._made()
        except (ImportError, UserError, ValueError, TypeError) as error:
            raise self._unusable(error) from None
        sdk = getattr(client, "client", None)
        if isinstance(getattr(sdk, "max_retries", None), int):
            sdk.max_retries = 0  # type: ignore[union-attr]  # it has one
        return client

    def _made(self) -> Provider[Any]:
        address = self._arguments.get("base_url")
        if address or self.provider == COMPATIBLE:  # some take "" for none
            check_address(f"the embedding provider {self.provider!r}", address)
        if self.provider == COMPATIBLE:
            from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

            compatible: Provider[Any] = OpenAICompatibleProvider(COMPATIBLE, **self._arguments)
            return compatible
        from pydantic_ai.providers import infer_provider, infer_provider_class

        if not self._arguments:
            return infer_provider(self.provider)
        cls = infer_provider_class(self.provider)
        known = signature_of(cls.__init__).parameters
        unknown = [name for name in self._arguments if name not in known]
        if unknown and not any(each.kind is each.VAR_KEYWORD for each in known.values()):
            raise TypeError(f"it takes no {unknown[0]}=")
        return cls(**self._arguments)

    def _unusable(self, error: Exception) -> ConfigurationError:
        return unusable(self.provider, error, "embedding provider")
