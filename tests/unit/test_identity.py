"""G7: the identity of a callable is the same in every process, and tells callables apart."""

from __future__ import annotations

import functools
import json
import math
import subprocess
import sys
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import AsyncMock, MagicMock

import pytest

from perdure.codec.identity import annotated_types, function_identity, is_coroutine_callable
from perdure.errors import EncodeError

if TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]

HERE = __name__.rpartition(".")[2]


def plain(a: int, b: str = "") -> list[int]:
    return [a]


async def coroutine(a: int) -> dict[str, int]:
    return {"a": a}


def wrapping(func: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(func)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return func(*args, **kwargs)

    return wrapper


class Base:
    def method(self) -> int:
        return 1

    async def work(self) -> int:
        return 1

    @classmethod
    def made(cls) -> Base:
        return cls()

    @staticmethod
    def static() -> None:
        return None

    async def __call__(self, x: int) -> bytes:
        return b""


class Derived(Base):
    def method(self) -> int:
        return 2


@functools.cache
def cached(a: int) -> int:
    return a


def name(func: Any) -> str:
    """The identity without the name of the folder that the tests were found in."""
    return function_identity(func).replace(__name__, HERE)


def test_g7_functions_are_named_by_module_and_qualname() -> None:
    local = lambda: None  # noqa: E731 - a lambda is what is at test
    assert name(plain) == f"{HERE}:plain"
    assert name(coroutine) == f"{HERE}:coroutine"
    assert name(Base.static) == f"{HERE}:Base.static"
    assert name(cached) == f"{HERE}:cached"
    assert name(wrapping(plain)) == f"{HERE}:plain"
    assert name(local).endswith("qualname.<locals>.<lambda>")
    assert function_identity(json.dumps) == "json:dumps"


def test_g7_builtins_are_named() -> None:
    found = [
        function_identity(f) for f in (len, math.sqrt, "a".upper, str.upper, dict.fromkeys, int)
    ]
    assert found == [
        "builtins:len", "math:sqrt", "builtins:str.upper", "builtins:str.upper",
        "builtins:dict.fromkeys", "builtins:int",
    ]  # fmt: skip


def test_g7_bound_methods_tell_classes_apart() -> None:
    base, derived = Base(), Derived()
    found = [
        base.method, derived.method, base.work, derived.work, super(Derived, derived).method,
        Base.made, Derived.made, base, derived, Base, Derived,
    ]  # fmt: skip
    assert len({name(f) for f in found}) == len(found)
    assert name(base.method) == name(Base().method) == f"{HERE}:Base.method"
    assert name(derived.work) == f"{HERE}:Base.work@{HERE}:Derived"
    assert name(base) == f"{HERE}:Base.__call__"


def test_g7_partials_name_what_they_bind() -> None:
    one = functools.partial(plain, 1, b="x")
    assert function_identity(one) == function_identity(functools.partial(plain, 1, b="x"))
    assert function_identity(one) != function_identity(functools.partial(plain, 2, b="x"))
    assert name(one).startswith(f"partial({HERE}:plain,")
    assert name(functools.partial(Base().method)).startswith(f"partial({HERE}:Base.method,")


@pytest.mark.parametrize(
    "func", [3, None, functools.partial(name, object()), functools.partial(name, func=print)]
)
def test_what_has_no_name_is_told_of_durable_id(func: Any) -> None:
    with pytest.raises(EncodeError, match="durable_id="):
        function_identity(func)


def test_a_function_without_a_module_is_told_of_durable_id() -> None:
    func = types.FunctionType(plain.__code__, {})
    func.__module__ = typing.cast("str", None)
    with pytest.raises(EncodeError, match="durable_id="):
        function_identity(func)


def test_g7_a_script_and_its_import_name_functions_alike(tmp_path: Path) -> None:
    (tmp_path / "agent_module.py").write_text(
        "from perdure.codec.identity import function_identity\n"
        "def call(): pass\n"
        "class A:\n    def m(self): pass\n"
        "print(function_identity(call), function_identity(A().m), function_identity(A))\n"
    )
    for command in (["agent_module.py"], ["-m", "agent_module"], ["-c", "import agent_module"]):
        done = subprocess.run(
            [sys.executable, *command], cwd=tmp_path, capture_output=True, text=True, check=True
        )
        assert done.stdout == "agent_module:call agent_module:A.m agent_module:A\n"


@pytest.mark.parametrize(
    ("func", "expected"),
    [
        (coroutine, True),
        (functools.partial(functools.partial(coroutine), 1), True),
        (Base().work, True),
        (Base(), True),
        (functools.partial(Base(), 1), True),
        (AsyncMock(), True),
        (plain, False),
        (Base().method, False),
        (Base, False),
        (len, False),
        (MagicMock(), False),
        (functools.partial(plain), False),
    ],
)
def test_g18_coroutine_callables_are_told_from_plain_ones(func: Any, expected: bool) -> None:
    assert is_coroutine_callable(func) is expected


def partly(a: Unknown, b: int) -> typing.Annotated[Derived, "note"]:
    return Derived()


def test_annotations_are_found_through_wrappers_and_the_unknown_is_left_out() -> None:
    assert annotated_types(plain) == (list[int], int, str)
    assert annotated_types(functools.partial(wrapping(plain), 1)) == (list[int], int, str)
    assert annotated_types(Base().work) == (int,)
    assert annotated_types(Base()) == (bytes, int)
    assert annotated_types(cached) == (int, int)
    assert annotated_types(partly) == (typing.Annotated[Derived, "note"], int)
    assert annotated_types(Base) == (Base,)
    assert annotated_types(len) == ()


def test_annotations_of_local_classes_are_found() -> None:
    @dataclass
    class Local:
        x: int

    def make() -> Local:
        return Local(1)

    assert annotated_types(make) == (Local,)
