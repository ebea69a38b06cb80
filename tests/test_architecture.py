"""Who may import whom inside perdure, and how large a file or function may get."""

from __future__ import annotations

import ast
import asyncio
import re
import runpy
import tomllib
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
from tests.architecture import (
    FREE,
    MAX_ARROWS,
    MAX_ROOMS,
    RULES,
    SOURCE,
    Import,
    all_imports,
    allowed,
    arrows,
    imports_of,
    is_allowed,
    modules,
    room_of,
    rooms,
)

DOCS = Path(__file__).parents[1] / "docs"

MAX_FILE_LINES = 500
MAX_FUNCTION_LINES = 60
# "path/of/file.py" or "path/of/file.py:function" -> why it may be longer.
LENGTH_EXCEPTIONS: dict[str, str] = {}


def circle_in(pairs: Iterable[tuple[str, str]]) -> str:
    """Name a circle of pairs (importer, imported); "" where there is none."""
    graph: dict[str, set[str]] = {}
    for importer, imported in pairs:
        if importer != imported:
            graph.setdefault(importer, set()).add(imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return ""


def test_every_module_is_in_a_room_with_a_rule() -> None:
    assert set(rooms()) <= set(RULES)


def test_imports_follow_the_rules() -> None:
    wrong = [str(i) for i in all_imports() if not is_allowed(i.importer, i.imported)]
    assert wrong == []


def test_no_circles_of_modules() -> None:
    assert circle_in((i.importer, i.imported) for i in all_imports()) == ""


def test_no_circles_of_rooms() -> None:
    assert circle_in(arrows()) == ""


def test_the_rules_themselves_have_no_circle() -> None:
    assert circle_in((room, room_of(to)) for room in RULES for to in allowed(room)) == ""


def test_rooms_and_arrows_stay_few() -> None:
    print(f"{len(rooms())} rooms, {len(arrows())} arrows")
    assert len(rooms()) <= MAX_ROOMS
    assert len(arrows()) <= MAX_ARROWS


def test_the_table_in_the_docs_is_up_to_date() -> None:
    render = runpy.run_path(str(DOCS / "write_architecture.py"))["render"]
    page = (DOCS / "architecture.md").read_text("utf-8")
    assert page == render(page), "run `make docs`"
    assert all(f"[{room.replace('.', '/')}](" in page for room in rooms())


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


NOT_OURS = r"_(?!_|j_|keyed_state_backend$|\w+_type(_info)?$|fields$|replace$)"
SEAM = "runtime.job_runtime"  # what an engine may ask of a job runtime


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
        # `_j_...` is what PyFlink calls Java objects, `_keyed...` what has the state of all keys,
        # `_..._type` and `_..._type_info` what a type is made of; named tuples have the other two.
        if isinstance(node, ast.Attribute)
        and re.match(
            r"_(?!_|j_|keyed_state_backend$|\w+_type(_info)?$|fields$|replace$)", node.attr
        )
        if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "os"))
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
    assert seams == {
        "errors", "journal.record", "store.documents", "store.files", "store.row_types",
    }  # fmt: skip


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


# asyncio's private names change between versions of Python, so one file has them all.
PRIVATE_NAMES_OF_ASYNCIO = {
    name
    for module in (asyncio.events, asyncio.tasks)
    for name in vars(module)
    if name.startswith("_")
    and not name.startswith("__")
    and ("running_loop" in name or "task" in name.lower())
}


