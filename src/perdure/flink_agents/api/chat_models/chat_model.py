"""Chat models: connections that talk to a provider, and setups that say how they are used."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PrivateAttr

from perdure.errors import ConfigurationError
from perdure.flink_agents.api.chat_message import (
    ChatMessage,
    MessageRole,
    find_first_system_message,
)
from perdure.flink_agents.api.chat_models.subagent_tool import SubagentTool
from perdure.flink_agents.api.prompts.prompt import Prompt
from perdure.flink_agents.api.resource import Resource, ResourceType
from perdure.flink_agents.api.skills import BASH_TOOL, LOAD_SKILL_TOOL
from perdure.flink_agents.api.subagent import SubagentSetup
from perdure.flink_agents.api.tools.tool import Tool
from perdure.flink_agents.border.skills import ModelSkills
from perdure.flink_agents.border.straight_calls import StraightCalls

__all__ = ["BaseChatModelConnection", "BaseChatModelSetup", "StructuredOutputStrategy"]

_REASONING_FLAGS = re.DOTALL | re.IGNORECASE


class StructuredOutputStrategy(str, Enum):  # noqa: UP042  # theirs
    """How a model is made to answer in a schema."""

    __journal_name__ = "perdure:flink_agents.StructuredOutputStrategy"

    AUTO = "auto"
    NATIVE = "native"
    PROMPT = "prompt"

    def resolves_to_native(self, model_capable: bool) -> bool:
        """Say whether the provider enforces the schema."""
        return self is self.NATIVE or (self is self.AUTO and model_capable)


class BaseChatModelConnection(Resource, StraightCalls, ABC):
    """Talks to a provider of chat models; several setups may share it."""

    __journal_name__ = "perdure:flink_agents.BaseChatModelConnection"

    DEFAULT_REASONING_PATTERNS: ClassVar[tuple[re.Pattern[str], ...]] = (
        re.compile(r"<think>(.*?)</think>", _REASONING_FLAGS),
        re.compile(r"<analysis>(.*?)</analysis>", _REASONING_FLAGS),
        re.compile(r"<reasoning>(.*?)</reasoning>", _REASONING_FLAGS),
        re.compile(r"```(?:think|reasoning|thought)\s*\n(.*?)\n```", _REASONING_FLAGS),
        re.compile(r"(?:^|\n)Reasoning:\s*(.*?)(?:\n{2,}|$)", _REASONING_FLAGS),
    )
    STRAIGHT: ClassVar = ("chat",)

    @classmethod
    def resource_type(cls) -> ResourceType:
        """Return ResourceType.CHAT_MODEL_CONNECTION."""
        return ResourceType.CHAT_MODEL_CONNECTION

    def supports_native_structured_output(self, effective_model: str | None) -> bool:
        """Say whether a model's provider enforces a schema."""
        return False

    def _reject_unsupported_output_schema(self, output_schema: Any) -> None:
        """Refuse a schema that the provider does not enforce."""
        if output_schema is not None:
            raise NotImplementedError(
                f"{type(self).__name__} does not support native structured output"
            )

    @staticmethod
    def _extract_reasoning(
        content: str, patterns: Sequence[re.Pattern[str]] = DEFAULT_REASONING_PATTERNS
    ) -> tuple[str, str | None]:
        """Return a text without what the model thought, and that."""
        found: list[str] = []
        rest = content or ""
        for pattern in patterns:
            found += [each.strip() for each in pattern.findall(rest) if each.strip()]
            rest = pattern.sub("", rest)
        rest = re.sub(r" {2,}", " ", re.sub(r"\n{3,}", "\n\n", rest)).strip()
        return rest, "\n\n".join(found) or None

    @abstractmethod
    def chat(
        self,
        messages: Sequence[ChatMessage],
        tools: list[Tool] | None = None,
        output_schema: Any = None,
        **kwargs: Any,
    ) -> ChatMessage:
        """Make one request and return the answer."""


