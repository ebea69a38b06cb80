"""Agents and resources from YAML files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import yaml

from perdure.flink_agents.api.agents.agent import Agent
from perdure.flink_agents.api.chat_message import ChatMessage
from perdure.flink_agents.api.chat_message import MessageRole as Role
from perdure.flink_agents.api.function import (
    ACTION_PARAMETER_TYPES,
    JavaFunction,
    PythonFunction,
)
from perdure.flink_agents.api.prompts.prompt import Prompt
from perdure.flink_agents.api.resource import ResourceDescriptor, ResourceType
from perdure.flink_agents.api.skills import Skills, SkillSourceSpec
from perdure.flink_agents.api.tools.function_tool import FunctionTool
from perdure.flink_agents.api.tools.tool import Tool
from perdure.flink_agents.api.tools.tool_parameter_injection import normalize_injected_args
from perdure.flink_agents.api.yaml.aliases import (
    JAVA_WRAPPER_CLAZZ,
    resolve_clazz,
    resolve_event_type,
)
from perdure.flink_agents.api.yaml.specs import (
    ActionSpec,
    AgentSpec,
    DescriptorSpec,
    PromptSpec,
    SkillsSpec,
    ToolSpec,
    YamlAgentsDocument,
)

__all__ = ["build_agents", "load_yaml", "resolve_function"]

Resources = dict[ResourceType, dict[str, Any]]
AnyPath = str | Path

_DESCRIBED: Final = {
    "chat_model_connections": ResourceType.CHAT_MODEL_CONNECTION,
    "chat_model_setups": ResourceType.CHAT_MODEL,
    "embedding_model_connections": ResourceType.EMBEDDING_MODEL_CONNECTION,
    "embedding_model_setups": ResourceType.EMBEDDING_MODEL,
    "vector_stores": ResourceType.VECTOR_STORE,
    "mcp_servers": ResourceType.MCP_SERVER,
    "subagents": ResourceType.AGENT,
}


class _Environment(Protocol):
    _agents: dict[str, Any]

    @property
    def resources(self) -> Resources: ...

    def add_resource(self, name: str, resource_type: ResourceType, instance: Any) -> Any: ...


def resolve_function(
    *,
    name: str,
    function: str | None,
    language: str | None = None,
    parameter_types: list[str] | None = None,
) -> PythonFunction | JavaFunction:
    """Return the function that `MODULE:NAME` means.

    Args:
        name: Of what it is the function, for messages.
        function: `package.module:function`, or `package.module:Class.function`.
        language: "java" for a Java method, which can be named and not called.
        parameter_types: Of a Java method.

    Raises:
        ValueError: It is not written so.
    """
    if function is None:
        raise ValueError(
            f"Action/tool {name!r}: 'function' is required and must be of the form"
            " '<module-or-class>:<qualname>'."
        )
    left, _, right = function.partition(":")
    if not left or not right or ":" in right:
        kind = "java" if language == "java" else "python"
        raise ValueError(
            f"Action/tool {name!r}: {kind} function {function!r} must be of the form"
            " '<module-or-class>:<qualname>', such as 'pkg.tools:add'."
        )
    if language == "java":
        return JavaFunction(qualname=left, method_name=right, parameter_types=parameter_types or [])
    return PythonFunction(module=left, qualname=right)


def build_agents(path: AnyPath) -> tuple[dict[str, Agent], Resources, dict[str, ActionSpec]]:
    """Return agents, shared resources and shared actions of a file, by name.

    Raises:
        ValueError: Two have one name, an action is unknown, or the file says what it must not.
    """
    found = yaml.safe_load(Path(path).read_text("utf-8"))
    if found is None:
        raise ValueError(f"YAML file {path} is empty")
    document = YamlAgentsDocument.model_validate(found)
    shared: Resources = {each: {} for each in ResourceType}
    for type_, name, made in _resources(document):
        if name in shared[type_]:
            raise ValueError(f"Duplicate shared {type_.value} name {name!r} in {path}")
        shared[type_][name] = made
    actions = _by_name(document.actions, f"shared action name in {path}")
    specs = _by_name(document.agents, f"agent name in {path}")
    return {name: _agent(spec, actions, path) for name, spec in specs.items()}, shared, actions


def load_yaml(env: _Environment, paths: AnyPath | Sequence[AnyPath]) -> None:
    """Give an environment the agents and resources of files; all of a file or nothing.

    Raises:
        ValueError: A name is taken, or a file says what it must not.
    """
    for path in [paths] if isinstance(paths, str | Path) else paths:
        agents, shared, _ = build_agents(path)
        for name in agents:
            if name in env._agents:
                raise ValueError(f"Duplicate agent name {name!r} (loading {path})")
        for type_, several in shared.items():
            for name in several:
                if name in env.resources[type_]:
                    raise ValueError(f"Duplicate shared {type_.value} {name!r} (loading {path})")
        for type_, several in shared.items():
            for name, made in several.items():
                env.add_resource(name, type_, made)
        env._agents.update(agents)


def _by_name(specs: Iterable[Any], what: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in specs:
        if each.name in found:
            raise ValueError(f"Duplicate {what}: {each.name!r}")
        found[each.name] = each
    return found


def _agent(spec: AgentSpec, shared: dict[str, ActionSpec], path: AnyPath) -> Agent:
    agent = Agent()
    for type_, name, made in _resources(spec):
        agent.add_resource(name, type_, made)
    for each in spec.actions:
        if isinstance(each, str):
            if each not in shared:
                raise ValueError(
                    f"Agent {spec.name!r} references shared action {each!r} in {path}, but no"
                    " shared action with that name is defined at the file level."
                )
            each = shared[each]
        func = resolve_function(
            name=each.name,
            function=each.function,
            language=each.type,
            parameter_types=ACTION_PARAMETER_TYPES,
        )
        triggers = [resolve_event_type(trigger) for trigger in each.triggers]
        agent.add_action(each.name, triggers, func, **(each.config or {}))
    return agent


def _resources(
    spec: AgentSpec | YamlAgentsDocument,
) -> Iterable[tuple[ResourceType, str, Any]]:
    for section, type_ in _DESCRIBED.items():
        for each in getattr(spec, section):
            yield type_, each.name, _descriptor(each, type_)
    for tool in spec.tools:
        yield ResourceType.TOOL, tool.name, _tool(tool)
    for prompt in spec.prompts:
        yield ResourceType.PROMPT, prompt.name, _prompt(prompt)
    for skills in spec.skills:
        yield ResourceType.SKILLS, skills.name, _skills(skills)


def _descriptor(spec: DescriptorSpec, type_: ResourceType) -> ResourceDescriptor:
    arguments = dict(spec.model_extra or {})
    if spec.type != "java":
        return ResourceDescriptor(clazz=resolve_clazz(spec.clazz, type_), arguments=arguments)
    if type_ not in JAVA_WRAPPER_CLAZZ:
        raise ValueError(f"Resource {spec.name!r}: type='java' is not supported for {type_.value}.")
    java = resolve_clazz(spec.clazz, type_, "java")
    arguments["java_clazz"] = java
    return ResourceDescriptor(clazz=JAVA_WRAPPER_CLAZZ[type_], arguments=arguments)


def _tool(spec: ToolSpec) -> FunctionTool:
    if spec.type == "java" and spec.parameter_types is None:
        raise ValueError(f"Tool {spec.name!r}: java tools must declare 'parameter_types' in YAML.")
    func = resolve_function(
        name=spec.name,
        function=spec.function,
        language=spec.type,
        parameter_types=spec.parameter_types,
    )
    if isinstance(func, JavaFunction):
        injected = normalize_injected_args(spec.injected_args)
        return FunctionTool(func=func, injected_args=injected)
    return Tool.from_callable(func.as_callable(), injected_args=spec.injected_args)


def _prompt(spec: PromptSpec) -> Prompt:
    if spec.text is not None:
        return Prompt.from_text(spec.text)
    return Prompt.from_messages(
        [
            ChatMessage(role=Role(each.role.value), content=each.content)
            for each in spec.messages or ()
        ]
    )


def _skills(spec: SkillsSpec) -> Skills:
    sources = [SkillSourceSpec(scheme="local", params={"path": each}) for each in spec.paths]
    sources += [SkillSourceSpec(scheme="url", params={"url": each}) for each in spec.urls]
    sources += [
        SkillSourceSpec(
            scheme="package", params={"package": each.package, "resource": each.resource}
        )
        for each in spec.package
    ]
    # Of Java: refused when the agent is compiled, and not passed over.
    sources += [
        SkillSourceSpec(scheme="classpath", params={"resource": each}) for each in spec.classpath
    ]
    return Skills(sources=sources)
