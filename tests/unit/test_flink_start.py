"""What is seen of a Flink job that starts, or does not."""

from __future__ import annotations

import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from perdure.engine.flink import start
from perdure.engine.flink.loopback import keeper, without_hang_ups
from perdure.engine.flink.start import cause_in, check_start
from perdure.errors import FlinkJobError

OF_A_WORKER = """\
java.lang.RuntimeException: Failed to create stage bundle factory!
	at org.apache.flink.streaming.api.runners.python.beam.BeamPythonFunctionRunner.create(X.java:1)
Caused by: java.lang.RuntimeException: Error received from SDK harness for instruction 1:
Traceback (most recent call last):
  File "sdk_worker.py", line 311, in _execute
    response = task()
  File "shop.py", line 3, in open
    import nowhere
ModuleNotFoundError: No module named 'nowhere'

	at org.apache.beam.runners.fnexecution.control.FnApiControlClient.handle(FnApi.java:153)
	... 3 more
"""
NO_PYTHON = """\
java.lang.RuntimeException: Python worker
	at a.B.c(B.java:1)
Caused by: java.io.IOException: Cannot run program "/no/python": error=2
	at a.B.d(B.java:2)
"""
WHILE_IT_RAN = """\
org.apache.flink.runtime.taskmanager.AsynchronousException: Caught exception in a timer.
	at org.apache.flink.streaming.runtime.tasks.StreamTask.handleAsyncException(X.java:1742)
Caused by: java.lang.RuntimeException: Error received from SDK harness for instruction 3:
Traceback (most recent call last):
  File "sdk_worker.py", line 694, in process_bundle
    bundle_processor.process_bundle(instruction_id))
  File "apache_beam/runners/worker/bundle_processor.py", line 1274, in process_bundle
    input_op_by_transform_id[element.transform_id].process_encoded(
  File "shop.py", line 9, in map
    raise ConnectionError("the shop is closed")
ConnectionError: the shop is closed
"""
OF_A_SOURCE = """\
java.lang.RuntimeException: One or more fetchers have encountered exception
	at org.apache.flink.streaming.runtime.tasks.StreamTask.processInput(StreamTask.java:1)
	at org.apache.flink.streaming.runtime.tasks.StreamTask.runMailboxLoop(StreamTask.java:2)
Caused by: java.io.IOException: no route to the broker
"""
OF_A_SINK_THAT_OPENS = (
    OF_A_SOURCE
    + """\
	at org.apache.flink.streaming.runtime.tasks.StreamTask.restoreInternal(StreamTask.java:3)
"""
)
LOST = "org.apache.flink.runtime.io.network.netty.exception.RemoteTransportException: lost"


def test_the_cause_is_the_last_line_of_the_traceback_of_python() -> None:
    assert cause_in(OF_A_WORKER) == "ModuleNotFoundError: No module named 'nowhere'"


def test_without_a_traceback_it_is_the_root_of_the_causes() -> None:
    assert cause_in(NO_PYTHON) == ('java.io.IOException: Cannot run program "/no/python": error=2')
    assert cause_in(LOST) == LOST
    assert cause_in("") == "no cause is known"


class Cluster:
    """Answers with one state after the other, the last one again and again."""

    def __init__(self, *states: dict[str, Any]) -> None:
        self.states = list(states)
        self.now = states[0]
        self.asked = 0  # rounds

    def __call__(self, path: str) -> Any:
        if path == "/jobs/j1/exceptions":  # a round begins
            self.now = self.states.pop(0) if len(self.states) > 1 else self.states[0]
            self.asked += 1
            entries = [{"stacktrace": each} for each in self.now.get("failures", ())]
            return {"exceptionHistory": {"entries": entries}}
        if path == "/jobs/j1/checkpoints":
            return {"counts": {"completed": self.now.get("checkpoints", 0)}}
        assert path == "/jobs/j1"
        return self.now.get("job")


def job(
    state: str = "RUNNING", status: str = "RUNNING", written: int = 0, read: int = 0
) -> dict[str, Any]:
    metrics = {"write-records": written, "read-records": read}
    inputs = {"write-records": 7, "read-records": 7}
    return {
        "state": state,
        "vertices": [
            {"name": "perdure shop inputs", "status": status, "metrics": inputs},
            {"name": "Source: perdure shop clock -> x", "status": status, "metrics": inputs},
            {"name": "perdure shop -> Map", "status": status, "metrics": metrics},
        ],
    }


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(start, "POLL_SECONDS", 0.001)


def test_a_worker_that_cannot_start_is_an_error_with_the_cause() -> None:
    cluster = Cluster({"job": job(status="CREATED")}, {"failures": [OF_A_WORKER], "job": job()})
    with pytest.raises(FlinkJobError, match=r"does not start: ModuleNotFoundError: No module"):
        check_start(cluster, "j1", ["perdure shop"])


