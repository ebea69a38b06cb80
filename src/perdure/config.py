"""Configuration: the options there are, and their values from code, file, environment, flags.

Values are looked up in this order, the later over the earlier: defaults, a dictionary or YAML
file, `PERDURE_*` environment variables, overrides. An unknown key or a value of the wrong type is
a `ConfigurationError` that says where it stands.
"""

from __future__ import annotations

import dataclasses
import difflib
import json
import math
import os
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar, Final, Generic, NamedTuple, TypeVar, cast

from perdure.errors import ConfigurationError

__all__ = ["AgentExecutionOptions", "ConfigOption", "Configuration", "all_options"]

T = TypeVar("T", bool, int, float, str)

_PREFIX: Final = "PERDURE_"
_NOT_OPTIONS: Final = ("PERDURE_EXAMPLE_", "PERDURE_TEST_")  # variables of examples and tests
_AGENT: Final = "agent."
_CPUS: Final = os.cpu_count() or 1
_SIZES: Final = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_BOOLEANS: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


@dataclasses.dataclass(frozen=True, slots=True)
class ConfigOption(Generic[T]):
    """One option. An agent's own options are named `agent.` and something.

    Attributes:
        name: Key in dictionaries, files and overrides.
        type: bool, int, float or str.
        default: Value when nothing sets it.
        description: One line, with the unit of a quantity.
        choices: What a str may be; empty for anything.
        aliases: Other spellings of choices.
        minimum: Least value of a number.
        in_bytes: Whether strings such as "16MiB" are understood.
    """

    name: str
    type: type[T]
    default: T
    description: str = ""
    choices: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict, kw_only=True, hash=False)
    minimum: float | None = dataclasses.field(default=None, kw_only=True)
    in_bytes: bool = dataclasses.field(default=False, kw_only=True)

    @property
    def env_name(self) -> str:
        """Name of the environment variable that sets it."""
        return _env_name(self.name)

    def parse(self, value: Any, source: str) -> T:
        """Return `value` as this option's type.

        Args:
            value: A value of the type, or a string that spells one.
            source: Where it stands, for the message.

        Raises:
            ConfigurationError: It is not of the type, not a choice, or too small.
        """
        parsed = _PARSERS[self.type](self, value)
        if parsed is None:
            raise ConfigurationError(
                f"{source}: {self.name} must be {self._expectation()}, not {value!r}"
            )
        return cast("T", parsed)

    def _expectation(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.type is bool:
            return "true or false"
        kind = {int: "a whole number", float: "a number", str: "a string"}[self.type]
        least = "" if self.minimum is None else f" of at least {self.minimum:g}"
        return kind + least + (", or a size such as 16MiB" if self.in_bytes else "")


def _parse_bool(option: ConfigOption[Any], value: Any) -> bool | None:
    if isinstance(value, str):
        return _BOOLEANS.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _parse_int(option: ConfigOption[Any], value: Any) -> int | None:
    if isinstance(value, str):
        value = _whole_number(value.strip(), option.in_bytes)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return None if option.minimum is not None and value < option.minimum else value


def _whole_number(text: str, in_bytes: bool) -> int | None:
    factor = 1
    if in_bytes and text[-3:] in _SIZES:
        factor, text = _SIZES[text[-3:]], text[:-3]
    try:
        return int(text) * factor
    except ValueError:
        return None


def _parse_float(option: ConfigOption[Any], value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    if not math.isfinite(number) or (option.minimum is not None and number < option.minimum):
        return None
    return number


def _parse_str(option: ConfigOption[Any], value: Any) -> str | None:
    if isinstance(value, bool) and option.choices:
        # YAML reads a bare `off` as false.
        value = "on" if value else "off"
    if not isinstance(value, str):
        return None
    value = option.aliases.get(value, value)
    return None if option.choices and value not in option.choices else value


_PARSERS: Final[Mapping[Any, Any]] = {
    bool: _parse_bool,
    int: _parse_int,
    float: _parse_float,
    str: _parse_str,
}


def _env_name(name: str) -> str:
    return _PREFIX + name.upper().replace("-", "_").replace(".", "_")


class AgentExecutionOptions:
    """The options of running an agent."""

    NUM_ASYNC_THREADS: ClassVar = ConfigOption(
        "num-async-threads",
        int,
        2 * _CPUS,
        "Threads for durable calls of plain functions",
        minimum=1,
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
    SHORT_TERM_MEMORY_STATE_TTL_MS: ClassVar = ConfigOption(
        "short-term-memory.state-ttl.ms",
        int,
        0,
        "Milliseconds that short-term memory lives after a write; 0 for ever",
        minimum=0,
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


class _Entry(NamedTuple):
    """A value and the rank of where it came from; it yields to the same rank or a higher one."""

    value: Any
    rank: int


class Configuration:
    """Values of options; immutable.

    Owned state: each set value with the rank of its source, so that loading a configuration again
    does not let the environment win over an override.
    """

    __slots__ = ("_entries",)

    def __init__(self, mapping: Mapping[str, Any] | None = None) -> None:
        """Take values from a mapping.

        Args:
            mapping: Values by key; nested mappings mean keys with dots.

        Raises:
            ConfigurationError: A key is unknown or a value is wrong.
        """
        pairs = _flattened(mapping or {}, "configuration")
        self._entries = _merged({}, pairs, "configuration", _FROM_MAPPING)

    @classmethod
    def from_yaml(cls, path: str | os.PathLike[str]) -> Configuration:
        """Read a YAML file.

        Raises:
            ConfigurationError: It cannot be read, is no YAML mapping, or has a wrong value.
        """
        import yaml  # here, for it is slow to import and most programs have no file

        file = Path(path)
        try:
            content = yaml.safe_load(file.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"cannot read configuration file {file}: {error}") from error
        except yaml.YAMLError as error:
            reason = " ".join(str(error).split())
            raise ConfigurationError(f"{file} is not YAML: {reason}") from error
        if content is None:
            content = {}
        if not isinstance(content, dict):
            raise ConfigurationError(f"{file} must be a mapping of keys to values")
        source = str(file)
        entries = _merged({}, _flattened(content, source), source, _FROM_MAPPING)
        return cls._of(entries)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Configuration:
        """Read the `PERDURE_*` variables of an environment.

        Raises:
            ConfigurationError: A variable names no option or its value is wrong.
        """
        return cls()._with_environment(environ)

    @classmethod
    def load(
        cls,
        config: Configuration | Mapping[str, Any] | str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
        overrides: Iterable[str] = (),
    ) -> Configuration:
        """Put all sources together: defaults, `config`, the environment, overrides.

        Args:
            config: A configuration, a mapping, or the path of a YAML file.
            environ: Environment variables, the process's own by default.
            overrides: `KEY=VALUE` strings.

        Raises:
            ConfigurationError: A key is unknown or a value is wrong, in any of them.
        """
        if config is None or isinstance(config, Mapping):
            base = cls(config)
        elif isinstance(config, Configuration):
            base = config
        elif isinstance(config, (str, os.PathLike)):
            base = cls.from_yaml(config)
        else:
            raise ConfigurationError(
                f"config is {config!r}: pass a mapping, a Configuration or the path of a YAML file"
            )
        loaded = base._with_environment(os.environ if environ is None else environ)
        return loaded.with_overrides(overrides)

    def with_overrides(self, overrides: Iterable[str]) -> Configuration:
        """Return this configuration with `KEY=VALUE` strings over it.

        Raises:
            ConfigurationError: One has no `=`, an unknown key or a wrong value.
        """
        entries = self._entries
        for override in overrides:
            key, separator, text = override.partition("=")
            source = f"--set {override}"
            if not separator or not key.strip():
                raise ConfigurationError(f"{source}: write KEY=VALUE")
            entries = _merged(entries, [(key.strip(), text)], source, _FROM_OVERRIDE)
        return self._of(entries)

    def get(self, option: ConfigOption[T]) -> T:
        """Return the value of an option, its default when nothing sets it.

        Args:
            option: One of `AgentExecutionOptions`, or an agent's own, named `agent.` and more.

        Raises:
            ConfigurationError: The option cannot be set at all, or an agent's own one has a value
                of another type.
        """
        if option.name not in _OPTIONS and not option.name.startswith(_AGENT):
            raise _unknown(option.name, _OPTIONS, f"option {option.name}")
        entry = self._entries.get(option.name)
        if entry is None:
            entry = self._agent_entry(option.env_name)
        if entry is None:
            return option.default
        return option.parse(entry.value, "configuration")

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

    def _agent_entry(self, env_name: str) -> _Entry | None:
        """Return a value from the environment whose key could be spelled in several ways."""
        for key, entry in self._entries.items():
            if entry.rank == _FROM_ENVIRONMENT and _env_name(key) == env_name:
                return entry
        return None

    def _values(self) -> dict[str, Any]:
        return {key: entry.value for key, entry in self._entries.items()}

    @classmethod
    def _of(cls, entries: Mapping[str, _Entry]) -> Configuration:
        made = cls()
        made._entries = dict(entries)
        return made

    def _with_environment(self, environ: Mapping[str, str]) -> Configuration:
        entries = self._entries
        agent_keys = {_env_name(key): key for key in entries if key.startswith(_AGENT)}
        for variable, text in sorted(environ.items()):
            if not variable.startswith(_PREFIX) or variable.startswith(_NOT_OPTIONS):
                continue
            key = _BY_ENV_NAME.get(variable) or agent_keys.get(variable)
            if key is None and variable.startswith(_env_name(_AGENT)):
                key = _AGENT + variable.removeprefix(_env_name(_AGENT)).lower().replace("_", "-")
            source = f"environment variable {variable}"
            if key is None:
                raise _unknown(variable, _BY_ENV_NAME, source)
            entries = _merged(entries, [(key, text)], source, _FROM_ENVIRONMENT)
        return self._of(entries)


def _merged(
    entries: Mapping[str, _Entry], pairs: Iterable[tuple[str, Any]], source: str, rank: int
) -> dict[str, _Entry]:
    """Return `entries` with checked `pairs` over those of no higher rank."""
    merged = dict(entries)
    for key, value in pairs:
        option = _OPTIONS.get(key)
        if option is not None:
            value = option.parse(value, source)
        elif not key.startswith(_AGENT) or key == _AGENT:
            raise _unknown(key, _OPTIONS, source)
        elif rank != _FROM_MAPPING:
            value = _free_value(value)
        if key not in merged or merged[key].rank <= rank:
            merged[key] = _Entry(value, rank)
    return merged


def _free_value(text: str) -> Any:
    """Return an agent's value from a string: what it says as JSON, else the string."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _flattened(
    mapping: Mapping[Any, Any], source: str, prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    seen: set[str] = set()
    for key, value in _leaves(mapping, source, prefix):
        if key in seen:
            raise ConfigurationError(f"{source}: {key} is set twice: remove one of them")
        seen.add(key)
        yield key, value


def _leaves(mapping: Mapping[Any, Any], source: str, prefix: str) -> Iterator[tuple[str, Any]]:
    for key, value in mapping.items():
        if not isinstance(key, str):
            raise ConfigurationError(f"{source}: key {prefix}{key!r} must be a string: quote it")
        if isinstance(value, Mapping):
            yield from _leaves(value, source, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _unknown(key: str, known: Iterable[str], source: str) -> ConfigurationError:
    near = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else "an agent's own keys begin with 'agent.'"
    return ConfigurationError(f"{source}: unknown key {key!r}: {hint}")
