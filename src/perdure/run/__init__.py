"""What a run is seen as from outside: its head, its status, and what belongs to it."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from perdure.errors import ConfigurationError, RunCancelledError
from perdure.run.html import table
from perdure.run.ids import (
    RUN_NUMBER_BITS,
    RunStatus,
    given_with,
    is_run_id,
    names_two,
    own_name,
    run_id,
    run_number,
    run_title,
    which_run,
)

if TYPE_CHECKING:
    from perdure.run.infos import (
        BadLine,
        ChildInfo,
        EventInfo,
        MemoryWrite,
        OutputInfo,
        RunInfo,
        SignalInfo,
        WaitInfo,
        wait_info,
    )

__all__ = [
    "RUN_NUMBER_BITS", "STATUS_BY_NUMBER", "STATUS_NUMBERS", "BadLine", "ChildInfo", "EventInfo",
    "MemoryWrite", "Output", "OutputInfo", "RunInfo", "RunStatus", "SignalInfo", "WaitInfo",
    "given_with", "is_run_id", "names_two", "own_name", "run_id", "run_number", "run_title",
    "status_named", "wait_info", "which_run",
]  # fmt: skip

_INFOS = frozenset(
    {
        "BadLine", "ChildInfo", "EventInfo", "MemoryWrite", "OutputInfo", "RunInfo", "SignalInfo",
        "WaitInfo", "wait_info",
    }
)  # fmt: skip

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # A job that is only run looks at no run of the store, and making these takes a while.
        if name not in _INFOS:
            raise AttributeError(f"module 'perdure.run' has no attribute {name!r}")
        found = globals()[name] = getattr(import_module("perdure.run.infos"), name)
        return found


def status_named(name: str) -> RunStatus:
    """Return the status with a name, in any case.

    Raises:
        ConfigurationError: there is none.
    """
    try:
        return RunStatus(name.lower())
    except ValueError:
        names = ", ".join(each.value for each in RunStatus)
        raise ConfigurationError(f"status {name!r}: choose of {names}") from None


def run_cancelled(id: str, why: str = "") -> RunCancelledError:
    """Return what those who wait for a cancelled run get."""
    return RunCancelledError(f"run {id} was cancelled{why and ': '}{why}")


@dataclass(frozen=True, slots=True)
class Output:
    """One value that a run sent out.

    Attributes:
        value: What was given to the `OutputEvent`.
        key: The key of the run that sent it.
        run_id: The id of that run.
        id: The output's own id: the same however often the output is delivered.
    """

    __journal_name__ = "perdure:Output"

    value: Any
    key: Any
    run_id: str
    id: str

    def _repr_html_(self) -> str:
        rows = [("value", self.value), ("key", self.key), ("run", self.run_id), ("id", self.id)]
        return table("Output", rows)


# How stores keep a status. From COMPLETED on they are final; indexes know these numbers.
STATUS_NUMBERS = {
    RunStatus.QUEUED: 1,
    RunStatus.RUNNING: 2,
    RunStatus.WAITING: 3,
    RunStatus.COMPLETED: 4,
    RunStatus.FAILED: 5,
    RunStatus.CANCELLED: 6,
}
STATUS_BY_NUMBER = {number: status for status, number in STATUS_NUMBERS.items()}
