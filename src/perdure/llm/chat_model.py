"""Chat models: a connection that talks to a provider, and a setup that says how it is used."""

from __future__ import annotations

import asyncio
import functools
import inspect
import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import ContextVar
from typing import Any, ClassVar, Final, Literal, Protocol, Self, get_args

from perdure.call import RetryPolicy, checked_retry
from perdure.callables import is_coroutine_function
from perdure.checks import checked_bound, checked_choice, checked_timeout
from perdure.errors import ConfigurationError
from perdure.llm.message import ChatDelta, ChatMessage, MessageRole
from perdure.llm.output_schema import OutputMode, OutputSchema
from perdure.llm.prompt import Prompt
from perdure.llm.providers import provider
from perdure.llm.response import checked_response
from perdure.llm.skills.told import told
from perdure.llm.tool import AnyTool, Tool, as_tool
from perdure.llm.tool_names import FINAL_RESULT, ToolNames
from perdure.resource import Resource, ResourceDescriptor, ResourceType

__all__ = ["FINAL_RESULT", "BaseChatModelConnection", "BaseChatModelSetup", "ChatModel"]


class BaseChatModelConnection(Resource):
    """Talks to a provider of chat models: the one narrow seam to all of them.

    Several setups may share one. It is called inside durable calls: it makes one request, raises
    RetryableError or TerminalError where it can tell which a failure is, and retries nothing.
    """

    __journal_name__ = "perdure:BaseChatModelConnection"

    RESOURCE_TYPE: ClassVar = ResourceType.CHAT_MODEL_CONNECTION

    def chat(
        self, messages: Sequence[ChatMessage], tools: Sequence[Tool] | None = None, **kwargs: Any
    ) -> Any:
        """Make one request and return the response, a ChatMessage; may be a coroutine function.

        Args:
            messages: The conversation.
            tools: The tools that the model may ask for.
            **kwargs: `model`, its name; `output_schema`, an OutputSchema, where the provider shall
                enforce it (output mode "native"); the setup's own settings, such as temperature.
        """
        raise NotImplementedError

    async def chat_stream(
        self,
        messages: Sequence[ChatMessage],
        tools: Sequence[Tool] | None = None,
        *,
        emit: Callable[[ChatDelta], None],
        **kwargs: Any,
    ) -> ChatMessage:
        """Make one request, tell `emit` the pieces as they come, return the whole response.

        By default there is one piece: the response.
        """
        response = await answered(self.chat, messages, tools, **kwargs)
        emit(ChatDelta(text=response.content, reasoning=response.reasoning or ""))
        return response

    def check(self, **kwargs: Any) -> Awaitable[None] | None:
        """Refuse what no request can succeed with, such as a model or a setting that there is not.

        Called for each setup when a job opens, the connection being open; may be a coroutine
        function. By default nothing is checked.

        Args:
            **kwargs: What each request of the setup passes to `chat`: `model` and its settings.

        Raises:
            ConfigurationError: The message says what is wrong and what to do.
        """
        return None

    def output_mode(self, model: str) -> Literal["native", "tool", "prompted"]:
        """Return how a model is best made to answer in a schema."""
        return "prompted"


async def answered(chat: Callable[..., Any], *args: Any, **kwargs: Any) -> ChatMessage:
    """Call `chat`, on a thread where it is plain, and return the message."""
    if is_coroutine_function(chat):
        found: Any = await chat(*args, **kwargs)
    else:
        found = await asyncio.to_thread(chat, *args, **kwargs)
        if inspect.isawaitable(found):
            found = await found
    return checked_response(found, getattr(chat, "__self__", chat))


class PassedOn(Protocol):
    """A request of a chat, which a model's own `chat` may hand on.

    Attributes:
        setup: the model that is asked.
    """

    setup: BaseChatModelSetup

    async def pass_on(
        self, messages: Sequence[ChatMessage], options: Mapping[str, Any]
    ) -> ChatMessage:
        """Ask the connection."""


REQUEST: Final[ContextVar[PassedOn | None]] = ContextVar("perdure_chat_request", default=None)
"""The request that is being made here through a model's own `chat`."""


