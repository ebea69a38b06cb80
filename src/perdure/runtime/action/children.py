"""ChildRuns: runs that an action starts, exactly once, and may wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

from perdure.call import DurableCall
from perdure.codec.digests import call_digests, digests
from perdure.errors import ContextAccessError, DecodeError, StoreError
from perdure.journal.record import Record
from perdure.run import Output, is_run_id, run_id
from perdure.runtime.action.sides import ActionOfParts, CallOver
from perdure.runtime.shared.admission import Admitted
from perdure.runtime.shared.inputs import NewInput

SUBMIT = "perdure:submit"
OUTPUTS = "perdure:outputs"
ORIGIN = "perdure:submit"  # where the ids of such runs belong


class NewChild(NamedTuple):
    """A run to start.

    Attributes:
        value: its input.
        key: its key.
        due: when it may begin, ns since the epoch; 0 at once.
        args: arguments of the call that starts it; its id comes from their digest.
    """

    value: Any
    key: Any
    due: int
    args: tuple[Any, ...]


class ChildHandle:
    """A run that an action started (see `perdure.context.ChildRun`)."""

    def __init__(self, id: str, call: Callable[[str], DurableCall[list[Output]]]) -> None:
        self.id = id
        self._call = call

    def outputs(self) -> DurableCall[list[Output]]:
        """Return a call that settles with the run's outputs when it has come to its end."""
        return self._call(self.id)

    def __repr__(self) -> str:
        return f"<ChildRun {self.id}>"


class ChildRuns:
    """The runs that one action starts.

    Owns: the submissions that are not durable yet; the action's completion waits for them.
    """

    def __init__(self, action: ActionOfParts) -> None:
        self._action = action
        self._services = action.run.services
        self._pending: set[asyncio.Future[Admitted]] = set()

    @property
    def pending(self) -> bool:
        """True while a submission is not durable."""
        return bool(self._pending)

    def begin(self, template: Record, new: NewChild, over: CallOver) -> None:
        """Submit a run; `over` is told as of any call when it is durable."""
        started_at = self._services.now()
        # A crash may have come between its admission and this call's outcome, and a type of its
        # input may have another name since: it is looked up under all ids that it may have.
        id_, *older = (
            self._action.run.derived_id(template._replace(digest=each))
            for each in call_digests(new.args, {})
        )
        future = self._services.supervisor.submit(
            NewInput(
                new.value,
                new.key,
                id_,
                origin=ORIGIN,
                due=new.due,
                is_child=True,
                older_ids=tuple(older),
            )
        )
        self._pending.add(future)

        def admitted(future: asyncio.Future[Admitted]) -> None:
            self._pending.discard(future)
            if future.cancelled():
                return  # the job closes; the next process submits it again, under the same id
            error = future.exception()
            if isinstance(error, StoreError):
                self._action.run.store_failed(error)
                return
            child = run_id(future.result().run) if error is None else None
            over(template, started_at, child, error)
            if not self._pending:
                self._action.submitted()

        future.add_done_callback(admitted)


def read_id(recorded: Any, number: int) -> str:
    """Return the id of the run that call `number` has started, as it is recorded.

    Raises:
        DecodeError: it is none, so the record is damaged.
    """
    if isinstance(recorded, str) and is_run_id(recorded):
        return recorded
    raise DecodeError.of_damage(
        f"table record: call {number} has started a run, and its result is {recorded!r:.60}, which"
        " is no run id"
    )


def refuse_own_key(where: str, own: bytes, key: Any) -> None:
    """Refuse to wait for a run of the own key: it waits for this one.

    Raises:
        ContextAccessError: it is of the key whose digest is `own`.
    """
    if own in digests(key):
        raise ContextAccessError(
            f"{where}: a run of the same key begins only after this one has ended, so its outputs"
            " cannot be awaited here; submit it under another key, or do not wait for it"
        )
