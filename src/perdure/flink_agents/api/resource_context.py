"""Where a resource finds other resources."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from perdure.flink_agents.api.resource_type import ResourceType

__all__ = ["ResourceContext"]


class ResourceContext(ABC):
    """Where a resource finds what else the job has."""

    @abstractmethod
    def get_resource(self, name: str, resource_type: ResourceType) -> Any:
        """Return another resource.

        Raises:
            KeyError: There is none.
        """

    @abstractmethod
    def generate_available_skills_prompt(self, *skill_names: str) -> str:
        """Return names and descriptions of skills."""

    @abstractmethod
    def get_skill_dirs(self, *skill_names: str) -> list[str]:
        """Return the folders of skills."""
