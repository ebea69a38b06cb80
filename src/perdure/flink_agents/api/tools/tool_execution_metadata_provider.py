"""Tools that say more about a call."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

__all__ = ["ToolExecutionMetadataProvider"]


class ToolExecutionMetadataProvider(ABC):
    """A tool that says more about a call; nothing here records it."""

    @abstractmethod
    def get_tool_execution_metadata(self, parameters: dict[str, Any]) -> dict[str, Any]:
        """Return what is to be known of a call with these arguments."""
