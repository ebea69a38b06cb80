"""What a journal cannot say: found before it is replayed, and named by record."""

from __future__ import annotations

import functools
from collections.abc import Callable
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from perdure.codec.codec import Codec
from perdure.codec.failure import encode_failure, failure_summary
from perdure.journal.check import LATEST, _Run, contradiction, described, unreadable
from perdure.journal.record import Completion, EventRecord, Record, RecordKind

RUN = 7
CODEC = Codec()
FAILURE = functools.partial(failure_summary, CODEC)


def _start(event: int = 0, action: str = "act", version: int = 0) -> Record:
    return Record.start(RUN, event, action, version=version, at=1)


def _call(number: int, event: int = 0, action: str = "act") -> Record:
    return Record.of_call(RUN, event, action, number, "m:f", b"d" * 16, "")


def _result(n: int, call: int, at: int = 2) -> Record:
    return _call(call).returned(CODEC.encode(call), 1).settled(n, at)


def _completed(version: int, event: int = 0, action: str = "act", *sent: int) -> Record:
    events = [
        EventRecord(
            number=number, type="t", id=str(number), attributes=CODEC.encode({}),
            source_event=event, action=action,
        )
        for number in sent
    ]  # fmt: skip
    did = Completion(events=events, sensory=[], short_term=[], outputs=0, created=len(sent))
    return Record.completed(RUN, event, action, version=version, did=did, at=9)


GOOD = [_start(), _result(1, 2), _result(2, 1), _completed(1, 0, "act", 1), _start(1, "next", 1)]


def test_what_is_written_is_no_contradiction() -> None:
    retry = Record.retry(RUN, attempt=1, at=5)
    assert contradiction(GOOD) is None
    assert contradiction([_start(), _result(1, 1), retry, _start(), _result(1, 1)]) is None
    cut = Record.cut(RUN, 0, "act", void_from=2, call=2, at=4)
    assert contradiction([_start(), _result(1, 1), _result(2, 2), cut, _result(2, 2)]) is None
    signal = Record.signal(RUN, "go", CODEC.encode(1), 3)
    taken = Record.taken(RUN, 0, "act", signal).settled(1, 3)
    assert contradiction([signal, _start(), taken]) is None


WRONG: dict[str, tuple[list[Record], str]] = {
    "an outcome twice": ([_start(), _result(1, 1), _result(2, 1)], "has an outcome already"),
    "a settlement twice": ([_start(), _result(1, 1), _result(1, 2)], "settlement 1, after"),
    "settlements out of order": ([_start(), _result(2, 1), _result(1, 2)], "settlement 1, after"),
    "no START": ([_result(1, 1)], "no START"),
    "a completion twice": ([*GOOD[:4], GOOD[3]._replace(n=2)], "completed before"),
    "a completion missing": ([_start(), _completed(2)], "completion 2 of the run, after 0"),
    "an event that there is not": ([_start(3)], "no event 3"),
    "a memory that there is not": ([_start(version=4)], "version 4"),
    "an outcome of nothing": ([_start(), _result(1, 1)._replace(payload=None)], "no payload"),
    "an outcome of no call": ([_start(), _result(1, 0)], "names no call"),
    "a timer of a call": (
        [_start(), Record.timer(RUN, 0, "act").settled(1, 2)._replace(call=3)], "names call 3"
    ),
    "a settlement of no action": ([_result(1, 1)._replace(action="")], "names no action"),
    "a signal of an action": (
        [Record.signal(RUN, "go", b"\x01\x01", 3)._replace(action="act")], "names an action"
    ),
    "a time beyond all clocks": ([_start(), _result(1, 1, at=2**62 + 1)], "beyond all clocks"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_g23_a_contradiction_is_found(kind: str) -> None:
    records, expected = WRONG[kind]
    found = contradiction(records)
    assert found is not None
    record, wrong = found
    assert record is records[-1]
    assert expected in wrong


@pytest.mark.parametrize(
    "spoil",
    [
        lambda record: record._replace(payload=b"\xff"),
        lambda record: record._replace(payload=b"\x01\xc1"),
        lambda record: record._replace(payload=b""),
        lambda record: record._replace(payload=None),
    ],
)
def test_g23_a_value_that_cannot_be_read_is_found(spoil: Callable[[Record], Record]) -> None:
    assert unreadable(GOOD, CODEC.to_json, FAILURE) is None
    records = [*GOOD[:2], spoil(GOOD[2]), *GOOD[3:]]
    found = unreadable(records, CODEC.to_json, FAILURE)
    assert found is not None
    assert described(found[0]) == "RESULT of call 1 of action 'act' on event 0"


def test_g23_a_failure_that_is_none_is_found() -> None:
    failed = _call(1).raised(encode_failure(CODEC, ValueError("no")), 1).settled(1, 2)
    assert unreadable([_start(), failed], CODEC.to_json, FAILURE) is None
    found = unreadable([_start(), failed._replace(payload=b"\x01\x80")], CODEC.to_json, FAILURE)
    assert found is not None
    assert "hold no failure" in found[1]


RECORDS = st.builds(
    Record,
    run=st.just(1),
    event=st.sampled_from([0, 0, 0, 1]),
    action=st.sampled_from(["a", "a", "a", "b", ""]),
    n=st.integers(0, 4),
    kind=st.sampled_from(
        [RecordKind.START, *[RecordKind.RESULT] * 4, RecordKind.ERROR, RecordKind.ATTEMPT,
         RecordKind.TIMER, RecordKind.CUT, RecordKind.RETRY]
    ),
    call=st.integers(0, 3),
    payload=st.sampled_from([b"\x01", b"\x01", b"\x01", None]),
    started_at=st.sampled_from([0, 0, 0, LATEST + 1]),
    at=st.sampled_from([1, 1, 1, LATEST + 1]),
)  # fmt: skip


@given(st.lists(RECORDS, max_size=12))
def test_the_quick_way_finds_what_the_thorough_one_does(records: list[Record]) -> None:
    quick = contradiction(records)
    with mock.patch.object(_Run, "goes_on", return_value=False):
        assert contradiction(records) == quick
