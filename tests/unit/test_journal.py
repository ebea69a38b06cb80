"""The replay state machine, on histories that Hypothesis makes up."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from perdure.errors import NonDeterminismError
from perdure.journal.journal import NEW, ActionHistory, CallStep, Decision, Journal, fold
from perdure.journal.record import SETTLEMENTS, Record, RecordKind

HERE = (0, "act")
OUTCOMES = [RecordKind.RESULT, RecordKind.ERROR]


def function_of(call: int) -> str:
    return f"module:f{call}"


def digest_of(call: int) -> bytes:
    return b"arguments of %d" % call


def record(kind: RecordKind, n: int = 0, call: int = 0, **more: Any) -> Record:
    """Return a record of the action, with the identity that its call always has."""
    identity = {"function": function_of(call), "digest": digest_of(call)} if call else {}
    fields = {"run": 1, "event": 0, "action": "act", "n": n, "kind": kind, "call": call}
    return Record(**{**fields, **identity, **more})


def result(n: int, call: int) -> Record:
    return record(RecordKind.RESULT, n, call)


def make(journal: Journal, call: int, *, reconciled: bool = False) -> CallStep:
    """Make the next call, which must get the number `call`."""
    step = journal.call(function_of(call), digest_of(call), "1, 2", reconciled=reconciled)
    assert step.number == call == journal.calls
    return step


def history(*records: Record) -> ActionHistory:
    return fold(records)[HERE]


def journal_of(*records: Record) -> Journal:
    return Journal(history(*records) if records else NEW, "run r1, action act")


# Any order of settlements, any number of crashes


class Replaying(RuleBasedStateMachine):
    """An action that makes some calls at first and some after each settlement, and crashes.

    What it does is a function of its settlements alone, as every action must be: `program[i]` is
    the number of calls that it makes after settlement i.
    """

    @initialize(first=st.integers(0, 4))
    def begin(self, first: int) -> None:
        self.program = [first]
        self.committed: list[Record] = [record(RecordKind.START)]
        self.journal = Journal(NEW, "run r1, action act")
        self._make_calls(first, set())

    def _make_calls(self, count: int, known: set[int]) -> None:
        for _ in range(count):
            number = self.journal.calls + 1
            step = make(self.journal, number)
            assert step.decision is (Decision.REPLAY if number in known else Decision.RUN)

    @property
    def settlements(self) -> list[Record]:
        return [r for r in self.committed if r.kind in SETTLEMENTS]

    @property
    def open_calls(self) -> list[int]:
        settled = {r.call for r in self.settlements}
        return [call for call in range(1, sum(self.program) + 1) if call not in settled]

    def _settle(self, kind: RecordKind, call: int, more: int) -> None:
        number = self.journal.settle()
        assert number == len(self.settlements) + 1
        self.committed.append(record(kind, number, call))
        self.program.append(more)
        self._make_calls(more, set())

    @precondition(lambda self: self.open_calls)
    @rule(data=st.data(), kind=st.sampled_from(OUTCOMES), more=st.integers(0, 3))
    def a_call_settles(self, data: st.DataObject, kind: RecordKind, more: int) -> None:
        self._settle(kind, data.draw(st.sampled_from(self.open_calls)), more)

    @rule(kind=st.sampled_from([RecordKind.TIMER, RecordKind.CANCEL]), more=st.integers(0, 2))
    def something_else_settles(self, kind: RecordKind, more: int) -> None:
        self._settle(kind, 0, more)

    @rule(lost=st.integers(0, 3))
    def it_crashes(self, lost: int) -> None:
        """The newest settlements may not have been committed."""
        kept = max(0, len(self.settlements) - lost)
        self.committed = [self.committed[0], *self.settlements[:kept]]
        self.program = self.program[: kept + 1]
        self.journal = journal_of(*self.committed)
        known = {r.call for r in self.settlements}
        self._make_calls(self.program[0], known)
        for expected, more in zip(self.settlements, self.program[1:], strict=True):
            assert self.journal.replaying
            assert self.journal.upcoming() == expected
            assert self.journal.next() == expected
            self._make_calls(more, known)
        assert not self.journal.replaying
        assert self.journal.upcoming() is None
        assert self.journal.next() is None


TestReplaying = Replaying.TestCase
TestReplaying.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


# G7: divergence


@st.composite
def recorded(draw: st.DrawFn) -> tuple[int, list[Record]]:
    """A number of calls, all made at once, and their outcomes in any order."""
    calls = draw(st.integers(1, 6))
    order = draw(st.permutations(range(1, calls + 1)))
    kinds = draw(st.lists(st.sampled_from(OUTCOMES), min_size=calls, max_size=calls))
    count = draw(st.integers(1, calls))
    outcomes = [
        record(kind, n, call)
        for n, (call, kind) in enumerate(zip(order[:count], kinds, strict=False), start=1)
    ]
    return calls, [record(RecordKind.START), *outcomes]


@given(recorded(), st.data(), st.booleans())
def test_g7_another_function_or_other_arguments_are_a_divergence(
    made: tuple[int, list[Record]], data: st.DataObject, other_arguments: bool
) -> None:
    calls, records = made
    wrong = data.draw(st.integers(1, calls))
    journal = journal_of(*records)
    for call in range(1, wrong):
        make(journal, call)
    function = function_of(wrong) if other_arguments else "module:other"
    digest = b"other" if other_arguments else digest_of(wrong)
    if any(r.call == wrong for r in records):
        with pytest.raises(NonDeterminismError, match=f"call {wrong} is recorded as"):
            journal.call(function, digest, "3", reconciled=False)
    else:
        step = journal.call(function, digest, "3", reconciled=False)
        assert step == CallStep(wrong, Decision.RUN)


@given(recorded(), st.data())
def test_g7_a_call_that_is_not_made_any_more_is_a_divergence(
    made: tuple[int, list[Record]], data: st.DataObject
) -> None:
    calls, records = made
    only = data.draw(st.integers(0, calls))
    journal = journal_of(*records)
    for call in range(1, only + 1):
        make(journal, call)
    for expected in records[1:]:
        if expected.call > only:
            with pytest.raises(NonDeterminismError, match=f"outcome of call {expected.call}"):
                journal.next()
            return
        assert journal.next() == expected


def test_g7_the_message_says_where_and_what_and_how_to_go_on() -> None:
    journal = journal_of(record(RecordKind.RESULT, 1, 1, detail="5"))
    with pytest.raises(NonDeterminismError) as caught:
        journal.call("module:other", b"x", "6", reconciled=False)
    assert str(caught.value).startswith(
        "run r1, action act: call 1 is recorded as module:f1(5), but now the action made"
        " module:other(6)"
    )
    assert "on-divergence: reexecute" in str(caught.value)
    with pytest.raises(NonDeterminismError, match=r"has made only 0 call\(s\)"):
        journal_of(result(1, 1)).next()


@given(recorded(), st.data())
def test_g7_reexecute_makes_a_history_that_replays(
    made: tuple[int, list[Record]], data: st.DataObject
) -> None:
    """What follows the call that went another way is void, now and at every later replay."""
    calls, records = made
    wrong = data.draw(st.sampled_from([r.call for r in records[1:]]))
    journal = journal_of(*records)
    for call in range(1, wrong):
        make(journal, call)
    with pytest.raises(NonDeterminismError):
        journal.call("module:other", b"other", "", reconciled=False)
    void_from = journal.cut_from(wrong)
    fed = []
    while (taken := journal.next()) is not None:
        fed.append(taken)
    assert all(r.call < wrong for r in fed)
    assert [r.n for r in fed] == list(range(1, void_from))
    number = journal.settle()
    assert number == void_from
    cut = record(RecordKind.CUT, void_from, call=0)._replace(call=wrong)
    other = record(RecordKind.RESULT, number, wrong, function="module:other", digest=b"other")
    again = journal_of(*records, cut, other)
    for call in range(1, wrong):
        make(again, call)
    step = again.call("module:other", b"other", "", reconciled=False)
    assert step.decision is Decision.REPLAY
    assert [again.next() for _ in range(number)] == [*fed, other]
    assert not again.replaying
    assert calls >= wrong


# Folding


def test_only_unfinished_actions_have_histories() -> None:
    records = [
        record(RecordKind.START),
        result(1, 1),
        record(RecordKind.START, action="other"),
        record(RecordKind.COMPLETED, 1),
        record(RecordKind.START, 1, event=2),
        record(RecordKind.RESULT, 1, 1, event=2),
    ]
    histories = fold(records)
    assert set(histories) == {(0, "other"), (2, "act")}
    assert histories[2, "act"].start == records[4]
    assert list(histories[2, "act"].settlements) == [records[5]]
    assert fold([]) == {}


def test_settlements_keep_their_commit_order() -> None:
    records = [result(2, 1), result(1, 3), record(RecordKind.TIMER, 3), result(4, 2)]
    assert list(history(*records).settlements) == records


def test_a_cut_takes_settlements_from_its_number_on_and_new_ones_follow() -> None:
    cut = record(RecordKind.CUT, 2)
    again = result(2, 7)
    assert list(history(result(1, 1), result(2, 2), result(3, 3), cut, again).settlements) == [
        result(1, 1), again
    ]  # fmt: skip


@given(st.lists(st.sampled_from([*OUTCOMES, RecordKind.TIMER, RecordKind.CANCEL]), max_size=8))
def test_a_retry_cuts_at_the_first_failure(kinds: list[RecordKind]) -> None:
    calls = [n if kind in OUTCOMES else 0 for n, kind in enumerate(kinds, start=1)]
    settled = [
        record(kind, n, call)
        for n, (kind, call) in enumerate(zip(kinds, calls, strict=True), start=1)
    ]
    retry = record(RecordKind.RETRY, 1, action="")
    left = history(record(RecordKind.START), *settled, retry)
    failures = (RecordKind.ERROR, RecordKind.CANCEL)
    first = next((i for i, r in enumerate(settled) if r.kind in failures), len(settled))
    assert left.start is None, "the action starts anew, with the memory as it is then"
    assert list(left.settlements) == settled[:first]
    assert list(left.answers) == [r for r in settled[first:] if r.kind == RecordKind.RESULT]
    journal = Journal(left, "here")
    for call in range(1, len(kinds) + 1):
        step = make(journal, call)
        if settled[call - 1] in left.answers:
            assert (step.decision, step.answer) == (Decision.ANSWER, settled[call - 1])
        elif settled[call - 1] in left.settlements and calls[call - 1]:
            assert step.decision is Decision.REPLAY
        else:
            assert step.decision is Decision.RUN
    for expected in settled[:first]:
        assert journal.next() == expected
    assert journal.settle() == first + 1


def test_an_answer_is_for_the_same_call_only_and_no_divergence() -> None:
    records = [
        record(RecordKind.ERROR, 1, 1), result(2, 2), record(RecordKind.RETRY, 1, action="")
    ]  # fmt: skip
    journal = journal_of(*records)
    make(journal, 1)
    step = journal.call("module:other", b"other", "", reconciled=False)
    assert step.decision is Decision.RUN


def test_a_second_retry_keeps_the_answers_of_the_first() -> None:
    retry = record(RecordKind.RETRY, 1, action="")
    left = history(
        record(RecordKind.ERROR, 1, 1), result(2, 2), retry,
        record(RecordKind.ERROR, 1, 1), retry,
    )  # fmt: skip
    assert list(left.settlements) == []
    assert [r.call for r in left.answers] == [2]
    journal = Journal(left, "here")
    assert make(journal, 1).decision is Decision.RUN
    assert make(journal, 2).decision is Decision.ANSWER


def test_what_was_settled_after_a_retry_is_replayed_and_not_answered() -> None:
    retry = record(RecordKind.RETRY, 1, action="")
    journal = journal_of(
        record(RecordKind.ERROR, 1, 1), result(2, 2), retry, result(1, 2), result(2, 1)
    )  # fmt: skip
    assert make(journal, 1).decision is Decision.REPLAY
    assert make(journal, 2).decision is Decision.REPLAY
    assert journal.next() == result(1, 2)
    assert journal.next() == result(2, 1)


# G11: in doubt


def test_g11_a_pending_call_is_reconciled() -> None:
    journal = journal_of(record(RecordKind.START), record(RecordKind.PENDING, 0, 1))
    assert make(journal, 1, reconciled=True).decision is Decision.RECONCILE
    assert make(journal, 2, reconciled=True).decision is Decision.RUN


def test_g11_a_pending_call_without_a_reconciler_executes() -> None:
    journal = journal_of(record(RecordKind.PENDING, 0, 1))
    assert make(journal, 1).decision is Decision.RUN


def test_g11_a_pending_call_with_an_outcome_is_replayed() -> None:
    journal = journal_of(record(RecordKind.PENDING, 0, 1), result(1, 1))
    assert make(journal, 1, reconciled=True).decision is Decision.REPLAY


def test_g11_a_pending_call_that_is_another_now_is_a_divergence() -> None:
    journal = journal_of(record(RecordKind.PENDING, 0, 1))
    with pytest.raises(NonDeterminismError, match="call 1 is recorded as module:f1"):
        journal.call("module:other", b"other", "", reconciled=True)


def test_g11_a_retry_keeps_what_is_in_doubt() -> None:
    retry = record(RecordKind.RETRY, 1, action="")
    journal = journal_of(record(RecordKind.PENDING, 0, 1), record(RecordKind.ERROR, 1, 2), retry)
    assert make(journal, 1, reconciled=True).decision is Decision.RECONCILE
    assert make(journal, 2).decision is Decision.RUN


# G19: the sequential fallback takes outcomes out of their turn


@given(recorded())
def test_g19_outcomes_can_be_taken_in_the_order_of_their_calls(
    made: tuple[int, list[Record]],
) -> None:
    calls, records = made
    outcomes = {r.call: r for r in records[1:]}
    journal = journal_of(*records)
    taken = []
    for call in range(1, calls + 1):
        step = make(journal, call)
        assert (step.decision is Decision.REPLAY) is (call in outcomes)
        taken.append(journal.take(lambda r, call=call: r.call == call))  # type: ignore[misc]
        assert taken[-1] == outcomes.get(call)
        assert journal.take(lambda r, call=call: r.call == call) is None  # type: ignore[misc]
    assert not journal.replaying
    assert journal.settle() == len(outcomes) + 1
