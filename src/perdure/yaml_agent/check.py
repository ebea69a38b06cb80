"""Checks a YAML file of agents against the table of what may stand in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from perdure.agent.loading import check_file
from perdure.errors import ConfigurationError, nearest
from perdure.resource import ResourceType
from perdure.yaml_agent.node import Place, Value, near, read_file
from perdure.yaml_agent.spec import (
    AGENT,
    CHAT_MODEL,
    FILE,
    INCLUDED,
    INJECTED_ARG,
    MESSAGE,
    PACKAGE_SKILL,
    PROMPT,
    REACT,
    RETRY,
    SECTIONS,
    SINGLE,
    SUBAGENT,
    TOOL,
    Form,
    Key,
    Kind,
)

__all__ = [
    "AgentSpec",
    "Document",
    "Entry",
    "check_document",
    "check_value",
    "is_function",
    "underscored",
]

# What keys of Flink Agents' files are answered with, where perdure has no such thing.
_MISSING: Final = {
    "classpath": "it is for Java: name folders or zips with paths, or a package with package",
    "parameter_types": "it is for Java: a Python function's parameters are read from it",
}
# Settings of models, which stand beside the known keys: none of them is a mistyped key.
_SETTINGS: Final = frozenset(
    "temperature max_tokens top_p top_k seed presence_penalty frequency_penalty logit_bias "
    "stop_sequences parallel_tool_calls tool_choice thinking service_tier extra_headers "
    "extra_body url args env cwd headers prefix dimensions".split()
)

_ONE_OF: Final[Mapping[str, tuple[tuple[str, ...], ...]]] = {
    "prompt": (("text", "messages"),),
    "action": (("trigger_conditions", "listen_to"),),
    "subagent": (("chat_model", "clazz"),),
}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One declared thing.

    Attributes:
        section: The section that it stands in.
        name: Its name.
        value: Its mapping.
        place: Where its name stands.
    """

    section: str
    name: str
    value: Value
    place: Place

    @property
    def form(self) -> Form:
        """What may stand in it."""
        return SECTIONS[self.section].form

    @property
    def type(self) -> ResourceType | None:
        """What sort of resource it is; None for an action."""
        return SECTIONS[self.section].type

    def get(self, key: str) -> Value | None:
        """Return the value of a key; None where there is none or it is null."""
        found: Value | None = self.value.data.get(key)
        return None if found is None or found.data is None else found

    def others(self) -> dict[str, Value]:
        """Return what stands beside the known keys."""
        return {k: v for k, v in self.value.data.items() if k not in self.form.keys}


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class AgentSpec:
    """One agent of a file.

    Attributes:
        name: Its name.
        value: Its mapping.
        entries: What it declares itself.
        named_actions: Shared actions that it takes by name.
    """

    name: str
    value: Value
    entries: tuple[Entry, ...]
    named_actions: tuple[Value, ...]


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """A file that has only what may stand in it.

    Attributes:
        path: The file.
        agents: Its agents by name.
        shared: What it declares for all of them.
        config: Its options; None where it has none.
    """

    path: Path
    agents: Mapping[str, AgentSpec]
    shared: tuple[Entry, ...]
    config: Value | None


def check_document(root: Value, path: Path) -> Document:
    """Return a file's content, checked.

    Raises:
        ConfigurationError: A key is unknown, is missing or has a wrong value, or two things have
            one name.
    """
    if not isinstance(root.data, dict):
        raise root.error("an agent file is a mapping, such as `agents: [...]`")
    top = _without_extensions(root)
    keys = top.data
    if "agents" not in keys:
        _check(top, SINGLE)
        named = keys.get("name")
        if named is not None and not named.data:
            raise named.error("the agent has an empty name: remove it, or give it another")
        spec = _agent_spec(path.stem if named is None else named.text(), top)
        shared = _with_included((), keys.get("include"))
        return Document(
            path=path, agents={spec.name: spec}, shared=shared, config=keys.get("config")
        )
    _check(top, FILE)
    shared = _with_included(_entries(top)[0], keys.get("include"))
    agents: dict[str, AgentSpec] = {}
    for name, place, value in _named(keys["agents"], "agent"):
        if name in agents:
            raise _twice(place, "agent", name, agents[name].value.place)
        _check(value, AGENT, inside=True)
        agents[name] = _agent_spec(name, value)
    if not agents:
        raise keys["agents"].error("there is no agent in it: declare one, with a name and actions")
    return Document(path=path, agents=agents, shared=shared, config=keys.get("config"))


