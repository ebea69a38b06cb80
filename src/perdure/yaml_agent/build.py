"""Builds one agent of a YAML file."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import perdure.integrations.providers  # noqa: F401 -- says what stands behind a model's name
from perdure.actions.react import ReActAgent
from perdure.agent.declaration import Agent
from perdure.agent.resources import declared_at
from perdure.call import RetryPolicy
from perdure.errors import ConfigurationError, PerdureError
from perdure.llm.chat_model import BaseChatModelSetup, ChatModel
from perdure.llm.embedding_model import EmbeddingModel
from perdure.llm.message import ChatMessage, MessageRole
from perdure.llm.output_schema import OutputSchema
from perdure.llm.prompt import Prompt
from perdure.llm.skills.skills import Skills
from perdure.llm.tool import FunctionTool, Tool
from perdure.resource import Resource, ResourceType
from perdure.yaml_agent.aliases import EVENTS, PROVIDERS
from perdure.yaml_agent.check import (
    Document,
    Entry,
    check_value,
    is_function,
    underscored,
)
from perdure.yaml_agent.code import Code, made
from perdure.yaml_agent.node import Value, typed
from perdure.yaml_agent.scope import Scope
from perdure.yaml_agent.spec import CHAT_MODEL, MESSAGE, RETRY, SECTIONS, TOOL, Form, Key, Kind

__all__ = ["build_agent"]

_CONNECTION_TIMEOUTS: Final = ("request_timeout", "timeout")
_NOT_ARGUMENTS: Final = frozenset({"name", "clazz", "type"})


def build_agent(document: Document, name: str) -> Agent:
    """Build an agent, with instances of its own of all that it uses.

    Raises:
        ConfigurationError: Something cannot be made, or the code that is named does not load.
    """
    return _Builder(document, name).agent()


class _Builder:
    """Makes the parts of one agent.

    Owns: nothing that lasts; what it makes belongs to the agent.
    """

    def __init__(self, document: Document, name: str) -> None:
        self._scope = Scope(document, document.agents[name])
        self._code = Code()
        self._makers: dict[str, Callable[[Entry], Any]] = {
            "prompts": lambda entry: self._prompt(entry.value),
            "tools": lambda entry: self._tool(entry.value, entry.name),
            "chat_models": lambda entry: self._chat_model(entry.value),
            "chat_model_connections": self._connection,
            "chat_model_setups": self._setup,
            "embedding_models": self._embedding_model,
            "embedding_model_connections": self._connection,
            "skills": lambda entry: self._skills(entry.value),
            "subagents": self._sub_agent,
        }

    def agent(self) -> Agent:
        self._scope.check()
        spec = self._scope.spec
        react = spec.value.data.get("react")
        agent = Agent() if react is None or react.data is None else self._react(react)
        for entry in self._scope.resources():
            assert entry.type is not None
            resource = self._makers.get(entry.section, self._described)(entry)
            declared_at(resource, str(entry.value.place))  # it is opened, or refused, with the job
            self._add(entry, agent.add_resource, entry.name, entry.type, resource)
        for entry in self._scope.actions():
            self._add_action(agent, entry)
        if type(agent) is Agent and not self._scope.actions():
            raise spec.value.error(
                f"the agent {spec.name!r} has no actions: add the key 'actions', or 'react'"
            )
        return agent

    def _add(self, entry: Entry, add: Callable[..., Any], *args: Any, **config: Any) -> None:
        try:
            add(*args, **config)
        except (PerdureError, TypeError) as error:
            raise entry.value.error(str(error)) from error

    def _add_action(self, agent: Agent, entry: Entry) -> None:
        key = "trigger_conditions" if entry.get("trigger_conditions") else "listen_to"
        content = entry.value.data[key]
        several = content.data if isinstance(content.data, list) else [content]
        # A condition may hold `${`; only a whole entry is an alias.
        triggers = [EVENTS.get(each.data.strip(), each.data) for each in several]
        func = self._code.function(entry.value.data["function"])
        config = entry.get("config")
        options = {} if config is None else config.plain()
        self._add(entry, agent.add_action, entry.name, triggers, func, **options)

    # Prompts and tools

    def _prompt(self, value: Value) -> Prompt:
        text = value.data.get("text")
        if text is not None and text.data:
            return Prompt(text.data)
        return Prompt([self._message(each) for each in value.data["messages"].data])

    def _message(self, value: Value) -> ChatMessage:
        role = value.data.get("role")
        said = (
            MessageRole.USER
            if role is None or role.data is None
            else MessageRole(_resolved("role", role, MESSAGE.keys["role"]))
        )
        return ChatMessage(role=said, content=value.data["content"].data)

    def _tool(self, value: Value, name: str | None) -> Tool:
        function = value.data["function"]
        found = self._code.find(function)
        given = self._known(value, TOOL)
        given.pop("function", None)
        if isinstance(found, Tool):
            if given:
                raise value.error(f"{function.data} is a Tool already: give it its options there")
            return found
        if not callable(found):
            raise function.error(f"{function.data} is a {type(found).__name__}: name a function")
        own = value.data.get("name")
        name = name or (None if own is None else own.text())
        if name is not None:
            given["name"] = name
        try:
            return FunctionTool.from_callable(found, **given)
        except (PerdureError, TypeError, ValueError) as error:
            raise value.error(f"{function.data}: {error}") from error

    def _tools(self, value: Value) -> list[Any]:
        return [
            self._tool(each, None)
            if isinstance(each.data, dict)
            else self._tool(Value(place=each.place, data={"function": each}), None)
            if is_function(each.data)
            else each.text()
            for each in value.data
        ]

    # Chat models

    def _chat_model(self, value: Value) -> BaseChatModelSetup:
        """Return a chat model that is declared the short way."""
        arguments = {**self._known(value, CHAT_MODEL), **self._others(value, CHAT_MODEL)}
        connection = value.data.get("connection")
        if connection is not None and connection.data is not None:
            arguments = self._through(connection, arguments)
        setup: BaseChatModelSetup = made(value, ChatModel, arguments)
        return setup

    def _setup(self, entry: Entry) -> Any:
        value = entry.value
        arguments = {**self._known(value, entry.form), **self._others(value, entry.form)}
        clazz, connection = entry.get("clazz"), entry.get("connection")
        cls: Any = BaseChatModelSetup
        if clazz is not None:
            cls = self._code.resource_class(clazz, ResourceType.CHAT_MODEL)
        if connection is not None:
            arguments = self._through(connection, arguments)
        elif clazz is not None and clazz.text() in PROVIDERS:
            cls = ChatModel
            arguments = _for_provider(clazz.text(), arguments)
            arguments.update(_address(clazz.text(), arguments))
        return made(value, cls, arguments)

    def _through(self, connection: Value, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments of a setup as its declared connection takes them."""
        declared = self._scope.find(ResourceType.CHAT_MODEL_CONNECTION, connection.text())
        assert declared is not None  # the scope has checked it
        provider = declared.value.data["clazz"].text()
        if provider in PROVIDERS:
            arguments = {**_bounds_of(declared), **_for_provider(provider, arguments)}
        return arguments

    def _connection(self, entry: Entry) -> Any:
        clazz = entry.value.data["clazz"]
        assert entry.type is not None
        cls = self._code.resource_class(clazz, entry.type)
        arguments = {
            **self._known(entry.value, entry.form),
            **self._others(entry.value, entry.form),
        }
        alias = clazz.text()
        if alias in PROVIDERS:
            arguments = {k: v for k, v in arguments.items() if k not in _CONNECTION_TIMEOUTS}
            arguments.pop("max_retries", None)
            if "api_base_url" in arguments:
                arguments["base_url"] = arguments.pop("api_base_url")
            arguments.update(_address(alias, arguments))
            if entry.type is ResourceType.EMBEDDING_MODEL_CONNECTION:
                arguments.setdefault("provider", PROVIDERS[alias].prefix)
        return made(entry.value, cls, arguments)

    def _thinker(self, value: Value, more: Mapping[str, Any]) -> Any:
        """Return the chat model of an agent: a variant of a declared one, or one of its own."""
        if isinstance(value.data, dict):
            return self._chat_model(value).varied(**more)
        name = value.text()
        entry = self._scope.find(ResourceType.CHAT_MODEL, name)
        if entry is None:
            return made(value, ChatModel, {"model": name, **more})
        return self._makers[entry.section](entry).varied(**more)

    def _react(self, value: Value) -> Agent:
        if isinstance(value.data, str):
            value = Value(place=value.place, data={"chat_model": value})
        given = self._parts(value)
        prompt = given.pop("prompt", None)
        if isinstance(prompt, str):
            entry = self._scope.find(ResourceType.PROMPT, prompt)
            if entry is None:
                raise value.data["prompt"].error(
                    f"there is no prompt {prompt!r} in this file: a ReAct agent asks with no other"
                )
            prompt = self._prompt(entry.value)
        model = self._thinker(value.data["chat_model"], given)
        declared_at(model, str(value.data["chat_model"].place))
        agent: Agent = made(value, ReActAgent, {"chat_model": model, "prompt": prompt})
        return agent

    def _sub_agent(self, entry: Entry) -> Any:
        from perdure.actions.sub_agent import SubAgent

        value = entry.value
        clazz = entry.get("clazz")
        cls: Any = SubAgent
        if clazz is not None:
            cls = self._code.resource_class(clazz, ResourceType.AGENT)
        if not issubclass(cls, SubAgent):
            plain = {k: v.plain() for k, v in value.data.items() if k not in _NOT_ARGUMENTS}
            return made(value, cls, plain)
        if others := entry.others():
            raise value.key_error(next(iter(others)), f"unknown key {next(iter(others))!r}")
        chat_model = entry.get("chat_model")
        if chat_model is None:
            raise value.error("the subagent has no chat_model: add the key 'chat_model'")
        arguments = {
            key: each
            for key, each in self._known(value, entry.form).items()
            if key in ("description", "parameters")
        }
        arguments["chat_model"] = self._thinker(chat_model, self._parts(value))
        return made(value, cls, arguments)

    def _parts(self, value: Value) -> dict[str, Any]:
        """Return the prompt, tools and output that an agent adds to its chat model."""
        form = SECTIONS["chat_models"].form
        keys = ("prompt", "tools", "output_schema")
        data = {key: value.data[key] for key in keys if key in value.data}
        return self._known(Value(place=value.place, data=data), form)

    # Other resources

    def _skills(self, value: Value) -> Skills:
        given = self._known(value, SECTIONS["skills"].form)
        sources = [
            *Skills.from_local_dir(*given.get("paths", ())).sources,
            *Skills.from_package(
                *((each["package"], each["resource"]) for each in given.get("package", ()))
            ).sources,
            *Skills.from_url(*given.get("urls", ())).sources,
        ]
        if not sources:
            raise value.error("the skills have no source: add the key 'paths' or 'package'")
        return Skills(sources)

    def _embedding_model(self, entry: Entry) -> Any:
        value = entry.value
        arguments = {**self._known(value, entry.form), **self._others(value, entry.form)}
        return made(value, EmbeddingModel, arguments)

    def _described(self, entry: Entry) -> Resource:
        assert entry.type is not None
        clazz = entry.get("clazz")
        if clazz is None:  # an MCP server: the others must have one, or have makers
            clazz = Value(place=entry.value.place, data="mcp")
        cls = self._code.resource_class(clazz, entry.type)
        arguments = {
            **self._known(entry.value, entry.form),
            **self._others(entry.value, entry.form),
        }
        resource: Resource = made(entry.value, cls, arguments)
        return resource

    # Values

    def _known(self, value: Value, form: Form) -> dict[str, Any]:
        """Return the values of the known keys, as the classes take them."""
        return {
            key: self._argument(key, value.data[key], known)
            for key, known in form.keys.items()
            if key in value.data and value.data[key].data is not None and key not in _NOT_ARGUMENTS
        }

    def _others(self, value: Value, form: Form) -> dict[str, Any]:
        return {k: each.plain() for k, each in value.data.items() if k not in form.keys}

    def _argument(self, key: str, value: Value, known: Key) -> Any:
        match known.kind:
            case Kind.TEXT | Kind.INTEGER | Kind.NUMBER | Kind.BOOLEAN:
                return _resolved(key, value, known)
            case Kind.NAMES:
                several = value.data if isinstance(value.data, list) else [value]
                return [each.text() for each in several]
            case Kind.PATHS:
                several = value.data if isinstance(value.data, list) else [value]
                return [str(Path(each.place.file).parent / each.text()) for each in several]
            case Kind.FUNCTION:
                return self._code.function(value)
            case Kind.RETRY:
                return made(value, RetryPolicy, self._known(underscored(value), RETRY))
            case Kind.SCHEMA:
                return self._schema(value)
            case Kind.PROMPT:
                return self._prompt_argument(value)
            case Kind.TOOLS:
                return self._tools(value)
        return value.plain()

    def _schema(self, value: Value) -> OutputSchema:
        output = self._code.find(value) if isinstance(value.data, str) else value.plain()
        try:
            found = OutputSchema.of(output)
        except (PerdureError, TypeError, ValueError) as error:
            raise value.error(f"output_schema: {error}") from error
        fault = None
        with contextlib.suppress(ConfigurationError):  # whoever uses it says what it needs
            fault = found.fault()
        if fault is not None:
            raise value.error(f"output_schema: {fault}")
        return found

    def _prompt_argument(self, value: Value) -> str | Prompt:
        if isinstance(value.data, dict):
            return self._prompt(value)
        if self._scope.is_prompt_name(value):
            return str(value.data)
        return Prompt(value.data)


