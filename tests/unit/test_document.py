"""Documents and filters over metadata."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.codec.codec import Codec
from perdure.documents.document import (
    Document,
    VectorStoreQuery,
    VectorStoreQueryMode,
    VectorStoreQueryResult,
    document_id,
    metadata_text,
    words_of,
)
from perdure.documents.filters import AllOf, AnyOf, Comparison, Not, parse_filters
from perdure.errors import ConfigurationError, TerminalError

FIELDS = st.sampled_from(["a", "b", "c.d", "ä"])
TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=3)
NUMBERS = st.one_of(
    st.integers(-(2**50), 2**50),
    st.integers(-2, 2),
    st.sampled_from([0.5, 1.0, -0.0, 1e-9, 2.5]),
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS)
METADATA = st.dictionaries(FIELDS, st.one_of(SCALARS, st.lists(SCALARS, max_size=3)), max_size=3)
_OPERATIONS = st.one_of(
    st.dictionaries(st.sampled_from(["$eq", "$ne"]), SCALARS, min_size=1),
    st.dictionaries(
        st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), st.one_of(NUMBERS, TEXTS), min_size=1
    ),
    st.dictionaries(st.sampled_from(["$in", "$nin"]), st.lists(SCALARS, max_size=3), min_size=1),
    st.fixed_dictionaries({"$exists": st.booleans()}),
)
_ENTRIES = st.dictionaries(FIELDS, st.one_of(SCALARS, _OPERATIONS), max_size=2)
FILTERS = st.recursive(
    _ENTRIES,
    lambda part: st.one_of(
        st.fixed_dictionaries({"$and": st.lists(part, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"$or": st.lists(part, min_size=1, max_size=2)}),
        st.fixed_dictionaries({"$not": part}),
    ),
    max_leaves=4,
)


def passes(filters: dict[str, Any], metadata: dict[str, Any]) -> bool:
    parsed = parse_filters(filters)
    return parsed is None or parsed.matches(metadata)


# Filters


def test_a_filter_is_parsed_once() -> None:
    assert parse_filters(None) is parse_filters({}) is None
    assert parse_filters({"a": 1}) == Comparison("a", "$eq", 1)
    assert parse_filters({"a": 1, "b": {"$gt": 2, "$ne": 3}}) == AllOf(
        (Comparison("a", "$eq", 1), Comparison("b", "$gt", 2), Not(Comparison("b", "$eq", 3)))
    )
    assert parse_filters({"$or": [{"a": {"$in": [1]}}, {}]}) == AnyOf(
        (Comparison("a", "$in", (1,)), AllOf(()))
    )
    assert parse_filters({"a": VectorStoreQueryMode.HYBRID}) == Comparison("a", "$eq", "hybrid")


@pytest.mark.parametrize(
    ("filters", "why"),
    [
        ({"a": {"$near": 1}}, r"on 'a': unknown operator '\$near'; known are \$eq, \$exists, \$gt"),
        ({"$xor": []}, r"unknown operator '\$xor'; known are \$and, \$not, \$or"),
        ({"$eq": 1}, r"unknown operator '\$eq'"),
        ({"a": {"b": 1}}, "unknown operator 'b'"),
        ({"a": [1]}, r"\$eq takes a text, a number, a boolean or None, not \[1\]"),
        ({"a": {"$gt": None}}, r"\$gt compares numbers or texts, not None"),
        ({"a": {"$lt": True}}, r"\$lt compares numbers or texts"),
        ({"a": {"$gt": float("inf")}}, "not inf"),
        ({"a": float("nan")}, "not nan"),
        ({"a": {"$in": "abc"}}, r"\$in takes a list"),
        ({"a": {"$nin": [[1]]}}, r"\$nin takes a text"),
        ({"a": {"$exists": 1}}, r"\$exists takes True or False"),
        ({"a": {}}, r"on 'a': \{\} asks for nothing"),
        ({"$and": {}}, r"\$and takes a list of filters"),
        ({"$or": []}, r"\$or takes a list of filters"),
        ({"$not": []}, "is a dictionary such as"),
        ({1: 2}, "1 is no name of a field"),
        ("a", "is a dictionary such as"),
    ],
)
def test_what_is_no_filter_is_named(filters: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        parse_filters(filters)


@pytest.mark.parametrize(
    ("filters", "metadata", "matches"),
    [
        ({"a": 1}, {"a": True}, False),
        ({"a": 1}, {"a": 1.0}, True),
        ({"a": 1}, {"a": "1"}, False),
        ({"a": None}, {}, False),
        ({"a": None}, {"a": None}, True),
        ({"a": 1}, {"a": [2, 1]}, True),
        ({"a": 1}, {"a": [[1]]}, False),
        ({"a": {"$ne": 1}}, {}, True),
        ({"a": {"$ne": 1}}, {"a": [1, 2]}, False),
        ({"a": {"$gt": "b"}}, {"a": "c"}, True),
        ({"a": {"$gt": 1}}, {"a": "c"}, False),
        ({"a": {"$gt": 0}}, {"a": True}, False),
        ({"a": {"$lt": 5}}, {}, False),
        ({"a": {"$not": 1}}, None, None),
        ({"$not": {}}, {}, False),
        ({"$not": {"a": 1}}, {}, True),
        ({"a": {"$exists": True}}, {"a": None}, True),
        ({"a": {"$gt": 1, "$lt": 3}}, {"a": [0, 4]}, True),
    ],
)
def test_what_a_filter_matches(filters: Any, metadata: Any, matches: bool | None) -> None:
    if matches is None:
        with pytest.raises(ConfigurationError):
            parse_filters(filters)
    else:
        assert passes(filters, metadata) is matches


@given(FILTERS, METADATA)
def test_not_is_the_opposite(filters: dict[str, Any], metadata: dict[str, Any]) -> None:
    assert passes({"$not": filters}, metadata) is not passes(filters, metadata)


@given(FILTERS, FILTERS, METADATA)
def test_and_or_and_not_go_together(
    one: dict[str, Any], other: dict[str, Any], metadata: dict[str, Any]
) -> None:
    both, either = passes({"$and": [one, other]}, metadata), passes({"$or": [one, other]}, metadata)
    assert both is (passes(one, metadata) and passes(other, metadata))
    assert either is (passes(one, metadata) or passes(other, metadata))


@given(FILTERS, METADATA)
def test_a_filter_means_the_same_through_json(
    filters: dict[str, Any], metadata: dict[str, Any]
) -> None:
    again = json.loads(json.dumps(filters))
    assert passes(again, json.loads(metadata_text(metadata))) is passes(filters, metadata)


@given(FIELDS, st.one_of(NUMBERS, TEXTS), METADATA)
def test_ranges_fit_together(field: str, bound: Any, metadata: dict[str, Any]) -> None:
    value = metadata.get(field)
    kinds = (str,) if isinstance(bound, str) else (int, float)
    comparable = isinstance(value, kinds) and not isinstance(value, bool)
    results = [passes({field: {op: bound}}, metadata) for op in ("$lt", "$eq", "$gt")]
    if comparable:
        assert results.count(True) == 1
    elif not isinstance(value, list):
        assert results.count(True) == 0


# Documents


def test_an_id_is_made_from_content_and_metadata() -> None:
    one = document_id(Document("text", {"a": 1, "b": [2]}))
    assert one == document_id(Document("text", {"b": [2], "a": 1}, embedding=[1.0], score=2.0))
    assert one == "89f37001330be5aaacabe69aead7e691", "documents are stored under them"
    others = [Document("text"), Document("text", {"a": 1}), Document("Text", {"a": 1, "b": [2]})]
    assert len({one, *map(document_id, others)}) == 4
    assert document_id(Document("text", {}, "own")) == "own"


@pytest.mark.parametrize("bad", [{"a": {1, 2}}, {"a": float("inf")}, {1: 2}, {"a": b""}])
def test_metadata_is_json(bad: Any) -> None:
    with pytest.raises(TerminalError, match="must be JSON values by name"):
        document_id(Document("text", bad))


def test_a_query_is_checked() -> None:
    assert VectorStoreQuery("x", mode="hybrid").mode is VectorStoreQueryMode.HYBRID  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="'fuzzy' is no query mode: use one of semantic"):
        VectorStoreQuery("x", mode="fuzzy")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="limit=-1"):
        VectorStoreQuery("x", -1)
    with pytest.raises(ConfigurationError, match="unknown operator"):
        VectorStoreQuery("x", filters={"a": {"$x": 1}})


def test_they_are_shown_short() -> None:
    assert str(Document("short")) == "Document: short"
    assert len(str(Document("long " * 100))) == len("Document: ") + 60
    assert str(VectorStoreQuery("why?", 3)) == "semantic query: 'why?' (limit=3)"
    assert str(VectorStoreQueryResult([])) == "QueryResult: 0 documents"


def test_they_go_through_the_journal() -> None:
    codec = Codec()
    for annotation in (Document, VectorStoreQuery, VectorStoreQueryResult):
        codec.registry.register_annotation(annotation)
    document = Document("text", {"a": [1, None]}, "id", [0.5], 0.25)
    for value in (
        document,
        VectorStoreQuery("x", 1, VectorStoreQueryMode.KEYWORD, "c", {"a": {"$in": [1]}}, {"k": 1}),
        VectorStoreQueryResult([document]),
    ):
        assert codec.decode(codec.encode(value)) == value


def test_words_are_what_is_between_the_rest() -> None:
    assert words_of("It's ÉTÉ, foo_bar: foo-bar 42!") == [
        "it", "s", "été", "foo_bar", "foo", "bar", "42",
    ]  # fmt: skip
    assert words_of(" .,;\0\n") == []
