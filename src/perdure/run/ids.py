"""How runs are told apart and how they stand: statuses, ids, and what people call them."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable

from perdure.errors import PerdureError


class RunStatus(enum.Enum):
    """Where a run stands.

    QUEUED: waits for earlier runs of its key. RUNNING: actions are executing. WAITING: only
    timers or signals can continue it, or it is due later. COMPLETED, FAILED and CANCELLED are
    final.
    """

    __journal_name__ = "perdure:RunStatus"

    QUEUED = "queued"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    is_final: bool  # whether the run will not go on by itself from here

    def __init__(self, value: str) -> None:
        # Once, not at each look: it is asked many times a run.
        self.is_final = value in ("completed", "failed", "cancelled")


RUN_NUMBER_BITS = 40  # a job's runs are numbered from job << 40
_OWN_ID = re.compile(r"r[1-9a-f][0-9a-f]{0,9}")  # exactly as `run_id` writes it
_OWN = "run:"  # before an own id that no input's may be taken for; plain in a shell and in a path


def run_id(number: int) -> str:
    """Return the short id of a run, unique in its job, from its number in the store."""
    return f"r{number & ((1 << RUN_NUMBER_BITS) - 1):x}"


def is_run_id(text: str) -> bool:
    """Say whether a text is what `run_id` may have written."""
    return _OWN_ID.fullmatch(text) is not None


def own_name(id_: str) -> str:
    """Return what names the run with an own id alone, whatever ids were given with inputs."""
    return f"{_OWN}{id_}"


def _is_own_name(text: str) -> bool:
    return text.startswith(_OWN) and is_run_id(text.removeprefix(_OWN))


def which_run(job: int, id_: str, given: Iterable[int | None]) -> tuple[int | None, int | None]:
    """Return the numbers of the runs that an id may name.

    Args:
        job: the job's number.
        id_: the id, or an `own_name`.
        given: numbers of runs whose input was given with it, as text or as a number.

    Returns:
        The run whose input was given with it, and the one whose own id it is, if they may be.

    Raises:
        PerdureError: two inputs were given with it, one as text, the other as a number.
    """
    if _is_own_name(id_):
        return None, run_number(job, id_.removeprefix(_OWN))
    own = run_number(job, id_) if is_run_id(id_) else None
    return given_with(id_, given), own


def given_with(id_: str, given: Iterable[int | None]) -> int | None:
    """Return the number of the run whose input was given with an id, if one was.

    Raises:
        PerdureError: there are two, as `which_run` says.
    """
    found = sorted({each for each in given if each is not None})
    if len(found) > 1:
        first, second = map(run_id, found[:2])
        raise PerdureError(
            f"{id_!r} names two runs: {first} and {second}, whose inputs were given with it, one as"
            f" text and one as a number: give {own_name(first)} or {own_name(second)}"
        )
    return found[0] if found else None


def run_title(id_: str, input_id: str | None) -> str:
    """Return what people call a run, and commands take for it alone.

    Args:
        id_: its own id.
        input_id: the id that was given with its input, None without.

    Returns:
        The id of its input; its own where that may be another run's, or is nothing to type.
    """
    if not input_id or not input_id.isprintable() or input_id.startswith("-"):
        return id_
    return id_ if is_run_id(input_id) or _is_own_name(input_id) else input_id


def names_two(id_: str, given: int, own: int) -> PerdureError:
    """Return the error of an id that was given with one run's input and is another run's own."""
    first, second = run_id(given), run_id(own)  # ids of other inputs themselves, maybe
    return PerdureError(
        f"{id_!r} names two runs: {first}, whose input was given with it, and {second}, whose own"
        f" id it is: give {own_name(first)} or {own_name(second)}"
    )


def run_number(job: int, id_: str) -> int:
    """Return the number in the store of the job's run with a short id.

    Raises:
        PerdureError: it is no run id, or not as `run_id` writes it: what is like one may be meant
            for another run, or be the id of an input that is not there.
    """
    if not is_run_id(id_):
        raise PerdureError(f"{id_!r} is no run id (such as r1f): see `perdure runs`")
    return (job << RUN_NUMBER_BITS) | int(id_[1:], 16)