def _resolved(key: str, value: Value, known: Key) -> Any:
    """Return a text or a number; with a variable in it, it is checked now."""
    if not value.is_variable:
        return value.plain()
    text = value.text()
    data = text if known.kind is Kind.TEXT else typed(text)
    check_value(key, dataclasses.replace(value, data=data, literal=True), known)
    return data


def _bounds_of(connection: Entry) -> dict[str, Any]:
    """Return what a connection's own bounds are for the setups that use it."""
    others = connection.others()
    found: dict[str, Any] = {}
    for key in _CONNECTION_TIMEOUTS:
        if key in others:
            found["timeout"] = others[key].plain()
    retries = others.get("max_retries")
    if retries is not None:
        count = retries.plain()
        if not isinstance(count, int) or isinstance(count, bool):
            raise retries.error(f"max_retries must be a whole number, not {count!r}")
        # As by default, only after failures that may pass.
        again = {"max_attempts": count + 1, "retry_on": (TimeoutError, ConnectionError)}
        found["retry"] = made(retries, RetryPolicy, again)
    return found


def _for_provider(provider: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a setup as the connection of a provider knows them."""
    found = dict(arguments)
    found.pop("extract_reasoning", None)  # it always is
    if "think" in found:
        found["thinking"] = found.pop("think")
    prefix = PROVIDERS[provider].prefix
    model = found.get("model")
    if prefix and model and not model.startswith(f"{prefix}:"):
        found["model"] = f"{prefix}:{model}"
    return found


def _address(provider: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the `base_url` of a provider in the form in which its clients take it."""
    known = PROVIDERS[provider]
    url = arguments.get("base_url") or known.base_url
    if not url:
        return {}
    if known.path and not url.rstrip("/").endswith(known.path):
        url = url.rstrip("/") + known.path
    return {"base_url": url}
