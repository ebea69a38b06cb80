"""FlinkEngine: agents in a DataStream job of Apache Flink."""

from __future__ import annotations

import dataclasses
import functools
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

from perdure.checks import checked_time
from perdure.config.configuration import AnyConfiguration, Configuration
from perdure.engine.flink import settings
from perdure.engine.flink.elements import Elements
from perdure.engine.flink.java import Java, use_java
from perdure.engine.flink.loopback import keeper, prepare
from perdure.engine.flink.placing import is_keyed, place
from perdure.engine.flink.reference import reference_to
from perdure.engine.flink.spec import SHARDS, FunctionSpec
from perdure.engine.flink.start import cause_in, check_start, rest_api
from perdure.engine.inputs import Field
from perdure.engine.plan_of import AnyAgent
from perdure.errors import ConfigurationError, FlinkJobError, install, missing_extra
from perdure.printable import printable_logger
from perdure.store.generations import check_job_text

if TYPE_CHECKING:
    from pyflink.common import JobClient, JobExecutionResult
    from pyflink.common.typeinfo import TypeInformation
    from pyflink.datastream import DataStream, OutputTag, StreamExecutionEnvironment
    from pyflink.table import Table

__all__ = ["FlinkEngine", "check_store", "find_flink", "run_job"]

logger = printable_logger("perdure")

_STORES = ("flink://", "memory://")
_NEWEST_PYTHON = (3, 12)  # that Flink has wheels for
_POLL_SECONDS = 0.1
_KEEP_SECONDS = 1.0
_CANCEL_SECONDS = 30.0


