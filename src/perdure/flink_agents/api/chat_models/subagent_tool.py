"""SubagentTool: a sub-agent as the tool that a chat model sees."""

from __future__ import annotations

import json
from typing import Any

from pydantic import PrivateAttr

from perdure.flink_agents.api.resource import CALLABLE_NAME_PREFIX
from perdure.flink_agents.api.tools.tool import Tool, ToolMetadata, ToolType
from perdure.flink_agents.api.tools.utils import create_model_from_schema

__all__ = ["SubagentTool"]


class SubagentTool(Tool):
    """What a chat model is told of a sub-agent; who takes its tool calls asks the sub-agent."""

    __journal_name__ = "perdure:flink_agents.SubagentTool"

    @staticmethod
    def of(name: str, description: str, input_schema: str) -> SubagentTool:
        """Return a sub-agent as a tool.

        Args:
            name: The name of its AGENT resource.
            description: What it is for.
            input_schema: JSON schema of its arguments, as a text.
        """
        called = CALLABLE_NAME_PREFIX + name
        said = description or f"Delegate a standalone task to sub-agent {name}"
        schema = json.loads(input_schema)
        made = SubagentTool(
            metadata=_Metadata(
                name=called,
                description=f"{said} This is subagent.",
                args_schema=create_model_from_schema(called, schema),
            )
        )
        assert isinstance(made.metadata, _Metadata)
        made.metadata._schema = schema
        return made

    @classmethod
    def tool_type(cls) -> ToolType:
        """Return ToolType.FUNCTION."""
        return ToolType.FUNCTION

    def call(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(
            f"{self.name} says what a chat model may ask: get the sub-agent itself with"
            " ctx.get_resource(name, ResourceType.AGENT)"
        )


class _Metadata(ToolMetadata):
    """What a chat model is told, with the schema as it was declared."""

    __journal_name__ = "perdure:flink_agents.SubagentTool.Metadata"

    _schema: dict[str, Any] = PrivateAttr(default_factory=dict)

    def get_parameters_dict(self) -> dict[str, Any]:
        return dict(self._schema)
