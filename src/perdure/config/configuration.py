"""Configuration: the options there are, and their values from code, file, environment, flags.

Values are looked up in this order, the later over the earlier: defaults, a dictionary or YAML
file, `PERDURE_*` environment variables, overrides. An unknown key or a value of the wrong type is
a `ConfigurationError` that says where it stands.
"""

from __future__ import annotations

import json
import os
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar

from perdure.call import Limit, RetryPolicy
from perdure.config.values import (
    ENV_PREFIX,
    RETRY,
    ConfigOption,
    Entry,
    env_name,
    flattened,
    is_limit,
    is_retry,
    limit_key,
    limit_value,
    limits,
    retry_field,
    retry_policy,
    retry_value,
    unknown,
)
from perdure.errors import ConfigurationError

__all__ = ["AgentExecutionOptions", "ConfigOption", "Configuration", "all_options"]

T = TypeVar("T", bool, int, float, str)

_NOT_OPTIONS: Final = ("PERDURE_EXAMPLE_", "PERDURE_TEST_")  # variables of examples and tests
_AGENT: Final = "agent."
_CPUS: Final = os.cpu_count() or 1
_RETRY: Final = RetryPolicy()


class AgentExecutionOptions:
    """The options of running an agent."""

    NUM_ASYNC_THREADS: ClassVar = ConfigOption(
        "num-async-threads",
        int,
        2 * _CPUS,
        "Threads for durable calls of plain functions",
        minimum=1,
    )
    MAX_ABANDONED_THREADS: ClassVar = ConfigOption(
        "max-abandoned-threads",
        int,
        -1,
        "Threads more that may hang in calls which timed out; -1 for 4 x num-async-threads",
        minimum=-1,
    )
    MAX_RUNS_IN_FLIGHT: ClassVar = ConfigOption(
        "max-runs-in-flight", int, 4096, "Runs at work at the same time", minimum=1
    )
    CONTINUATIONS: ClassVar = ConfigOption(
        "continuations",
        str,
        "auto",
        "Whether plain actions are suspended without a thread where that is supported",
        choices=("auto", "off"),
    )
    DURABILITY: ClassVar = ConfigOption(
        "durability",
        str,
        "strict",
        "Whether a commit waits for the disk; relaxed may lose the last ones to a power failure",
        choices=("strict", "relaxed"),
    )
    STORE_FILE_MODE: ClassVar = ConfigOption(
        "store-file-mode",
        str,
        "0600",
        "Permissions of the files of a new store, in quotes in YAML; files that exist keep theirs",
        choices=("0600", "0640", "0644", "0660", "0664", "0666"),
    )
    ON_DIVERGENCE: ClassVar = ConfigOption(
        "on-divergence",
        str,
        "fail",
        "What a replay does that leaves its journal",
        choices=("fail", "reexecute"),
    )
    ERROR_HANDLING_STRATEGY: ClassVar = ConfigOption(
        "error-handling-strategy",
        str,
        "dead-letter",
        "What happens to a failed run: it is set aside, tried again, or fails the job",
        choices=("dead-letter", "retry", "fail"),
        aliases=types.MappingProxyType({"ignore": "dead-letter"}),
    )
    MAX_RETRIES: ClassVar = ConfigOption(
        "max-retries", int, 3, "How often the retry strategy tries a run again", minimum=0
    )
    RETRY_WAIT_INTERVAL: ClassVar = ConfigOption(
        "retry-wait-interval", float, 1.0, "Seconds before a run is tried again", minimum=0
    )
    ACTION_TRIGGER_CONDITION_EVALUATE_FAILURE_STRATEGY: ClassVar = ConfigOption(
        "action.trigger-condition.evaluate-failure-strategy",
        str,
        "WARN_AND_SKIP",
        "What happens when a condition fails on an event: it counts as not met, or the run fails",
        choices=("WARN_AND_SKIP", "FAIL"),
        aliases=types.MappingProxyType({"warn_and_skip": "WARN_AND_SKIP", "fail": "FAIL"}),
    )
    MAX_PAYLOAD_BYTES: ClassVar = ConfigOption(
        "max-payload-bytes",
        int,
        16 << 20,
        "Bytes that one encoded value may have",
        minimum=1,
        in_bytes=True,
    )
    CHAT_ASYNC: ClassVar = ConfigOption(
        "chat.async", bool, True, "Whether chat requests leave other actions running"
    )
    TOOL_CALL_ASYNC: ClassVar = ConfigOption(
        "tool-call.async", bool, True, "Whether tool calls leave other actions running"
    )
    TOOL_CALL_PARALLELISM: ClassVar = ConfigOption(
        "tool-call.parallelism", int, _CPUS, "Tool calls of one request at the same time", minimum=1
    )
    RAG_ASYNC: ClassVar = ConfigOption(
        "rag.async", bool, True, "Whether context retrieval leaves other actions running"
    )
    LONG_TERM_MEMORY_VECTOR_STORE: ClassVar = ConfigOption(
        "long-term-memory.vector-store",
        str,
        "",
        "Vector store resource that keeps long-term memory; without one the job's own store does",
    )
    LONG_TERM_MEMORY_EMBEDDING_MODEL: ClassVar = ConfigOption(
        "long-term-memory.embedding-model",
        str,
        "",
        "Embedding model resource of the job's own store; without one it is searched by keywords",
    )
    LONG_TERM_MEMORY_CHAT_MODEL: ClassVar = ConfigOption(
        "long-term-memory.chat-model", str, "", "Chat model resource that compacts memory sets"
    )
    SHORT_TERM_MEMORY_STATE_TTL_MS: ClassVar = ConfigOption(
        "short-term-memory.state-ttl.ms",
        int,
        0,
        "Milliseconds that short-term memory lives after a write; 0 for ever",
        minimum=0,
    )
    TIMEOUT: ClassVar = ConfigOption(
        "timeout",
        float,
        0.0,
        "Seconds for one attempt of a durable call; 0 for no limit",
        minimum=0,
    )
    RUN_TIMEOUT: ClassVar = ConfigOption(
        "run-timeout",
        float,
        0.0,
        "Seconds from a run's first beginning to its end, restarts included; 0 for no limit",
        minimum=0,
    )
    MAX_CALLS_PER_RUN: ClassVar = ConfigOption(
        "max-calls-per-run",
        int,
        100_000,
        "Durable calls that one run may make, against loops that never end; 0 for no limit",
        minimum=0,
    )
    GARBAGE_COLLECTOR: ClassVar = ConfigOption(
        "garbage-collector",
        str,
        "tuned",
        "Whether Python's cyclic collector runs less often while a job is open",
        choices=("tuned", "untouched"),
    )
    RETRY_MAX_ATTEMPTS: ClassVar = ConfigOption(
        "retry.max-attempts",
        int,
        1,
        f"Attempts of a durable call, the first included; {_RETRY.max_attempts} if only other "
        "`retry` keys are set",
        minimum=1,
    )
    RETRY_INITIAL_INTERVAL: ClassVar = ConfigOption(
        "retry.initial-interval",
        float,
        _RETRY.initial_interval,
        "Seconds before the second attempt",
        minimum=0,
    )
    RETRY_BACKOFF_COEFFICIENT: ClassVar = ConfigOption(
        "retry.backoff-coefficient",
        float,
        _RETRY.backoff_coefficient,
        "Factor from each interval between attempts to the next",
        minimum=1,
    )
    RETRY_MAX_INTERVAL: ClassVar = ConfigOption(
        "retry.max-interval",
        float,
        _RETRY.max_interval,
        "Longest interval between attempts in seconds, before jitter",
        minimum=0,
    )
    RETRY_JITTER: ClassVar = ConfigOption(
        "retry.jitter",
        float,
        _RETRY.jitter,
        "Share of itself by which each interval is varied, both ways",
        minimum=0,
        maximum=1,
    )
    RETRY_TOTAL_TIMEOUT: ClassVar = ConfigOption(
        "retry.total-timeout",
        float,
        _RETRY.total_timeout or 0.0,
        "Seconds for all attempts together, restarts included; 0 for no limit",
        minimum=0,
    )
    RETRY_COUNT_CRASHES: ClassVar = ConfigOption(
        "retry.count-crashes",
        bool,
        _RETRY.count_crashes,
        "Whether an attempt that ends with its process counts too",
    )


