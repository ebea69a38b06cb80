"""ChatConnection: chat models of all providers, through Pydantic AI's model layer.

Of Pydantic AI only the layer below its agents is used: one request, one response. The loop, the
tools, the retries and the journal are perdure's.
"""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from perdure.errors import ConfigurationError
from perdure.integrations.llm_errors import failed_midway, filtered, translated
from perdure.integrations.llm_http import http_client
from perdure.integrations.llm_messages import (
    check_answered,
    check_end,
    from_response,
    raw_finish_reason,
    to_model_messages,
)
from perdure.integrations.llm_models import (
    ModelSource,
    ReadyModel,
    StructuredMode,
    check_settings,
    import_models,
    mode_of,
)
from perdure.llm.chat_model import BaseChatModelConnection
from perdure.llm.message import ChatDelta, ChatMessage
from perdure.llm.output_schema import OutputSchema
from perdure.llm.sendable import sendable_messages
from perdure.llm.tool import Tool

if TYPE_CHECKING:
    from pydantic_ai.messages import ModelMessage, ModelResponse
    from pydantic_ai.models import Model, ModelRequestParameters

__all__ = ["ChatConnection"]

_MOST_REMEMBERED = 256


class _Pool:
    """The models and the HTTP client of one event loop; connections belong to a loop."""

    def __init__(self) -> None:
        self.users = 0
        self.models: dict[str, ReadyModel] = {}
        self.lock = asyncio.Lock()
        self.http_client: Any = None


