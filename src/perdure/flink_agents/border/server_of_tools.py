"""ServerOfTools: a resource that offers others once it is open, such as an MCP server."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any

__all__ = ["ServerOfTools"]


class ServerOfTools(ABC):
    """A resource that offers tools and prompts."""

    @abstractmethod
    def offered(self) -> Iterable[Any]:
        """Return tools and prompts, each with a `name`."""
