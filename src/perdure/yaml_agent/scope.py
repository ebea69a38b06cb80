"""What an agent of a file sees, and whether all that it names is there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from perdure.event import OutputEvent
from perdure.resource import ResourceType
from perdure.yaml_agent.aliases import EVENTS
from perdure.yaml_agent.check import AgentSpec, Document, Entry, is_function
from perdure.yaml_agent.node import Value, near

__all__ = ["Scope"]

# A prompt is the name of one when it looks like a name, and else a text.
_NAME: Final = re.compile(r"[\w.\-]+")
_ASKABLE: Final = (ResourceType.TOOL, ResourceType.MCP_SERVER, ResourceType.AGENT)
_KEYS: Final = {
    ("chat_models", "connection"): ResourceType.CHAT_MODEL_CONNECTION,
    ("chat_model_setups", "connection"): ResourceType.CHAT_MODEL_CONNECTION,
    ("embedding_model_setups", "connection"): ResourceType.EMBEDDING_MODEL_CONNECTION,
    ("vector_stores", "embedding_model"): ResourceType.EMBEDDING_MODEL,
}


class Scope:
    """The things that one agent may name: its own, and those of the file.

    Args:
        document: The file.
        spec: The agent.
    """

    def __init__(self, document: Document, spec: AgentSpec) -> None:
        self.spec = spec
        self._environment = True
        own = {(each.type, each.name): each for each in spec.entries}
        shared = {(each.type, each.name): each for each in document.shared}
        self._shared_actions = {k[1]: each for k, each in shared.items() if k[0] is None}
        visible = {k: each for k, each in shared.items() if k[0] is not None}
        self._entries = {**visible, **own}
        # What an MCP server offers is known when it is asked.
        self._is_open = any(type_ is ResourceType.MCP_SERVER for type_, _ in self._entries)

    def resources(self) -> list[Entry]:
        """Return the resources, those of the file first."""
        return [each for each in self._entries.values() if each.type is not None]

    def actions(self) -> list[Entry]:
        """Return the agent's actions in the order in which they stand.

        Raises:
            ConfigurationError: It names one that the file does not have.
        """
        own = {id(each.value): each for each in self.spec.entries if each.type is None}
        content = self.spec.value.data.get("actions")
        if content is None or not isinstance(content.data, list):
            return list(own.values())
        return [
            self._shared_action(each) if isinstance(each.data, str) else own[id(each)]
            for each in content.data
        ]

    def _shared_action(self, name: Value) -> Entry:
        found = self._shared_actions.get(name.data)
        if found is None:
            hint = near(name.data, self._shared_actions, "it has")
            raise name.error(f"the file declares no action {name.data!r} beside agents: {hint}")
        return found

    def find(self, type_: ResourceType, name: str) -> Entry | None:
        """Return a declared resource, None where there is none."""
        return self._entries.get((type_, name))

    def names(self, *types: ResourceType) -> list[str]:
        """Return the names of all resources of some types."""
        return [name for type_, name in self._entries if type_ in types]

    # Whether all is there

    def check(self, *, environment: bool = True) -> None:
        """Check that everything that is named is declared.

        Args:
            environment: Whether names that the environment has a part in are checked too.

        Raises:
            ConfigurationError: Something is not; the message says where it is named.
        """
        self._environment = environment
        for entry in self.resources():
            self._check_entry(entry)
        react = self.spec.value.data.get("react")
        if react is not None and isinstance(react.data, dict):
            self._check_parts(react.data.get("prompt"), react.data.get("tools"))
            self._check_chat_model(react.data["chat_model"])
        elif react is not None and react.data is not None:
            self._check_chat_model(react)
        self._check_triggers()

    def _check_entry(self, entry: Entry) -> None:
        for (section, key), type_ in _KEYS.items():
            value = entry.get(key) if section == entry.section else None
            if value is not None:
                self._require(value, type_)
        if entry.type in (ResourceType.CHAT_MODEL, ResourceType.AGENT):
            self._check_model(entry.value)
        chat_model = entry.get("chat_model")
        if chat_model is not None and entry.type is ResourceType.AGENT:
            self._check_chat_model(chat_model)

    def _check_model(self, value: Value) -> None:
        self._check_parts(value.data.get("prompt"), value.data.get("tools"))
        fallbacks = value.data.get("fallbacks")
        for each in _several(fallbacks):
            self._require(each, ResourceType.CHAT_MODEL)

    def _check_parts(self, prompt: Value | None, tools: Value | None) -> None:
        if prompt is not None and isinstance(prompt.data, str):
            self.is_prompt_name(prompt)
        for each in tools.data or () if tools is not None else ():
            if isinstance(each.data, str) and not is_function(each.data):
                self._require(each, *_ASKABLE, openly=True)

    def _check_chat_model(self, value: Value) -> None:
        if isinstance(value.data, dict):
            self._check_model(value)
        elif ":" not in value.data:
            self._require(value, ResourceType.CHAT_MODEL)

    def is_prompt_name(self, value: Value) -> bool:
        """Tell the name of a prompt from a text.

        Raises:
            ConfigurationError: It looks like a name, and there is no such prompt.
        """
        if self.find(ResourceType.PROMPT, value.data) is not None:
            return True
        if not _NAME.fullmatch(value.data):
            return False
        if not self._is_open:
            known = near(value.data, self.names(ResourceType.PROMPT), "declared are")
            raise value.error(
                f"there is no prompt {value.data!r}: {known}; a text of one word is {{text: ...}}"
            )
        return True

    def _require(self, value: Value, *types: ResourceType, openly: bool = False) -> None:
        if value.is_variable and not self._environment:
            return
        name = value.text()
        if any(self.find(type_, name) for type_ in types) or (openly and self._is_open):
            return
        what = types[0].value.replace("_", " ")
        raise value.error(
            f"there is no {what} {name!r}: {near(name, self.names(*types), 'declared are')}"
        )

    def _check_triggers(self) -> None:
        for entry in self.actions():
            key = "trigger_conditions" if entry.get("trigger_conditions") else "listen_to"
            for each in _several(entry.get(key)):
                if EVENTS.get(each.data.strip()) is OutputEvent:
                    raise each.error("outputs leave the run and trigger nothing: name another")


def _several(value: Value | None) -> Iterable[Value]:
    if value is None or value.data is None:
        return ()
    return value.data if isinstance(value.data, list) else (value,)
