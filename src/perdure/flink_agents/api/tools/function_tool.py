"""FunctionTool: a function as a tool."""

from __future__ import annotations

from perdure.flink_agents.api.tools.tool import FunctionTool

__all__ = ["FunctionTool"]
