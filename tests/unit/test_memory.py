"""Memory: paths, snapshots, lost updates, lifetimes; compared with a simple model."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.errors import ContextAccessError
from perdure.memory.cells import Cell, apply_delta
from perdure.memory.memory import ActionMemory, MemoryKind, MemoryObject, MemoryRef

State = dict[str, Cell]


def _encode(value: Any) -> bytes:
    return json.dumps(value).encode()


def _nothing() -> None:
    """Check that always passes."""


def _open(
    base: State | None = None,
    *,
    now: int = 100,
    ttl_ns: int = 0,
    check: Callable[[], None] = _nothing,
    kind: MemoryKind = "short_term",
) -> tuple[MemoryObject, ActionMemory]:
    memory = ActionMemory(
        base if base is not None else {},
        kind=kind,
        encode=_encode,
        decode=json.loads,
        check=check,
        now=now,
        ttl_ns=ttl_ns,
    )
    return memory.root, memory


def _state(**values: Any) -> State:
    return {path.replace("__", "."): Cell(_encode(v), 1) for path, v in values.items()}


def _values(state: State) -> dict[str, Any]:
    return {
        path: json.loads(cell.data) if cell.data else "<object>" for path, cell in state.items()
    }


def test_values_are_read_back_as_copies() -> None:
    root, memory = _open(_state(a=[1]))
    root.get("a").append(2)
    mine = {"k": [1]}
    root.set("b", mine)
    mine["k"].append(2)
    root.get("b")["k"].append(3)
    assert root.get("a") == [1]
    assert root.get("b") == {"k": [1]}
    assert root.get("none", 7) == 7
    assert memory.pending()


def test_none_is_a_value() -> None:
    root, _ = _open()
    root.set("a", None)
    assert root.get("a", 7) is None
    assert root.is_exist("a")


def test_objects() -> None:
    root, _ = _open(_state(user__name="x", user__tags__first=1, n=2))
    user = root.get("user")
    assert isinstance(user, MemoryObject)
    assert user.get("name") == "x"
    assert user.get_field_names() == ["name", "tags"]
    assert root.get_field_names() == ["n", "user"]
    assert user.get_fields()["name"] == "x"
    assert isinstance(user.get_fields()["tags"], MemoryObject)
    empty = root.new_object("e.f")
    assert root.get("e").get_field_names() == ["f"]
    assert empty.get_field_names() == []
    empty.set("g", 1)
    assert root.get("e.f.g") == 1
    root.new_object("user")
    assert root.get("user.name") == "x"


def test_overwriting_a_path_deletes_what_is_below_and_a_value_above() -> None:
    root, memory = _open(_state(a__b__c=1, a__d=2, ab=3))
    root.set("a", 5, overwrite=True)
    assert root.get("a") == 5
    assert not root.is_exist("a.b")
    root.set("a.x", 6, overwrite=True)
    assert isinstance(root.get("a"), MemoryObject)
    assert root.get("a").get_field_names() == ["x"]
    new, delta = memory.apply(_state(a__b__c=1, a__d=2, ab=3), 200)
    assert _values(new) == {"a.x": 6, "ab": 3}
    assert delta == [("a.b.c", None), ("a.d", None), ("a.x", _encode(6))]


def test_an_implicit_object_goes_with_its_last_field_and_a_made_one_stays() -> None:
    root, _ = _open(_state(a__b=1))
    root.new_object("made").set("b", 1)
    root.delete("a.b")
    root.delete("made.b")
    assert not root.is_exist("a")
    assert root.is_exist("made")
    root.delete("made")
    assert not root.is_exist("made")


def test_item_access() -> None:
    root, _ = _open(_state(a__b=1))
    root["c"] = 2
    assert root["a.b"] == 1
    assert "a" in root
    assert "x" not in root
    assert 3 not in root
    del root["a.b"]
    with pytest.raises(KeyError, match=r"a\.b"):
        _ = root["a.b"]
    with pytest.raises(KeyError, match=r"a\.b"):
        del root["a.b"]
    root.delete("a.b")


def test_references_are_from_the_root_and_into_one_memory() -> None:
    root, _ = _open()
    reference = root.new_object("a").set("b", 1)
    assert reference == MemoryRef("short_term", "a.b")
    assert root.get(reference) == root.get("a").get(reference) == root[reference] == 1
    assert reference in root
    sensory, _ = _open(kind="sensory")
    with pytest.raises(ValueError, match="into short_term memory"):
        sensory.get(reference)


@pytest.mark.parametrize("path", ["", ".", "a.", ".a", "a..b"])
def test_paths_have_no_empty_segment(path: str) -> None:
    root, memory = _open()
    for use in (root.get, root.is_exist, root.delete, root.new_object):
        with pytest.raises(ValueError, match="empty segment"):
            use(path)
    with pytest.raises(ValueError, match="empty segment"):
        root.set(path, 1)
    with pytest.raises(TypeError, match="a memory path is a string"):
        root.get(3)  # type: ignore[arg-type]
    assert not memory.pending()


def test_g8_memory_is_refused_outside_a_turn() -> None:
    refused = False

    def check() -> None:
        if refused:
            raise ContextAccessError("not here")

    root, memory = _open(_state(a=1), check=check)
    refused = True
    uses: list[Callable[[], Any]] = [
        lambda: root.get("a"),
        lambda: root.set("a", 1),
        lambda: root.new_object("b"),
        lambda: root.is_exist("a"),
        lambda: root.get_field_names(),
        lambda: root.get_fields(),
        lambda: root.delete("a"),
        lambda: root.update("a", lambda n: n),
        lambda: "a" in root,
    ]
    for use in uses:
        with pytest.raises(ContextAccessError):
            use()
    assert not memory.pending()
    assert repr(root) == "MemoryObject(short_term, root)"


def test_g14_an_action_reads_its_snapshot_and_its_own_writes() -> None:
    base = _state(a=1, b=2)
    kept = dict(base)
    root, memory = _open(base)
    root.set("a", 10)
    root.delete("b")
    assert (root.get("a"), root.is_exist("b")) == (10, False)
    memory.apply(_state(a=77, c=3), 200)
    assert root.get("a") == 10
    assert not root.is_exist("c")
    assert base == kept


def test_g15_the_last_to_complete_wins_path_by_path() -> None:
    base = _state(x=0, y=0)
    first, first_memory = _open(base)
    second, second_memory = _open(base)
    first.set("x", 1)
    first.set("y", 1)
    second.set("y", 2)
    state, _ = second_memory.apply(base, 200)
    state, _ = first_memory.apply(state, 300)
    assert _values(state) == {"x": 1, "y": 1}
    state, _ = second_memory.apply(state, 400)
    assert _values(state) == {"x": 1, "y": 2}


def test_g15_a_delete_also_deletes_what_another_action_wrote() -> None:
    root, memory = _open()
    root.delete("a")
    new, delta = memory.apply(_state(a__b=1, c=1), 200)
    assert _values(new) == {"c": 1}
    assert delta == [("a.b", None)]


def test_g15_concurrent_updates_lose_nothing() -> None:
    state: State = {}
    actions = [_open(state) for _ in range(5)]
    for index, (root, _) in enumerate(actions):
        root.update("count", lambda n: (n or 0) + 1)
        root.update("seen", lambda seen, index=index: [*(seen or []), index])
        assert root.get("count") == 1
        assert root.get("seen") == [index]
    for _, memory in reversed(actions):
        state, _ = memory.apply(state, 200)
    assert _values(state) == {"count": 5, "seen": [4, 3, 2, 1, 0]}


def test_g15_updates_and_sets_of_one_action_keep_their_order() -> None:
    root, memory = _open(_state(n=1, m=1))
    root.update("n", lambda n: n + 1)
    root.set("m", 10)
    root.update("m", lambda m: m + 1)
    assert (root.get("n"), root.get("m")) == (2, 11)
    new, _ = memory.apply(_state(n=100, m=100), 200)
    assert _values(new) == {"n": 101, "m": 11}


def test_g15_a_function_that_raises_at_completion_changes_nothing() -> None:
    root, memory = _open()
    root.set("a", 1)
    root.update("n", lambda n: 1 if n is None else 1 // n)
    current = _state(n=0)
    kept = dict(current)
    with pytest.raises(ZeroDivisionError):
        memory.apply(current, 200)
    assert current == kept
    new, _ = memory.apply(_state(n=1), 200)
    assert _values(new) == {"a": 1, "n": 1}


def test_g15_an_update_that_raises_at_once_is_not_recorded() -> None:
    root, memory = _open(_state(o__x=1))
    with pytest.raises(TypeError):
        root.update("n", lambda n: n + 1)
    with pytest.raises(TypeError, match="it is an object"):
        root.update("o", lambda n: 1)

    async def later(n: Any) -> None: ...

    with pytest.raises(TypeError, match="takes a plain function"):
        root.update("n", later)
    with pytest.raises(TypeError, match="takes a plain function"):
        root.update("n", 3)  # type: ignore[arg-type]
    assert not memory.pending()
    assert memory.apply({}, 200) == ({}, [])


def test_g15_an_update_function_uses_no_memory() -> None:
    root, memory = _open()
    with pytest.raises(ContextAccessError, match="compute from its argument"):
        root.update("n", lambda n: root.get("n"))
    root.set("n", 1)
    assert len(memory.apply({}, 200)[1]) == 1


def test_g16_ttl_is_judged_at_the_start_and_renewed_by_writes() -> None:
    base = {"old": Cell(b"1", 89), "edge": Cell(b"1", 90), "new": Cell(b"1", 91)}
    base |= {"o": Cell(b"", 1), "p.q": Cell(b"1", 1)}
    root, memory = _open(base, now=100, ttl_ns=10)
    assert root.get_field_names() == ["new"]
    assert [root.is_exist(path) for path in ("old", "edge", "new", "o", "p")] == [
        False,
        False,
        True,
        False,
        False,
    ]
    root.update("old", lambda n: n)
    root.set("p", 1)
    new, delta = memory.apply(base, 500)
    assert new["old"] == Cell(b"null", 500)
    assert delta == [("old", b"null"), ("p", b"1"), ("p.q", None)]
    forever, _ = _open(base, now=10**18)
    assert forever.is_exist("old")


def test_of_values_set_one_after_another_at_a_path_the_last_is_kept() -> None:
    root, memory = _open()
    for n in range(5):
        root.set("a.b", n)
    assert [write.data for write in memory._writes] == [b"4"]
    root.set("c", 5)
    root.update("c", lambda c: c + 1)
    root.set("c", 7)
    assert len(memory._writes) == 4  # what the update is given, it is given again
    state, delta = memory.apply(_state(a=0, a__b__c=1), 300)
    assert _values(state) == {"a.b": 4, "c": 7}
    assert delta == [("a", None), ("a.b", b"4"), ("a.b.c", None), ("c", b"7")]


def test_what_was_made_and_deleted_at_once_leaves_no_tombstone() -> None:
    root, memory = _open()
    root.set("a", 1)
    root.delete("a")
    assert memory.pending()
    assert memory.apply({}, 200) == ({}, [])


# Against a model: a tree of dictionaries (objects) and lists of one (values).

PATHS = st.sampled_from(["a", "b", "a.a", "a.b", "b.a", "a.a.a", "a.a.b", "a.b.a"])
OPS = st.lists(
    st.one_of(
        st.tuples(st.just("set"), PATHS, st.integers(0, 9)),
        st.tuples(st.just("delete"), PATHS, st.just(0)),
        st.tuples(st.just("update"), PATHS, st.integers(1, 9)),
    ),
    max_size=12,
)
Tree = dict[str, Any]


def _model_run(tree: Tree, ops: list[tuple[str, str, int]]) -> None:
    for kind, path, number in ops:
        *parents, name = path.split(".")
        node = tree
        if kind == "delete":
            _model_delete(tree, path.split("."))
            continue
        for parent in parents:
            if not isinstance(node.get(parent), dict):
                node[parent] = {}
            node = node[parent]
        old = node.get(name)
        if kind == "update" and isinstance(old, list):
            number += old[0]
        node[name] = [number]


def _model_delete(tree: Tree, names: list[str]) -> None:
    below = tree.get(names[0])
    if len(names) == 1:
        tree.pop(names[0], None)
    elif isinstance(below, dict):
        _model_delete(below, names[1:])
        if not below:
            del tree[names[0]]


def _model_flat(tree: Tree, prefix: str = "") -> dict[str, int]:
    flat: dict[str, int] = {}
    for name, below in tree.items():
        if isinstance(below, list):
            flat[prefix + name] = below[0]
        else:
            flat |= _model_flat(below, f"{prefix}{name}.")
    return flat


def _perform(root: MemoryObject, op: tuple[str, str, int]) -> None:
    kind, path, number = op
    if kind == "set":
        root.set(path, number, overwrite=True)
    elif kind == "delete":
        root.delete(path)
    else:
        root.update(path, lambda n: (n or 0) + number)


def _sensible(state: dict[str, int], ops: list[tuple[str, str, int]]) -> list[tuple[str, str, int]]:
    """Leave out updates that meet an object, or a value above, which are refused."""
    tree: Tree = {}
    _model_run(tree, [("set", path, number) for path, number in state.items()])
    kept = []
    for op in ops:
        if op[0] == "update" and any(
            p.startswith(f"{op[1]}.") or op[1].startswith(f"{p}.") for p in _model_flat(tree)
        ):
            continue
        _model_run(tree, [op])
        kept.append(op)
    return kept


def _built(ops: list[tuple[str, str, int]]) -> State:
    root, memory = _open()
    for op in ops:
        _perform(root, op)
    return memory.apply({}, 1)[0]


@given(before=OPS, ops=OPS)
def test_g14_reads_and_completion_agree_with_a_tree(before: Any, ops: Any) -> None:
    base = _built(_sensible({}, before))
    kept = dict(base)
    ops = _sensible(_values(base), ops)
    tree: Tree = {}
    _model_run(tree, [("set", path, number) for path, number in _values(base).items()])
    root, memory = _open(base)
    for op in ops:
        _perform(root, op)
        _model_run(tree, [op])
        flat = _model_flat(tree)
        for path in ("a", "b", "a.a", "a.b", "b.a", "a.a.a", "a.a.b", "a.b.a"):
            below = any(p.startswith(f"{path}.") for p in flat)
            assert root.is_exist(path) == (path in flat or below)
            if path in flat:
                assert root.get(path) == flat[path]
        assert root.get_field_names() == sorted({p.partition(".")[0] for p in flat})
    new, _ = memory.apply(base, 200)
    assert _values(new) == _model_flat(tree)
    assert base == kept


@given(before=OPS, mine=OPS, others=OPS)
def test_g15_completion_over_what_others_did(before: Any, mine: Any, others: Any) -> None:
    base = _built(_sensible({}, before))
    root, memory = _open(base)
    mine = [op for op in _sensible(_values(base), mine) if op[0] != "update"]
    for op in mine:
        _perform(root, op)
    other, other_memory = _open(base)
    for op in _sensible(_values(base), others):
        _perform(other, op)
    current, _ = other_memory.apply(base, 150)
    kept = dict(current)
    new, delta = memory.apply(current, 200)

    tree: Tree = {}
    _model_run(tree, [("set", path, number) for path, number in _values(current).items()])
    _model_run(tree, mine)
    assert _values(new) == _model_flat(tree)
    assert current == kept

    recovered = dict(current)
    apply_delta(recovered, delta, 200)
    assert recovered == new
    assert len({path for path, _ in delta}) == len(delta)
    for path in new:
        assert not any(p.startswith(f"{path}.") for p in new)


@given(numbers=st.lists(st.integers(1, 9), min_size=1, max_size=6), order=st.randoms())
def test_g15_counters_in_any_completion_order(numbers: list[int], order: Any) -> None:
    state: State = {}
    actions = []
    for number in numbers:
        root, memory = _open(state)
        _perform(root, ("update", "a.n", number))
        actions.append(memory)
    order.shuffle(actions)
    for memory in actions:
        state, _ = memory.apply(state, 200)
    assert _values(state) == {"a.n": sum(numbers)}