def _without_extensions(root: Value) -> Value:
    """Leave out the keys that hold anchors, as in other YAML files."""
    keys = {key: value for key, value in root.data.items() if not key.startswith("x-")}
    return dataclasses.replace(root, data=keys)


def _with_included(own: tuple[Entry, ...], include: Value | None) -> tuple[Entry, ...]:
    """Return shared entries with those of included files."""
    found = {(each.type, each.name): each for each in own}
    several: Any = () if include is None or include.data is None else include.data
    for named in several if isinstance(several, list | tuple) else (include,):
        file = Path(named.place.file).parent / named.text()
        try:
            check_file(str(file), "tools.yaml", "*.y*ml")
        except ConfigurationError as error:
            raise named.error(str(error)) from error
        root = read_file(file)
        if not isinstance(root.data, dict):
            raise root.error("an included file is a mapping, such as `tools: [...]`")
        top = _without_extensions(root)
        _check(top, INCLUDED)
        for entry in _entries(top)[0]:
            first = found.setdefault((entry.type, entry.name), entry)
            if first is not entry:
                what = entry.form.name.replace("_", " ")
                raise _twice(entry.place, what, entry.name, first.place)
    return tuple(found.values())


def _twice(place: Place, what: str, name: str, first: Place) -> Exception:
    where = f"line {first.line}" if first.file == place.file else str(first)
    return Value(place=place, data=None).error(
        f"the {what} {name!r} stands in {where} already: rename one"
    )


def _agent_spec(name: str, value: Value) -> AgentSpec:
    entries, named = _entries(value)
    return AgentSpec(name=name, value=value, entries=entries, named_actions=named)


def _entries(value: Value) -> tuple[tuple[Entry, ...], tuple[Value, ...]]:
    """Return what the sections of an agent or a file declare, and the actions that are named."""
    found: dict[tuple[Any, str], Entry] = {}
    named_actions: list[Value] = []
    for section, info in SECTIONS.items():
        content = value.data.get(section)
        if content is None or content.data is None:
            continue
        if section == "actions" and isinstance(content.data, list):
            named = [each for each in content.data if isinstance(each.data, str)]
            named_actions += named
            rest = [each for each in content.data if not isinstance(each.data, str)]
            content = dataclasses.replace(content, data=rest)
        for name, place, each in _named(content, info.form.name, info.form.short):
            _check(each, info.form, inside=True)
            entry = Entry(section=section, name=name, value=each, place=place)
            first = found.setdefault((info.type, name), entry)
            if first is not entry:
                what = info.form.name.replace("_", " ")
                raise _twice(place, what, name, first.place)
    return tuple(found.values()), tuple(named_actions)


def _named(content: Value, what: str, short: str = "") -> Iterator[tuple[str, Place, Value]]:
    """Yield name, place and mapping of each thing in a list or a mapping by name."""
    what = what.replace("_", " ")
    if content.data is None:
        return
    if isinstance(content.data, dict):
        for name, each in content.data.items():
            place = content.key_places[name]
            if not name:
                raise content.key_error(name, f"the {what} has an empty name: give it another")
            if isinstance(each.data, dict) and "name" in each.data:
                raise each.key_error("name", f"its name is {name!r} already: remove this key")
            yield name, place, _long(each, what, short)
        return
    if not isinstance(content.data, list):
        raise content.error(f"write a list of {what}s, each with a name, or a mapping by name")
    for each in content.data:
        if not isinstance(each.data, dict):
            raise each.error(f"in a list, the {what} must be a mapping with a name")
        named = each.data.get("name")
        if named is None:
            raise each.error(f"the {what} has no name: add the key 'name'")
        if not isinstance(named.data, str) or not named.data:
            raise named.error(f"name must be text, not {named.shown}: put it in quotes")
        yield named.data, named.place, each


