"""Agent Skills: where they are; chat models have those that their `skills=` names."""

from __future__ import annotations

from typing import Final

from pydantic import BaseModel, Field

from perdure.flink_agents.api.resource import ResourceType, SerializableResource

__all__ = ["BASH_TOOL", "LOAD_SKILL_TOOL", "SkillSourceSpec", "Skills"]

LOAD_SKILL_TOOL: Final = "load_skill"
BASH_TOOL: Final = "bash"


class SkillSourceSpec(BaseModel):
    """Where skills are.

    Attributes:
        scheme: "local", "url" or "package".
        params: Where there.
    """

    __journal_name__ = "perdure:flink_agents.SkillSourceSpec"

    scheme: str
    params: dict[str, str] = Field(default_factory=dict)


class Skills(SerializableResource):
    """Agent Skills, and where they are.

    Attributes:
        sources: The places.
    """

    __journal_name__ = "perdure:flink_agents.Skills"

    sources: list[SkillSourceSpec] = Field(default_factory=list)

    @classmethod
    def from_local_dir(cls, *paths: str) -> Skills:
        """Return skills in folders."""
        return cls(
            sources=[SkillSourceSpec(scheme="local", params={"path": each}) for each in paths]
        )

    @classmethod
    def from_url(cls, *urls: str) -> Skills:
        """Return skills at addresses."""
        return cls(sources=[SkillSourceSpec(scheme="url", params={"url": each}) for each in urls])

    @classmethod
    def from_package(cls, *pairs: tuple[str, str]) -> Skills:
        """Return skills in Python packages."""
        return cls(
            sources=[
                SkillSourceSpec(scheme="package", params={"package": package, "resource": resource})
                for package, resource in pairs
            ]
        )

    @classmethod
    def resource_type(cls) -> ResourceType:
        """Return ResourceType.SKILLS."""
        return ResourceType.SKILLS
