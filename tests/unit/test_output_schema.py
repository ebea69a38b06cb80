"""OutputSchema: what a model's answer is read as, and what the model is told when it cannot be."""

from __future__ import annotations

import dataclasses
import datetime
import json
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypedDict

from perdure.errors import AgentDefinitionError, OutputSchemaError
from perdure.llm.events import ChatRequestEvent
from perdure.llm.output_schema import OutputSchema


class Weather(BaseModel):
    """What the weather is like."""

    city: str
    degrees: float = Field(ge=-90, le=60)


class Report(BaseModel):
    days: list[Weather]
    kind: Literal["long", "short"] = "short"


class Node(BaseModel):
    value: int
    children: list[Node] = []


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0


class Movie(TypedDict):
    title: str
    year: int


PLAIN = {
    "title": "person",
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer", "minimum": 0}},
    "required": ["name"],
}


def refused(schema: OutputSchema, answer: Any) -> str:
    """Return what is said of an answer that does not fit."""
    with pytest.raises(OutputSchemaError) as failure:
        schema.parse(answer)
    text = str(failure.value)
    assert "\n" not in text
    return text


# Types


@pytest.mark.parametrize(
    ("output", "answer", "value"),
    [
        (Weather, {"city": "Oslo", "degrees": 3}, Weather(city="Oslo", degrees=3.0)),
        (Report, {"days": [{"city": "Rome", "degrees": 20.5}]},
         Report(days=[Weather(city="Rome", degrees=20.5)])),
        (Node, {"value": 1, "children": [{"value": 2}]}, Node(value=1, children=[Node(value=2)])),
        (Point, {"x": 1}, Point(x=1)),
        (Movie, {"title": "M", "year": 1931}, {"title": "M", "year": 1931}),
        (dict[str, int], {"a": 1}, {"a": 1}),
    ],
)  # fmt: skip
def test_an_object_type_is_read_from_text_and_from_the_parsed_object(
    output: Any, answer: Any, value: Any
) -> None:
    schema = OutputSchema.of(output)
    for form in (answer, json.dumps(answer)):
        found = schema.parse(form)
        assert found == value
        assert type(found) is type(value)
    assert schema.type is output


@pytest.mark.parametrize(
    ("output", "answer", "value"),
    [
        (list[int], [1, 2], [1, 2]),
        (str, "text", "text"),
        (int | None, None, None),
        (list[Weather], [{"city": "X", "degrees": 1}], [Weather(city="X", degrees=1)]),
        (Weather | Point, {"x": 4}, Point(x=4)),
        (Literal["yes", "no"], "no", "no"),
    ],
)
def test_what_is_no_object_is_wrapped_and_comes_back_unwrapped(
    output: Any, answer: Any, value: Any
) -> None:
    schema = OutputSchema.of(output)
    assert schema.json_schema["type"] == "object"
    assert schema.json_schema["required"] == ["result"]
    assert schema.parse({"result": answer}) == value
    assert schema.parse(json.dumps({"result": answer})) == value
    assert "'result'" in refused(schema, {"other": answer})
    assert "'result'" in refused(schema, json.dumps([answer]))


def test_references_stay_good_when_a_type_is_wrapped() -> None:
    schema = OutputSchema.of(list[Weather])
    assert list(schema.json_schema["$defs"]) == ["Weather"]
    assert "$defs" not in schema.json_schema["properties"]["result"]
    plain = OutputSchema(schema.json_schema)
    assert "degrees" in refused(plain, {"result": [{"city": "X"}]})


def test_a_type_that_refers_to_itself_is_an_object_already() -> None:
    schema = OutputSchema.of(Node)
    assert "properties" not in schema.json_schema
    assert schema.parse('{"value": 3}') == Node(value=3)


def test_one_type_is_one_schema_and_a_schema_stays_itself() -> None:
    schema = OutputSchema.of(Weather)
    assert OutputSchema.of(Weather) is schema
    assert OutputSchema.of(schema) is schema
    assert schema.name == "Weather"
    assert repr(schema) == "OutputSchema(Weather)"


