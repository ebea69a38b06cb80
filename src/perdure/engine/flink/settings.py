"""What we set of Flink, where the user has set nothing."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from perdure.errors import ConfigurationError

if TYPE_CHECKING:
    from pyflink.datastream import StreamExecutionEnvironment

__all__ = [
    "CHECKPOINTS",
    "CHECKPOINT_FOLDER",
    "DEFAULTS",
    "check_mode",
    "complete",
    "flink_options",
    "is_local",
    "new_environment",
    "options_of",
]

CHECKPOINTS: Final = "execution.checkpointing.interval"
CHECKPOINT_FOLDER: Final = "execution.checkpointing.dir"
_TARGET: Final = "execution.target"
_LOCAL: Final = ("local", "minicluster")
_JARS: Final = "pipeline.jars"
_MODE: Final = "execution.runtime-mode"
_RESTARTS: Final = "restart-strategy"
_RESTART: Final = f"{_RESTARTS}.exponential-delay"

DEFAULTS: Final[Mapping[str, str]] = {
    # The mini cluster would start the `python` of the PATH, and restart for ever without a word.
    "python.executable": sys.executable,
    "python.client.executable": sys.executable,
    # Outputs and timers leave with the bundle: what is waited for at most.
    "python.fn-execution.bundle.time": "20",
    "python.fn-execution.bundle.size": "1000",
    "execution.buffer-timeout.interval": "5 ms",
    # Without a limit: a fixed delay uses its attempts up while a TaskManager is being replaced.
    f"{_RESTARTS}.type": "exponential-delay",
    f"{_RESTART}.initial-backoff": "1 s",
    f"{_RESTART}.max-backoff": "30 s",
    _MODE: "STREAMING",
    # As a local environment does: `execute` waits for the job's end.
    "execution.attached": "true",
}


def flink_options(options: Mapping[str, str]) -> Any:
    """Return options in the form that Flink takes."""
    from pyflink.common import Configuration

    made = Configuration()
    for name, value in options.items():
        made.set_string(name, value)
    return made


def new_environment(options: Mapping[str, str]) -> StreamExecutionEnvironment:
    """Return an environment with these options.

    It is that of the program: of `flink run`, or of a mini cluster in this process; where
    `execution.target` names another, jobs are submitted there.
    """
    from pyflink.datastream import StreamExecutionEnvironment
    from pyflink.java_gateway import get_gateway

    if options.get(_TARGET, "local") in _LOCAL:
        return StreamExecutionEnvironment.get_execution_environment(flink_options(options))
    # `get_execution_environment` would make it local, and workers look for this process.
    made = flink_options({_JARS: _python_jar(), **options})
    java = get_gateway().jvm.org.apache.flink.streaming.api.environment
    return StreamExecutionEnvironment(java.StreamExecutionEnvironment(made._j_configuration))


def _python_jar() -> str:
    """Return the URL of what runs Python functions, which clusters have not among their own."""
    from pyflink.find_flink_home import _find_flink_home

    (jar,) = (Path(_find_flink_home()) / "opt").glob("flink-python-*.jar")
    return jar.as_uri()


def options_of(env: StreamExecutionEnvironment) -> Any:
    """Return the options of an environment, those of its cluster's files included."""
    from pyflink.common import Configuration
    from pyflink.util.java_utils import get_j_env_configuration

    return Configuration(
        j_configuration=get_j_env_configuration(env._j_stream_execution_environment)
    )


def complete(env: StreamExecutionEnvironment) -> None:
    """Set what the user of an environment has not set.

    Raises:
        ConfigurationError: it is not in streaming mode.
    """
    check_mode(env)
    known = options_of(env)
    unset = {name: value for name, value in DEFAULTS.items() if not known.contains_key(name)}
    if not known.contains_key(CHECKPOINTS):
        # A restart would begin again: Flink's own answer to that is to fail.
        unset = {name: each for name, each in unset.items() if not name.startswith(_RESTARTS)}
    env.configure(flink_options(unset))


def check_mode(env: StreamExecutionEnvironment) -> None:
    """Refuse an environment whose mode is, or may become, batch.

    Raises:
        ConfigurationError: it is so.
    """
    mode = options_of(env).get_string(_MODE, "STREAMING").upper()
    if mode != "STREAMING":
        raise ConfigurationError(
            f"{_MODE} is {mode}: in batch mode Flink runs one shard of keys after the other; leave"
            " it at STREAMING, which takes bounded inputs too"
        )


def is_local(env: StreamExecutionEnvironment) -> bool:
    """Return whether jobs of an environment run in the mini cluster of this program."""
    return options_of(env).get_string(_TARGET, "local") in _LOCAL
