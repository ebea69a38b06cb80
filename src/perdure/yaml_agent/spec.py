"""What may stand in a YAML file of agents: the one table that is checked, built and published.

`perdure.yaml_agent.check` checks files by it, `perdure.yaml_agent.schema` makes the JSON schema of
it.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Final

from perdure.llm.tool import ToolParameterSource
from perdure.resource import ResourceType

__all__ = [
    "AGENT",
    "CHAT_MODEL",
    "FILE",
    "FORMS",
    "INCLUDED",
    "INJECTED_ARG",
    "MESSAGE",
    "PACKAGE_SKILL",
    "PROMPT",
    "REACT",
    "RETRY",
    "SECTIONS",
    "SINGLE",
    "SUBAGENT",
    "TOOL",
    "Form",
    "Key",
    "Kind",
    "Section",
]


class Kind(enum.Enum):
    """What the value of a key is."""

    TEXT = "text"
    TEMPLATE = "template"  # a text that keeps its `${`
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    NAMES = "names"  # one text, or a list of them
    PATHS = "paths"  # the same, of paths relative to the file
    PACKAGES = "packages"  # folders in packages
    FREE = "free"
    MAPPING = "mapping"
    FUNCTION = "function"  # module:function, or file.py:function
    RETRY = "retry"
    SCHEMA = "schema"  # a JSON schema, or module:Type
    PROMPT = "prompt"  # the name of a prompt, a text, or a prompt
    MESSAGES = "messages"
    TOOLS = "tools"  # names, functions or tools
    INJECTED = "injected"
    CHAT_MODEL = "chat_model"  # the name of a chat model, a model string, or a chat model
    REACT = "react"
    ACTIONS = "actions"  # a section whose entries may be names
    SECTION = "section"
    AGENTS = "agents"


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One key of a form."""

    kind: Kind
    help: str
    required: bool = False
    choices: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """A mapping with known keys.

    Attributes:
        name: What it describes, for messages and the JSON schema.
        keys: Its keys.
        short: The key that is meant where a text stands instead of the mapping; "" for none.
        others: What further keys are; "": there are none.
    """

    name: str
    keys: Mapping[str, Key]
    short: str = ""
    others: str = ""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A list, or a mapping by name, of things of one form.

    Attributes:
        form: Their form.
        type: What sort of resource they are; None: actions.
        help: What they are.
    """

    form: Form
    type: ResourceType | None
    help: str


def _text(help: str, *, required: bool = False, choices: tuple[str, ...] = ()) -> Key:
    return Key(kind=Kind.TEXT, help=help, required=required, choices=choices)


_NAME: Final = {"name": _text("Its name.", required=True)}
_LANGUAGE: Final = {"type": _text("The language; python is the only one.", choices=("python",))}
_FUNCTION: Final = Key(
    kind=Kind.FUNCTION,
    help="module:function, or file.py:function relative to this file.",
    required=True,
)
_CALLS: Final = {
    "timeout": Key(kind=Kind.NUMBER, help="Seconds for one attempt."),
    "retry": Key(kind=Kind.RETRY, help="When a failed attempt is followed by another."),
    "limit": _text("Name of a configured limit that its attempts count under."),
}
_TOOLS: Final = Key(
    kind=Kind.TOOLS,
    help="What the model may ask for: names of tools, MCP servers or sub-agents, or functions.",
)
_OUTPUT_SCHEMA: Final = Key(
    kind=Kind.SCHEMA, help="What the answer is read as: a JSON schema, or module:Type."
)
_SOURCES: Final = tuple(each.value for each in ToolParameterSource)

MESSAGE: Final = Form(
    name="message",
    keys={
        "role": _text("Who says it.", choices=("system", "user", "assistant", "tool")),
        "content": Key(
            kind=Kind.TEMPLATE, help="A text whose {name} are filled in.", required=True
        ),
    },
)
PROMPT: Final = Form(
    name="prompt",
    keys={
        **_NAME,
        "text": Key(kind=Kind.TEMPLATE, help="One text. Either this or messages."),
        "messages": Key(kind=Kind.MESSAGES, help="Messages with role and content."),
    },
    short="text",
)
INJECTED_ARG: Final = Form(
    name="injected_arg",
    keys={
        "source": _text("Where the argument comes from.", choices=_SOURCES),
        "key": _text("Its key or path there; by default the name of the parameter."),
        "value": Key(kind=Kind.FREE, help="The value, of a constant."),
    },
)
TOOL: Final = Form(
    name="tool",
    keys={
        **_NAME,
        "function": _FUNCTION,
        "description": _text("What it does, for the model; by default what its docstring says."),
        "injected_args": Key(
            kind=Kind.INJECTED, help="Arguments that the model does not see, by parameter."
        ),
        "requires_approval": Key(
            kind=Kind.BOOLEAN, help="Whether a person must agree before it is called."
        ),
        **_CALLS,
        "on_error": _text(
            "Whether the model is told why it failed, or the action fails.",
            choices=("return", "raise"),
        ),
        **_LANGUAGE,
    },
    short="function",
)
RETRY: Final = Form(
    name="retry",
    keys={
        "max_attempts": Key(kind=Kind.INTEGER, help="Attempts in all, the first included."),
        "initial_interval": Key(kind=Kind.NUMBER, help="Seconds before the second attempt."),
        "backoff_coefficient": Key(kind=Kind.NUMBER, help="Factor from each interval to the next."),
        "max_interval": Key(kind=Kind.NUMBER, help="Longest interval in seconds."),
        "jitter": Key(kind=Kind.NUMBER, help="Share by which each interval is varied."),
        "total_timeout": Key(kind=Kind.NUMBER, help="Seconds for all attempts together."),
        "count_crashes": Key(
            kind=Kind.BOOLEAN, help="Whether an attempt that ends with its process counts."
        ),
    },
)
ACTION: Final = Form(
    name="action",
    keys={
        **_NAME,
        "function": _FUNCTION,
        "trigger_conditions": Key(
            kind=Kind.NAMES,
            help="What triggers it: event types, their aliases, or conditions; any of them.",
        ),
        "listen_to": Key(kind=Kind.NAMES, help="The older name of trigger_conditions."),
        "config": Key(kind=Kind.MAPPING, help="Options that it finds in its context."),
        **_LANGUAGE,
    },
)

_CLAZZ: Final = _text("An alias, package.module.Class, or file.py:Class.")
_REQUIRED_CLAZZ: Final = dataclasses.replace(_CLAZZ, required=True)
_MODEL: Final = {
    "prompt": Key(
        kind=Kind.PROMPT, help="Put before the messages: the name of a prompt, a text, or a prompt."
    ),
    "tools": _TOOLS,
    "output_schema": _OUTPUT_SCHEMA,
    "output_mode": _text(
        "How the model is made to answer in the schema.",
        choices=("auto", "native", "tool", "prompted"),
    ),
    "output_retries": Key(
        kind=Kind.INTEGER, help="How often it is told that its answer does not fit."
    ),
    "max_rounds": Key(kind=Kind.INTEGER, help="Rounds of tool calls in one chat at most."),
    "token_budget": Key(kind=Kind.INTEGER, help="Tokens that one chat may take."),
    "fallbacks": Key(kind=Kind.NAMES, help="Chat models that are asked when this one fails."),
    **_CALLS,
    "stream": Key(kind=Kind.FUNCTION, help="A function that is told the pieces of responses."),
    "skills": Key(kind=Kind.NAMES, help="Names of the skills that it has."),
    "allowed_commands": Key(
        kind=Kind.NAMES, help="Programs that its tool bash may run, by bare names."
    ),
    "allowed_script_dirs": Key(
        kind=Kind.PATHS, help="Folders whose files its tool bash may run, relative to this file."
    ),
    "tool_options": Key(
        kind=Kind.MAPPING, help="Options of its tools load_skill and bash, by name."
    ),
}
_ADDRESS: Final = {
    "base_url": _text("Where the provider is."),
    "api_key": _text("The key: ${VARIABLE}; by default the provider's own variable."),
}
_SETTINGS: Final = "settings of the model, such as temperature"
_ARGUMENTS: Final = "arguments of the class"

CHAT_MODEL: Final = Form(
    name="chat_model",
    keys={
        **_NAME,
        "model": _text("provider:model, such as openai:gpt-5.", required=True),
        "connection": _text("Another connection, by its name; model is then passed to it."),
        **_ADDRESS,
        **_MODEL,
    },
    short="model",
    others=_SETTINGS,
)
SUBAGENT: Final = Form(
    name="subagent",
    keys={
        **_NAME,
        "clazz": _CLAZZ,
        **_LANGUAGE,
        "chat_model": Key(
            kind=Kind.CHAT_MODEL,
            help="What it thinks with: the name of a chat model, provider:model, or a chat model.",
        ),
        "description": _text("What it is for, for the model that asks."),
        "parameters": Key(kind=Kind.MAPPING, help="JSON schema of its arguments."),
        "prompt": _MODEL["prompt"],
        "tools": _TOOLS,
        "output_schema": _OUTPUT_SCHEMA,
    },
    others="arguments of the class, where clazz names one",
)
REACT: Final = Form(
    name="react",
    keys={
        "chat_model": Key(
            kind=Kind.CHAT_MODEL,
            help="What it thinks with: the name of a chat model, provider:model, or a chat model.",
            required=True,
        ),
        "prompt": Key(
            kind=Kind.PROMPT,
            help="What is asked, filled with the fields of the input; by default the input itself.",
        ),
        "tools": _TOOLS,
        "output_schema": dataclasses.replace(
            _OUTPUT_SCHEMA, help="What outputs are read as; without it they are text."
        ),
    },
    short="chat_model",
)

PACKAGE_SKILL: Final = Form(
    name="package_skill",
    keys={
        "package": _text("The package.", required=True),
        "resource": _text("The folder or zip in it.", required=True),
    },
)
SKILLS: Final = Form(
    name="skills",
    keys={
        **_NAME,
        "paths": Key(
            kind=Kind.PATHS,
            help="Folders of skills, or zips of them, relative to this file.",
        ),
        "package": Key(kind=Kind.PACKAGES, help="Folders of skills in packages."),
        "urls": Key(kind=Kind.NAMES, help="Refused when a job opens: nothing is fetched."),
    },
    short="paths",
)


def _described(name: str, keys: Mapping[str, Key], clazz: Key, short: str = "") -> Form:
    known = {**_NAME, "clazz": clazz, **_LANGUAGE, **keys}
    return Form(name=name, keys=known, short=short, others=_ARGUMENTS)


SECTIONS: Final[Mapping[str, Section]] = {
    "prompts": Section(
        form=PROMPT, type=ResourceType.PROMPT, help="Templates of messages."
    ),
    "tools": Section(
        form=TOOL, type=ResourceType.TOOL, help="Functions that models may ask for."
    ),
    "mcp_servers": Section(
        form=_described(
            "mcp_server",
            {
                "command": _text("The program and its arguments, or a URL."),
                "endpoint": _text("Where the server listens."),
                **_CALLS,
            },
            _CLAZZ,
            short="command",
        ),
        type=ResourceType.MCP_SERVER,
        help="MCP servers: their tools and prompts can be named like any other.",
    ),
    "chat_models": Section(
        form=CHAT_MODEL,
        type=ResourceType.CHAT_MODEL,
        help="Chat models the short way: connection and setup in one.",
    ),
    "chat_model_connections": Section(
        form=_described("chat_model_connection", _ADDRESS, _REQUIRED_CLAZZ),
        type=ResourceType.CHAT_MODEL_CONNECTION,
        help="What talks to the providers of chat models.",
    ),
    "chat_model_setups": Section(
        form=_described(
            "chat_model_setup",
            {
                "connection": _text("Name of a chat model connection."),
                "model": _text("The model, as the connection knows it."),
                **_MODEL,
            },
            _CLAZZ,
        ),
        type=ResourceType.CHAT_MODEL,
        help="How chat models are used.",
    ),
    "embedding_models": Section(
        form=Form(
            name="embedding_model",
            keys={
                **_NAME,
                "model": _text(
                    "provider:model, such as openai:text-embedding-3-small or local:minilm.",
                    required=True,
                ),
                "batch_size": Key(kind=Kind.INTEGER, help="Most texts of one request."),
                **_ADDRESS,
            },
            short="model",
            others="arguments of each request, such as dimensions",
        ),
        type=ResourceType.EMBEDDING_MODEL,
        help="Embedding models the short way.",
    ),
    "embedding_model_connections": Section(
        form=_described("embedding_model_connection", _ADDRESS, _REQUIRED_CLAZZ),
        type=ResourceType.EMBEDDING_MODEL_CONNECTION,
        help="What talks to the providers of embedding models.",
    ),
    "embedding_model_setups": Section(
        form=_described(
            "embedding_model_setup",
            {
                "connection": _text("Name of an embedding model connection."),
                "model": _text("The model, as the connection knows it."),
                "batch_size": Key(kind=Kind.INTEGER, help="Most texts of one request."),
            },
            _CLAZZ,
        ),
        type=ResourceType.EMBEDDING_MODEL,
        help="Which embedding models are used.",
    ),
    "vector_stores": Section(
        form=_described(
            "vector_store",
            {
                "embedding_model": _text("Name of an embedding model."),
                "collection": _text("The collection that is used where none is named."),
            },
            _REQUIRED_CLAZZ,
            short="clazz",
        ),
        type=ResourceType.VECTOR_STORE,
        help="Documents with their embeddings.",
    ),
    "skills": Section(
        form=SKILLS,
        type=ResourceType.SKILLS,
        help="Where skills come from: folders with a SKILL.md each.",
    ),
    "subagents": Section(
        form=SUBAGENT,
        type=ResourceType.AGENT,
        help="Agents that a model asks as it asks a tool.",
    ),
    "actions": Section(form=ACTION, type=None, help="Functions that events trigger."),
}  # fmt: skip

_DECLARED: Final = {
    name: Key(kind=Kind.ACTIONS if name == "actions" else Kind.SECTION, help=section.help)
    for name, section in SECTIONS.items()
}
_SHARED: Final = {
    name: Key(kind=Kind.SECTION, help=f"{key.help} All agents of the file have them.")
    for name, key in _DECLARED.items()
}
_INCLUDE: Final = Key(
    kind=Kind.NAMES, help="Files, relative to this one, whose shared things are this file's too."
)
_CONFIG: Final = Key(kind=Kind.MAPPING, help="Options of running, under the environment and --set.")

AGENT: Final = Form(
    name="agent",
    keys={
        **_NAME,
        "description": _text("What it does, for the reader."),
        "react": Key(
            kind=Kind.REACT, help="A ReAct agent: each input a task, the model's answer its output."
        ),
        **_DECLARED,
    },
)
FILE: Final = Form(
    name="file",
    keys={
        "agents": Key(kind=Kind.AGENTS, help="The agents of the file.", required=True),
        "include": _INCLUDE,
        "config": _CONFIG,
        **_SHARED,
    },
)
# A file without `agents` declares one agent.
SINGLE: Final = Form(
    name="single",
    keys={
        **AGENT.keys,
        "name": _text("Its name; by default that of the file."),
        "include": _INCLUDE,
        "config": _CONFIG,
    },
)
# A file that others include.
INCLUDED: Final = Form(name="included_file", keys=_SHARED)

FORMS: Final = (
    MESSAGE, PACKAGE_SKILL, PROMPT, INJECTED_ARG, TOOL, RETRY, ACTION, REACT, AGENT,
    *{each.form.name: each.form for each in SECTIONS.values()
      if each.form.name not in ("prompt", "tool", "action")}.values(),
)  # fmt: skip
