"""Records: what each kind stores in which field, and what its properties read from there."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import perdure
from perdure.errors import DecodeError
from perdure.journal.record import Completion, Record, RecordKind, encode_completion

SOURCE = Path(perdure.__file__).parent

DID = Completion(events=[], sensory=[("a", b"1")], short_term=[("b", None)], outputs=2, created=3)
CALL = Record.of_call(7, 2, "act", 3, "m:f", b"digest", "1, 2")
SIGNAL = Record.signal(7, "approval", b"yes", 90)
HERE = (7, 2, "act")
OF_CALL = (3, "m:f", b"digest", "1, 2")

# A record of each kind, and the row that stores have held of it since the first version.
MADE = [
    (Record.start(*HERE, version=4, at=50),
     (*HERE, 4, 1, 0, "", None, "", None, 0, 50)),
    (CALL.returned(b"value", 40).settled(5, 60),
     (*HERE, 5, 2, *OF_CALL, b"value", 40, 60)),
    (CALL.raised(b"error", 40).settled(5, 60),
     (*HERE, 5, 3, *OF_CALL, b"error", 40, 60)),
    (Record.timer(*HERE).settled(5, 60),
     (*HERE, 5, 4, 0, "", None, "", None, 0, 60)),
    (Record.cancel(*HERE, "timed out").settled(5, 60),
     (*HERE, 5, 5, 0, "", None, "timed out", None, 0, 60)),
    (CALL.pending(0, at=60),
     (*HERE, 0, 6, *OF_CALL, None, 0, 60)),
    (CALL.pending(2, at=80, failure=b"error", started_at=40),
     (*HERE, 2, 6, *OF_CALL, b"error", 40, 80)),
    (Record.completed(*HERE, version=5, did=DID, at=60),
     (*HERE, 5, 7, 0, "", None, "", encode_completion(DID), 0, 60)),
    (Record.cut(*HERE, void_from=5, call=3, at=60),
     (*HERE, 5, 8, 3, "", None, "", None, 0, 60)),
    (Record.retry(7, attempt=1, at=60),
     (7, 0, "", 1, 9, 0, "", None, "", None, 0, 60)),
    (CALL.attempt(1, at=60),
     (*HERE, 1, 10, *OF_CALL, None, 0, 60)),
    (CALL.attempt(1, at=80, failure=b"error", started_at=40),
     (*HERE, 1, 10, *OF_CALL, b"error", 40, 80)),
    (SIGNAL,
     (7, 0, "", 0, 11, 0, "", None, "approval", b"yes", 0, 90)),
    (Record.taken(*HERE, SIGNAL).settled(5, 95),
     (*HERE, 5, 12, 0, "", None, "approval", b"yes", 90, 95)),
    (Record.note(7, b"said", has_lists=False, at=60),
     (7, 0, "", 0, 13, 0, "", None, "", b"said", 0, 60)),
    (Record.note(7, b"said", has_lists=True, at=60),
     (7, 0, "", 1, 13, 0, "", None, "", b"said", 0, 60)),
    (Record.logged(*HERE, 5, 3, at=60),
     (*HERE, 5, 14, 0, "", None, "", None, 3, 60)),
]  # fmt: skip


@pytest.mark.parametrize(("made", "row"), MADE)
def test_g23_a_record_is_stored_as_ever(made: Record, row: tuple[object, ...]) -> None:
    assert type(made) is Record
    assert tuple(made) == (*row, None, None)  # without rules of its own, and nothing waited
    # As sqlite3 binds it without a search for what it might be.
    assert {type(value) for value in made} <= {int, str, bytes, type(None)}


def test_every_kind_has_a_constructor() -> None:
    assert {made.kind for made, _ in MADE} == set(RecordKind)


def test_what_is_made_of_a_record_keeps_the_rest_of_it() -> None:
    full = Record(1, 2, "act", 3, RecordKind.RESULT, 4, "m:f", b"d", "1", b"payload", 5, 6)
    assert full.settled(30, 60) == full._replace(n=30, at=60)
    assert full.returned(b"new", 50) == full._replace(payload=b"new", started_at=50)
    raised = full._replace(kind=RecordKind.ERROR, payload=b"new", started_at=50)
    assert full.raised(b"new", 50) == raised


def test_a_field_more_is_kept() -> None:
    # As a field that is added at the end would be, without a change of what copies records.
    longer: Any = (*CALL.returned(b"value", 40), "more")
    for made in (
        Record.settled(longer, 5, 60),
        Record.returned(longer, b"new", 50),
        Record.raised(longer, b"new", 50),
    ):
        assert tuple(made)[len(CALL) :] == ("more",)


def of(kind: RecordKind, row: int = 0) -> Record:
    """Return the record of a kind above, as a store reads it."""
    return Record(*[stored for made, stored in MADE if made.kind == kind][row])  # type: ignore[arg-type]


def test_the_properties_read_what_the_constructors_were_told() -> None:
    assert of(RecordKind.START).version == 4
    assert (of(RecordKind.COMPLETED).version, of(RecordKind.COMPLETED).completion) == (5, DID)
    assert of(RecordKind.RESULT).outcome == b"value"
    assert of(RecordKind.ERROR).outcome == of(RecordKind.ERROR).failure == b"error"
    assert of(RecordKind.CANCEL).reason == "timed out"
    assert (of(RecordKind.CUT).void_from, of(RecordKind.CUT).call) == (5, 3)
    for kind in (RecordKind.PENDING, RecordKind.ATTEMPT):
        failed = of(kind, 1)
        assert failed.attempts == (2 if kind == RecordKind.PENDING else 1)
        assert (failed.failure, failed.due_at, failed.started_at) == (b"error", 80, 40)
        assert of(kind).failure is None
    assert [of(RecordKind.NOTE, row).has_lists for row in (0, 1)] == [False, True]
    assert of(RecordKind.NOTE).said == b"said"


def test_only_an_attempt_without_a_failure_is_a_beginning() -> None:
    beginning = [made for made, _ in MADE if made.is_beginning]
    assert beginning == [CALL.attempt(1, at=60)]


def test_a_signal_is_the_same_when_it_came_when_it_is_taken_and_when_it_is_given_back() -> None:
    taken = of(RecordKind.TAKEN)
    for record in (SIGNAL, taken):
        found = (record.signal_id, record.signal_name, record.signal_value)
        assert found == (90, "approval", b"yes")
    assert taken.given_back == SIGNAL


def test_g23_a_damaged_completion_is_named() -> None:
    with pytest.raises(DecodeError, match="damaged"):
        of(RecordKind.COMPLETED)._replace(payload=None).completion


def test_records_are_made_by_the_constructors_of_their_kinds() -> None:
    # A store makes them of its rows, the samples for tests of stores have every field set.
    may = {
        "engine/flink/tables.py",
        "journal/record.py",
        "store/sqlite/view.py",
        "store/sqlite/store.py",
        "testing/sample_rows.py",
    }
    found = set()
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Record":
                found.add(path.relative_to(SOURCE).as_posix())
    assert found - may == set()
