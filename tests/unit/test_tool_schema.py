"""What a model is told of a function, and how its arguments become the function's."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import json
import sys
import types
from typing import TYPE_CHECKING, Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict  # pydantic takes typing's own from Python 3.12 on

from perdure.errors import AgentDefinitionError, ConfigurationError, ToolArgumentsError
from perdure.llm.tool_schema import FunctionSchema

if TYPE_CHECKING:
    from decimal import Decimal as Unimported


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Address(BaseModel):
    street: str
    number: int = Field(ge=1)


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


class Options(TypedDict, total=False):
    loud: bool


def everything(
    plain,
    count: int,
    colour: Colour,
    mode: Literal["fast", "slow"],
    address: Address,
    point: Point,
    options: Options,
    tags: list[str],
    at: datetime.datetime,
    *,
    limit: Annotated[int, Field(description="At most.", le=10)] = 3,
    note: str | None = None,
) -> dict[str, Any]:
    """Do everything."""


GIVEN = {
    "plain": {"any": [1]},
    "count": "3",
    "colour": "blue",
    "mode": "slow",
    "address": {"street": "Elm", "number": 4},
    "point": {"x": 1},
    "options": {"loud": True},
    "tags": ["a"],
    "at": "2026-01-02T03:04:05Z",
}


def test_arguments_become_what_the_annotations_say() -> None:
    assert FunctionSchema(everything).checked(GIVEN) == {
        "plain": {"any": [1]},
        "count": 3,
        "colour": Colour.BLUE,
        "mode": "slow",
        "address": Address(street="Elm", number=4),
        "point": Point(1.0),
        "options": {"loud": True},
        "tags": ["a"],
        "at": datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    }


def test_strict_types_take_what_json_has_for_their_values() -> None:
    def plan(day: Annotated[datetime.date, Field(strict=True)], steps: int) -> None: ...

    day = datetime.date(2024, 1, 2)
    schema = FunctionSchema(plan)
    assert schema.checked({"day": "2024-01-02", "steps": 3}) == {"day": day, "steps": 3}
    assert schema.checked({"day": day, "steps": "3"}) == {"day": day, "steps": 3}
    with pytest.raises(ToolArgumentsError, match=r"^steps: [^;]*$"):
        schema.checked({"day": "2024-01-02", "steps": "three"})


def test_the_schema_is_one_strict_object() -> None:
    schema = FunctionSchema(everything).json_schema
    assert schema["type"] == "object"
    assert schema["additionalProperties"] is False
    assert schema["required"] == list(GIVEN)
    properties = schema["properties"]
    assert properties["plain"] == {}
    assert properties["limit"] == {
        "type": "integer", "default": 3, "description": "At most.", "maximum": 10,
    }  # fmt: skip
    assert properties["mode"] == {"type": "string", "enum": ["fast", "slow"]}
    assert properties["address"] == {"$ref": "#/$defs/Address"}
    assert set(schema["$defs"]) == {"Address", "Colour", "Options", "Point"}
    assert schema["$defs"]["Address"]["required"] == ["street", "number"]
    assert '"title"' not in json.dumps(schema)


def test_a_parameter_may_be_called_title_or_like_a_method_of_pydantic() -> None:
    def odd(title: str, model_dump: int, p0: int, default: str = "title") -> None:
        """Odd."""

    schema = FunctionSchema(odd)
    assert list(schema.json_schema["properties"]) == ["title", "model_dump", "p0", "default"]
    assert schema.json_schema["properties"]["default"] == {"type": "string", "default": "title"}
    given = {"title": "t", "model_dump": 1, "p0": 2}
    assert schema.checked(given) == given


def test_a_function_without_parameters_takes_none() -> None:
    schema = FunctionSchema(lambda: 1)
    assert schema.json_schema == {
        "type": "object", "properties": {}, "additionalProperties": False,
    }  # fmt: skip
    assert schema.checked({}) == {}


GOOGLE = """Say it.

    More of it.

    Args:
        a: The first,
            on two lines.
        b (int): The second.

    Returns:
        Nothing.
    """
NUMPY = """Say it.

    More of it.

    Parameters
    ----------
    a : str
        The first,
        on two lines.
    b : int
        The second.

    Returns
    -------
    None
    """
SPHINX = """Say it.

    More of it.

    :param a: The first,
        on two lines.
    :param b: The second.
    :returns: nothing
    """


@pytest.mark.parametrize("text", [GOOGLE, NUMPY, SPHINX], ids=["google", "numpy", "sphinx"])
def test_the_docstring_describes_function_and_parameters(text: str) -> None:
    def say(a: str, b: int, c: Annotated[str, "The third."] = "") -> None: ...

    say.__doc__ = text
    schema = FunctionSchema(say)
    assert schema.description == "Say it.\n\nMore of it."
    said = {
        name: each.get("description") for name, each in schema.json_schema["properties"].items()
    }
    assert said == {"a": "The first, on two lines.", "b": "The second.", "c": "The third."}


def test_a_field_goes_before_the_docstring() -> None:
    def say(a: Annotated[str, Field(description="By the field.")]) -> None:
        """Say.

        Args:
            a: By the docstring.
        """

    assert FunctionSchema(say).json_schema["properties"]["a"]["description"] == "By the field."


def test_a_default_of_a_field_reaches_a_function_that_has_none() -> None:
    def take(a: Annotated[int, Field(default=7)]) -> int:
        return a

    schema = FunctionSchema(take)
    assert take(**schema.checked({})) == 7


def test_defaults_are_left_to_the_function() -> None:
    made: list[Any] = []

    def take(a: int, b: object = made, c: int = "no int") -> None: ...  # type: ignore[assignment]

    assert FunctionSchema(take).checked({"a": 1}) == {"a": 1}


def test_annotated_names_of_a_local_scope_are_found() -> None:
    class Local(BaseModel):
        a: int

    def take(value: Local) -> None: ...

    assert FunctionSchema(take).checked({"value": {"a": 1}}) == {"value": Local(a=1)}


def test_a_result_may_be_annotated_with_what_cannot_be_read() -> None:
    def take(a: int) -> Unimported: ...

    assert FunctionSchema(take).types == {"a": int}


class Adder:
    def __init__(self, base: int) -> None:
        self.base = base

    def add(self, a: int) -> int:
        return self.base + a

    def __call__(self, a: int) -> int:
        return self.base + a


def cached(a: int) -> int:
    return a


async def later(a: int) -> int:
    return a


def with_key(key: str, a: int) -> None: ...


@pytest.mark.parametrize(
    "func",
    [
        Adder(1).add, Adder(1), functools.lru_cache(cached), later,
        functools.partial(Adder(1).add), functools.partial(with_key, "k"),
    ],
    ids=["method", "object", "cached", "coroutine", "partial of a method", "partial"],
)  # fmt: skip
def test_any_callable_with_a_signature(func: Any) -> None:
    schema = FunctionSchema(func)
    assert schema.json_schema["properties"] == {"a": {"type": "integer"}}
    assert schema.checked({"a": "2"}) == {"a": 2}


def variadic(*args: int) -> None: ...
def keywords(**kwargs: int) -> None: ...
def positional(a: int, /) -> None: ...


@pytest.mark.parametrize(
    ("func", "said"),
    [
        (variadic, r"\*args"),
        (keywords, r"\*\*kwargs"),
        (positional, "the positional-only parameter a"),
    ],
)
def test_parameters_that_a_model_cannot_name_are_refused(func: Any, said: str) -> None:
    with pytest.raises(AgentDefinitionError, match=rf"{func.__name__} takes {said}"):
        FunctionSchema(func)


def test_types_without_a_json_schema_are_refused() -> None:
    class Opaque: ...

    def take(a: Opaque) -> None: ...

    with pytest.raises(AgentDefinitionError, match=r"take.*injected_args"):
        FunctionSchema(take)

    def call(a: types.FunctionType) -> None: ...

    with pytest.raises(AgentDefinitionError, match="call"):
        FunctionSchema(call)
    assert FunctionSchema(take, hidden=["a"]).json_schema["properties"] == {}


def test_annotations_that_cannot_be_read_are_refused() -> None:
    def take(a: Unimported) -> None: ...

    with pytest.raises(AgentDefinitionError, match=r"take.*annotation of a.*Unimported"):
        FunctionSchema(take)


def test_hidden_parameters_must_exist() -> None:
    def take(a: int) -> None: ...

    with pytest.raises(AgentDefinitionError, match="names b, which the function does not take"):
        FunctionSchema(take, hidden=["b"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({}, "count: Field required"),
        ({"count": "many"}, "count: Input should be a valid integer"),
        (
            {"count": 1, "address": {"street": "Elm", "number": 0}},
            "address.number: Input should be",
        ),
        ({"count": 1, "cuont": 1}, "cuont: there is no such argument; there are: count, address"),
        ([1], "must be one JSON object, not an array"),
        ({"count": None}, "count: Input should be a valid integer"),
    ],
)
def test_wrong_arguments_are_explained(arguments: Any, said: str) -> None:
    def take(count: int, address: Address | None = None) -> None: ...

    with pytest.raises(ToolArgumentsError) as caught:
        FunctionSchema(take).checked(arguments)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pydantic", "docstring_parser"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, name, None)
            with pytest.raises(ConfigurationError, match=r"perdure\[llm\]"):
                FunctionSchema(everything)


VALUES = {
    "count": st.integers(-(2**53), 2**53),
    "share": st.floats(allow_nan=False, allow_infinity=False),
    "text": st.text(),
    "colour": st.sampled_from(Colour),
    "point": st.builds(Point, st.floats(-1e9, 1e9), st.floats(-1e9, 1e9)),
    "pairs": st.dictionaries(st.text(), st.lists(st.booleans())),
    "day": st.dates(),
    "maybe": st.none() | st.text(),
}


def of_all(
    count: int,
    share: float,
    text: str,
    colour: Colour,
    point: Point,
    pairs: dict[str, list[bool]],
    day: datetime.date,
    maybe: str | None = "absent",
) -> None: ...


@given(st.fixed_dictionaries(VALUES))
def test_what_a_model_writes_as_json_arrives_as_it_was_meant(values: dict[str, Any]) -> None:
    written = json.loads(TypeAdapter(dict[str, Any]).dump_json(values))
    assert FunctionSchema(of_all).checked(written) == values


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.integers() | st.text(), st.lists)))
def test_whatever_a_model_gives_is_taken_or_refused(arguments: dict[str, Any]) -> None:
    try:
        found = FunctionSchema(of_all).checked(arguments)
    except ToolArgumentsError as error:
        found = {}
        refused = str(error)
    else:
        refused = "not at all"
    assert refused
    assert set(found) <= set(VALUES)


def test_options_of_durable_calls_are_no_parameters() -> None:
    def look(durable_id: str) -> None: ...

    with pytest.raises(AgentDefinitionError, match="'durable_id', which is an option of durable"):
        FunctionSchema(look)
