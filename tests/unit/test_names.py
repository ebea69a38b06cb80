"""Names that last: the table of names, and that everything of perdure's own has one."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.codec.digests import call_digests, digest, digest_call, digests
from perdure.codec.identity import function_identities, function_identity
from perdure.codec.names import MAX_NAMES, NAMES, NameTable, type_name
from perdure.codec.old_names import OLD_PLACES
from perdure.codec.sketch import differences, sign_call
from perdure.codec.types import describe, register_type
from perdure.errors import ConfigurationError, PerdureError
from perdure.llm.message import ChatMessage
from perdure.resource import Resource

# What no action, input or store of a user's can hold: parts of the runtime, of declarations on
# their way to a plan, of faces and of the test kit. Packages and modules.
INTERNAL = {
    "agent", "cli", "conditions.syntax", "config.values", "config.yaml_nodes",
    "config.yaml_options", "connectors", "engine", "executor", "journal", "codec",
    "llm.skills.command", "operate.answers", "operate.hour", "operate.job_names",
    "operate.job_trace", "operate.lives", "operate.run_detail", "operate.stats",
    "runtime", "store", "yaml_agent", "integrations.llm_models", "integrations.mcp_session",
    "integrations.openai_agents_run",
    "integrations.pydantic_ai_durability", "integrations.pydantic_ai_run", "testing",
    "web.trace_file",
}  # fmt: skip
INTERNAL_CLASSES = {"Cell", "CallOptions"}  # cells of memory, options of calls


def own_classes() -> Iterator[type]:
    """Every class of perdure that a journal can hold: values, errors, resources."""
    for found in pkgutil.walk_packages(perdure.__path__, "perdure."):
        place = found.name.removeprefix("perdure.")
        if place in INTERNAL or place.partition(".")[0] in INTERNAL:
            continue
        for name, cls in vars(importlib.import_module(found.name)).items():
            if not isinstance(cls, type) or cls.__module__ != found.name or name.startswith("_"):
                continue
            if name in INTERNAL_CLASSES:
                continue
            if describe(cls) or issubclass(cls, BaseException | Resource):
                yield cls


def test_everything_of_perdures_own_has_a_name_that_lasts() -> None:
    classes = list(own_classes())
    without = [type_name(c) for c in classes if not NAMES.of(c)[0].startswith("perdure:")]
    assert without == [], "give it __journal_name__ = 'perdure:...'"
    firsts = [NAMES.of(cls)[0] for cls in classes]
    assert len(set(firsts)) == len(firsts) > 70


def test_methods_of_perdures_resources_are_durable_callables_with_names_that_last() -> None:
    wrong = []
    for cls in own_classes():
        if not issubclass(cls, Resource):
            continue
        concrete: Any = type(cls.__name__, (cls,), {})
        concrete.__abstractmethods__ = frozenset()
        instance = concrete.__new__(concrete)
        for name, member in inspect.getmembers(cls, inspect.isfunction):
            if not name.startswith("_"):
                identity = function_identity(member.__get__(instance))
                if not identity.startswith("perdure:"):
                    wrong.append(identity)
    assert wrong == []


def test_the_public_names_that_are_values_are_among_them() -> None:
    public = {getattr(perdure, name) for name in perdure.__all__}
    values = {each for each in public if isinstance(each, type) and describe(each)}
    assert values - set(own_classes()) == {perdure.ConfigOption}  # names an option, is no value


def test_the_names_of_older_journals_find_what_is_meant_now() -> None:
    by_name = {NAMES.of(cls)[0]: cls for cls in own_classes()}
    by_name |= {NAMES.of(each)[0]: each for each in _test_kit()}
    for name, places in OLD_PLACES.items():
        assert by_name[name], f"{name} is in old journals, and no class has that name"
        assert NAMES.of(by_name[name])[1:] == places
        if issubclass(by_name[name], PerdureError):
            assert NAMES.find_error(places[0]) is NAMES.find_error(name) is by_name[name]


def test_the_page_of_names_is_up_to_date() -> None:
    docs = Path(__file__).parents[2] / "docs"
    render = runpy.run_path(str(docs / "write_journal_names.py"))["render"]
    assert (docs / "journal-names.md").read_text("utf-8") == render(), "run `make docs`"


def _test_kit() -> list[type]:
    from perdure.testing import RecordedChatModel, ScriptedChatModel, ScriptedEmbeddingModel

    return [RecordedChatModel, ScriptedChatModel, ScriptedEmbeddingModel]


# The table


def made(name: str, place: str = "shop") -> Any:
    cls = dataclasses.make_dataclass(name, ["n"])
    cls.__module__ = place
    return cls


def test_a_name_given_replaces_the_place_and_keeps_it_as_an_alias() -> None:
    table, cls = NameTable(), made("Order")
    assert table.of(cls) == ("shop:Order",)
    table.give(cls, "order", ())
    assert table.of(cls) == ("order", "shop:Order")
    table.give(cls, None, ())  # registered once more, without a name
    assert table.of(cls) == ("order", "shop:Order")
    table.give(cls, "purchase", ("sale",))
    assert table.of(cls) == ("purchase", "sale", "order", "shop:Order")
    assert [table.name(cls, n) for n in (0, 3, 4, 9)] == ["purchase", *["shop:Order"] * 3]
    assert {table.find(each) for each in table.of(cls)} == {cls}


@pytest.mark.parametrize(
    ("name", "aliases"), [("order", ()), ("other", ("order",)), ("shop:Order", ()), ("x", ("was",))]
)
def test_two_classes_with_one_name_are_refused_by_name(name: str, aliases: tuple[str, ...]) -> None:
    table, cls = NameTable(), made("Order")
    table.give(cls, "order", ("was",))
    with pytest.raises(ConfigurationError, match=r"shop:Order and market:Order; give one"):
        table.give(made("Order", "market"), name, aliases)
    assert table.find("order") is table.find("was") is table.find("shop:Order") is cls


def test_a_class_made_again_by_the_same_statement_replaces_its_older_self() -> None:
    table, first, second = NameTable(), made("Order"), made("Order")
    table.give(first, "order", ("was",))
    table.give(second, "order", ())
    assert table.find("order") is second
    assert table.find("was") is None
    assert table.of(first)[0] == "order"  # its instances are still written so


@pytest.mark.parametrize("name", ["", "perdure:Order", "a\nb", 7])
def test_what_is_no_name_is_refused(name: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"shop:Order cannot be called"):
        NameTable().give(made("Order"), "good", (name,))


def test_more_names_than_are_looked_up_are_refused() -> None:
    aliases = tuple(f"was{n}" for n in range(MAX_NAMES - 1))
    with pytest.raises(ConfigurationError, match=r"9 names in the journal.*at most 8"):
        NameTable().give(made("Order"), "order", aliases)
    NameTable().give(made("Order"), "order", aliases[1:])


def test_what_cannot_be_rebuilt_is_not_registered() -> None:
    class Plain:
        pass

    with pytest.raises(ConfigurationError, match="only dataclasses"):
        register_type(Plain, name="plain")


# Digests and identities


def test_digests_go_back_by_generations_of_all_types_together() -> None:
    order, item = made("GOrder", "g"), made("GItem", "g")
    plain = digest([order(item(1)), item(2)])
    register_type(item, name="g-item")
    between = digest([order(item(1)), item(2)])
    register_type(order, name="g-order")
    found = list(digests([order(item(1)), item(2)]))
    assert len({plain, between, *found}) == 3
    assert found[1:] == [plain]  # never item's newest name with order's oldest
    assert between not in found
    assert list(digests({"a": 1})) == [digest({"a": 1})]
    assert list(digests(7)) == [digest(7)]
    args = (order(1),)
    assert next(iter(call_digests(args, {}))) == digest_call(args, {})
    assert len(list(call_digests(args, {"b": 1, "a": 2}))) == 2


def test_a_method_goes_by_the_name_of_its_class() -> None:
    @dataclasses.dataclass
    class Till:
        def open(self) -> None: ...

        @staticmethod
        def count() -> None: ...

    class Drawer(Till):
        pass

    Till.__qualname__, Till.open.__qualname__, Till.count.__qualname__ = (
        "Till", "Till.open", "Till.count",
    )  # fmt: skip
    place = type_name(Till)
    before = [function_identity(each) for each in (Till().open, Till.open, Till.count)]
    assert before == [f"{place}.open", f"{place}.open", f"{place}.count"]
    register_type(Till, name="till")
    for func, name in ((Till().open, "open"), (Till.open, "open"), (Till.count, "count")):
        assert list(function_identities(func)) == [f"till.{name}", f"{place}.{name}"]
    inherited = list(function_identities(Drawer().open))
    assert inherited == [f"till.open@{type_name(Drawer)}", f"{place}.open@{type_name(Drawer)}"]


# What differs


@dataclasses.dataclass
class Letter:
    to: str
    text: str
    copies: int = 1


def test_a_sketch_names_the_parts_that_differ() -> None:
    text = "x" * 1000

    def told(before: Any, now: Any) -> str:
        return differences(sign_call((before,), {})[0], (now,), {})

    assert told(Letter("a", text), Letter("a", text + "y")) == "args[0].text"
    assert told([Letter("a", text), 2], [Letter("b", text), 3]) == "args[0][1], args[0][0].to"
    assert told({"m": [{"role": text}]}, {"m": [{"role": text + "."}]}) == "args[0]['m'][0]['role']"
    assert told(["a" * 200], ["a" * 200, 1]) == "args[0][1] (which was not there)"
    assert told(["a" * 200, 1, 2], ["a" * 200]) == "2 parts that are gone"
    as_dict = dataclasses.asdict(Letter("a", text))
    assert told(Letter("a", text), as_dict).startswith("args[0]['to']")
    assert told("a", "b") == ""  # short and plain: the text itself says it


def test_a_sketch_leaves_out_fields_that_are_empty_and_names_them_all_the_same() -> None:
    def told(before: Any, now: Any) -> str:
        return differences(sign_call((before,), {})[0], (now,), {})

    message = ChatMessage.user("x" * 200)
    parts = ("the type", "role", "content")
    assert len(sign_call((message,), {})[0]) == 16 + 6 * len(parts) + 1
    reasoned = dataclasses.replace(message, reasoning="so")
    assert told(message, reasoned) == told(reasoned, message) == "args[0].reasoning"
    assert told(message, message) == ""
    assert told([message], [message, message]).startswith("the type of args[0][1]")
    assert told([message], []) != ""


def test_sketches_of_before_name_what_differs() -> None:
    # With all fields of `ChatMessage.user("text 100")`, as they were written first.
    recorded = bytes.fromhex(
        "41ee47baa81dee8f22e8bc980e03ffc760e9baf4a3e9f4b34c6a692013edca473da5352f027a9e3dd67c077a"
        "9e3d93dfd945b5b4b46e6a45b5b4fae71d45b5b44dfce445b5b409aaf545b5b4090aba45b5b47f3904ac6988"
    )
    assert len(recorded) == 16 + 6 * 12
    message = ChatMessage.user("text 100")

    def told(**changes: Any) -> str:
        return differences(recorded, (dataclasses.replace(message, **changes),), {})

    assert told() == ""
    assert told(content="text 101") == "args[0].content"
    assert told(model="m") == "args[0].model"


@pytest.mark.parametrize(
    "value",
    [1, "<b>", None, [1, "b"], {"a": [{"b": 2.5}], "c": (True, b"x")}, [ChatMessage.user("hi")]],
    ids=str,
)
def test_arguments_that_are_shown_whole_take_no_sketch(value: Any) -> None:
    assert len(sign_call((value, "short"), {"a": value})[0]) == 16


@pytest.mark.parametrize(
    "value",
    [
        Letter("a", "b"),  # of a type that may be given another name
        [{"deep": Letter("a", "b")}], {(1, 2): 1}, {1, 2}, [10**100],
        [ChatMessage(output=Letter("a", "b" * 200))], "long" * 100, [["x" * 200]], [[[[[[1]]]]]],
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_arguments_take_a_sketch_where_the_text_does_not_tell_them_apart(value: Any) -> None:
    assert len(sign_call((value,), {})[0]) > 16


def test_a_sketch_is_short() -> None:
    assert len(sign_call(("long" * 100,), {})[0]) == 16 + 6
    assert len(sign_call(([["x" * 200]] * 500,), {})[0]) <= 16 + 6 * 96


def test_parts_stand_for_a_digest_among_the_arguments() -> None:
    before = {"tools": ["a"], "messages": [{"text": "one"}]}
    signed, _ = sign_call(("0123",), {}, before)
    now = {"tools": ["a"], "messages": [{"text": "two"}]}
    assert differences(signed, ("4567",), {}, now) == "messages[0]['text']"