def private_names_of_asyncio(source: str) -> list[str]:
    """What a source uses of them: as an attribute, an import or a string."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            of_asyncio = ast.unparse(node.value).partition(".")[0] in ("asyncio", "_asyncio")
            names = [node.attr] if not of_asyncio or node.attr.startswith("_") else []
            found += [name for name in names if of_asyncio or name in PRIVATE_NAMES_OF_ASYNCIO]
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("asyncio"):
            found += [alias.name for alias in node.names if alias.name.startswith("_")]
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            found += [name for name in names if name.partition(".")[0] == "_asyncio"]
        elif isinstance(node, ast.Constant) and node.value in PRIVATE_NAMES_OF_ASYNCIO:
            found.append(str(node.value))
    return found


def test_only_one_module_uses_private_names_of_asyncio() -> None:
    users = {
        name: found
        for name, path in modules().items()
        if (found := private_names_of_asyncio(path.read_text("utf-8")))
    }
    assert set(users) == {"executor.running"}, users


@pytest.mark.parametrize(
    "source",
    [
        "asyncio._get_running_loop()",
        "asyncio.tasks._swap_current_task(loop, None)",
        "asyncio.base_events._run_until_complete_cb",
        "events._set_running_loop(None)",
        "from asyncio.tasks import _enter_task",
        "import _asyncio",
        "from _asyncio import Task",
        "getattr(asyncio.tasks, '_leave_task')",
    ],
)
def test_private_names_of_asyncio_are_seen_however_they_are_used(source: str) -> None:
    assert private_names_of_asyncio(source)


def test_public_names_of_asyncio_are_free_to_use() -> None:
    assert private_names_of_asyncio("asyncio.current_task(); self._task; asyncio.Task(x)") == []


# The checks above would pass on an empty folder or with a reader that sees nothing.


def test_the_reader_sees_lazy_imports_those_of_type_checkers_and_texts() -> None:
    source = (
        "import perdure.store.base\n"
        "from perdure import event\n"
        "from perdure.journal import codec\n"
        "if TYPE_CHECKING:\n"
        "    from perdure.event import Event\n"
        "def f():\n"
        "    from perdure.runtime.runner import ActionRunner\n"
        "    return ResourceDescriptor('perdure.store.base.Store')\n"
        "logger = getLogger('perdure.mcp')\n"
        "kept = 'perdure.event:Event', 'see perdure.event.Event', 'perdure.db'\n"
    )
    names = {"", "store", "store.base", "journal", "journal.codec", "event", "runtime.runner"}
    found = [(i.imported, i.line) for i in imports_of("x", source, names)]
    assert sorted(found) == [
        ("", 2),
        ("event", 5),
        ("journal.codec", 3),
        ("runtime.runner", 7),
        ("store.base", 1),
        ("store.base", 8),
    ]


def test_the_lazy_table_of_the_public_names_counts() -> None:
    assert Import("", "engine.local", 0) in all_imports()


def test_a_circle_is_named() -> None:
    assert circle_in([("a", "b"), ("b", "c"), ("c", "c")]) == ""
    assert set(circle_in([("a", "b"), ("b", "c"), ("c", "a")]).split(" <- ")) == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("importer", "imported", "allowed"),
    [
        ("config.configuration", "call", True),
        ("config.configuration", "event", False),
        ("event", "call", False),
        ("event", "errors", True),
        ("errors", "event", False),
        ("llm.chat_model", "integrations.llm", False),
        ("integrations.llm", "llm.chat_model", True),
        ("integrations.llm", "agent.declaration", False),
        ("codec.codec", "journal.record", False),
        ("journal.journal", "codec.codec", False),
        ("executor.loop", "event", False),
        ("store.sqlite.store", "journal.record", True),
        ("store.sqlite.store", "codec.codec", False),
        ("journal.journal", "store.base", False),
        ("runtime.shared.services", "runtime.action.runner", False),
        ("runtime.action.runner", "runtime.shared.services", True),
        ("runtime.action.runner", "runtime.run.state", False),
        ("runtime.run.execution", "runtime.action.runner", True),
        ("runtime.run.execution", "runtime.job_runtime", False),
        ("runtime.job_runtime", "runtime.run.execution", True),
        ("operate.history", "runtime.job_runtime", False),
        ("observe.tracing", "runtime.listener", True),
        ("observe.tracing", "runtime.job_runtime", False),
        ("engine.local", "runtime.action.runner", True),
        ("cli.main", "runtime.action.runner", False),
        ("cli.main", "", False),
        ("", "engine.local", True),
        ("", "moved", True),
        ("agent.plan", "moved", False),
        ("", "cli.main", False),
    ],
)
def test_the_rules_say_what_they_should(importer: str, imported: str, allowed: bool) -> None:
    assert is_allowed(importer, imported) is allowed


def test_the_source_was_found() -> None:
    assert {"", "errors", "event"} <= set(modules())
    assert {"event", "runtime", "runtime.action"} <= set(rooms())
    assert not FREE & set(rooms())
    assert all_imports()
    assert ("engine", "runtime") in arrows()


def test_only_the_executor_knows_how_the_fallback_continues_an_action() -> None:
    # All others ask the continuation that they are given, whichever it is.
    importers = {i.importer for i in all_imports() if i.imported == "executor.fallback"}
    assert importers == {"executor.executor", "testing.simulation.executor"}
