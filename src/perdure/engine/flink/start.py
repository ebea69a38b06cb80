"""The start of a Flink job, watched: what makes it restart before its first output is told.

Flink restarts a job that cannot start, a missing module on the workers say, for ever and in
silence.
"""

from __future__ import annotations

import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Final

from perdure.errors import FlinkJobError
from perdure.printable import printable_logger

__all__ = ["cause_in", "check_start", "rest_api"]

logger = printable_logger("perdure")

START_SECONDS: Final = 30.0  # after all tasks run for the first time
POLL_SECONDS: Final = 0.25
_HTTP_SECONDS: Final = 10.0
_ENDED: Final = ("FINISHED", "CANCELED", "FAILED", "SUSPENDED")
# What a cluster says whose TaskManagers come and go, which is Flink's to mend.
_OF_THE_CLUSTER: Final = (
    "NoResourceAvailableException",
    "TransportException",
    "Heartbeat",
    "TaskExecutor",
    "TaskManager",
    "PartitionConnectionException",
    "PartitionNotFoundException",
)
_TRACEBACK: Final = "Traceback (most recent call last):"
# A worker has all its functions open when it is given elements; it opens them in another method.
_PROCESSING: Final = re.compile(r'bundle_processor\.py", line \d+, in process_bundle\b')
_RUNNING: Final = re.compile(r"\bStreamTask\.runMailboxLoop\(")
_RESTORING: Final = re.compile(r"\bStreamTask\.restore\w*\(")


def rest_api(j_job_client: Any) -> Callable[[str], Any]:
    """Return what asks the REST interface of the cluster that runs a job.

    Args:
        j_job_client: Flink's own client of the job.

    Returns:
        A function from a path, such as `/jobs/ID`, to the JSON that is there; None where nothing
        answers.
    """
    from pyflink.util.java_utils import get_field_value

    kind = j_job_client.getClass().getSimpleName()
    if kind == "MiniClusterJobClient":
        cluster = get_field_value(j_job_client, "miniCluster")
        try:
            base = cluster.getRestAddress().get().toString()
        except Exception:  # it has ended, and its job with it
            return lambda path: None
    else:
        client = get_field_value(j_job_client, "clusterClientProvider").getClusterClient()
        base = client.getWebInterfaceURL()

    def ask(path: str) -> Any:
        try:
            with urllib.request.urlopen(base + path, timeout=_HTTP_SECONDS) as answer:  # noqa: S310 -- its own address
                return json.load(answer)
        except (OSError, ValueError, urllib.error.URLError):
            return None

    return ask


def check_start(ask: Callable[[str], Any], job: str, operators: list[str]) -> None:
    """Return when a job has started, or has ended; fail when its workers cannot start.

    It has started when its agents have made outputs, or have read inputs that a checkpoint has, or
    when all its tasks ran for 30 s. What fails while it processes elements has started: that is
    logged, and left to Flink's restart strategy.

    Args:
        ask: see `rest_api`.
        job: the id that Flink gave the job.
        operators: the names of the agents' operators.

    Raises:
        FlinkJobError: a worker failed before; with the cause.
    """
    ran_at: float | None = None
    told_of: set[str] = set()
    while ran_at is None or time.monotonic() - ran_at < START_SECONDS:
        for failure in _failures(ask(f"/jobs/{job}/exceptions")):
            cause = cause_in(failure)
            if not _is_of_running(failure):
                raise FlinkJobError(f"the job {job} does not start: {cause}; it was cancelled")
            if cause not in told_of:
                told_of.add(cause)
                logger.warning("job %s failed while it ran, and Flink restarts it: %s", job, cause)
        told = ask(f"/jobs/{job}")
        if told is None or told.get("state") in _ENDED:
            return  # a mini cluster ends with its job
        tasks = told.get("vertices", [])
        agents = [each for each in tasks if _is_agent(each, operators)]
        if any(_records(each, "write") for each in agents):
            return
        if agents and all(_records(each, "read") for each in agents):
            checkpoints = ask(f"/jobs/{job}/checkpoints") or {}
            if checkpoints.get("counts", {}).get("completed"):
                return
        if ran_at is None and all(each.get("status") == "RUNNING" for each in tasks):
            ran_at = time.monotonic()
        time.sleep(POLL_SECONDS)


def _is_agent(task: Any, operators: list[str]) -> bool:
    """Return whether a task is that of an agent, and not of what feeds it."""
    name = str(task.get("name", ""))
    return any(
        re.match(rf"{re.escape(each)}(?! (?:inputs|ticks|clock)\b)", name) for each in operators
    )


def _records(task: Any, kind: str) -> int:
    return int(task.get("metrics", {}).get(f"{kind}-records", 0))


def _failures(told: Any) -> Iterator[str]:
    """Yield the stack traces of what tasks failed with."""
    history = (told or {}).get("exceptionHistory", {}).get("entries", [])
    for entry in history:
        trace = str(entry.get("stacktrace", ""))
        head = trace.split("\n\tat ", 1)[0]
        if trace and not any(mark in head for mark in _OF_THE_CLUSTER):
            yield trace


def _is_of_running(trace: str) -> bool:
    """Return whether something failed that had started."""
    if _TRACEBACK in trace:
        return _PROCESSING.search(trace) is not None
    return _RUNNING.search(trace) is not None and _RESTORING.search(trace) is None


def cause_in(trace: str) -> str:
    """Return the one line of a Java stack trace that says what went wrong.

    It is the last line of the Python traceback in it, where it has one.
    """
    _, mark, python = trace.rpartition(_TRACEBACK)
    if mark:
        lines = re.split(r"\n\s*(?:at |\.\.\. \d+ more|Caused by: )", python)[0].splitlines()
        told = [line.strip() for line in lines if line.strip() and not line.startswith((" ", "\t"))]
        if told:
            return told[-1].removeprefix("perdure.errors.FlinkJobError: ")  # which says it all
    causes = re.findall(r"^Caused by: (.+)$", trace, re.MULTILINE)
    return (causes or trace.strip().splitlines() or ["no cause is known"])[-1]
