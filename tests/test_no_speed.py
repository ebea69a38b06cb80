"""No test says how fast something is in seconds: a machine may be slower than the day before.

Refused are, anywhere in `tests/`:

- a comparison that holds a duration below a number: `took < 2.0`, where `took` is a difference of
  two readings of a real clock, directly or by the name that it was given;
- a wait for what has to come that ends after a number of seconds, a second or longer:
  `wait_for(it, 5)`, `process.communicate(timeout=60)`, `thread.join(5)`. It ends after PATIENCE.
  Shorter ones are meant to be over.

An action may bound its own durable time, so what has a parameter `ctx` is passed over.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
CLOCKS = {
    "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
    "process_time_ns", "time", "time_ns",
}  # fmt: skip
WAITS = {"communicate", "get", "join", "result", "run", "timeout", "wait", "wait_for"}
PLACES = {"join": 0, "timeout": 0, "wait": 0, "wait_for": 1}  # of the seconds
# Their loops have a clock of their own, which the tests set.
SIMULATED = {"unit/test_action_loop.py", "unit/test_continuation.py"}


def bounds(source: str) -> Iterator[tuple[int, str]]:
    """Yield line and text of each upper bound in seconds."""
    for function in _outermost(ast.parse(source)):
        durations = {
            target.id
            for node in ast.walk(function)
            if isinstance(node, ast.Assign) and _is_duration(node.value, set())
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        for node in ast.walk(function):
            if isinstance(node, ast.Compare):
                found = _holds_down(node, durations)
            else:
                found = isinstance(node, ast.Call) and _ends_soon(node)
            if found:
                yield getattr(node, "lineno", 0), ast.unparse(node)


def _outermost(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the functions that are in no other, without the actions in them."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield _WithoutActions().visit(node) or ast.Pass()
        else:
            yield from _outermost(node)


class _WithoutActions(ast.NodeTransformer):
    """Takes out the functions that have a parameter `ctx`."""

    def _visit(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        if any(argument.arg == "ctx" for argument in node.args.args):
            return ast.Pass()
        return self.generic_visit(node)

    visit_FunctionDef = _visit
    visit_AsyncFunctionDef = _visit


def _is_duration(node: ast.expr, durations: set[str]) -> bool:
    """Say whether an expression is a difference of readings of a clock, or made of one."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and part.id in durations:
            return True
        if isinstance(part, ast.BinOp) and isinstance(part.op, ast.Sub):
            return any(_is_reading(inner) for inner in ast.walk(part))
    return False


def _is_reading(node: ast.AST) -> bool:
    if not isinstance(node, ast.Call) or node.args:
        return False
    func = node.func
    return isinstance(func, ast.Attribute) and func.attr in CLOCKS


def _is_constant(node: ast.expr) -> bool:
    """Say whether an expression has no value but numbers and constants, by their names."""
    names = [part.id for part in ast.walk(node) if isinstance(part, ast.Name)]
    calls = any(isinstance(part, ast.Call) for part in ast.walk(node))
    return not calls and all(name.isupper() for name in names)


def _holds_down(node: ast.Compare, durations: set[str]) -> bool:
    sides = [node.left, *node.comparators]
    for low, operator, high in zip(sides, node.ops, sides[1:], strict=False):
        if isinstance(operator, (ast.Gt, ast.GtE)):
            low, high = high, low
        elif not isinstance(operator, (ast.Lt, ast.LtE)):
            continue
        if _is_duration(low, durations) and _is_constant(high):
            return True
    return False


def _ends_soon(node: ast.Call) -> bool:
    func = node.func
    name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
    if name not in WAITS:
        return False
    seconds = [word.value for word in node.keywords if word.arg == "timeout"]
    place = PLACES.get(name)
    if place is not None and place < len(node.args):
        seconds.append(node.args[place])
    return any(
        isinstance(each, ast.Constant)
        and isinstance(each.value, (int, float))
        and not isinstance(each.value, bool)
        and each.value >= 1
        for each in seconds
    )


FILES = sorted(path for path in TESTS.rglob("*.py"))


def test_no_test_has_an_upper_bound_in_seconds() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}: {text}"
        for path in FILES
        if str(path.relative_to(TESTS)) not in SIMULATED
        for line, text in bounds(path.read_text("utf-8"))
    ]
    assert found == [], "simulate the time, compare with what the test timed, or wait for PATIENCE"


@pytest.mark.parametrize(
    "line",
    [
        "assert time.monotonic() - began < 5",
        "assert 0.5 >= time.perf_counter() - began",
        "took = (time.time_ns() - began) / 1e9\n    assert took <= LIMIT",
        "took = loop.time() - began\n    assert 0.1 <= took < 2 * SECONDS",
        "await asyncio.wait_for(it, 5)",
        "async with asyncio.timeout(10): pass",
        "process.communicate(timeout=60)",
        "thread.join(5)",
    ],
)
def test_it_finds_upper_bounds(line: str) -> None:
    assert len(list(bounds(f"async def test():\n    {line}"))) == 1


@pytest.mark.parametrize(
    "line",
    [
        "while time.monotonic() < deadline: pass",
        "assert time.monotonic() - began >= 0.05",
        "assert time.monotonic() - began < 3 * took_alone",
        "assert count < 5",
        "await asyncio.wait_for(it, PATIENCE)",
        "await asyncio.wait_for(it, 0.05)",
        "','.join(it)",
        "async def action(event, ctx):\n        await asyncio.wait_for(it, 5)",
    ],
)
def test_it_lets_others_pass(line: str) -> None:
    assert list(bounds(f"async def test():\n    {line}")) == []
