"""A stand-in for an MCP server, made of functions (extra `mcp`).

In this process::

    calls = []
    server = scripted_mcp_server(tools=[add], prompts=[greet], calls=calls)
    MCPServer(server=server)

In a process of its own, spoken to over stdin and stdout::

    python -m perdure.testing.mcp tools.py --log calls.jsonl
    python -m perdure.testing.mcp tools.py:add,multiply --prompts tools.py:greet

Each call is noted before it is made, so that a test can tell a call that was never made from one
that was made twice.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import importlib.util
import inspect
import json
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from perdure.errors import ConfigurationError, missing_extra

__all__ = ["scripted_mcp_server"]


def scripted_mcp_server(
    tools: Iterable[Callable[..., Any]] = (),
    prompts: Iterable[Callable[..., Any]] = (),
    *,
    name: str = "scripted",
    calls: list[tuple[str, dict[str, Any]]] | None = None,
    log: str | Path | None = None,
) -> Any:
    """Return a server object of the package `mcp`: `MCPServer(server=...)` takes it.

    Args:
        tools: Functions, plain or coroutine functions, that are its tools by their own names.
            What they raise is what the tool fails with, its text included.
        prompts: Functions that return a prompt's text or messages.
        name: What it calls itself.
        calls: Takes the name and the arguments of each call of a tool.
        log: A file that takes them too, a line of JSON each, with the id of the process.

    Raises:
        ConfigurationError: The extra `mcp` is not installed.
    """
    try:
        from mcp.server.mcpserver import MCPServer
    except ImportError as error:
        raise missing_extra("scripted_mcp_server", "mcp", error) from None
    with _own_logging():
        server = MCPServer(name)
    for each in tools:
        server.tool()(_noted(each, calls, Path(log) if log is not None else None))
    for each in prompts:
        server.prompt()(each)
    return server


@contextlib.contextmanager
def _own_logging() -> Iterator[None]:
    """Keep a server from setting the logging of the whole process up: it does so where none is."""
    root, handler = logging.getLogger(), logging.NullHandler()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)


def _noted(
    func: Callable[..., Any], calls: list[tuple[str, dict[str, Any]]] | None, log: Path | None
) -> Callable[..., Any]:
    from mcp.server.mcpserver.exceptions import ToolError

    def note(arguments: dict[str, Any]) -> None:
        if calls is not None:
            calls.append((func.__name__, arguments))
        if log is not None:
            entry = {"tool": func.__name__, "arguments": arguments, "pid": os.getpid()}
            with log.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry, default=str) + "\n")

    @functools.wraps(func)
    async def noted(**arguments: Any) -> Any:
        note(arguments)
        try:
            result = func(**arguments)
            return await result if inspect.isawaitable(result) else result
        except Exception as error:  # told as it is: a server hides what it did not expect
            raise ToolError(str(error) or type(error).__name__) from error

    return noted


def _functions(spec: str) -> list[Callable[..., Any]]:
    """Return the functions that FILE or FILE:NAME,NAME names."""
    file, _, names = spec.partition(":")
    loaded = importlib.util.spec_from_file_location(Path(file).stem, file)
    if loaded is None or loaded.loader is None or not Path(file).is_file():
        raise ConfigurationError(f"{file!r} is no Python file")
    module = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(module)
    if names:
        found = [getattr(module, name, None) for name in names.split(",")]
        if not all(inspect.isfunction(each) for each in found):
            raise ConfigurationError(f"{spec!r} names what is no function of {file}")
        return [each for each in found if each is not None]
    return [
        each
        for name, each in vars(module).items()
        if inspect.isfunction(each)
        and each.__module__ == module.__name__
        and not name.startswith("_")
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a server over stdin and stdout; see the module."""
    parser = argparse.ArgumentParser(prog="python -m perdure.testing.mcp", description=__doc__)
    parser.add_argument("tools", metavar="FILE[:NAME,...]", help="functions that are its tools")
    parser.add_argument("--prompts", metavar="FILE[:NAME,...]", help="functions: its prompts")
    parser.add_argument("--log", metavar="FILE", help="takes a line of JSON for each call")
    given = parser.parse_args(arguments)
    server = scripted_mcp_server(
        _functions(given.tools),
        _functions(given.prompts) if given.prompts else (),
        log=given.log,
    )
    server.run("stdio")


if __name__ == "__main__":
    main()
