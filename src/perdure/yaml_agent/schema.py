"""The JSON schema of YAML agent files, for editors.

`python -m perdure.yaml_agent.schema` writes `data/agent.schema.json` anew.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

from perdure.yaml_agent.aliases import CLASSES
from perdure.yaml_agent.spec import FILE, FORMS, SECTIONS, SINGLE, Form, Key, Kind, Section

__all__ = ["json_schema", "schema_text"]

FILE_NAME: Final = Path(__file__).parents[1] / "data" / "agent.schema.json"

# A number may stand in the environment.
_VARIABLE: Final = {"type": "string", "pattern": r"\$\{"}
_TEXT: Final = {"type": "string"}
_FUNCTION: Final = {"type": "string", "pattern": r"^\S+:[\w.]+$"}
_PARTS: Final[dict[Kind, Any]] = {
    Kind.TEXT: _TEXT,
    Kind.TEMPLATE: _TEXT,
    Kind.INTEGER: {"anyOf": [{"type": "integer"}, _VARIABLE]},
    Kind.NUMBER: {"anyOf": [{"type": "number"}, _VARIABLE]},
    Kind.BOOLEAN: {"anyOf": [{"type": "boolean"}, _VARIABLE]},
    Kind.NAMES: {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]},
    Kind.PATHS: {"anyOf": [_TEXT, {"type": "array", "items": _TEXT, "minItems": 1}]},
    Kind.PACKAGES: {
        "type": "array",
        "items": {"$ref": "#/$defs/package_skill"},
        "minItems": 1,
    },
    Kind.FREE: {},
    Kind.MAPPING: {"type": "object"},
    Kind.FUNCTION: _FUNCTION,
    Kind.RETRY: {"$ref": "#/$defs/retry"},
    Kind.SCHEMA: {"anyOf": [_FUNCTION, {"type": "object"}]},
    Kind.PROMPT: {"anyOf": [_TEXT, {"$ref": "#/$defs/prompt"}]},
    Kind.MESSAGES: {"type": "array", "items": {"$ref": "#/$defs/message"}, "minItems": 1},
    Kind.TOOLS: {"type": "array", "items": {"anyOf": [_TEXT, {"$ref": "#/$defs/tool"}]}},
    Kind.INJECTED: {
        "type": "object",
        "additionalProperties": {"$ref": "#/$defs/injected_arg"},
    },
    Kind.CHAT_MODEL: {"anyOf": [_TEXT, {"$ref": "#/$defs/chat_model"}]},
    Kind.REACT: {"anyOf": [_TEXT, {"$ref": "#/$defs/react"}]},
}


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a file."""
    extension = {"patternProperties": {"^x-": {"description": "Ignored: for anchors."}}}
    # A file that others include is none that this schema is for.
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "perdure agent file",
        "if": {"required": ["agents"]},
        "then": {**_form(FILE), **extension},
        "else": {**_form(SINGLE), **extension},
        "type": "object",
        "$defs": {form.name: _form(form) for form in FORMS},
    }


def schema_text() -> str:
    """Return the JSON schema as text."""
    return json.dumps(json_schema(), indent=2, ensure_ascii=False) + "\n"


def _form(form: Form) -> dict[str, Any]:
    required = [key for key, known in form.keys.items() if known.required and key != "name"]
    found: dict[str, Any] = {
        "type": "object",
        "properties": {key: _key(form, key, known) for key, known in form.keys.items()},
    }
    if required:
        found["required"] = required
    if not form.others:
        found["additionalProperties"] = False
    return found


def _key(form: Form, key: str, known: Key) -> dict[str, Any]:
    part = dict(_part(key, known))
    if known.choices:
        part = {"enum": list(known.choices)}
    if key == "clazz":
        aliases = _aliases(form)
        part = {"anyOf": [{"enum": aliases}, _TEXT]} if aliases else dict(_TEXT)
    return {**part, "description": known.help}


def _part(key: str, known: Key) -> dict[str, Any]:
    if known.kind is Kind.AGENTS:
        return _several({"$ref": "#/$defs/agent"}, "")
    if known.kind in (Kind.SECTION, Kind.ACTIONS):
        section = SECTIONS[key]
        return _section(section, names=known.kind is Kind.ACTIONS)
    part: dict[str, Any] = _PARTS[known.kind]
    return part


def _section(section: Section, *, names: bool) -> dict[str, Any]:
    return _several({"$ref": f"#/$defs/{section.form.name}"}, section.form.short, names=names)


def _several(form: dict[str, Any], short: str, *, names: bool = False) -> dict[str, Any]:
    """Return the schema of a list of named things, or a mapping of them by name."""
    named = {**form, "required": ["name"]}
    item = {"anyOf": [_TEXT, named]} if names else named
    value = {"anyOf": [_TEXT, form]} if short else form
    return {
        "anyOf": [
            {"type": "array", "items": item},
            {"type": "object", "additionalProperties": value},
        ]
    }


def _aliases(form: Form) -> list[str]:
    section = next(each for each in SECTIONS.values() if each.form is form)
    return [] if section.type is None else list(CLASSES.get(section.type, ()))


if __name__ == "__main__":
    FILE_NAME.parent.mkdir(exist_ok=True)
    FILE_NAME.write_text(schema_text(), "utf-8")