def all_options() -> tuple[ConfigOption[Any], ...]:
    """Return every option, in the order of their declaration."""
    return tuple(
        each for each in vars(AgentExecutionOptions).values() if isinstance(each, ConfigOption)
    )


_OPTIONS: Final[Mapping[str, ConfigOption[Any]]] = {each.name: each for each in all_options()}
_BY_ENV_NAME: Final = {each.env_name: each.name for each in all_options()}

_FROM_MAPPING: Final = 0
_FROM_ENVIRONMENT: Final = 1
_FROM_OVERRIDE: Final = 2


class Configuration:
    """Values of options; immutable.

    Owned state: each set value with the rank of its source, so that loading a configuration again
    does not let the environment win over an override; the retry policy and the limits that these
    values make.
    """

    __slots__ = ("_entries", "_limits", "_retry")

    def __init__(
        self, mapping: Mapping[str, Any] | Mapping[ConfigOption[Any], Any] | None = None
    ) -> None:
        """Take values from a mapping.

        Args:
            mapping: Values by key, or by option; nested mappings mean keys with dots. `retry` may
                be a RetryPolicy, and a limit a Limit.

        Raises:
            ConfigurationError: A key is unknown or a value is wrong.
        """
        self._set(_of_mapping(mapping or {}, "configuration"))

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Configuration:
        """Read a YAML file.

        Raises:
            ConfigurationError: It cannot be read, is no YAML mapping, or has a wrong value.
        """
        return cls._of(_of_yaml(path))

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Configuration:
        """Read the `PERDURE_*` variables of an environment.

        Raises:
            ConfigurationError: A variable names no option or its value is wrong.
        """
        return cls._of(_with_environment({}, environ))

    @classmethod
    def load(
        cls,
        config: Configuration
        | Mapping[str, Any]
        | Mapping[ConfigOption[Any], Any]
        | str
        | os.PathLike[str]
        | None = None,
        environ: Mapping[str, str] | None = None,
        overrides: Iterable[str] = (),
        *,
        below: Mapping[str, Any] | None = None,
    ) -> Configuration:
        """Put all sources together: defaults, `below`, `config`, the environment, overrides.

        Args:
            config: A configuration, a mapping, or the path of a YAML file.
            environ: Environment variables, the process's own by default.
            overrides: `KEY=VALUE` strings.
            below: Options that an agent brings with it.

        Raises:
            ConfigurationError: A key is unknown or a value is wrong, in any of them.
        """
        # Checked as a whole only at the end: one source may complete what another begins.
        if config is None or isinstance(config, Mapping):
            entries = _of_mapping(config or {}, "configuration")
        elif isinstance(config, Configuration):
            entries = config._entries
        elif isinstance(config, (str, os.PathLike)):
            entries = _of_yaml(config)
        else:
            raise ConfigurationError(
                f"config is {config!r}: pass a mapping, a Configuration or the path of a YAML file"
            )
        if below:
            entries = {**_of_mapping(below, "the agent's config"), **entries}
        entries = _with_environment(entries, os.environ if environ is None else environ)
        return cls._of(_with_overrides(entries, overrides))

    def with_overrides(self, overrides: Iterable[str]) -> Configuration:
        """Return this configuration with `KEY=VALUE` strings over it.

        Raises:
            ConfigurationError: One has no `=`, an unknown key or a wrong value.
        """
        return self._of(_with_overrides(self._entries, overrides))

    def get(self, option: ConfigOption[T]) -> T:
        """Return the value of an option, its default when nothing sets it.

        Args:
            option: One of `AgentExecutionOptions`, or an agent's own, named `agent.` and more.

        Raises:
            ConfigurationError: The option cannot be set at all, or an agent's own one has a value
                of another type.
        """
        if option.name not in _OPTIONS and not option.name.startswith(_AGENT):
            raise unknown(option.name, _OPTIONS, f"option {option.name}")
        if self._retry is not None and is_retry(option.name):
            set_to = getattr(self._retry, retry_field(option.name))
            return option.type(0 if set_to is None else set_to)
        entry = self._entries.get(option.name)
        if entry is None:
            entry = self._agent_entry(option.env_name)
        if entry is None:
            return option.default
        return option.parse(entry.value, "configuration")

    def retry_policy(self) -> RetryPolicy | None:
        """Return the policy of durable calls that have none of their own; None if none is set."""
        return self._retry

    def limits(self) -> Mapping[str, Limit]:
        """Return the limits that durable calls may name."""
        return types.MappingProxyType(self._limits)

    @property
    def agent(self) -> Mapping[str, Any]:
        """The agent's own values, by key without `agent.`."""
        return types.MappingProxyType(
            {
                key.removeprefix(_AGENT): entry.value
                for key, entry in self._entries.items()
                if key.startswith(_AGENT)
            }
        )

    def __eq__(self, other: object) -> bool:
        """Compare the values set."""
        if not isinstance(other, Configuration):
            return NotImplemented
        return self._values() == other._values()

    __hash__ = None  # type: ignore[assignment]  # an agent's values may be lists

    def __repr__(self) -> str:
        """Return the keys set; an agent's values may be secrets, so they are left out."""
        shown = {k: "..." if k.startswith(_AGENT) else v for k, v in self._values().items()}
        return f"Configuration({shown})"

    def _agent_entry(self, variable: str) -> Entry | None:
        """Return a value from the environment whose key could be spelled in several ways."""
        for key, entry in self._entries.items():
            if entry.rank == _FROM_ENVIRONMENT and env_name(key) == variable:
                return entry
        return None

    def _values(self) -> dict[str, Any]:
        return {key: entry.value for key, entry in self._entries.items()}

    @classmethod
    def _of(cls, entries: dict[str, Entry]) -> Configuration:
        made = cls.__new__(cls)
        made._set(entries)
        return made

    def _set(self, entries: dict[str, Entry]) -> None:
        self._entries = entries
        self._retry = retry_policy(entries)
        self._limits = limits(entries)


