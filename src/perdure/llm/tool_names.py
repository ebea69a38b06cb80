"""ToolNames: which of a chat model's tools have which names, whatever servers list later."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from perdure.errors import AgentDefinitionError, ConfigurationError
from perdure.llm.tool import checked_tool_name
from perdure.printable import printable_logger
from perdure.resource import Resource

__all__ = ["FINAL_RESULT", "ToolNames"]

logger = printable_logger("perdure")
FINAL_RESULT: Final = "final_result"  # the tool by which a model answers in output mode "tool"

Offered = tuple[Resource, Resource]  # who offers a tool, and the tool


class ToolNames:
    """The names of one chat model's tools: each has one owner from when it first comes up.

    Owns: the owners by name. Lifecycle: from when the chat model opens.

    Args:
        where: says which chat model, in messages.
        offered: the tools when it opens, each with the server that offers it, or the chat model.

    Raises:
        ConfigurationError: models could not take a name, or two tools have it.
    """

    def __init__(self, where: str, offered: Iterable[Offered]) -> None:
        self._where = where
        self._owners: dict[str, Resource | None] = {FINAL_RESULT: None}
        self._told: set[tuple[str, Resource]] = set()
        for owner, each in offered:
            try:
                checked_tool_name(each.name)
            except AgentDefinitionError as error:
                raise ConfigurationError(f"{where}: {error}") from None
            if each.name == FINAL_RESULT:
                raise ConfigurationError(
                    f"{where}: {FINAL_RESULT!r} is how a model gives its structured output: give"
                    " the tool another name="
                )
            if each.name in self._owners:
                raise ConfigurationError(
                    f"{where}: two of its tools are called {each.name!r}: give one another name="
                )
            self._owners[each.name] = owner

    def kept(self, offered: Iterable[Offered]) -> list[Resource]:
        """Return the tools that are offered now, without those whose name is another owner's.

        A server that is connected to again may list others than it did. One of these must not
        come in the place of a tool that has its name.
        """
        found = []
        for owner, each in offered:
            if self._owners.setdefault(each.name, owner) is owner:
                found.append(each)
            elif (each.name, owner) not in self._told:
                self._told.add((each.name, owner))
                logger.warning(
                    "%s: %s lists a tool %r now, a name that another of its tools has: it is left"
                    " out; give the server a prefix=, or take some of its tools (tool_filter=)",
                    self._where, owner.name, each.name,
                )  # fmt: skip
        return found
