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
from typing import Any, Final, TypeAlias, TypeVar

from perdure.call import Limit, RetryPolicy
from perdure.config.options import AgentExecutionOptions, all_options
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

__all__ = [
    "AgentExecutionOptions",
    "AnyConfiguration",
    "ConfigOption",
    "Configuration",
    "all_options",
    "check_option",
]

T = TypeVar("T", bool, int, float, str)

# Variables of the command line, of examples and of tests.
_NOT_OPTIONS: Final = (
    "PERDURE_STORE",
    "PERDURE_JOB",
    "PERDURE_TOKEN",
    "PERDURE_LOG_FORMAT",
    "PERDURE_EXAMPLE_",
    "PERDURE_TEST_",
)
_AGENT: Final = "agent."
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
        config: AnyConfiguration = None,
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

    def values(self) -> dict[str, Any]:
        """Return the values set, by key: `Configuration(...)` makes an equal one of them."""
        values = {key: entry.value for key, entry in self._entries.items()}
        if RETRY in values:  # a policy, maybe with keys over it, which a mapping cannot have both
            values = {key: value for key, value in values.items() if not is_retry(key)}
            values[RETRY] = self._retry
        return values

    def __eq__(self, other: object) -> bool:
        """Compare the values set."""
        if not isinstance(other, Configuration):
            return NotImplemented
        return self.values() == other.values()

    __hash__ = None  # type: ignore[assignment]  # an agent's values may be lists

    def __repr__(self) -> str:
        """Return the keys set; an agent's values may be secrets, so they are left out."""
        shown = {k: "..." if k.startswith(_AGENT) else v for k, v in self.values().items()}
        return f"Configuration({shown})"

    def _agent_entry(self, variable: str) -> Entry | None:
        """Return a value from the environment whose key could be spelled in several ways."""
        for key, entry in self._entries.items():
            if entry.rank == _FROM_ENVIRONMENT and env_name(key) == variable:
                return entry
        return None

    @classmethod
    def _of(cls, entries: dict[str, Entry]) -> Configuration:
        made = cls.__new__(cls)
        made._set(entries)
        return made

    def _set(self, entries: dict[str, Entry]) -> None:
        self._entries = entries
        self._retry = retry_policy(entries)
        self._limits = limits(entries)


# What `Configuration.load` takes: the options, or the path of a YAML file.
AnyConfiguration: TypeAlias = (
    Configuration
    | Mapping[str, Any]
    | Mapping[ConfigOption[Any], Any]
    | str
    | os.PathLike[str]
    | None
)


def check_option(key: str, value: Any) -> None:
    """Check one value by itself; whether it goes with others is said by a whole configuration.

    Raises:
        ConfigurationError: The key is unknown or the value is wrong.
    """
    _of_mapping({key: value}, "configuration")


def _of_mapping(mapping: Mapping[Any, Any], source: str) -> dict[str, Entry]:
    return _merged({}, flattened(mapping, source), source, _FROM_MAPPING)


def _of_yaml(path: str | os.PathLike[str]) -> dict[str, Entry]:
    # Here, for YAML is slow to import and most programs have no file.
    from perdure.config.yaml_options import read_options

    file = Path(path)
    try:
        options = read_options(file)
    except OSError as error:
        raise ConfigurationError(
            f"cannot read configuration file {file}: {error.strerror}: check the path and its"
            " permissions"
        ) from error
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
    return value if rank == _FROM_MAPPING else _free_value(value, key, source)


def _free_value(text: str, key: str, source: str) -> Any:
    """Return an agent's value from a string: what it says as JSON, else the string."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ConfigurationError(
            f"{source[:200]}: the value of {key} is nested too deeply: flatten it"
        ) from None
    except ValueError:
        return text