class BaseChatModelSetup(Resource, StraightCalls):
    """How a chat model is used: which one, with which prompt and tools.

    Attributes:
        connection: Name of its connection.
        model: What the provider calls the model.
        prompt: Its prompt, or the name of one; stands before the messages.
        tools: Names of its tools; the tools themselves once it is open.
        skills: Names of its skills.
        skill_discovery_prompt: What it is told of them.
        allowed_commands: Commands that it may have run.
        allowed_script_dirs: Folders whose scripts it may have run.
        structured_output_strategy: How it is made to answer in a schema.
        subagents: Names of sub-agents.
    """

    __journal_name__ = "perdure:flink_agents.BaseChatModelSetup"

    STRAIGHT: ClassVar = ("chat",)

    connection: str = Field(description="The referenced connection name.")
    model: str = Field(default="", description="Name of the chat model to use.")
    prompt: Prompt | str | None = None
    tools: list[Any] = Field(default_factory=list)
    skills: list[str] | None = None
    skill_discovery_prompt: str | None = None
    allowed_commands: list[str] = Field(default_factory=list)
    allowed_script_dirs: list[str] = Field(default_factory=list)
    structured_output_strategy: StructuredOutputStrategy = StructuredOutputStrategy.AUTO
    subagents: list[str] = Field(default_factory=list)
    _resolved_connection: BaseChatModelConnection | None = PrivateAttr(default=None)
    _opened_skills: ModelSkills | None = PrivateAttr(default=None)

    if TYPE_CHECKING:  # pydantic makes one; subclasses hand on what is theirs

        def __init__(self, **data: Any) -> None: ...

    @property
    def model_kwargs(self) -> dict[str, Any]:
        """What the connection is told beside messages and tools."""
        return {}

    @classmethod
    def resource_type(cls) -> ResourceType:
        """Return ResourceType.CHAT_MODEL."""
        return ResourceType.CHAT_MODEL

    def open(self) -> None:
        """Find connection, prompt, tools and sub-agents.

        Raises:
            ValueError: Two tools have one name, or a sub-agent says nothing of its arguments.
            TypeError: A sub-agent is no SubagentSetup.
        """
        assert self.resource_context is not None
        find = self.resource_context.get_resource
        self._resolved_connection = find(self.connection, ResourceType.CHAT_MODEL_CONNECTION)
        if isinstance(self.prompt, str):
            self.prompt = find(self.prompt, ResourceType.PROMPT)
        own = [each for each in self.tools if not isinstance(each, SubagentTool)]
        self.tools = [
            find(each, ResourceType.TOOL) if isinstance(each, str) else each for each in own
        ]
        self.tools += [_asked(each, find(each, ResourceType.AGENT)) for each in self.subagents]
        _check_distinct(
            each if isinstance(each, str) else each.name for each in [*own, *self.tools[len(own) :]]
        )
        if self.skills is not None:
            self._open_skills(self.resource_context)

    def _open_skills(self, context: Any) -> None:
        self.skill_discovery_prompt = context.generate_available_skills_prompt(*(self.skills or ()))
        if not hasattr(context, "skills_of"):  # a context of the user's own
            added = [
                context.get_resource(each, ResourceType.TOOL)
                for each in (LOAD_SKILL_TOOL, BASH_TOOL)
            ]
            self.tools += [each for each in added if each not in self.tools]  # opened again
            return
        self._opened_skills = context.skills_of(self)
        for each in self._opened_skills.tools:
            if any(each.name == other.name for other in self.tools):
                raise ConfigurationError(
                    f"two tools of a chat model are called {each.name!r}: with skills= it has one"
                    " of this name already, give yours another"
                )
        self.tools += self._opened_skills.tools

    def close(self) -> None:
        """Kill the commands that its tool `bash` runs."""
        opened, self._opened_skills = self._opened_skills, None
        if opened is not None:
            self.tools = [each for each in self.tools if each not in opened.tools]
            opened.close()

    def chat(
        self,
        messages: Sequence[ChatMessage],
        prompt_args: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> ChatMessage:
        """Put the prompt before the messages, and make one request.

        Args:
            messages: The conversation.
            prompt_args: What the places of the prompt are filled with.
            **kwargs: What the connection is told beside; wins over `model_kwargs`.
        """
        sent = list(messages)
        if self.prompt is not None:
            filled: dict[str, Any] = {
                name: str(value) for name, value in (prompt_args or {}).items()
            }
            meant = [each for each in sent if each.content or each.role == MessageRole.ASSISTANT]
            sent = [*self._get_prompt().format_messages(**filled), *meant]
        if self.skills is not None and self.skill_discovery_prompt:
            # Told when the request is made, and so no argument of a durable call.
            at = find_first_system_message(sent) + 1
            sent.insert(at, ChatMessage.system(self.skill_discovery_prompt))
        options = {**self.model_kwargs, **kwargs}
        return self._get_connection().chat(sent, tools=self._get_tools(), **options)

    def _record_token_metrics(
        self,
        model_name: str,
        prompt_tokens: int,
        completion_tokens: int,
        metric_group: Any = None,
    ) -> None:
        """Count tokens."""
        group = metric_group or self.metric_group
        if group is not None:
            counted = group.get_sub_group(model_name)
            counted.get_counter("promptTokens").inc(prompt_tokens)
            counted.get_counter("completionTokens").inc(completion_tokens)

    def _get_connection(self) -> BaseChatModelConnection:
        if self._resolved_connection is None:
            raise TypeError(
                f"Connection '{self.connection}' has not been resolved. Ensure open() is called"
                " before using the connection."
            )
        return self._resolved_connection

    def _get_prompt(self) -> Prompt:
        if not isinstance(self.prompt, Prompt):
            raise TypeError(f"Expect Prompt, but is {type(self.prompt).__name__}")
        return self.prompt

    def _get_tools(self) -> list[Tool]:
        for each in self.tools:
            if not isinstance(each, Tool):
                raise TypeError(f"Expect Tool, but is {type(each).__name__}")
        return self.tools


def _asked(name: str, setup: Any) -> SubagentTool:
    """Return a sub-agent as the tool that a model sees."""
    if not isinstance(setup, SubagentSetup):
        raise TypeError(
            f"Sub-agent {name} must resolve to a SubagentSetup, but was {type(setup).__name__}"
        )
    if setup.input_schema is None:
        raise ValueError(
            f"Sub-agent {name} declares neither an input schema nor an input type: a chat model"
            " cannot ask it; set input_schema, or return a pydantic model from input_type"
        )
    return SubagentTool.of(name, setup.description, setup.input_schema)


def _check_distinct(names: Iterable[str]) -> None:
    known: set[str] = set()
    for each in names:
        if each in known:
            raise ValueError(f"Duplicate callable name: {each}")
        known.add(each)