def _long(value: Value, what: str, short: str) -> Value:
    """Return the mapping that a value means."""
    if isinstance(value.data, dict):
        return value
    if isinstance(value.data, str) and short:
        return Value(place=value.place, data={short: value}, key_places={short: value.place})
    if value.data is None:
        return dataclasses.replace(value, data={})
    also = f", or its {short}" if short else ""
    raise value.error(f"the {what} must be a mapping{also}, not {value.shown}")


# Keys and values


def _check(value: Value, form: Form, *, inside: bool = False) -> None:
    """Check a mapping against a form.

    Args:
        value: The mapping.
        form: What may stand in it.
        inside: Whether its name stands where the mapping does, so that the key may be missing.
    """
    what = form.name.replace("_", " ")
    for key, each in value.data.items():
        if key in _MISSING and key not in form.keys:
            raise value.key_error(key, f"{key}: {_MISSING[key]}")
        known = form.keys.get(key)
        if known is None:
            _check_other(value, key, form)
        elif each.data is not None:
            check_value(key, each, known)
    for key, known in form.keys.items():
        given = value.data.get(key)
        if known.required and (given is None or given.data is None):
            if key == "name" and inside:
                continue
            raise value.error(f"the {what} has no {key}: add the key {key!r}")
    _check_alternatives(value, form, what)


def _check_alternatives(value: Value, form: Form, what: str) -> None:
    """Check that of keys that exclude each other one is there."""
    for keys in _ONE_OF.get(form.name, ()):
        # An empty one stands for none: a prompt that says nothing is a mistake.
        given = [key for key in keys if key in value.data and value.data[key].data]
        if not given:
            raise value.error(f"the {what} has no {keys[0]}: add the key {' or '.join(keys)}")
        if len(given) > 1 and form is not SUBAGENT:
            raise value.key_error(given[1], f"the {what} has {given[0]} already: remove one")


def _check_other(value: Value, key: str, form: Form) -> None:
    names = [name for name in form.keys if name != "name" or "name" in value.data]
    if not form.others:
        what = {"single": "agent"}.get(form.name, form.name.replace("_", " "))
        raise value.key_error(
            key, f"unknown key {key!r:.100} of the {what}: {near(key, names, 'its keys are')}"
        )
    close = nearest(key, names, cutoff=0.85)
    if close and key not in _SETTINGS and close not in value.data:
        raise value.key_error(key, f"unknown key {key!r:.100}: did you mean {close!r}?")


def check_value(key: str, value: Value, known: Key) -> None:
    """Check the value of a key.

    Raises:
        ConfigurationError: It is of a wrong kind, or none of the choices.
    """
    _CHECKS[known.kind](key, value, known)


def is_function(text: str) -> bool:
    """Tell module:function from a name and from a text."""
    place, colon, attribute = text.rpartition(":")
    return (
        bool(colon and place and attribute)
        and all(part.isidentifier() for part in attribute.split("."))
        and not any(letter.isspace() for letter in place)
    )


def _text(key: str, value: Value, known: Key) -> None:
    if not isinstance(value.data, str):
        raise value.error(f"{key} must be text, not {value.shown}: put it in quotes")
    if known.choices and not value.is_variable and value.data not in known.choices:
        if key == "type" and value.data == "java":
            raise value.error("type: java: perdure runs Python alone")
        raise value.error(f"{key} is {value.shown}: {near(value.data, known.choices)}")


def _numeric(kinds: tuple[type, ...], what: str) -> Callable[[str, Value, Key], None]:
    def check(key: str, value: Value, known: Key) -> None:
        data = value.data
        if value.is_variable:
            return  # it is looked at when it is known
        if not isinstance(data, kinds) or (isinstance(data, bool) and bool not in kinds):
            raise value.error(f"{key} must be {what}, not {value.shown}")

    return check


def _names(key: str, value: Value, known: Key) -> None:
    several = value.data if isinstance(value.data, list) else [value]
    for each in several:
        if not isinstance(each.data, str):
            raise each.error(f"{key} holds text, not {each.shown}: put it in quotes")
        if not each.data.strip():
            raise each.error(f"{key} holds a blank text: remove it")
    if not several:
        raise value.error(f"{key} is empty: name one at least")