def _of_mapping(mapping: Mapping[Any, Any], source: str) -> dict[str, Entry]:
    return _merged({}, flattened(mapping, source), source, _FROM_MAPPING)


def _of_yaml(path: str | os.PathLike[str]) -> dict[str, Entry]:
    # Here, for YAML is slow to import and most programs have no file.
    from perdure.config.yaml_options import read_options

    file = Path(path)
    try:
        options = read_options(file)
    except OSError as error:
        raise ConfigurationError(f"cannot read configuration file {file}: {error}") from error
    entries: dict[str, Entry] = {}
    source = str(file)
    for key, value in flattened(options.values, source):
        try:
            checked = _checked(key, value, source, _FROM_MAPPING)
        except ConfigurationError as error:
            raise ConfigurationError(f"{error} (line {options.lines[key]})") from error
        entries[key] = Entry(checked, _FROM_MAPPING, source)
    return entries


def _with_environment(entries: dict[str, Entry], environ: Mapping[str, str]) -> dict[str, Entry]:
    agent_keys = {env_name(key): key for key in entries if key.startswith(_AGENT)}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(ENV_PREFIX) or variable.startswith(_NOT_OPTIONS):
            continue
        key = _BY_ENV_NAME.get(variable) or agent_keys.get(variable)
        if key is None and variable.startswith(env_name(_AGENT)):
            key = _AGENT + variable.removeprefix(env_name(_AGENT)).lower().replace("_", "-")
        source = f"environment variable {variable}"
        key = key or limit_key(variable, entries, source)
        if key is None:
            raise unknown(variable, _BY_ENV_NAME, source)
        entries = _merged(entries, [(key, text)], source, _FROM_ENVIRONMENT)
    return entries


