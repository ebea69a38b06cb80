"""Whether a run that is given to a job is one of its own: ids of runs are unique in a job alone."""

from __future__ import annotations

from typing import NamedTuple

from perdure.engine.files import is_same_file
from perdure.errors import RunNotFoundError
from perdure.store.base import ActionStateStore

__all__ = ["Origin", "check_own"]


class Origin(NamedTuple):
    """Where a run is from.

    Attributes:
        store: the store that has it.
        job: the name of its job.
        number: the number there of the job's generation.
    """

    store: ActionStateStore
    job: str
    number: int

    def is_in_store_of(self, other: Origin) -> bool:
        """Say whether both are in one store, by whatever path."""
        if self.store is other.store:
            return True
        ours, theirs = self.store.paths(self.job)[:1], other.store.paths(other.job)[:1]
        return bool(ours and theirs) and is_same_file(ours[0], theirs[0])


def check_own(id_: str, origin: Origin, here: Origin) -> None:
    """Refuse a run of another job, generation or store: its id names another run here, or none.

    Args:
        id_: the run's own id.
        origin: where it is from; perhaps an earlier opening of the job.
        here: the job that it is given to.

    Raises:
        RunNotFoundError: it is no run of this job.
    """
    in_store = origin.is_in_store_of(here)
    if in_store and origin.number == here.number:
        return
    its, ours = f"job {origin.job!r}", f"job {here.job!r}"
    if not in_store:
        its, ours = f"{its} in {origin.store.url}", f"{ours} in {here.store.url}"
    elif origin.job == here.job:
        its, ours = f"another generation of {its}", "the present one"
    raise RunNotFoundError(
        f"run {id_} is of {its}, and not of {ours}: give it to the job that it is of"
    )
