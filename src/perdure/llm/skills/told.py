"""What a chat model is told about the skills that it has."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Final

from perdure.llm.message import ChatMessage, MessageRole

if TYPE_CHECKING:
    from perdure.llm.skills.skill import Skill

__all__ = ["BASH_TOOL", "LOAD_SKILL_TOOL", "skills_prompt", "told"]

LOAD_SKILL_TOOL: Final = "load_skill"
BASH_TOOL: Final = "bash"


def skills_prompt(skills: Iterable[Skill]) -> str:
    """Return names and descriptions of skills, and what a model does with them."""
    listed = "\n".join(
        f"<skill><name>{each.name}</name>"
        f"<description>{html.escape(each.description, quote=False)}</description></skill>"
        for each in skills
    )
    return (
        "You have skills: instructions for tasks of a certain kind. When a task fits the"
        f" description of one, call {LOAD_SKILL_TOOL} with its name first, and do what it says.\n"
        f"<available_skills>\n{listed}\n</available_skills>"
    )


def told(messages: Sequence[ChatMessage], prompt: str) -> list[ChatMessage]:
    """Return the messages of a request with a prompt after the first system message.

    That is done when the request is sent: the prompt is no argument of its durable call, so that an
    edited skill breaks no replay.
    """
    systems = (n for n, each in enumerate(messages, 1) if each.role is MessageRole.SYSTEM)
    at = next(systems, 0)
    return [*messages[:at], ChatMessage.system(prompt), *messages[at:]]