def _with_overrides(entries: dict[str, Entry], overrides: Iterable[str]) -> dict[str, Entry]:
    for override in overrides:
        key, separator, text = override.partition("=")
        source = f"--set {override}"
        if not separator or not key.strip():
            raise ConfigurationError(f"{source}: write KEY=VALUE")
        entries = _merged(entries, [(key.strip(), text)], source, _FROM_OVERRIDE)
    return entries


def _merged(
    entries: Mapping[str, Entry], pairs: Iterable[tuple[str, Any]], source: str, rank: int
) -> dict[str, Entry]:
    """Return `entries` with checked `pairs` over those of no higher rank."""
    merged = dict(entries)
    for key, value in pairs:
        checked = _checked(key, value, source, rank)
        if key not in merged or merged[key].rank <= rank:
            merged[key] = Entry(checked, rank, source)
    return merged


def _checked(key: str, value: Any, source: str, rank: int) -> Any:
    option = _OPTIONS.get(key)
    if option is not None:
        return option.parse(value, source)
    if key == RETRY:
        return retry_value(value, source)
    if is_limit(key):
        return limit_value(key, value, source)
    if not key.startswith(_AGENT) or key == _AGENT:
        raise unknown(key, _OPTIONS, source)
    return value if rank == _FROM_MAPPING else _free_value(value)


def _free_value(text: str) -> Any:
    """Return an agent's value from a string: what it says as JSON, else the string."""
    try:
        return json.loads(text)
    except ValueError:
        return text
