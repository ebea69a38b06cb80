"""Writes configuration.md from the options in the code: `make docs`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from perdure.config import AgentExecutionOptions, ConfigOption, all_options

PAGE = Path(__file__).with_name("configuration.md")

HEAD = """\
# Configuration

<!-- Written by `make docs`; change the descriptions in src/perdure/config.py. -->

An option is looked up in these places; a later one wins:

1. its default
2. `LocalEngine(config=...)`: a dict or the path of a YAML file, where a dot in a key may be
   written as nesting
3. the environment variable
4. on the command line, `--set KEY=VALUE`, as often as needed

An unknown key or a wrong value is an error that says where it stands. Keys that begin with
`agent.` are the agent's own: any value, read through `ctx.config.agent`.

| key | default | values | meaning | environment variable |
|---|---|---|---|---|
"""

# These depend on the machine, which the page must not.
BY_MACHINE = {
    AgentExecutionOptions.NUM_ASYNC_THREADS.name: "2 x CPUs",
    AgentExecutionOptions.TOOL_CALL_PARALLELISM.name: "CPUs",
}

KINDS = {bool: "`true`, `false`", int: "whole number", float: "number", str: "text"}


def render() -> str:
    """Return the page."""
    return HEAD + "".join(row(option) for option in all_options())


def row(option: ConfigOption[Any]) -> str:
    """Return an option's line of the table."""
    cells = [f"`{option.name}`", default(option), values(option), option.description]
    return f"| {' | '.join(cells)} | `{option.env_name}` |\n"


def default(option: ConfigOption[Any]) -> str:
    """Return the default as a reader would write it."""
    if option.name in BY_MACHINE:
        return BY_MACHINE[option.name]
    if option.in_bytes and option.default % (1 << 20) == 0:
        return f"`{option.default >> 20}MiB`"
    if isinstance(option.default, bool):
        return f"`{str(option.default).lower()}`"
    return f"`{option.default}`"


def values(option: ConfigOption[Any]) -> str:
    """Return what the option may be set to."""
    if option.choices:
        text = ", ".join(f"`{choice}`" for choice in option.choices)
        aliases = [f"`{alias}` is `{choice}`" for alias, choice in option.aliases.items()]
        return "; ".join([text, *aliases])
    text = KINDS[option.type]
    if option.minimum is not None:
        text += f" from {option.minimum:g}"
    return text + (", or with `KiB`, `MiB`, `GiB`" if option.in_bytes else "")


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