def test_a_type_without_a_schema_is_refused_with_what_to_pass() -> None:
    class Opaque:
        def __init__(self, x: int) -> None:
            self.x = x

    for output in (Opaque, 7, "Weather", object()):
        with pytest.raises(AgentDefinitionError, match="pass a pydantic model") as caught:
            OutputSchema.of(output)
        assert "\n" not in str(caught.value)


def test_what_is_no_json_schema_is_refused_when_it_is_checked() -> None:
    with pytest.raises(AgentDefinitionError, match=r"no JSON schema: \$.*'objekt' is not valid"):
        OutputSchema.of({"type": "objekt"}).check()
    OutputSchema.of({"type": "array", "items": {"type": "integer"}}).check()
    OutputSchema.of(list[int]).check()


# JSON schemas


def test_a_json_schema_gives_plain_data_and_is_not_changed() -> None:
    before = json.dumps(PLAIN)
    schema = OutputSchema.of(PLAIN)
    assert schema.type is None
    assert schema.name == "person"
    assert schema.parse('{"name": "Ada", "age": 36}') == {"name": "Ada", "age": 36}
    assert json.dumps(PLAIN) == before


def test_a_json_schema_that_is_no_object_is_wrapped_too() -> None:
    array = {"type": "array", "items": {"$ref": "#/$defs/n"}, "$defs": {"n": {"type": "integer"}}}
    schema = OutputSchema(array)
    assert schema.parse('{"result": [1, 2]}') == [1, 2]
    assert "$.result[1]" in refused(schema, {"result": [1, "2"]})
    assert array["$defs"] == {"n": {"type": "integer"}}


@pytest.mark.parametrize("name", ["a name: with signs!", "", "x" * 200])
def test_names_are_what_providers_take(name: str) -> None:
    made = OutputSchema({**PLAIN, "title": name}).name
    assert 1 <= len(made) <= 60
    assert made.replace("_", "a").isalnum()


@pytest.mark.parametrize("output", [list[int], Weather, PLAIN, {"type": "array"}, int | None])
def test_the_schema_of_an_event_reads_as_the_type_does(output: Any) -> None:
    """An event keeps a JSON schema alone: what it is read as must not depend on the way there."""
    again = OutputSchema.of(ChatRequestEvent("m", "x", output_schema=output).output_schema)
    assert again.json_schema == OutputSchema.of(output).json_schema
    assert json.loads(json.dumps(again.source)) == again.source
    if output == list[int]:
        assert again.parse('{"result": [1]}') == [1]
        assert "$.result[0]" in refused(again, {"result": ["1"]})


# Text


@pytest.mark.parametrize(
    "text",
    [
        '{"x": 1, "y": 2}',
        '  {"x": 1, "y": 2}\n',
        '```json\n{"x": 1, "y": 2}\n```',
        '```\n{"x": 1, "y": 2}\n```',
        'Here it is:\n\n```json\n{"x": 1, "y": 2}\n```\nAnything else?',
        'The answer is {"x": 1, "y": 2}, I think.',
        'Of the set {a, b} I take {"x": 1, "y": 2}.',
        'First {"x": 1, "y": 2}, and a smile :-}',
        '```python\nprint({1, 2})\n```\n{"x": 1, "y": 2}',
        '```python\nprint({"x": 3})\n```\n```json\n{"x": 1, "y": 2}\n```',
    ],
)
def test_json_is_found_in_the_words_around_it(text: str) -> None:
    assert OutputSchema.of(Point).parse(text) == Point(x=1, y=2)


def test_a_fence_inside_a_value_is_no_fence() -> None:
    schema = OutputSchema({"type": "object", "properties": {"code": {"type": "string"}}})
    value = {"code": "```json\n1\n```"}
    assert schema.parse(json.dumps(value)) == value
    assert schema.parse(f"Here: {json.dumps(value)}") == value


@pytest.mark.parametrize("text", ["", "no", "{", "}{", '{"x": 1', "```json\n```", "{{{{", "[" * 9])
def test_what_holds_no_json_is_refused(text: str) -> None:
    assert "JSON" in refused(OutputSchema.of(Point), text)


def test_an_answer_that_was_cut_off_is_not_taken_for_a_part_of_it() -> None:
    whole = json.dumps({"value": 1, "children": [{"value": 2}, {"value": 3}]})
    for length in range(len(whole)):
        assert refused(OutputSchema.of(Node), whole[:length])


