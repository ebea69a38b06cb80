"""What a YAML file of agents may say."""

from __future__ import annotations

import json
from enum import Enum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from perdure.flink_agents.api.tools.tool_parameter_injection import InjectedArg

__all__ = [
    "ActionSpec",
    "AgentSpec",
    "DescriptorSpec",
    "Language",
    "MessageRole",
    "PackageSkillSpec",
    "PromptMessage",
    "PromptSpec",
    "SkillsSpec",
    "ToolSpec",
    "YamlAgentsDocument",
    "export",
]

Language = Literal["python", "java"]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid")


class DescriptorSpec(BaseModel):
    """A resource: the name of its class, and whatever else as its arguments."""

    __journal_name__ = "perdure:flink_agents.DescriptorSpec"

    model_config = ConfigDict(extra="allow")

    name: str
    clazz: str
    type: Language | None = None


class MessageRole(str, Enum):  # noqa: UP042  # theirs
    """Who says a message."""

    __journal_name__ = "perdure:flink_agents.yaml.MessageRole"

    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"


class PromptMessage(_Spec):
    """A message of a prompt."""

    __journal_name__ = "perdure:flink_agents.PromptMessage"

    role: MessageRole = MessageRole.USER
    content: str


class PromptSpec(_Spec):
    """A prompt: a text, or messages."""

    __journal_name__ = "perdure:flink_agents.PromptSpec"

    name: str
    text: str | None = None
    messages: list[PromptMessage] | None = None

    @model_validator(mode="after")
    def _one_of_both(self) -> PromptSpec:
        if (self.text is None) == (self.messages is None):
            raise ValueError(f"Prompt {self.name!r}: give exactly one of 'text' or 'messages'.")
        return self


class ToolSpec(_Spec):
    """A function as a tool."""

    __journal_name__ = "perdure:flink_agents.ToolSpec"

    name: str
    function: str | None = None
    type: Language | None = None
    parameter_types: list[str] | None = None
    injected_args: dict[str, InjectedArg | dict[str, Any]] = Field(default_factory=dict)


class PackageSkillSpec(_Spec):
    """Skills in a Python package."""

    __journal_name__ = "perdure:flink_agents.PackageSkillSpec"

    package: str
    resource: str


class SkillsSpec(_Spec):
    """Agent Skills, and where they are."""

    __journal_name__ = "perdure:flink_agents.SkillsSpec"

    name: str
    paths: list[str] = Field(default_factory=list)
    urls: list[str] = Field(default_factory=list)
    classpath: list[str] = Field(default_factory=list)
    package: list[PackageSkillSpec] = Field(default_factory=list)


class ActionSpec(_Spec):
    """An action; `listen_to` is what 0.3 calls its triggers."""

    __journal_name__ = "perdure:flink_agents.ActionSpec"

    name: str
    function: str | None = None
    trigger_conditions: list[Annotated[str, Field(pattern=r"\S")]] = Field(default_factory=list)
    listen_to: list[str] = Field(default_factory=list)
    config: dict[str, Any] | None = None
    type: Language | None = None

    @model_validator(mode="after")
    def _has_triggers(self) -> ActionSpec:
        if not self.trigger_conditions and not self.listen_to:
            raise ValueError(f"Action {self.name!r}: 'trigger_conditions' must not be empty.")
        return self

    @property
    def triggers(self) -> list[str]:
        """Its triggers, by either name."""
        return [*self.trigger_conditions, *self.listen_to]


class _Resources(_Spec):
    prompts: list[PromptSpec] = Field(default_factory=list)
    tools: list[ToolSpec] = Field(default_factory=list)
    skills: list[SkillsSpec] = Field(default_factory=list)
    chat_model_connections: list[DescriptorSpec] = Field(default_factory=list)
    chat_model_setups: list[DescriptorSpec] = Field(default_factory=list)
    embedding_model_connections: list[DescriptorSpec] = Field(default_factory=list)
    embedding_model_setups: list[DescriptorSpec] = Field(default_factory=list)
    vector_stores: list[DescriptorSpec] = Field(default_factory=list)
    mcp_servers: list[DescriptorSpec] = Field(default_factory=list)
    subagents: list[DescriptorSpec] = Field(default_factory=list)


class AgentSpec(_Resources):
    """An agent; an action that is a text names one of the file."""

    __journal_name__ = "perdure:flink_agents.AgentSpec"

    name: str
    description: str | None = None
    actions: list[ActionSpec | str] = Field(default_factory=list)


class YamlAgentsDocument(_Resources):
    """A file: agents, and what they share."""

    __journal_name__ = "perdure:flink_agents.YamlAgentsDocument"

    agents: list[AgentSpec] = Field(default_factory=list)
    actions: list[ActionSpec] = Field(default_factory=list)


def export() -> str:
    """Return the JSON schema of a file."""
    return json.dumps(YamlAgentsDocument.model_json_schema(), indent=2)
