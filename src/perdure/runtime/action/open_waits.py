"""OpenWaits: the rows that tell from outside what an action waits for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from perdure.call import DurableCall
from perdure.errors import StoreError
from perdure.runtime.action.sides import ActionOfParts
from perdure.runtime.shared.mailbox import NO_WAITS
from perdure.store.base import Row, WaitRow
from perdure.store.row_types import ActionWaitsEndRow, WaitEndRow


class _Open(NamedTuple):
    """A wait that may still be open."""

    call: DurableCall[Any]
    row: WaitRow


class OpenWaits:
    """What the store is told of the waits of one action.

    A wait gets a row a moment after the turn that opened it, if it is open then, and loses it a
    moment after it has ended. Nothing waits for these rows. One that a signal is taken for loses it
    with that, in one commit: whoever answers sees from outside for which waits nobody has. What is
    said of a wait is the same after a replay, so that it is written again there; what was told
    before is taken back only when the action's code has been as far again. From outside a wait
    goes on while its action is replayed.

    Owns: what is to be told, and the action's part of `RunTicket.waits`. Lifecycle: that of the
    action. On the host loop's thread, but for `opened`.

    Args:
        action: the action.
        resumed: an earlier process may have left rows of it.
    """

    def __init__(self, action: ActionOfParts, *, resumed: bool) -> None:
        self._action = action
        self._resumed = resumed
        self._made = 0
        self._new: list[_Open] = []
        self._told: dict[int, _Open] = {}  # by number: those that have a row, or get one
        self._later: dict[int, Row] = {}  # by number: what is written in a moment
        self._taken_for: set[int] = set()  # numbers of waits that have no row any more
        ticket, place = action.run.ticket, (action.event, action.name)
        self._left: list[WaitRow] | None = None  # the rows that the store has, where that is known
        if resumed and ticket.are_waits_stored:
            self._left = [row for at, row in sorted(ticket.waits.items()) if at[:2] == place]

    def opened(self, call: DurableCall[Any], name: str, kind: str, question: str | None) -> None:
        """Take note, in a turn, of a wait that was not answered at once."""
        self._made += 1
        action = self._action
        if question is not None:  # what no text may hold is not worth a refusal
            question = question.encode("utf-8", "replace").decode()
        row = WaitRow(
            run=action.run_number, event=action.event, action=action.name, call=self._made,
            name=name, kind=kind, question=question, since=action.continuation.loop.now,
        )  # fmt: skip
        self._new = [each for each in self._new if not each.call.done()]
        self._new.append(_Open(call, row))

    def taken_for(self, call: DurableCall[Any]) -> Sequence[Row]:
        """Return what is written with the record of a signal that is taken for a wait."""
        number = next((n for n, each in self._told.items() if each.call is call), 0)
        if number:
            has_row = self._later.pop(number, None) is None
        else:
            number = next(each.row.call for each in self._new if each.call is call)
            has_row = self._resumed  # an earlier process may have told it
            self._left = None
        self._taken_for.add(number)
        return [self._ended(number)] if has_row else []

    def go_on(self) -> None:
        """Tell again, now that no signal is on its way, of waits that none was for after all."""
        open_ = {n for n in self._taken_for if n not in self._told or not self._told[n].call.done()}
        self._taken_for -= open_
        if again := {n: self._told[n].row for n in open_ if n in self._told}:
            self._later.update(again)
            self._action.run.services.later.add(self, self._write_later)

    def tell(self) -> None:
        """Write, after a turn of a live action, what has changed."""
        if self._resumed and self._action.has_caught_up:
            self._resumed = False
            self._new = [*self._told.values(), *self._new]
            self._told.clear()
            if self._left == [each.row for each in self._new if not each.call.done()]:
                self._tell([], are_written=True)
            else:
                self._tell([self._all_ended()])  # what was told holds where it is told again
        elif self._new or self._told:
            self._tell([])

    def end(self) -> None:
        """Take back what was told: the action has ended."""
        self._new = []
        ended = self._take_back(list(self._told))
        rows, self._later = list(self._later.values()), {}
        if self._resumed:
            self._resumed = False
            if self._left != []:
                rows.append(self._all_ended())
        if ended or rows:
            self._show()
        if rows:
            self._write(rows)

    def _tell(self, rows: Sequence[Row], *, are_written: bool = False) -> None:
        """Take note of what has begun and ended since the last turn.

        Args:
            rows: what is to be written at once, and what has begun with it.
            are_written: the store has the rows of what has begun.
        """
        ended = self._take_back([n for n, each in self._told.items() if each.call.done()])
        begun = {each.row.call: each for each in self._new if not each.call.done()}
        self._told.update(begun)
        self._new = []
        if not (rows or ended or begun):
            return
        self._left = None
        self._show()
        if not are_written:
            self._later.update(
                (n, each.row) for n, each in begun.items() if n not in self._taken_for
            )
        if rows:
            self._write([*rows, *self._later.values()])
            self._later = {}
        elif self._later:
            self._action.run.services.later.add(self, self._write_later)

    def _take_back(self, numbers: Sequence[int]) -> bool:
        """Have waits told no longer; what nobody was told yet, nobody is. True where any was."""
        for number in numbers:
            del self._told[number]
            if number in self._taken_for:
                self._taken_for.remove(number)
            elif self._later.pop(number, None) is None:
                self._later[number] = self._ended(number)
        return bool(numbers)

    def _write_later(self) -> None:
        rows, self._later = list(self._later.values()), {}
        if rows and not self._action.run.dropped:  # else they are told when it is read back
            self._write(rows)

    def _show(self) -> None:
        """Have those who look in this process see what is told."""
        action, ticket = self._action, self._action.run.ticket
        place_of_action = (action.event, action.name)
        others = {
            place: row
            for place, row in ticket.waits.items()
            if place[:2] != place_of_action or (self._resumed and place[2] > self._made)
        }
        own = {(action.event, action.name, n): each.row for n, each in self._told.items()}
        ticket.waits = others | own or NO_WAITS

    def _ended(self, number: int) -> WaitEndRow:
        action = self._action
        return WaitEndRow(action.run_number, action.event, action.name, number)

    def _all_ended(self) -> ActionWaitsEndRow:
        action = self._action
        return ActionWaitsEndRow(action.run_number, action.event, action.name)

    def _write(self, rows: Sequence[Row]) -> None:
        def written(error: StoreError | None) -> None:
            if error is not None and not self._action.run.dropped:
                self._action.run.store_failed(error)

        # Without an owner: they are written though the run leaves memory right after it.
        self._action.run.services.commits.add(rows, written)
