"""Every name of Flink Agents is here, or the page of names says why not."""

from __future__ import annotations

import importlib
import inspect
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from flink_agents.api.configuration import ConfigOption

DOCS = Path(__file__).parents[2] / "docs"
WRITER = runpy.run_path(str(DOCS / "write_flink_agents_names.py"))
NAMES = [
    (module, name, described)
    for module, names in WRITER["modules"]().items()
    for name, described in names.items()
]


def test_the_page_is_up_to_date() -> None:
    assert (DOCS / "flink-agents-names.md").read_text("utf-8") == WRITER["render"](), (
        "run `make docs`"
    )


def found(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"flink_agents.{module}"), name, None)


def parameters(written: str) -> list[str]:
    inner = written[written.index("(") + 1 : written.rindex(")")]
    names = [each.split("=")[0].split(":")[0].strip(" *") for each in inner.split(",")]
    return [each for each in names if each.isidentifier()]


def takes(func: Any, names: list[str]) -> bool:
    known = inspect.signature(func).parameters
    return set(names) <= set(known)


@pytest.mark.parametrize(
    ("module", "name", "described"), NAMES, ids=[f"{each[0]}.{each[1]}" for each in NAMES]
)
def test_parameters_have_their_names(module: str, name: str, described: dict) -> None:
    if WRITER["judged"](module, name, described)[0] == "absent":
        return
    thing = found(module, name)
    refused = "refused when it is opened" in WRITER["judged"](module, name, described)[1]
    if "args" in described:
        assert takes(thing, parameters(described["args"]))
    if "init" in described and not refused:
        assert takes(thing.__init__, parameters(described["init"]))
    for member, written in described.get("members", {}).items():
        if not isinstance(written, str) or not re.match(r"(static|class)?(method )?\(", written):
            continue
        if refused or not hasattr(thing, member):
            continue
        assert takes(getattr(thing, member), parameters(written)), member


@pytest.mark.parametrize("holder", ["AgentConfigOptions", "AgentExecutionOptions"])
def test_options_have_their_keys_and_defaults(holder: str) -> None:
    described = WRITER["modules"]()["api.core_options"][holder]["members"]
    for name, written in described.items():
        option = getattr(found("api.core_options", holder), name)
        assert isinstance(option, ConfigOption)
        key, kind, default = re.fullmatch(r"option '(.*?)' (\w+) default (.*)", written).groups()
        assert (option.get_key(), option.get_type().__name__) == (key, kind)
        if "cpu" not in default and "." not in default:
            assert repr(option.get_default_value()) == default, name


def test_constants_have_their_values() -> None:
    for module, name, described in NAMES:
        for member, written in described.get("members", {}).items():
            if isinstance(written, str) and (at := re.fullmatch(r"constant ('.*')", written)):
                value = getattr(found(module, name), member)
                assert repr(getattr(value, "value", value)) == at[1], (module, name, member)
