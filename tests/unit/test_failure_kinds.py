"""Exceptions that are hard to rebuild: sealed ones, pydantic's, and those of unloaded modules."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pydantic
import pytest
from pydantic_core import PydanticCustomError

from perdure import DurableCallError, register_type
from perdure.codec.codec import Codec
from perdure.codec.failure import TRACEBACK_ATTRIBUTE, decode_failure, encode_failure


@dataclasses.dataclass(frozen=True)
class NotFound(Exception):
    """A frozen dataclass, as clients generate them."""

    code: int
    detail: str = ""


@dataclasses.dataclass(frozen=True, slots=True)
class Slotted(Exception):
    """Likewise with slots."""

    code: int


class Sealed(Exception):
    """One that refuses every attribute."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{name} is sealed")


class Demanding(Exception):
    """One whose constructor takes something else than it keeps, and reduces to nonsense."""

    def __init__(self, *, url: str) -> None:
        super().__init__(f"GET {url}")

    def __reduce__(self) -> Any:
        return "nonsense"


def again(exc: BaseException, codec: Codec | None = None) -> BaseException:
    codec = codec or Codec()
    try:
        raise exc
    except BaseException as raised:
        return decode_failure(codec, encode_failure(codec, raised))


@pytest.mark.parametrize(
    "exc", [NotFound(404, "page"), Slotted(5), Sealed("x"), Demanding(url="/a")], ids=repr
)
def test_g9_an_exception_that_refuses_attributes_comes_back(exc: Exception) -> None:
    for member in ("__notes__",):
        exc.__dict__[member] = ["as it was"]
    same = again(exc)
    assert type(same) is type(exc)
    assert (str(same), same.__notes__) == (str(exc), ["as it was"])
    if dataclasses.is_dataclass(exc):
        assert dataclasses.astuple(same) == dataclasses.astuple(exc)  # type: ignore[call-overload]
    assert "Traceback" in getattr(same, TRACEBACK_ATTRIBUTE)
    with pytest.raises(type(exc)):
        raise same


def test_g9_a_sealed_exception_keeps_its_cause() -> None:
    try:
        try:
            raise KeyError("k")
        except KeyError as cause:
            raise NotFound(1) from cause
    except NotFound as raised:
        same = decode_failure(Codec(), encode_failure(Codec(), raised))
    assert repr(same.__cause__) == "KeyError('k')"
    assert same.__suppress_context__


class Refusing(Exception):
    """One that cannot be looked at."""

    @property
    def args(self) -> Any:  # type: ignore[override]
        raise RuntimeError("no")

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(f"no {name}")


def test_g9_one_that_cannot_be_looked_at_is_named() -> None:
    same = again(Refusing())
    assert isinstance(same, DurableCallError | Refusing)
    assert "Refusing" in f"{type(same)} {same}"


# pydantic


class Order(pydantic.BaseModel):
    """A model with every sort of refusal."""

    number: int
    name: str = pydantic.Field(max_length=3)
    tags: list[int] = []

    @pydantic.field_validator("name")
    @classmethod
    def checked(cls, name: str) -> str:
        if name == "bad":
            raise ValueError("is {bad}")
        if name == "odd":
            raise PydanticCustomError("odd_name", "{name} is odd", {"name": name})
        assert name != "no", "not that"
        return name


@pytest.mark.parametrize(
    "given",
    [
        {"number": "x", "name": "long name", "tags": [1, "y"]}, {"number": 1, "name": "bad"},
        {"number": 1, "name": "odd"}, {"number": 1, "name": "no"}, {},
        {"number": None, "name": 7},
    ],
    ids=str,
)  # fmt: skip
def test_g9_a_validation_error_is_rebuilt_as_itself(given: dict[str, Any]) -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        Order.model_validate(given)
    same = again(refused.value)
    assert type(same) is pydantic.ValidationError
    assert str(same) == str(refused.value)
    assert [line["loc"] for line in same.errors()] == [
        line["loc"] for line in refused.value.errors()
    ]


def test_g9_a_validation_error_of_an_input_without_form_is_named() -> None:
    with pytest.raises(pydantic.ValidationError) as refused:
        Order.model_validate({"number": object(), "name": "a"})
    same = again(refused.value)
    assert type(same) is DurableCallError
    assert "number" in str(same)


# Modules


def made_module(monkeypatch: pytest.MonkeyPatch, name: str) -> type[Exception]:
    module = types.ModuleType(name)
    error = type("LateError", (Exception,), {"__module__": name})
    module.LateError = error  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, name, module)
    return error


def test_g21_an_exception_of_a_module_loaded_later_is_named_live_too(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codec = Codec()
    codec.errors.fix()
    late = made_module(monkeypatch, "perdure_test_late")
    same = again(late("m"), codec)
    assert type(same) is DurableCallError
    assert same.type_name == "perdure_test_late.LateError"
    [hint] = same.__notes__
    assert "import it at the top" in hint
    assert "register_type" in hint
    # Before, it was known.
    assert type(again(late("m"), Codec())) is late
    register_type(late)
    assert type(again(late("m"), codec)) is late


def test_g21_a_record_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "harmful.py").write_text("print('imported')\nclass HarmError(Exception): pass\n")
    good = Codec().decode(encode_failure(Codec(), ValueError("x")))
    data = Codec().encode({**good, "type": "harmful:HarmError"})
    code = (
        "import sys; from perdure.codec.codec import Codec; "
        "from perdure.codec.failure import decode_failure; "
        f"print(type(decode_failure(Codec(), bytes.fromhex({data.hex()!r}))).__name__)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert result.stdout == "DurableCallError\n"