def _free(key: str, value: Value, known: Key) -> None:
    pass


def _mapping(key: str, value: Value, known: Key) -> None:
    if not isinstance(value.data, dict):
        raise value.error(f"{key} must be a mapping, not {value.shown}")


def _function(key: str, value: Value, known: Key) -> None:
    _text(key, value, known)
    if not is_function(value.data):
        raise value.error(f"{key} is {value.shown}: write module:function or file.py:function")


def _form(form: Form) -> Callable[[str, Value, Key], None]:
    def check(key: str, value: Value, known: Key) -> None:
        if isinstance(value.data, str) and form.short:
            return
        if form.short and not isinstance(value.data, dict):
            raise value.error(f"{key} must be text or a mapping, not {value.shown}")
        _mapping(key, value, known)
        _check(value, form, inside=True)

    return check


def _schema(key: str, value: Value, known: Key) -> None:
    if isinstance(value.data, str):
        _function(key, value, known)
    else:
        _mapping(key, value, known)


def _prompt(key: str, value: Value, known: Key) -> None:
    if isinstance(value.data, str):
        return
    _mapping(key, value, known)
    _check(value, PROMPT, inside=True)


def _messages(key: str, value: Value, known: Key) -> None:
    if not isinstance(value.data, list) or not value.data:
        raise value.error("messages is a list of messages, each with role and content")
    for each in value.data:
        _form(MESSAGE)("message", each, known)


def _tools(key: str, value: Value, known: Key) -> None:
    if not isinstance(value.data, list):
        raise value.error(f"{key} is a list of names, functions or tools, not {value.shown}")
    for each in value.data:
        if not isinstance(each.data, str):
            _form(TOOL)("a tool", each, known)


def _packages(key: str, value: Value, known: Key) -> None:
    if not isinstance(value.data, list):
        raise value.error(f"{key} is a list, each with package and resource, not {value.shown}")
    for each in value.data:
        _form(PACKAGE_SKILL)(f"a {key}", each, known)


def _injected(key: str, value: Value, known: Key) -> None:
    _mapping(key, value, known)
    for name, each in value.data.items():
        if each.data is not None:
            _form(INJECTED_ARG)(f"{key}.{name}", each, known)


def _retry(key: str, value: Value, known: Key) -> None:
    _mapping(key, value, known)
    _check(underscored(value), RETRY)


def underscored(value: Value) -> Value:
    """Return a mapping whose keys are written with dashes, as in the configuration, or without.

    Raises:
        ConfigurationError: A key is there both ways.
    """
    for name in value.data:
        if "-" in name and (other := name.replace("-", "_")) in value.data:
            raise value.key_error(name, f"{name} stands here as {other} already: remove one")
    data = {name.replace("-", "_"): each for name, each in value.data.items()}
    places = {name.replace("-", "_"): each for name, each in value.key_places.items()}
    return dataclasses.replace(value, data=data, key_places=places)


_CHECKS: Final[Mapping[Kind, Callable[[str, Value, Key], None]]] = {
    Kind.TEXT: _text,
    Kind.TEMPLATE: _text,
    Kind.INTEGER: _numeric((int,), "a whole number"),
    Kind.NUMBER: _numeric((int, float), "a number"),
    Kind.BOOLEAN: _numeric((bool,), "true or false"),
    Kind.NAMES: _names,
    Kind.PATHS: _names,
    Kind.PACKAGES: _packages,
    Kind.FREE: _free,
    Kind.MAPPING: _mapping,
    Kind.FUNCTION: _function,
    Kind.RETRY: _retry,
    Kind.SCHEMA: _schema,
    Kind.PROMPT: _prompt,
    Kind.MESSAGES: _messages,
    Kind.TOOLS: _tools,
    Kind.INJECTED: _injected,
    Kind.CHAT_MODEL: _form(CHAT_MODEL),
    Kind.REACT: _form(REACT),
    # What is in these is checked entry by entry.
    Kind.ACTIONS: _free,
    Kind.SECTION: _free,
    Kind.AGENTS: _free,
}
