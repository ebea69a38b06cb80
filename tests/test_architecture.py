"""Who may import whom inside perdure, and how large a file or function may get.

Imports are read from the source, so imports inside functions and under TYPE_CHECKING count too.
"""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "perdure"

# What declares things and does nothing. Each may import those before it.
DECLARATIONS = [
    "event", "call", "run", "config", "memory", "metrics", "resource", "documents", "llm",
    "conditions", "context", "agent",
]  # fmt: skip

# What each package, or module at the top, may import besides `errors` and itself.
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "moved": set(),
    "codec": set(),
    "journal": set(),
    "store": {"journal", "documents"},
    "executor": {"call"},
    "runtime": {"executor", "store", "journal", "codec", *DECLARATIONS},
    "actions": {*DECLARATIONS},
    "integrations": {*DECLARATIONS},
    "yaml_agent": {"actions", "integrations", *DECLARATIONS},
    "connectors": {*DECLARATIONS},
    "operate": {"store", "journal", "codec", *DECLARATIONS},
    "observe": {"runtime.listener", "metrics"},
    "engine": {
        "runtime", "executor", "store", "journal", "codec", "actions", "integrations", "connectors",
        "operate", "observe", *DECLARATIONS,
    },
    "testing": {
        "engine", "runtime", "executor", "store", "journal", "codec", "actions", "integrations",
        "connectors", "operate", "observe", *DECLARATIONS,
    },
    "cli": {
        "engine", "operate", "observe", "connectors", "config", "agent",
        "run", "yaml_agent",
        "executor.continuation", "store.url",  # for `doctor`
    },
    "web": {"engine", "operate", "observe", "connectors", "config"},
}  # fmt: skip
for _index, _name in enumerate(DECLARATIONS):
    ALLOWED[_name] = set(DECLARATIONS[:_index])

# The public names may come from anywhere but the faces and the test kit.
PACKAGE_ITSELF_REFUSES = {"cli", "web", "testing"}

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
# "path/of/file.py" or "path/of/file.py:function" -> why it may be longer.
LENGTH_EXCEPTIONS: dict[str, str] = {}


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


def resolve(name: str, names: set[str]) -> str:
    """The module that a dotted name below perdure lies in: `event.Event` -> `event`."""
    found = name
    while found not in names:
        found = found.rpartition(".")[0]
    # A module that does not exist keeps its name, so that the error message shows it.
    return found or name.partition(".")[0]


def imports_of(importer: str, source: str, names: set[str]) -> Iterator[Import]:
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
        for target in targets:
            package, _, rest = target.partition(".")
            if package == "perdure":
                yield Import(importer, resolve(rest, names), node.lineno)


@cache
def all_imports() -> tuple[Import, ...]:
    names = set(modules())
    return tuple(
        found
        for importer, path in modules().items()
        for found in imports_of(importer, path.read_text("utf-8"), names)
    )


def is_allowed(importer: str, imported: str) -> bool:
    """Whether the directions allow the import. Both are dotted names below perdure."""
    if imported == "":
        return False
    of, to = importer.partition(".")[0], imported.partition(".")[0]
    if of == "":
        return to not in PACKAGE_ITSELF_REFUSES
    return to in (of, "errors") or bool({to, imported} & ALLOWED.get(of, set()))


def test_every_module_has_a_place_in_the_directions() -> None:
    places = {name.partition(".")[0] for name in modules()} - {""}
    assert places <= set(ALLOWED)


def test_imports_follow_the_directions() -> None:
    wrong = [str(i) for i in all_imports() if not is_allowed(i.importer, i.imported)]
    assert wrong == []


@pytest.mark.parametrize("level", ["modules", "packages"])
def test_no_circles(level: str) -> None:
    graph: dict[str, set[str]] = {}
    for found in all_imports():
        importer, imported = found.importer, found.imported
        if level == "packages":
            importer, imported = importer.partition(".")[0], imported.partition(".")[0]
        if importer != imported:
            graph.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"circle of imports: {' <- '.join(error.args[1])}")