@pytest.mark.parametrize("failure", [NO_PYTHON, OF_A_SINK_THAT_OPENS])
def test_what_fails_to_open_is_an_error_too(failure: str) -> None:
    with pytest.raises(FlinkJobError, match="does not start"):
        check_start(Cluster({"failures": [failure], "job": job()}), "j1", ["perdure shop"])


@pytest.mark.parametrize("failure", [WHILE_IT_RAN, OF_A_SOURCE])
def test_what_fails_while_it_runs_is_told_once_and_is_for_flink_to_restart(
    failure: str, caplog: pytest.LogCaptureFixture
) -> None:
    restarting = {"failures": [failure], "job": job(status="SCHEDULED")}
    cluster = Cluster(restarting, restarting, {"failures": [failure], "job": job(written=1)})
    check_start(cluster, "j1", ["perdure shop"])
    assert cluster.asked == 3
    (told,) = (each for each in caplog.messages if "Flink restarts it" in each)
    assert told.endswith(("the shop is closed", "no route to the broker"))


def test_a_lost_task_manager_is_for_flink_to_mend() -> None:
    cluster = Cluster(
        {"failures": [LOST], "job": job(status="CREATED")},
        {"failures": [LOST], "job": job(written=1)},
    )
    check_start(cluster, "j1", ["perdure shop"])
    assert cluster.asked == 2


@pytest.mark.parametrize("state", ["FINISHED", "CANCELED", "FAILED"])
def test_a_job_that_has_ended_is_told_of_by_its_result(state: str) -> None:
    check_start(Cluster({"job": job(state)}), "j1", ["perdure shop"])


def test_a_cluster_that_answers_no_more_has_ended_with_its_job() -> None:
    check_start(Cluster({"job": job()}, {"job": None}), "j1", ["perdure shop"])


def test_it_is_watched_until_all_tasks_have_run_for_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(start, "START_SECONDS", 0.0)
    cluster = Cluster({"job": job(status="SCHEDULED")}, {"job": job()})
    check_start(cluster, "j1", ["perdure shop"])
    assert cluster.asked == 2


def test_it_has_started_when_a_checkpoint_has_what_it_read() -> None:
    cluster = Cluster(
        {"job": job(), "checkpoints": 1},
        {"job": job(read=1)},
        {"job": job(read=1), "checkpoints": 1},
        {"job": job(), "failures": [OF_A_WORKER]},
    )
    check_start(cluster, "j1", ["perdure shop"])
    assert cluster.asked == 3


class MiniCluster:
    started = 0

    def startTaskManager(self) -> None:
        self.started += 1


class Client:
    """Flink's client of a job, as far as it is looked at."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def getClass(self) -> Client:
        return self

    def getSimpleName(self) -> str:
        return self.kind


def test_a_mini_cluster_that_has_lost_its_task_manager_gets_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = MiniCluster()
    utils = ModuleType("pyflink.util.java_utils")
    utils.get_field_value = lambda client, name: {"miniCluster": cluster}[name]  # type: ignore[attr-defined]
    for name in ("pyflink", "pyflink.util"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, "pyflink.util.java_utils", utils)
    told: list[Any] = [
        {"taskmanagers": []},  # it has just begun
        {"taskmanagers": [1]},
        {"taskmanagers": []},
        {"taskmanagers": []},
        {"taskmanagers": [1]},
        None,
        None,
    ]
    keep = keeper(Client("MiniClusterJobClient"), lambda path: told.pop(0))
    for expected in (0, 0, 0, 1, 1, 1, 1):
        keep()
        assert cluster.started == expected
    keeper(Client("ClusterClientJobClientAdapter"), lambda path: {"taskmanagers": []})()
    assert cluster.started == 1


class EndedError(Exception):
    """An error of a call over gRPC."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name

    def code(self) -> Any:
        return self


@pytest.mark.parametrize(
    ("thread", "error", "is_said"),
    [
        ("read_grpc_client_inputs", EndedError("CANCELLED"), False),
        ("read_grpc_client_inputs", EndedError("UNAVAILABLE"), True),
        ("read_grpc_client_inputs", ValueError("no"), True),
        ("mine", EndedError("CANCELLED"), True),
    ],
)
def test_a_reader_of_beam_whose_peer_hung_up_says_nothing(
    thread: str, error: Exception, is_said: bool
) -> None:
    said: list[Any] = []
    given = SimpleNamespace(thread=threading.Thread(name=thread), exc_value=error)
    without_hang_ups(said.append)(given)
    assert said == [given] * is_said