class BaseChatModelSetup(Resource):
    """How a chat model is used: which one, with what prompt, tools, output and bounds.

    Attributes:
        connection: The connection, or its name.
        model: The model, as the connection knows it.
        prompt: Put before the messages of each request; a name, a text or a Prompt.
        tools: What the model may ask for: names of tools, MCP servers or sub-agents, or functions.
        output_schema: What the final answer is read as.
        output_mode: "native": the provider enforces it; "tool": the answer is the call of a tool;
            "prompted": the model is told; "auto": what the connection thinks best.
        output_retries: How often the model is told that its answer does not fit.
        max_rounds: Rounds of tool calls in one chat at most.
        token_budget: Tokens that one chat may take over all its requests; None for no limit.
        fallbacks: Chat models, their names or model strings, that are asked in turn when this one
            fails.
        timeout: Seconds for one attempt of a request; None: as configured.
        retry: When a failed attempt is followed by another; None: as configured, else four attempts
            after failures that the connection calls retryable.
        limit: Name of a configured limit that its requests count under.
        stream: Told the pieces of the responses as they come, on the host loop; they are not
            journaled, and come again when a request is made again.
        skills: Skills that it has: names of skills, or Skills, all of whose skills are meant.
        allowed_commands: Programs that its tool `bash` may run, by bare names.
        allowed_script_dirs: Folders whose files its tool `bash` may run.
        tool_options: Options of its tools `load_skill` and `bash`, by name, as a Tool takes them.
    """

    __journal_name__ = "perdure:BaseChatModelSetup"

    RESOURCE_TYPE: ClassVar = ResourceType.CHAT_MODEL

    _skill_tools: Any = None  # SkillTools, from `open` on, where it has skills
    _tool_names: ToolNames | None = None  # from `open` on

    def __init__(
        self,
        *,
        connection: str | Resource | ResourceDescriptor,
        model: str = "",
        prompt: str | Prompt | None = None,
        tools: Iterable[AnyTool] = (),
        output_schema: Any = None,
        output_mode: OutputMode = "auto",
        output_retries: int = 2,
        max_rounds: int = 16,
        token_budget: int | None = None,
        fallbacks: Iterable[str | Resource] = (),
        timeout: float | None = None,
        retry: RetryPolicy | None = None,
        limit: str | None = None,
        stream: Callable[[ChatDelta], None] | None = None,
        skills: Iterable[str | Resource] = (),
        allowed_commands: Iterable[str] = (),
        allowed_script_dirs: Iterable[str | os.PathLike[str]] = (),
        tool_options: Mapping[str, Mapping[str, Any]] | None = None,
        **settings: Any,
    ) -> None:
        self.connection = _made(connection)
        self.model = model
        self.prompt = prompt
        self.tools = _tools(tools)
        self.output_schema = _schema(output_schema)
        self.output_mode = checked_choice("output_mode", output_mode, get_args(OutputMode))
        self.output_retries = _TAKEN["output_retries"](output_retries)
        self.max_rounds = _TAKEN["max_rounds"](max_rounds)
        self.token_budget = _TAKEN["token_budget"](token_budget)
        self.fallbacks = _fallbacks(fallbacks)
        self.timeout = checked_timeout(timeout)
        self.retry = checked_retry(retry)
        self.limit = limit
        self.stream = stream
        self.skills = _several(skills)
        self.allowed_commands = _several(allowed_commands)
        self.allowed_script_dirs = _several(allowed_script_dirs)
        self.tool_options = dict(tool_options or {})
        self.settings = settings
        self._connection: BaseChatModelConnection | None = None

    @property
    def model_kwargs(self) -> dict[str, Any]:
        """What each request passes to the connection besides messages and tools."""
        return {"model": self.model, **self.settings} if self.model else dict(self.settings)

    def varied(self, *, tools: Iterable[AnyTool] = (), **options: Any) -> Self:
        """Return a copy with further tools and other options.

        Args:
            tools: Added to those that it has.
            **options: As for the class; what is none of its attributes is a setting of the model.
        """
        other = object.__new__(type(self))
        vars(other).update(vars(self), _tool_names=None)
        other.tools = (*self.tools, *_tools(tools))
        settings = dict(self.settings)
        for name, value in options.items():
            if name in vars(self):
                taken = _TAKEN.get(name)
                setattr(other, name, value if taken is None else taken(value))
            else:
                settings[name] = value
        other.settings = settings
        return other

    def parts(self) -> Iterable[Resource]:
        held = (self.connection, self.prompt, *self.tools, *self.fallbacks, *self.skills)
        return [each for each in held if isinstance(each, Resource)]

    def journaled_types(self) -> Iterable[Any]:
        schema = self.output_schema
        return () if schema is None or schema.type is None else (schema.type,)

    async def open(self) -> None:
        """Find the connection; make sure that everything it names is there."""
        self._connection = self._resolved_connection()
        self._skill_tools = self._opened_skills()
        self._tool_names = ToolNames(f"chat model {self.name!r}", self._offered())
        self.fallback_list()
        if self.output_schema is not None:
            self.output_schema.check()
        try:
            checking = self._connection.check(**self.model_kwargs)
            if inspect.isawaitable(checking):
                await checking
        except ConfigurationError as error:
            raise ConfigurationError(f"chat model {self.name!r}: {error}") from error
        if isinstance(self.prompt, str) and self.prompt.isidentifier():
            try:
                self._prompt_resource(self.prompt)
            except ConfigurationError as error:
                raise ConfigurationError(
                    f"{error}; one word is the name of a prompt: for a text pass Prompt(...)"
                ) from None

    def _opened_skills(self) -> Any:
        if not (self.skills or self.allowed_commands or self.allowed_script_dirs):
            return None
        from perdure.llm.skills.tools import SkillTools  # here: most chat models have none

        allowed = (self.allowed_commands, self.allowed_script_dirs, self.tool_options)
        return SkillTools(self.skills, *allowed, f"chat model {self.name!r}", self.context)

    def close(self) -> None:
        """Kill the commands that its tool `bash` runs."""
        if self._skill_tools is not None:
            self._skill_tools.close()

    @property
    def skill_discovery_prompt(self) -> str:
        """What each request says about the skills; "" where there are none."""
        found: str = "" if self._skill_tools is None else self._skill_tools.prompt
        return found

    def _resolved_connection(self) -> BaseChatModelConnection:
        found: Any = self.connection
        if isinstance(found, str):
            found = self.context.get_resource(found, ResourceType.CHAT_MODEL_CONNECTION)
        if not isinstance(found, BaseChatModelConnection):
            raise ConfigurationError(
                f"chat model {self.name!r}: its connection is a {type(found).__name__}, no"
                " BaseChatModelConnection"
            )
        return found

    @property
    def opened_connection(self) -> BaseChatModelConnection:
        """The connection, found when the setup is opened."""
        if self._connection is None:
            self._connection = self._resolved_connection()
        return self._connection

    def tool_list(self) -> list[Resource]:
        """Return the tools and sub-agents that the model may ask for, those of servers included.

        Raises:
            ConfigurationError: One is not declared.
        """
        offered = self._offered()
        if self._tool_names is None:
            return [each for _, each in offered]
        return self._tool_names.kept(offered)

    def _offered(self) -> Iterator[tuple[Resource, Resource]]:
        """Yield each tool behind the server that offers it, or this chat model."""
        for each in self.tools:
            resource = each if isinstance(each, Resource) else self._named_tool(each)
            if resource.RESOURCE_TYPE is ResourceType.MCP_SERVER:
                yield from ((resource, it) for it in resource.provided() if isinstance(it, Tool))
            else:
                yield self, resource
        if self._skill_tools is not None:
            yield from ((self, it) for it in self._skill_tools.tools)

    def _named_tool(self, name: str) -> Resource:
        kinds = (ResourceType.TOOL, ResourceType.MCP_SERVER, ResourceType.AGENT)
        for kind in kinds:
            if name in self.context.names(kind):
                return self.context.get_resource(name, kind)
        known = [known for kind in kinds for known in self.context.names(kind)]
        raise ConfigurationError(
            f"chat model {self.name!r}: there is no tool {name!r}; declared are:"
            f" {', '.join(known) or 'none'}"
        )

    def fallback_list(self) -> list[BaseChatModelSetup]:
        """Return the chat models that are asked when this one fails.

        Raises:
            ConfigurationError: One is not declared.
        """
        found = []
        for each in self.fallbacks:
            setup = (
                self.context.get_resource(each, ResourceType.CHAT_MODEL)
                if isinstance(each, str)
                else each
            )
            if not isinstance(setup, BaseChatModelSetup):
                raise ConfigurationError(
                    f"chat model {self.name!r}: its fallback {each!r} is no chat model"
                )
            found.append(setup)
        return found

    def prepared(
        self, messages: Sequence[ChatMessage], prompt_args: Mapping[str, Any] | None = None
    ) -> list[ChatMessage]:
        """Return the messages of a request: the prompt, filled, and the messages after it.

        Messages without content are left out after a prompt: they only carry its arguments, which
        their `extra_args` may hold as well.
        """
        prompt = self._prompt()
        if prompt is None:
            return list(messages)
        values: dict[str, Any] = {}
        for each in messages:
            values.update(each.extra_args)
        values.update(prompt_args or {})
        return [
            *prompt.filled_messages(values),
            *(m for m in messages if m.content or m.attachments or m.role != MessageRole.USER),
        ]

    def _prompt(self) -> Prompt | None:
        if self.prompt is None or isinstance(self.prompt, Prompt):
            return self.prompt
        if self.resource_context is not None and self.prompt in self.context.names(
            ResourceType.PROMPT
        ):
            return self._prompt_resource(self.prompt)
        return Prompt(self.prompt)

    def _prompt_resource(self, name: str) -> Prompt:
        found = self.context.get_resource(name, ResourceType.PROMPT)
        assert isinstance(found, Prompt)
        return found

    async def chat(
        self,
        messages: Sequence[ChatMessage],
        prompt_args: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> ChatMessage:
        """Make one request, by itself: for durable calls of your own; no tool is called.

        A class of one's own may have its own: what chats call then is that. It gets the messages
        with the prompt in front, and empty `prompt_args`; what it hands on with `super().chat` goes
        out with the tools, the output schema and the streaming of the chat.

        Args:
            messages: The conversation.
            prompt_args: What the prompt's places are filled with.
            **kwargs: Passed to the connection, over the setup's settings.
        """
        asked = REQUEST.get()
        if asked is not None and asked.setup is self:
            return await asked.pass_on(messages, kwargs)  # by this model's own `chat`, over this
        connection = self.opened_connection
        tools = [each for each in self.tool_list() if isinstance(each, Tool)]
        prepared = self.prepared(messages, prompt_args)
        if prompt := self.skill_discovery_prompt:
            prepared = told(prepared, prompt)
        return await answered(
            connection.chat, prepared, tools or None, **{**self.model_kwargs, **kwargs}
        )


class ChatModel(BaseChatModelSetup):
    """A chat model in one line: `ChatModel("openai:gpt-5", tools=[...], prompt=...)`.

    Connection and setup in one, through Pydantic AI's model layer (extra `llm`).

    Args:
        model: `provider:model`, as Pydantic AI names them, or one of its model objects.
        connection: Another connection, or its name; `model` is then passed to it.
        base_url: Where an OpenAI-compatible server is: vLLM, Ollama, llama.cpp ...
        api_key: The key; by default the provider's environment variable.
        **options: As for BaseChatModelSetup: prompt, tools, output_schema, retry ...; what is none
            of these is a setting of the model, such as temperature.
    """

    __journal_name__ = "perdure:ChatModel"

    def __init__(
        self,
        model: Any,
        *,
        connection: str | Resource | ResourceDescriptor | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        **options: Any,
    ) -> None:
        name = model if isinstance(model, str) else ""
        if connection is None:
            clazz = provider(ResourceType.CHAT_MODEL_CONNECTION, name.partition(":")[0])
            connection = ResourceDescriptor(clazz, model=model, base_url=base_url, api_key=api_key)
            name = ""  # the connection knows it
        super().__init__(connection=connection, model=name, **options)


def _made(connection: str | Resource | ResourceDescriptor) -> str | Resource:
    if isinstance(connection, ResourceDescriptor):
        return connection.make("the connection of a chat model")
    return connection


def _tools(tools: Iterable[AnyTool]) -> tuple[str | Resource, ...]:
    return tuple(as_tool(each) for each in tools)


def _several(given: Any) -> tuple[Any, ...]:
    """Return names, paths or resources; one alone stands for a list of it."""
    several = (given,) if isinstance(given, str | os.PathLike | Resource) else given
    return tuple(os.fspath(each) if isinstance(each, os.PathLike) else each for each in several)


def _schema(output: Any) -> OutputSchema | None:
    return None if output is None else OutputSchema.of(output)


def _fallbacks(fallbacks: Iterable[str | Resource]) -> tuple[str | Resource, ...]:
    """Return fallbacks: `provider:model` is a chat model by itself, another text a name."""
    return tuple(
        ChatModel(each) if isinstance(each, str) and ":" in each else each for each in fallbacks
    )


# How an option is taken that is not kept as it is given; by `varied` as by the class.
_TAKEN: Final[Mapping[str, Callable[[Any], Any]]] = {
    "connection": _made,
    "output_schema": _schema,
    "fallbacks": _fallbacks,
    "output_retries": functools.partial(checked_bound, "output_retries"),
    "max_rounds": functools.partial(checked_bound, "max_rounds"),
    "token_budget": lambda most: None if most is None else checked_bound("token_budget", most),
    "timeout": checked_timeout,
    "retry": checked_retry,
    **dict.fromkeys(("skills", "allowed_commands", "allowed_script_dirs"), _several),
}