class ChatConnection(BaseChatModelConnection):
    """Talks to any provider that Pydantic AI knows, and to OpenAI-compatible servers.

    Needs the extra `llm`. Setups with different models may share one; their requests then share a
    pool of HTTP connections without a bound: bound them by limits. The SDKs' own retries are off.

    Owns the HTTP client and the models made on it, from the first use until `close`.
    """

    __journal_name__ = "perdure:ChatConnection"

    def __init__(
        self,
        model: str | Model | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        **provider: Any,
    ) -> None:
        """Declare a connection; nothing is imported or opened yet.

        Args:
            model: The model that is asked where a setup names none: `provider:model`, such as
                "openai:gpt-5" or "anthropic:claude-sonnet-4-5", a bare name with `base_url`, or a
                model object of Pydantic AI's.
            base_url: Where an OpenAI-compatible server is: vLLM, llama.cpp, Ollama ... A name
                without a provider is asked there, by the Chat Completions API.
            api_key: The key; by default the provider's environment variable. The key of OpenAI is
                never sent to a `base_url` whose model names no provider.
            **provider: Further arguments of Pydantic AI's provider class, such as `region_name`.
        """
        self.model = model
        self._source = ModelSource(base_url, api_key, provider)
        self._pools: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = (
            weakref.WeakKeyDictionary()
        )
        self._given: ReadyModel | None = None
        self._parameters: dict[Any, tuple[Any, ModelRequestParameters]] = {}
        self._known_settings: set[frozenset[str]] = set()
        self._unpriced: set[Any] = set()
        self._modes: dict[str, StructuredMode] = {}

    async def open(self) -> None:
        """Import Pydantic AI and make the connection's own model, off the loop.

        Raises:
            ConfigurationError: It cannot be used: a package, a key or an address is missing.
        """
        await asyncio.to_thread(import_models)
        if self.model is not None:
            await self._ready(None)
        self._pool().users += 1

    async def close(self) -> None:
        """Close what was opened on this loop, once nobody uses it there any more."""
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            return
        pool.users -= 1
        if pool.users > 0:
            return
        self._pools.pop(loop, None)
        for ready in pool.models.values():
            await ready.model.__aexit__(None, None, None)
        if pool.http_client is not None:
            await pool.http_client.aclose()

    def output_mode(self, model: str) -> StructuredMode:
        """Return how a model is best made to answer in a schema, by what is known of it.

        Servers at a `base_url` whose model names no provider are taken to enforce schemas.
        """
        name = model or self.model
        if name is None:
            return "prompted"
        if not isinstance(name, str):
            try:
                return mode_of(name.profile)
            except NotImplementedError:
                return "tool"
        found = self._modes.get(name)
        if found is None:
            import_models()
            found = self._modes[name] = self._source.output_mode(name, self._default)
        return found

    async def check(
        self, *, model: str | None = None, extract_reasoning: bool = True, **settings: Any
    ) -> None:
        """Make the model of a setup, and refuse settings that no model knows; asks nothing.

        Raises:
            ConfigurationError: The model or a setting is unknown, or a package or key missing.
        """
        self._settings(await self._ready(model), settings)

    async def chat(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[Tool] | None = None,
        *,
        model: str | None = None,
        output_schema: OutputSchema | None = None,
        extract_reasoning: bool = True,
        **settings: Any,
    ) -> ChatMessage:
        """Make one request and return the response.

        Args:
            messages: The conversation.
            tools: The tools that the model may ask for.
            model: `provider:model` or a bare name; by default the connection's own.
            output_schema: What the provider shall make the answer fit. Servers whose models could
                then call no tool (vLLM, llama.cpp, Ollama) only tell it to the model where there
                are tools.
            extract_reasoning: Whether reasoning that the model marks in its text is taken out.
            **settings: Settings of Pydantic AI's: temperature, max_tokens, thinking ...

        Raises:
            RetryableError: The provider is overloaded or out of reach, or its answer is unreadable
                or says that it ended with an error.
            TerminalError: The provider refuses the request or withholds the answer.
            ConfigurationError: The model or a setting is unknown, or a package or key missing.
        """
        ready = await self._ready(model)
        parameters = self._request_parameters(ready, tools, output_schema)
        with _Translating(ready.name):
            response = await ready.model.request(
                _conversation(ready, messages, parameters),
                self._settings(ready, settings),  # type: ignore[arg-type]
                parameters,
            )
            check_answered(response)
        return self._message(ready, response, extract_reasoning)

    chat.keeps_arguments = True  # type: ignore[attr-defined]  # what is sent is made anew

    async def chat_stream(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[Tool] | None = None,
        *,
        emit: Callable[[ChatDelta], None],
        model: str | None = None,
        output_schema: OutputSchema | None = None,
        extract_reasoning: bool = True,
        **settings: Any,
    ) -> ChatMessage:
        """Make one request, tell `emit` the pieces as they come, return the whole response.

        Args:
            messages: The conversation.
            tools: The tools that the model may ask for.
            emit: Told each piece of text and reasoning; reasoning that the model marks in its text
                comes as text unless the provider's adapter knows the mark.
            model: As in `chat`.
            output_schema: As in `chat`.
            extract_reasoning: As in `chat`.
            **settings: As in `chat`.

        Raises:
            RetryableError: As in `chat`; also where the stream broke off, which is a stream that
                ends without a finish reason and without its end mark.
            TerminalError: As in `chat`.
            ConfigurationError: As in `chat`.
        """
        ready = await self._ready(model)
        parameters = self._request_parameters(ready, tools, output_schema)
        with _Translating(ready.name):
            async with ready.model.request_stream(
                _conversation(ready, messages, parameters),
                self._settings(ready, settings),  # type: ignore[arg-type]
                parameters,
            ) as stream:
                async for event in stream:
                    delta = _delta(event)
                    if delta is not None:
                        emit(delta)
                response = stream.get()
            check_end(stream, response)
        return self._message(ready, response, extract_reasoning)

    chat_stream.keeps_arguments = True  # type: ignore[attr-defined]

    @property
    def _default(self) -> str | None:
        return self.model if isinstance(self.model, str) else None

    def _pool(self) -> _Pool:
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            pool = self._pools[loop] = _Pool()
        return pool

    async def _ready(self, name: str | None) -> ReadyModel:
        pool = self._pool()
        key = name or ""
        found = pool.models.get(key)
        if found is None:
            async with pool.lock:
                found = pool.models.get(key)
                if found is None:
                    found = await asyncio.to_thread(self._make, name or self.model, pool)
                    await found.model.__aenter__()
                    pool.models[key] = found
        return found

    def _make(self, name: str | Model | None, pool: _Pool) -> ReadyModel:
        import_models()
        if name is None:
            raise ConfigurationError(
                f"the chat model connection {self.name!r} does not know which model to ask: name"
                " one in it or in the chat model"
            )
        if not isinstance(name, str):
            return ReadyModel.of(name, _id_of(name), own=False)
        if pool.http_client is None:
            pool.http_client = http_client()
        return self._source.make(name, self._default, pool.http_client)

    def _request_parameters(
        self, ready: ReadyModel, tools: Sequence[Tool] | None, schema: OutputSchema | None
    ) -> ModelRequestParameters:
        held = (*(tools or ()), schema)
        key = (ready.constrains, *map(id, held))
        found = self._parameters.get(key)
        if found is None:
            if len(self._parameters) >= _MOST_REMEMBERED:
                self._parameters.clear()
            # What the ids stand for is held with them, so that they stay theirs.
            found = self._parameters[key] = (
                held,
                _made_parameters(tools or (), schema, told=ready.constrains and bool(tools)),
            )
        return found[1]

    def _settings(self, ready: ReadyModel, settings: dict[str, Any]) -> dict[str, Any]:
        if settings:
            names = frozenset(settings)
            if names not in self._known_settings:
                check_settings(names)
                self._known_settings.add(names)
        return {**ready.settings, **settings}

    def _message(
        self, ready: ReadyModel, response: ModelResponse, extract_reasoning: bool
    ) -> ChatMessage:
        if not response.parts and response.finish_reason == "content_filter":
            raise filtered(ready.name, response.provider_details)
        if "error" in (response.finish_reason, raw_finish_reason(response)):
            raise failed_midway(ready.name, response.text)
        return from_response(
            response, extract_reasoning=extract_reasoning, cost=self._cost(response)
        )

    def _cost(self, response: ModelResponse) -> float | None:
        key = (response.provider_name, response.provider_url, response.model_name)
        if key in self._unpriced or not response.model_name:
            return None
        try:
            return float(response.cost().total_price)
        except LookupError:
            self._unpriced.add(key)
        except (ValueError, AssertionError):
            pass  # a usage without all that the price needs
        return None


