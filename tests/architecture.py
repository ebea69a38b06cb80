"""The rooms of the source, who may import whom, and who does.

A room is a package, or a module at the top; in `runtime`, which is nested, also each package of it.
FREE = frozenset(
    {"annotations", "callables", "checks", "errors", "log_lines", "printable", "same_file"}
)
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SOURCE = Path(__file__).parents[1] / "src" / "perdure"

NESTED = ("runtime",)  # packages whose own packages are rooms too
FREE = frozenset(
    {"annotations", "callables", "checks", "errors", "log_lines", "printable", "same_file"}
)
# The package itself: it names the public names, and nothing inside imports it.
ITSELF = ("", "moved")
# The public names may come from anywhere but these.
ITSELF_REFUSES = {"cli", "web", "testing"}

DECLARATIONS = (
    "event", "call", "run", "metrics", "resource", "documents", "config", "memory", "conditions",
    "llm", "context", "agent",
)  # fmt: skip

# What a room may import besides `errors` and itself; complete. "+x" is x and all that x may import.
# The order is the one of the table in docs/architecture.md.
RULES: dict[str, str] = {
    "event": "",
    "call": "",
    "run": "",
    "metrics": "",
    "resource": "",
    "documents": "",
    "config": "call",
    "memory": "call",
    "conditions": "event",
    "llm": "event call resource documents",
    "context": "event call run config memory metrics resource",
    "agent": "context conditions llm memory event resource",
    "actions": "declarations",
    "integrations": "+context +llm codec",
    "codec": "",
    "journal": "",
    "store": "journal documents codec.compressed",
    "executor": "call",
    "runtime.shared": "executor store journal codec declarations",
    "runtime.action": "+runtime.shared",
    "runtime.run": "+runtime.action",
    "runtime": "+runtime.run",
    "operate": "store journal codec event run call",
    "connectors": "declarations codec.error_texts executor.shutdown executor.forks",
    "observe": "runtime.listener metrics",
    "engine": "+runtime operate connectors observe actions integrations",
    "testing": "+engine",
    "yaml_agent": "declarations actions integrations engine",
    "flink_agents": "declarations actions integrations engine",
    # `executor` is for `doctor`, which says what continuations this process has.
    "cli": (
        "engine operate observe connectors config run agent yaml_agent flink_agents executor web"
    ),
    "__main__": "cli",
    "web": "engine operate observe connectors config run",
}

MAX_ROOMS = 31
MAX_ARROWS = 165

_DOTTED = re.compile(r"perdure(?:\.\w+)+")


@dataclass(frozen=True)
class Import:
    """One import of a module of perdure: who, whom, where."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer} (line {self.line}) imports {self.imported or 'perdure itself'}"


@cache
def modules() -> dict[str, Path]:
    """Dotted name below perdure ("" for the package itself) -> file."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def resolve(name: str, names: Iterable[str]) -> str:
    """The module that a dotted name below perdure lies in: `event.Event` -> `event`."""
    found = name
    while found not in names:
        found = found.rpartition(".")[0]
    # A module that does not exist keeps its name, so that the error message shows it.
    return found or name.partition(".")[0]


def imports_of(importer: str, source: str, names: Iterable[str]) -> Iterator[Import]:
    for node in ast.walk(ast.parse(source)):
        targets: list[str] = []
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{importer} line {node.lineno}: imports are absolute here"
            # `from perdure import errors` loads the package's public names machinery as well.
            if node.module == "perdure":
                yield Import(importer, "", node.lineno)
                continue
            targets = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            # Loggers have names too; those that are no module's are passed over.
            if _DOTTED.fullmatch(node.value):
                name = node.value.removeprefix("perdure.")
                if any(name == each or name.startswith(f"{each}.") for each in names if each):
                    targets = [node.value]
        for target in targets:
            package, _, rest = target.partition(".")
            if package == "perdure":
                yield Import(importer, resolve(rest, names), node.lineno)


def public_names() -> Iterator[Import]:
    """The modules that the lazy table of the public names loads."""
    import perdure

    for module in perdure._NAMES:
        yield Import("", module, 0)


@cache
def all_imports() -> tuple[Import, ...]:
    names = frozenset(modules())
    read = (
        found
        for importer, path in modules().items()
        for found in imports_of(importer, path.read_text("utf-8"), names)
    )
    return (*read, *public_names())


def room_of(module: str) -> str:
    """The room that a module is in; the package itself is "" with what belongs to it."""
    if module in ITSELF:
        return ""
    first, _, rest = module.partition(".")
    second = rest.partition(".")[0]
    inner = f"{first}.{second}"
    return inner if first in NESTED and inner in RULES else first


@cache
def allowed(room: str) -> frozenset[str]:
    """What a room may import: rooms, and single modules."""
    found: set[str] = set()
    for word in RULES[room].split():
        if word == "declarations":
            found.update(DECLARATIONS)
        else:
            found.add(word.removeprefix("+"))
            if word.startswith("+"):
                found |= allowed(word.removeprefix("+"))
    return frozenset(found)


def is_allowed(importer: str, imported: str) -> bool:
    """Whether the rules allow the import. Both are dotted names below perdure."""
    of, to = room_of(importer), room_of(imported)
    if to == "":
        return of == "" and imported != ""
    if of == "":
        return to not in ITSELF_REFUSES
    if of in FREE:
        return to in FREE  # a message may hold what is from outside
    return to in (of, *FREE) or bool({to, imported} & allowed(of))


@cache
def rooms() -> tuple[str, ...]:
    """The rooms that there are, in the order of the rules."""
    found = {room_of(module) for module in modules()} - {"", *FREE}
    return (*(room for room in RULES if room in found), *sorted(found - set(RULES)))


@cache
def arrows() -> frozenset[tuple[str, str]]:
    """Which room imports which other one."""
    pairs = {(room_of(i.importer), room_of(i.imported)) for i in all_imports()}
    return frozenset((a, b) for a, b in pairs if a != b and a not in ("", *FREE) and b not in FREE)


def table() -> str:
    """The table of the rooms, for docs/architecture.md."""
    lines = ["| room | what it is | may import |", "|---|---|---|"]
    for room in rooms():
        path = modules()[room]
        text = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
        what = " ".join(text.split("\n\n")[0].split()).rstrip(".")
        target = path.parent if path.name == "__init__.py" else path
        link = f"../{target.relative_to(SOURCE.parents[1]).as_posix()}"
        lines.append(f"| [{room.replace('.', '/')}]({link}) | {what} | {_uses(room)} |")
    lines.append("")
    lines.append(f"{len(rooms())} rooms, {len(arrows())} arrows between them.")
    return "\n".join(lines)


def _uses(room: str) -> str:
    known = rooms()
    words = []
    for word in RULES[room].split():
        name = word.removeprefix("+")
        if name == "declarations":
            words.append("declarations")
        elif name in known or name in modules():
            shown = f"`{name.replace('.', '/')}`"
            words.append(f"{shown} and what it may" if word.startswith("+") else shown)
    return ", ".join(words) or "nothing"