class FlinkEngine:
    """Runs one agent as a part of a Flink job; it is made before the environment.

        engine = FlinkEngine(job="reviews")
        env = engine.environment()
        outputs = engine.apply(ReviewAgent, env.from_collection(reviews), key="id", id="number")
        outputs.print()
        engine.execute(env)

    Several engines under job names of their own may work in one Flink job. Used on one thread.

    Args:
        store: `flink://`, where calls are kept in Flink's state and outlive a failure from the next
            checkpoint on; or `memory://`, where nothing does.
        job: name of the job: that of the agent's operators, by which a savepoint finds their state.
        config: a `Configuration`, a mapping of options, or the path of a YAML file.
        shards: what keys are spread over: the most parallelism, and fixed for the life of a state.
        ids_ttl: seconds for which the ids of finished inputs are kept, against inputs that come
            twice; None keeps none, since a rewind of Flink restores ids and offsets together.

    Raises:
        ConfigurationError: there is no Flink or Java here, this Python has no Flink, or the store
            or an option is not known or has a wrong value.
    """

    def __init__(
        self,
        store: str = "flink://",
        job: str = "default",
        config: AnyConfiguration = None,
        *,
        shards: int = SHARDS,
        ids_ttl: float | None = None,
    ) -> None:
        check_job_text(job)
        self.job = job
        self.config = config if isinstance(config, Configuration) else Configuration.load(config)
        check_store(store)
        _check_shards(shards)
        ids_ttl = None if ids_ttl is None else checked_time(ids_ttl, "ids_ttl=")
        self.java = find_flink()
        self._spec = FunctionSpec(
            agent="", job=job, store=store, config=self.config.values(), shards=shards,
            ids_ttl=ids_ttl,
        )  # fmt: skip
        self._is_applied = False
        self._clients: list[JobClient] = []
        self._folders: list[str] = []

    def environment(self, options: Mapping[str, str] | None = None) -> StreamExecutionEnvironment:
        """Return an environment with the settings that suit agents.

        Args:
            options: Flink's own options, by name; they win over ours.

        Returns:
            A new environment. It checkpoints every 5 s where the options, or Flink's files, do not
            say otherwise; those of a mini cluster are kept in a temporary folder until `close`.

        Raises:
            ConfigurationError: the options ask for batch mode.
        """
        prepare()
        env = settings.new_environment(options or {})
        known, added = settings.options_of(env), {}
        if not known.contains_key(settings.CHECKPOINTS):
            added[settings.CHECKPOINTS] = "5 s"
        if settings.is_local(env) and not known.contains_key(settings.CHECKPOINT_FOLDER):
            # Without, a checkpoint is in memory and may have 5 MB.
            folder = tempfile.mkdtemp(prefix="perdure-checkpoints-")
            self._folders.append(folder)
            added[settings.CHECKPOINT_FOLDER] = Path(folder).as_uri()
        env.configure(settings.flink_options(added))
        settings.complete(env)
        return env

    def apply(
        self,
        agent: AnyAgent | str,
        stream: DataStream | Table,
        *,
        key: Field | None = None,
        id: Field | None = None,
        output_type: TypeInformation | None = None,
    ) -> DataStream:
        """Return the stream of an agent's outputs over a stream of inputs; once an engine.

        Args:
            agent: a class, or an instance of one, whose constructor takes nothing; an attribute of
                a module; a function of a module that makes an agent; or `module:attribute`.
            stream: the inputs; a Row reaches the agent as a dict of its fields. A table that rows
                are only added to is the stream of its rows.
            key: the key of an input: a field name or a function of the value; of a KeyedStream may
                be left out, and is its own then. Runs of a key are executed in the order in which
                the stream brings its inputs.
            id: its idempotency id, likewise: what the source knows it by, topic, partition and
                offset, say. What a run makes is named after it: without, ids come from a counter in
                the state, and after a failure may be given to other inputs.
            output_type: Flink's type of the outputs; without, they leave as Flink's own pickled
                bytes. As a row leaves a dict, a dataclass or a model with just its fields, and
                `StreamTableEnvironment.from_data_stream` makes a table of these. An output that
                does not fit leaves by the side output.

        Raises:
            AgentDefinitionError: workers could not import the agent.
            ConfigurationError: it uses what this store cannot do, the engine has been applied, the
                environment is in batch mode, or its parallelism is above the number of shards.
        """
        if self._is_applied:
            raise ConfigurationError(
                f"this engine was applied already, as job {self.job!r}: make another FlinkEngine"
                " with a job name of its own"
            )
        if key is None and not is_keyed(stream):
            raise ConfigurationError(
                f"job {self.job!r}: the stream is not keyed: name the key of an input (key=), a"
                " field or a function, or pass a KeyedStream"
            )
        spec = dataclasses.replace(self._spec, agent=reference_to(agent), has_ids=id is not None)
        make = functools.partial(Elements, key=key, id=id)
        self._spec, outputs = place(spec, stream, make, output_type)
        self._is_applied = True
        if id is None:
            logger.warning(
                "job %s: inputs have no ids (id=): after a failure, what a run makes under ids,"
                " such as ctx.uuid4(), may come to be another input's",
                self.job,
            )
        return outputs

    @property
    def failed(self) -> OutputTag:
        """The tag of the side output of failed runs; `read_failure` reads what is on it."""
        from perdure.engine.flink.topology import failed_tag

        return failed_tag(self._spec)

    def execute(
        self, env: StreamExecutionEnvironment, name: str | None = None
    ) -> JobExecutionResult | None:
        """Run the job of an environment, to the end where its inputs end.

        Args:
            env: the environment.
            name: what Flink shows the job as; the name of this engine's job by default.

        Returns:
            Flink's result; None where the environment submits detached (`flink run -d`).

        Raises:
            ConfigurationError: it is in batch mode.
            FlinkJobError: its workers could not start, and the job was cancelled; or it failed, and
                Flink does not restart it.
        """
        return run_job(env, name or f"perdure {self.job}", [self._spec], self._clients)

    def close(self) -> None:
        """Cancel what this engine runs, and remove its temporary folders."""
        while self._clients:
            _cancel(self._clients.pop())
        while self._folders:
            shutil.rmtree(self._folders.pop(), ignore_errors=True)

    def __enter__(self) -> Self:
        """Return this engine."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


def run_job(
    env: StreamExecutionEnvironment,
    name: str,
    specs: Sequence[FunctionSpec],
    clients: list[JobClient],
) -> JobExecutionResult | None:
    """Run the job of an environment: see `FlinkEngine.execute`.

    Args:
        env: the environment.
        name: what Flink shows the job as.
        specs: the agents in it.
        clients: has Flink's client of the job while it runs, and for good where it is detached.
    """
    settings.check_mode(env)
    attached = settings.options_of(env).get_boolean("execution.attached", True)
    client = env.execute_async(name)
    clients.append(client)
    try:
        job = str(client.get_job_id())
        ask = rest_api(client._j_job_client)
        keep = keeper(client._j_job_client, ask)
        check_start(ask, job, [f"perdure {each.job}" for each in specs])
        if not attached:
            return None
        return _ended(client, keep)
    except BaseException:
        _cancel(client)
        raise
    finally:
        if attached and client in clients:  # `close` of another thread takes them
            clients.remove(client)


def _ended(client: JobClient, keep: Callable[[], None]) -> JobExecutionResult:
    """Wait for the end of a job, and return its result; Ctrl-C is heard meanwhile."""
    ending, looked_at = client.get_job_execution_result(), time.monotonic()
    while not ending.done():
        time.sleep(_POLL_SECONDS)
        if time.monotonic() - looked_at >= _KEEP_SECONDS:
            keep()
            looked_at = time.monotonic()
    try:
        return ending.result()
    except Exception as error:
        raise FlinkJobError(f"the job failed: {cause_in(str(error))}") from error


def _cancel(client: JobClient) -> None:
    """Cancel a job and wait until it has ended; one that has is left."""
    try:
        client.cancel().result()
        deadline = time.monotonic() + _CANCEL_SECONDS
        while time.monotonic() < deadline:
            if client.get_job_status().result().name in ("CANCELED", "FINISHED", "FAILED"):
                return
            time.sleep(_POLL_SECONDS)
    except Exception:
        pass  # it has ended, and its cluster with it


def check_store(store: str) -> None:
    """Refuse a store that cannot be used on Flink.

    Raises:
        ConfigurationError: it is such.
    """
    if store in _STORES:
        return
    shown = store.split("@")[-1] if "@" in store else store
    if store.startswith(("postgresql:", "postgres:")):
        why = "a later version keeps a Flink job's journal there"
    elif store.startswith("sqlite:") or "://" not in store:
        why = "a file belongs to one process, and a Flink job has workers in several"
    else:
        why = "it is not known"
    raise ConfigurationError(
        f"store {shown!r} cannot be used on Flink: {why}; use flink:// (Flink's own state), or"
        " memory:// in tests"
    )


def _check_shards(shards: int) -> None:
    if isinstance(shards, bool) or not isinstance(shards, int) or not 1 <= shards <= 1 << 15:
        raise ConfigurationError(f"shards is {shards!r}: pass an integer from 1 to 32768")


def find_flink() -> Java:
    """Return the Java that Flink runs on here, and set JAVA_HOME to it.

    Raises:
        ConfigurationError: this Python has no Flink, or there is none of our version, or no Java.
    """
    _check_python()
    java = use_java()
    _check_flink()
    return java


def _check_python() -> None:
    if sys.version_info[:2] > _NEWEST_PYTHON:
        raise ConfigurationError(
            f"this is Python {platform.python_version()}, for which there is no Flink: use Python"
            " 3.11 or 3.12 for FlinkEngine"
        )


def _check_flink() -> None:
    try:
        import pyflink.version
    except ImportError as error:
        wrong = missing_extra("FlinkEngine", "flink", error)
        raise ConfigurationError(
            f"{wrong}; there are wheels for Linux on x86_64 and for macOS"
        ) from error
    version = pyflink.version.__version__
    if not version.startswith("2.3."):
        raise ConfigurationError(
            f"this is Flink {version}, and FlinkEngine is made for 2.3: {install('flink')}"
        )