def test_no_file_or_function_is_too_long() -> None:
    too_long = {}
    for path in modules().values():
        name = str(path.relative_to(SOURCE).as_posix())
        text = path.read_text("utf-8")
        lines = len(text.splitlines())
        if lines > MAX_FILE_LINES:
            too_long[name] = lines
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if lines > MAX_FUNCTION_LINES:
                    too_long[f"{name}:{node.name}"] = lines
    unexplained = {name: n for name, n in too_long.items() if name not in LENGTH_EXCEPTIONS}
    assert unexplained == {}
    assert set(LENGTH_EXCEPTIONS) <= set(too_long), "an exception is not needed any more"


SEAM = "runtime.job"  # what an engine may ask of a job runtime


def test_an_engine_knows_the_runtime_by_its_seam_alone() -> None:
    engines = [i for i in all_imports() if i.importer.startswith("engine.")]
    of_runtime = [i for i in engines if i.imported.partition(".")[0] == "runtime"]
    assert [str(i) for i in of_runtime if i.imported != SEAM] == []
    assert of_runtime
    private = [
        f"{name} (line {node.lineno}): {ast.unparse(node)}"
        for name, path in modules().items()
        if name.startswith("engine.")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and re.match("_(?!_)", node.attr)
        if not (isinstance(node.value, ast.Name) and node.value.id == "self")
    ]
    assert private == []


def test_only_the_flink_engine_imports_pyflink() -> None:
    importers = [
        name
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Import) and any(a.name.startswith("pyflink") for a in node.names))
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pyflink"))
    ]
    assert [name for name in importers if not name.startswith("engine.flink")] == []


def test_only_the_stores_know_a_backend() -> None:
    found = [i for i in all_imports() if i.imported.startswith("store.sqlite")]
    assert found
    assert [str(i) for i in found if not i.importer.startswith("store.")] == []
    importers = {
        name
        for name, path in modules().items()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Import) and any(a.name == "sqlite3" for a in node.names)
    }
    assert {name.partition(".")[0] for name in importers} == {"store"}
    # The seams themselves name none.
    seams = {i.imported for i in all_imports() if i.importer == "store.base"}
    assert seams == {"errors", "journal.record", "store.documents"}


def test_a_library_whose_private_modules_are_used_has_an_upper_bound() -> None:
    project = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
    extras = [each for extra in project["optional-dependencies"].values() for each in extra]
    needs = {each.replace("-", "_"): each for each in [*project["dependencies"], *extras]}
    private = {
        node.module
        for path in modules().values()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.ImportFrom) and re.search(r"\._", node.module or "")
    }
    assert private, "nothing was looked at"
    for module in private:
        library = (module or "").partition(".")[0]
        (need,) = (each for name, each in needs.items() if re.match(rf"{library}(_slim)?\b", name))
        assert "<" in need, f"{module} may change with any version of {need}"


# The checks above would pass on an empty folder or with a reader that sees nothing.


def test_the_reader_sees_lazy_and_type_checking_imports() -> None:
    source = (
        "import perdure.store.base\n"
        "from perdure import event\n"
        "from perdure.journal import codec\n"
        "if TYPE_CHECKING:\n"
        "    from perdure.event import Event\n"
        "def f():\n"
        "    from perdure.runtime.runner import ActionRunner\n"
    )
    names = {"", "store", "store.base", "journal", "journal.codec", "event", "runtime.runner"}
    found = [(i.imported, i.line) for i in imports_of("x", source, names)]
    assert sorted(found) == [
        ("", 2),
        ("event", 5),
        ("journal.codec", 3),
        ("runtime.runner", 7),
        ("store.base", 1),
    ]


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("call", "event", True),
        ("event", "call", False),
        ("event", "errors", True),
        ("errors", "event", False),
        ("executor.loop", "event", False),
        ("store.sqlite", "journal.record", True),
        ("journal.journal", "store.base", False),
        ("observe.tracing", "runtime.listener", True),
        ("observe.tracing", "runtime.runner", False),
        ("engine.local", "runtime.runner", True),
        ("cli.main", "runtime.runner", False),
        ("cli.main", "", False),
        ("", "engine.local", True),
        ("", "cli.main", False),
    ],
)
def test_the_directions_say_what_they_should(importer: str, imported: str, allowed: bool) -> None:
    assert is_allowed(importer, imported) is allowed


def test_the_source_was_found() -> None:
    assert {"", "errors", "event"} <= set(modules())
    assert all_imports()
