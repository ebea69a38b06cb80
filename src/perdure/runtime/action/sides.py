"""The two sides of an action: what it needs of its run, and what its parts need of it.

An action knows its run by this alone, so that what executes a run may change without it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from perdure.errors import NonDeterminismError, StoreError
from perdure.executor.continuation import ContinuationContext
from perdure.journal.journal import CallStep
from perdure.journal.record import Record, StoredPayload
from perdure.runtime.shared.mailbox import RunTicket
from perdure.runtime.shared.services import JobServices
from perdure.store.base import Row

# Told what came of a call: its record without an outcome, when it started (ns), its value or error.
CallOver = Callable[[Record, int, Any, BaseException | None], None]


class RunOfAction(Protocol):
    """What an action, with all its parts, needs of its run. On the host loop's thread.

    Attributes:
        ticket: the run and its key.
        number: of the run, in the store.
        key_digest: of its key.
        key_number: of its key, in the store.
        services: those of its job.
        dropped: nothing of the run is written or told any more.
    """

    ticket: RunTicket
    number: int
    key_digest: bytes
    key_number: int
    services: JobServices
    dropped: bool

    def where(self) -> str:
        """Return the run and its key, for messages."""

    # What its context and its calls ask for

    def count_call(self) -> bool:
        """Count one more call; False when it is one too many for the run."""

    def event_ids(self, event: int, action: str) -> Callable[[int], str]:
        """Return what gives the id of the nth event that an action sends while it handles one."""

    def derived_id(self, call: Record) -> str:
        """Return the id that a run started by this call has for ever."""

    def take_signal(self, name: str, until: int | None) -> Record | None:
        """Take the first signal with this name, None where it came after `until` (ns)."""

    def is_late(self, deadline: int | None) -> bool:
        """Say whether the run's own timeout came before a deadline: it is to stop first."""

    def has_signal(self, name: str) -> bool:
        """Say whether a signal with this name is there to be taken."""

    def give_back(self, signals: list[Record]) -> None:
        """Take back what an action was handed and has not used."""

    def set_status(self, value: Any, entry: tuple[str, str] | None) -> None:
        """Say what the run is doing; `note` publishes it."""

    def note(self) -> None:
        """Publish what the run is doing."""

    def code_begins(self, at: int) -> None:
        """Told by an action that has waited for others, when its code begins (ns)."""

    def tell_soon(self) -> None:
        """Have what actions have logged written and emitted in a moment, if nothing else does."""

    # What it tells

    def stir(self) -> None:
        """Told when something is about to go on."""

    def action_idles(self) -> None:
        """Told when only time or a signal can continue the action."""

    def action_ended(self, event: int, action: str) -> None:
        """Told when an action has ended; its `error` says how."""

    def has_read(self) -> None:
        """Told when an action that is replayed has read an outcome, and went on from there."""

    def store_failed(self, error: StoreError) -> None:
        """Told when a record of the run could not be written."""


class ActionOfParts(Protocol):
    """What an action's calls with their attempts, its waits and its children need of it.

    Attributes:
        run: what it is an action of.
        run_number: the number of that.
        event: number of the event that it handles.
        name: the action's name.
        continuation: what executes it.
        ended: it takes no more turns.
        is_live: everything recorded has been replayed.
        error: makes it end with that after the turn, whatever its code makes of it.
        start_row: its START record, as long as that is not written.
        last_at: time of its newest settlement, ns since the epoch.
    """

    run: RunOfAction
    run_number: int
    event: int
    name: str
    continuation: ContinuationContext
    ended: bool
    is_live: bool
    error: BaseException | None
    start_row: Record | None
    last_at: int

    def where(self) -> str:
        """Return the action's place, for messages."""

    def check_turn(self, what: str) -> None:
        """Refuse what is asked outside a turn of the action."""

    @property
    def has_caught_up(self) -> bool:
        """True when the code of a live action has been as far as before: its waits are made."""

    # Settlements and other rows

    def settle(self, outcome: Record, at: int | None = None, also: Sequence[Row] = ()) -> None:
        """Number a settlement, make it durable and deliver it.

        Args:
            outcome: the settlement.
            at: its time, ns since the epoch; None for now, before which signals have their say.
            also: rows that are written with it.
        """

    def write(self, rows: list[Row], written: Callable[..., None], *given: Any) -> None:
        """Write rows of the action; `written(*given)` is called if it still runs then."""

    def fetch(self, left: StoredPayload, then: Callable[[bytes], None]) -> None:
        """Read what recovery has left in the store; `then` is told if the action still runs."""

    def submitted(self) -> None:
        """Told when no run that it starts is on its way any more: all are durable."""

    # The replay

    def reexecute(self, error: NonDeterminismError) -> CallStep:
        """Go on without the journal from the newest call on (`on-divergence: reexecute`)."""
