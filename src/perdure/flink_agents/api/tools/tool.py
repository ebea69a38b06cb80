"""Tool: what a chat model may ask to have called."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from typing import Any

from pydantic import BaseModel, Field, field_serializer, field_validator, model_validator

from perdure.flink_agents.api.function import JavaFunction, PythonFunction
from perdure.flink_agents.api.resource import ResourceType, SerializableResource
from perdure.flink_agents.api.tools.tool_parameter_injection import (
    InjectedArg,
    merge_injected_args,
    normalize_injected_args,
    validate_injected_arg_names,
)
from perdure.flink_agents.api.tools.utils import (
    create_model_from_schema,
    create_schema_from_function,
    description_of,
)

__all__ = ["FunctionTool", "Tool", "ToolMetadata", "ToolType"]

_OF_PARAMETERS = ("type", "properties", "required", "additionalProperties", "definitions", "$defs")


class ToolType(Enum):
    """Where a tool is."""

    __journal_name__ = "perdure:flink_agents.ToolType"

    MODEL_BUILT_IN = "model_built_in"
    FUNCTION = "function"
    REMOTE_FUNCTION = "remote_function"
    MCP = "mcp"


class ToolMetadata(BaseModel):
    """What a chat model is told of a tool.

    Attributes:
        name: Its name.
        description: What it does.
        args_schema: Its arguments; may be given as a JSON schema.
    """

    __journal_name__ = "perdure:flink_agents.ToolMetadata"

    name: str
    description: str
    args_schema: type[BaseModel]

    @field_validator("args_schema", mode="before")
    @classmethod
    def _from_schema(cls, given: Any) -> Any:
        if isinstance(given, dict):
            return create_model_from_schema(given.get("title", "default"), given)
        return given

    @field_serializer("args_schema")
    def _as_schema(self, args_schema: type[BaseModel]) -> dict[str, Any]:
        return args_schema.model_json_schema()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ToolMetadata) and self.model_dump() == other.model_dump()

    __hash__ = None  # type: ignore[assignment]  # equal by value

    def get_parameters_dict(self) -> dict[str, Any]:
        """Return the JSON schema of the arguments."""
        schema = self.args_schema.model_json_schema()
        return {key: value for key, value in schema.items() if key in _OF_PARAMETERS}


class Tool(SerializableResource, ABC):
    """What a chat model may ask to have called.

    Attributes:
        metadata: What the model is told of it.
    """

    __journal_name__ = "perdure:flink_agents.Tool"

    metadata: ToolMetadata | None = None

    @staticmethod
    def from_callable(
        func: Callable[..., Any],
        *,
        injected_args: dict[str, InjectedArg | dict[str, Any]] | None = None,
    ) -> FunctionTool:
        """Return a function as a tool.

        Args:
            func: The function.
            injected_args: Where arguments come from that the model does not see.

        Raises:
            ValueError: It has no such parameter.
        """
        func = getattr(func, "__func__", func)
        injected = merge_injected_args(
            getattr(func, "_injected_args", None),
            normalize_injected_args(injected_args),
            tool_name=getattr(func, "__qualname__", str(func)),
        )
        validate_injected_arg_names(func, injected)
        return FunctionTool(func=PythonFunction.from_callable(func), injected_args=injected)

    @property
    def name(self) -> str:
        """Its name."""
        assert self.metadata is not None
        return self.metadata.name

    @classmethod
    def resource_type(cls) -> ResourceType:
        """Return ResourceType.TOOL."""
        return ResourceType.TOOL

    @classmethod
    @abstractmethod
    def tool_type(cls) -> ToolType:
        """Return where it is."""

    @abstractmethod
    def call(self, *args: Any, **kwargs: Any) -> Any:
        """Call it; what it returns is shown to the model. A ToolResponse may say that it failed."""


class FunctionTool(Tool):
    """A function as a tool: its signature and docstring say what the model is told.

    Attributes:
        func: The function.
        injected_args: Where arguments come from that the model does not see.
    """

    __journal_name__ = "perdure:flink_agents.FunctionTool"

    func: PythonFunction | JavaFunction
    injected_args: dict[str, InjectedArg] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _describe(self) -> FunctionTool:
        if self.metadata is None and isinstance(self.func, PythonFunction):
            func = self.func.as_callable()
            self.metadata = ToolMetadata(
                name=func.__name__,
                description=description_of(func),
                args_schema=create_schema_from_function(
                    func.__name__, func, injected_args=self.injected_args
                ),
            )
        return self

    @classmethod
    def tool_type(cls) -> ToolType:
        """Return ToolType.FUNCTION."""
        return ToolType.FUNCTION

    def call(self, *args: Any, **kwargs: Any) -> Any:
        return self.func.as_callable()(*args, **kwargs)