def test_an_answer_nested_without_end_is_a_misfit_and_no_crash() -> None:
    for text in ('{"x":' * 100_000, "[" * 100_000, "{" * 100_000):
        refused(OutputSchema.of(Point), text)


# Errors


def test_errors_say_where_and_what_in_one_line() -> None:
    report = OutputSchema.of(Report)
    said = refused(report, {"days": [{"city": "X", "degrees": 99}, {"degrees": 1}], "kind": "?"})
    assert "days.0.degrees: " in said
    assert "less than or equal to 60" in said
    assert "days.1.city: Field required" in said
    assert "kind: " in said
    assert "pydantic.dev" not in said
    plain = OutputSchema(PLAIN)
    assert refused(plain, {"name": 7, "age": -1}).startswith("$.age: -1 is less")
    assert "'name' is a required property" in refused(plain, {})
    assert refused(plain, [1]).startswith("$: ")


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)

    day: datetime.date
    tags: set[str] = set()
    name: str = ""


def test_strict_types_take_what_json_has_for_their_values() -> None:
    strict = OutputSchema.of(Strict)
    value = Strict(day=datetime.date(2024, 1, 2), tags={"a"})
    for answer in ('{"day": "2024-01-02", "tags": ["a"]}', {"day": "2024-01-02", "tags": ["a"]}):
        assert strict.parse(answer) == value
    assert (
        refused(strict, {"day": "2024-01-02", "name": 7}) == "name: Input should be a valid string"
    )
    assert "day: " in refused(strict, {"day": "2024-99-02"})
    assert "day: " in refused(strict, {"day": "2024-01-02", "name": "\ud800"})  # which no JSON has
    held = Strict(day=datetime.date(2024, 1, 2))
    assert strict.parse(held) is held


def test_not_more_than_five_errors_are_told() -> None:
    said = refused(OutputSchema.of(list[int]), {"result": ["x"] * 50})
    assert said.count(";") == 4


def test_a_value_of_a_wrong_kind_is_named() -> None:
    for answer in ("[1]", "3", "null", '"text"'):
        assert refused(OutputSchema.of(Weather), answer)


def test_the_instruction_holds_the_schema() -> None:
    text = OutputSchema({**PLAIN, "description": "Größe"}).instruction()
    assert "Größe" in text
    assert json.loads(text[text.index("{") :])["title"] == "person"


@pytest.mark.parametrize(
    ("schema", "said"),
    [
        ({"type": "objekt"}, "$.type: 'objekt' is not"),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "$.properties.a.pattern: '('"),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/no"}}}, "its $ref '#/$defs/no'"),
        ({"$ref": "https://example.org/x"}, "its $ref 'https://example.org/x' leads nowhere"),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"not": {"$ref": "#b"}}}}, "its $ref '#b'"),
        ({"type": "array", "items": {"$ref": "#/definitions/a"},
          "definitions": {"a": {"items": {"$ref": "other"}}}}, "leads nowhere"),
        ({"type": "object", "default": object()}, "not JSON"),
    ],
)  # fmt: skip
def test_what_is_no_json_schema_is_found_before_a_model_is_asked(schema: Any, said: str) -> None:
    with pytest.raises(AgentDefinitionError) as refusal:
        OutputSchema(schema).check()
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    "schema",
    [
        PLAIN,
        {"type": "object", "properties": {"$ref": {"type": "string"}, "pattern": {"enum": ["("]}}},
        {"type": "object", "properties": {"next": {"$ref": "#"}}},
        {"$ref": "#/$defs/a", "$defs": {"a": {"$anchor": "b", "not": {"$ref": "#b"}}}},
        {"type": "object", "not": {"$id": "x:y", "$ref": "#/$defs/c", "$defs": {"c": {}}}},
        {"type": "object", "not": {"$ref": "https://json-schema.org/draft/2020-12/schema"}},
        {"type": "object", "const": {"$ref": "#/nowhere"}},
    ],
)  # fmt: skip
def test_references_that_lead_somewhere_are_taken(schema: Any) -> None:
    OutputSchema(schema).check()
