"""FailureLog: a log line for each failed run, and a count where many fail in the same way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from perdure.printable import printable, printable_logger, shown_place

logger = printable_logger("perdure")

WINDOW_SECONDS = 60.0  # in which equal failures are told one by one but a few times
TOLD = 3  # of equal ones in that time
LONGEST_MESSAGE = 500  # characters; `perdure show` has all of it
MOST_KINDS = 1_000  # that are kept apart


class _Kind(msgspec.Struct):
    """Equal failures: of one type, at one line of the user's code.

    Attributes:
        what: type and place.
        since: when the first of this window came, ns.
        told: those told in it.
        untold: those that were only counted.
    """

    what: str
    since: int
    told: int = 0
    untold: int = 0


class FailureLog:
    """Logs failures of runs, one line each; of equal ones the first few a minute, and a count.

    Owns: the counts. Lifecycle: that of the job; `close` tells what was only counted. On the host
    loop.

    Args:
        job: the job's name, for counts.
        now: monotonic time, ns.
    """

    def __init__(self, job: str, now: Callable[[], int]) -> None:
        self._job = job
        self._now = now
        self._kinds: dict[tuple[str, str], _Kind] = {}

    def tell(
        self,
        where: str,
        failure: Mapping[str, Any],
        *,
        is_final: bool,
        fields: Mapping[str, Any] | None = None,
    ) -> None:
        """Log a failure, or count it.

        Args:
            where: the run and its action.
            failure: what is known of it, see `failure_summary`.
            is_final: the run has failed; else it is tried again.
            fields: what the record says beside its message.
        """
        name = failure["type"].rpartition(".")[2]
        message = " ".join(failure["message"].split())
        if len(message) > LONGEST_MESSAGE:
            message = f"{message[: LONGEST_MESSAGE - 1]}…"
        place = shown_place(failure["place"])
        at = f" at {place}" if place else ""
        if self._is_counted_only(name, place or message, f"{name}{at or f': {message}'}"):
            return
        said = f"{name}: {message}" if message else name
        if is_final:
            logger.error("%s failed%s: %s", where, at, said, extra=fields)
        else:
            logger.warning("%s failed%s, trying again: %s", where, at, said, extra=fields)

    def _is_counted_only(self, name: str, place: str, what: str) -> bool:
        now = self._now()
        kind = self._kinds.get((name, place))
        if kind is not None and now - kind.since >= WINDOW_SECONDS * 1e9:
            self._tell_count(kind)
            kind = None
        if kind is None:
            if len(self._kinds) >= MOST_KINDS:
                self.close()
            kind = self._kinds[name, place] = _Kind(what, now)
        if kind.told < TOLD:
            kind.told += 1
            return False
        kind.untold += 1
        return True

    def close(self) -> None:
        """Tell what was only counted."""
        for kind in self._kinds.values():
            self._tell_count(kind)
        self._kinds.clear()

    def _tell_count(self, kind: _Kind) -> None:
        if kind.untold:
            logger.error(
                "job %r: %s more failed in the same way: %s; perdure runs --status failed lists"
                " the runs that did", self._job, f"{kind.untold:,}", kind.what,
                extra={"job": printable(self._job)},
            )  # fmt: skip
