"""FlinkCluster: a Flink cluster on this machine, from the pip package, to be broken on purpose."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, Self

from perdure.engine.flink.java import find_java
from perdure.errors import missing_extra

__all__ = ["FlinkCluster"]

START_SECONDS: Final = 240.0  # for JVMs to come up, on the slowest machine
STOP_SECONDS: Final = 20.0
LOOK_SECONDS: Final = 0.25


class FlinkCluster:
    """A JobManager and TaskManagers of one slot each, in processes of their own.

    A TaskManager that ends is replaced within a second, as a supervisor in production has to: one
    that is killed may take another with it.

        with FlinkCluster(tmp_path) as cluster:
            env = engine.environment(cluster.options)
            ...
            cluster.kill_task_manager(0)

    Args:
        folder: an empty folder for its configuration, logs and checkpoints.
        task_managers: how many.
        python_path: folders from which workers import the agents.
        environ: further environment variables of the workers.
        options: options of Flink over ours, for the cluster's own file.
    """

    def __init__(
        self,
        folder: Path,
        *,
        task_managers: int = 2,
        python_path: Iterable[Path | str] = (),
        environ: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = Path(folder)
        home = find_spec("pyflink")
        if home is None or home.origin is None:
            raise missing_extra("FlinkCluster", "flink", ImportError("no module named 'pyflink'"))
        self._home = Path(home.origin).parent
        self._count = task_managers
        self._rest_port, rpc_port = _free_ports(2)
        self._options = {
            "jobmanager.rpc.address": "localhost",
            "jobmanager.rpc.port": str(rpc_port),
            "jobmanager.bind-host": "localhost",
            "jobmanager.memory.process.size": "1000m",
            "taskmanager.bind-host": "localhost",
            "taskmanager.host": "localhost",
            "taskmanager.memory.process.size": "1400m",
            "taskmanager.numberOfTaskSlots": "1",
            "rest.address": "localhost",
            "rest.bind-address": "localhost",
            "rest.port": str(self._rest_port),
            # A process that was killed is missed by its connections; this is for what hangs.
            "heartbeat.interval": "2000",
            "heartbeat.timeout": "20000",
            "execution.checkpointing.dir": (self.folder / "checkpoints").as_uri(),
            **(options or {}),
        }
        self._environ = {
            **os.environ,
            "JAVA_HOME": str(find_java().home),
            "FLINK_CONF_DIR": str(self.folder / "conf"),
            "FLINK_LOG_DIR": str(self.folder / "log"),
            "FLINK_PID_DIR": str(self.folder / "pid"),
            "PYTHONPATH": os.pathsep.join(map(str, python_path)),
            **(environ or {}),
        }
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._job_manager: subprocess.Popen[bytes] | None = None
        self._task_managers: list[subprocess.Popen[bytes]] = []
        self._supervisor = threading.Thread(target=self._supervise, daemon=True)

    @property
    def options(self) -> dict[str, str]:
        """What an environment needs to submit jobs here: for `engine.environment(...)`."""
        return {
            "execution.target": "remote",
            "rest.address": "localhost",
            "rest.port": str(self._rest_port),
            "execution.checkpointing.dir": self._options["execution.checkpointing.dir"],
            "parallelism.default": str(self._count),
        }

    def start(self) -> None:
        """Start it, and return when all its TaskManagers are there.

        Raises:
            TimeoutError: they were not in time; with the end of the logs.
        """
        for name in ("log", "pid", "checkpoints"):
            (self.folder / name).mkdir(parents=True)
        shutil.copytree(self._home / "conf", self.folder / "conf")
        lines = [f"{name}: {value}\n" for name, value in self._options.items()]
        with (self.folder / "conf" / "config.yaml").open("a", encoding="utf-8") as file:
            file.writelines(["\n", *lines])
        self._job_manager = self._run("jobmanager.sh")
        self._task_managers = [self._run("taskmanager.sh") for _ in range(self._count)]
        self._supervisor.start()
        self.wait_for_task_managers()

    def wait_for_task_managers(self) -> None:
        """Return when all are registered.

        Raises:
            TimeoutError: they were not in time.
        """
        deadline = time.monotonic() + START_SECONDS
        while len(self.ask("/taskmanagers").get("taskmanagers", [])) < self._count:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"the cluster in {self.folder} does not start: {self.last_log()}"
                )
            time.sleep(LOOK_SECONDS)

    def ask(self, path: str) -> Any:
        """Return what the REST interface says at a path; an empty dict where nothing answers."""
        url = f"http://localhost:{self._rest_port}{path}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return json.load(answer)
        except (OSError, ValueError):
            return {}

    def completed_checkpoints(self) -> int:
        """Return how many checkpoints the newest job has completed."""
        return int(self._checkpoints().get("counts", {}).get("completed", 0))

    def restores(self) -> int:
        """Return how often the newest job was restored from a checkpoint."""
        return int(self._checkpoints().get("counts", {}).get("restored", 0))

    def newest_checkpoint(self) -> float:
        """Return when the newest complete checkpoint began, seconds since the epoch; 0 for none."""
        completed = self._checkpoints().get("latest", {}).get("completed") or {}
        return float(completed.get("trigger_timestamp", 0)) / 1000

    def _checkpoints(self) -> Any:
        jobs = self.ask("/jobs/overview").get("jobs", [])
        if not jobs:
            return {}
        newest = max(jobs, key=lambda each: int(each["start-time"]))
        return self.ask(f"/jobs/{newest['jid']}/checkpoints")

    @property
    def task_managers(self) -> list[int]:
        """The ids of the TaskManagers' processes."""
        with self._lock:
            return [process.pid for process in self._task_managers]

    def kill_task_manager(self, number: int = 0) -> int:
        """Kill a TaskManager with SIGKILL; another takes its place. Return the process's id."""
        with self._lock:
            process = self._task_managers[number]
        process.send_signal(signal.SIGKILL)
        process.wait()
        return process.pid

    def last_log(self) -> str:
        """Return the last lines of the logs."""
        files = sorted((self.folder / "log").glob("*.log"))
        ends = [file.read_text("utf-8", "replace").splitlines()[-5:] for file in files]
        return " | ".join(line for end in ends for line in end)

    def close(self) -> None:
        """Stop it, and return when nothing of it is left."""
        self._closing.set()
        if self._supervisor.is_alive():
            self._supervisor.join()
        running = [*self._task_managers, *([self._job_manager] if self._job_manager else [])]
        for process in running:
            process.terminate()
        for process in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_SECONDS)
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        """Start it."""
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """Stop it."""
        self.close()

    def _run(self, script: str) -> subprocess.Popen[bytes]:
        # In the foreground the script becomes the JVM: its id is the one to kill.
        log = (self.folder / "log" / f"{script}.out").open("ab")
        with log:
            return subprocess.Popen(
                [str(self._home / "bin" / script), "start-foreground"],
                env=self._environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            )  # fmt: skip

    def _supervise(self) -> None:
        while not self._closing.wait(LOOK_SECONDS):
            with self._lock:
                for number, process in enumerate(self._task_managers):
                    if process.poll() is not None:
                        self._task_managers[number] = self._run("taskmanager.sh")


def _free_ports(count: int) -> Iterator[int]:
    """Yield ports that nothing listens on now."""
    with contextlib.ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("localhost", 0))
        ports = [each.getsockname()[1] for each in sockets]
    yield from ports
