"""Which Pydantic AI model a name means, and how it is made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import urlsplit

from perdure.annotations import signature_of
from perdure.errors import ConfigurationError, did_you_mean, missing_extra
from perdure.integrations.llm_errors import unusable

if TYPE_CHECKING:
    from pydantic_ai.models import Model
    from pydantic_ai.profiles import ModelProfile
    from pydantic_ai.providers import Provider

__all__ = ["ModelSource", "ReadyModel", "check_address", "check_settings", "import_models"]

StructuredMode = Literal["native", "tool", "prompted"]

COMPATIBLE: Final = "openai-compatible"

# What providers were called in earlier versions of Pydantic AI.
_FORMER_NAMES: Final = {"google-gla": "google", "google-vertex": "google-cloud"}
# Their grammars hold for all that the model writes: under a schema it cannot call a tool.
_CONSTRAINING: Final = frozenset(("ollama", "vllm"))
# These renew credentials with a client of their own.
_OWN_CLIENT: Final = frozenset(("openai-codex", "openai-chatgpt", "github-copilot"))


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class ReadyModel:
    """A model, ready to be asked.

    Attributes:
        model: Pydantic AI's.
        name: `provider:model`, for messages.
        settings: What is set in each request.
        prepare: Whether each conversation goes through `Model.prepare_messages`.
        constrains: Whether a schema holds for all that the model writes, calls of tools included.
    """

    model: Model
    name: str
    settings: Mapping[str, Any]
    prepare: bool
    constrains: bool

    @classmethod
    def of(cls, model: Model, name: str, *, own: bool, constrains: bool = False) -> ReadyModel:
        """Take a model.

        Args:
            model: Pydantic AI's.
            name: What it is called in messages.
            own: Whether it is made here, so that its client may be told not to retry.
            constrains: Whether a schema holds for calls of tools too.
        """
        from perdure.integrations.chat_completions import lenient

        model = lenient(model)
        settings: dict[str, Any] = {}
        client = getattr(model.provider, "client", None) if own else None
        if isinstance(getattr(client, "max_retries", None), int):
            client.max_retries = 0  # type: ignore[union-attr]  # spares a copy of it each request
        elif "max_retries" not in model.unsupported_settings:
            settings["max_retries"] = 0
        try:
            profile: Any = model.profile
        except NotImplementedError:  # one that only chooses between others
            profile = {}
        prepare = bool(
            profile.get("tool_call_id_length")
            or profile.get("may_tokenize_special_tokens_in_content")
        )
        return cls(
            model=model, name=name, settings=settings, prepare=prepare, constrains=constrains
        )


def import_models() -> None:
    """Import Pydantic AI's model layer, which takes a second or two; not on an event loop.

    Raises:
        ConfigurationError: The extra `llm` is not installed.
    """
    try:
        import pydantic_ai.models  # noqa: F401

        import perdure.integrations.chat_completions  # noqa: F401
    except ImportError as error:
        if error.name and error.name.partition(".")[0] not in ("pydantic_ai", "openai"):
            raise
        raise missing_extra("a chat model", "llm", error) from None


class ModelSource:
    """Makes models by name, with the address and key of one connection."""

    def __init__(
        self, base_url: str | None, api_key: str | None, options: Mapping[str, Any]
    ) -> None:
        self.base_url = base_url
        self._api_key = api_key
        self._options = dict(options)

    def split(self, name: str, default: str | None) -> tuple[str | None, str]:
        """Return the provider and the model that a name means; no provider: the `base_url`.

        Args:
            name: `provider:model`, or a bare name.
            default: The connection's own model, whose provider a bare name belongs to.

        Raises:
            ConfigurationError: It names no provider, and there is no `base_url`.
        """
        provider, _, rest = name.partition(":")
        provider = _FORMER_NAMES.get(provider, provider)
        if rest and _is_provider(provider):
            return provider, rest
        if default is not None and default != name:
            known, _ = self.split(default, None)
            return known, name
        if self.base_url is not None:
            return None, name
        if rest:
            hint = did_you_mean(
                provider,
                _known_providers(),
                f"write it as provider:model, such as ollama:{name}, or pass base_url=",
                lambda near: f"{near}:{rest}",
            )
            raise ConfigurationError(f"the chat model {name!r} names no known provider: {hint}")
        raise ConfigurationError(
            f"the chat model {name!r} names no provider: write it as provider:model, such as"
            " openai:gpt-5, or pass base_url="
        )

    def make(self, name: str, default: str | None, http_client: Any) -> ReadyModel:
        """Make a model; it blocks for some milliseconds, so not on an event loop.

        Args:
            name: `provider:model`, or a bare name.
            default: The connection's own model.
            http_client: Used by the providers that take one.

        Raises:
            ConfigurationError: It is not known, or a package, key or address is missing.
        """
        from pydantic_ai.exceptions import UserError
        from pydantic_ai.models import infer_model

        if name == "test":
            return ReadyModel.of(infer_model(name), name, own=True)
        provider, rest = self.split(name, default)
        if provider is None or self.base_url:  # some take "" for none
            check_address(f"the chat model {name!r}", self.base_url)
        try:
            if provider is None:
                model = self._compatible(rest, http_client)
                return ReadyModel.of(model, name, own=True, constrains=True)
            # OpenAI-compatible servers rarely have the newer API that `openai:` stands for.
            kind = "openai-chat" if self.base_url and provider == "openai" else provider
            model = infer_model(f"{kind}:{rest}", lambda each: self._provider(each, http_client))
        except (ImportError, UserError) as error:
            raise unusable(name, error) from None
        except TypeError as error:
            raise ConfigurationError(
                f"the chat model {name!r}: its provider refuses an argument: {error}"
            ) from None
        constrains = provider in _CONSTRAINING
        return ReadyModel.of(model, f"{provider}:{rest}", own=True, constrains=constrains)

    def _compatible(self, name: str, http_client: Any) -> Model:
        from pydantic_ai.models.openai import OpenAIChatModel
        from pydantic_ai.profiles.openai import OpenAIModelProfile
        from pydantic_ai.providers.openai_compatible import OpenAICompatibleProvider

        # vLLM, llama.cpp and Ollama constrain the tokens to a schema without showing it to the
        # model. Not all of them know the newer name of `max_tokens`, and some templates of models
        # take one system message.
        profile = OpenAIModelProfile(
            supports_json_schema_output=True,
            native_output_requires_schema_in_instructions=True,
            openai_chat_supports_max_completion_tokens=False,
            openai_chat_supports_multiple_system_messages=False,
        )
        provider = OpenAICompatibleProvider(
            COMPATIBLE,
            base_url=self.base_url or "",
            api_key=self._api_key,
            http_client=http_client,
            profile=profile,
            **self._options,
        )
        return OpenAIChatModel(name, provider=provider)

    def _provider(self, name: str, http_client: Any) -> Provider[Any]:
        if name.startswith("gateway/"):
            from pydantic_ai.providers.gateway import gateway_provider

            given: dict[str, Any] = {"base_url": self.base_url, "api_key": self._api_key}
            given = {key: value for key, value in given.items() if value is not None}
            made: Provider[Any] = gateway_provider(name.removeprefix("gateway/"), **given)
            return made
        from pydantic_ai.providers import infer_provider_class

        cls = infer_provider_class(name)
        parameters = signature_of(cls.__init__).parameters
        arguments = dict(self._options)
        for key, value in (("base_url", self.base_url), ("api_key", self._api_key)):
            if value is None:
                continue
            # Azure's name of its base_url.
            key = "azure_endpoint" if key == "base_url" and "azure_endpoint" in parameters else key
            if key not in parameters:
                raise ConfigurationError(f"the provider {name!r} takes no {key}=")
            arguments[key] = value
        if name not in _OWN_CLIENT and "http_client" in parameters:
            # Some SDKs still need a client of the older httpx; these make their own.
            wanted = str(parameters["http_client"].annotation)
            if "httpx2" in wanted or "HTTPClient" in wanted:
                arguments.setdefault("http_client", http_client)
        return cls(**arguments)

    def output_mode(self, name: str, default: str | None) -> StructuredMode:
        """Return how a model is best made to answer in a schema."""
        from pydantic_ai.models import infer_model_profile

        if name == "test":
            return "tool"
        provider, rest = self.split(name, default)
        if provider is None:
            return "native"
        try:
            return mode_of(infer_model_profile(f"{provider}:{rest}"))
        except ImportError as error:
            raise unusable(name, error) from None


def check_address(what: str, address: Any) -> None:
    """Refuse a `base_url` that is no address of a server; None is none.

    Args:
        what: What it was given to, for the message.
        address: The address.

    Raises:
        ConfigurationError: It is none.
    """
    if address is None:
        return
    try:
        parts = urlsplit(str(address))
        known = parts.scheme in ("http", "https") and bool(parts.netloc)
    except ValueError:
        known = False
    if not known:
        raise ConfigurationError(
            f"{what}: base_url={address!r} is no address of a server: write it as"
            " http://HOST:PORT/v1 or https://HOST/v1"
        )


def mode_of(profile: ModelProfile) -> StructuredMode:
    """Return how a model of a profile is best made to answer in a schema."""
    if profile.get("supports_json_schema_output", False):
        return "native"
    return "tool" if profile.get("supports_tools", True) else "prompted"


def _is_provider(name: str) -> bool:
    from pydantic_ai.providers import infer_provider_class

    try:
        infer_provider_class(name)
    except ValueError:
        return False
    except ImportError:  # known, but its package is missing
        return True
    return True


def _known_providers() -> list[str]:
    from pydantic_ai.models import known_model_names

    return sorted({name.partition(":")[0] for name in known_model_names() if ":" in name})


def check_settings(settings: Iterable[str]) -> None:
    """Refuse settings that no model knows; models ignore them without a word.

    Args:
        settings: Names: those of Pydantic AI's ModelSettings, or with a provider's prefix.

    Raises:
        ConfigurationError: One is unknown; the message names what is close to it.
    """
    from pydantic_ai.settings import ModelSettings

    known = ModelSettings.__annotations__
    for name in settings:
        prefix = name.partition("_")[0]
        if name in known or (prefix != name and _has_own_settings(prefix)):
            continue
        hint = did_you_mean(name, known, f"there are {', '.join(sorted(known))}")
        raise ConfigurationError(f"{name}= is no setting of a chat model: {hint}")


def _has_own_settings(prefix: str) -> bool:
    return prefix in ("grok", "gateway", "zai") or _is_provider(prefix)