class _Translating:
    """Raises what a provider's error means in its stead; each request passes here."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __enter__(self) -> None:
        pass

    def __exit__(self, _cls: object, error: BaseException | None, _frames: object) -> None:
        if not isinstance(error, Exception):
            return
        meant = translated(self._name, error)
        if meant is not error:
            # The line says all; the SDK's frames would only fill the journal.
            raise meant from None


def _conversation(
    ready: ReadyModel, messages: Sequence[ChatMessage], parameters: ModelRequestParameters
) -> list[ModelMessage]:
    made, unusual = to_model_messages(sendable_messages(messages))
    if unusual or ready.prepare:
        made = ready.model.prepare_messages(made, parameters)
    return made


def _made_parameters(
    tools: Sequence[Tool], schema: OutputSchema | None, *, told: bool
) -> ModelRequestParameters:
    """Return what a request asks for beside its messages; `told`: the schema is only told."""
    from pydantic_ai.messages import InstructionPart
    from pydantic_ai.models import ModelRequestParameters
    from pydantic_ai.output import OutputObjectDefinition
    from pydantic_ai.tools import ToolDefinition

    definitions = [
        ToolDefinition(
            name=tool.name, description=tool.description, parameters_json_schema=tool.parameters
        )
        for tool in tools
    ]
    if schema is None:
        return ModelRequestParameters(function_tools=definitions)
    if told:
        told_first = [InstructionPart(content=schema.instruction())]
        return ModelRequestParameters(function_tools=definitions, instruction_parts=told_first)
    return ModelRequestParameters(
        function_tools=definitions,
        output_mode="native",
        output_object=OutputObjectDefinition(
            json_schema=schema.json_schema,
            name=schema.name,
            description=schema.json_schema.get("description"),
        ),
    )


def _delta(event: Any) -> ChatDelta | None:
    if event.event_kind == "part_start":
        kind, text = event.part.part_kind, getattr(event.part, "content", None)
    elif event.event_kind == "part_delta":
        kind, text = event.delta.part_delta_kind, getattr(event.delta, "content_delta", None)
    else:
        return None
    if not text:
        return None
    if kind == "text":
        return ChatDelta(text=text)
    return ChatDelta(reasoning=text) if kind == "thinking" else None


def _id_of(model: Model) -> str:
    try:
        return model.model_id
    except NotImplementedError:
        return type(model).__name__
