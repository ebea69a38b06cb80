"""Values of the configuration: what an option takes, a retry policy from its keys, named limits."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from perdure.call import Limit, RetryPolicy
from perdure.checks import checked_seconds
from perdure.errors import ConfigurationError, did_you_mean

T = TypeVar("T", bool, int, float, str)

ENV_PREFIX: Final = "PERDURE_"
RETRY: Final = "retry"
LIMITS: Final = "limits"
_RETRY_KEYS: Final = "retry."
_LIMIT_KEYS: Final = "limits."
_LIMIT_FIELDS: Final = ("concurrency", "rate")
_LIMIT_NAME: Final = re.compile(r"[A-Za-z0-9_-]+")
_RATE: Final = re.compile(r"([0-9]{1,15})\s*/\s*([0-9]{1,15})?\s*([a-z]+)")
_SECONDS: Final = {
    **dict.fromkeys(("s", "sec", "second"), 1.0),
    **dict.fromkeys(("min", "minute"), 60.0),
    **dict.fromkeys(("h", "hour"), 3600.0),
    "day": 86400.0,
}
_SIZES: Final = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_BOOLEANS: Final = {
    **dict.fromkeys(("true", "yes", "on", "1"), True),
    **dict.fromkeys(("false", "no", "off", "0"), False),
}


class Entry(NamedTuple):
    """A value, the rank of where it came from, and where that is, for messages.

    It yields to a value of the same rank or a higher one.
    """

    value: Any
    rank: int
    source: str


class Rate(NamedTuple):
    """How many may begin within any `per` seconds."""

    number: int
    per: float


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
        maximum: Greatest value of a number.
        in_bytes: Whether strings such as "16MiB" are understood.
    """

    name: str
    type: type[T]
    default: T
    description: str = ""
    choices: tuple[str, ...] = dataclasses.field(default=(), kw_only=True)
    aliases: Mapping[str, str] = dataclasses.field(default_factory=dict, kw_only=True, hash=False)
    minimum: float | None = dataclasses.field(default=None, kw_only=True)
    maximum: float | None = dataclasses.field(default=None, kw_only=True)
    in_bytes: bool = dataclasses.field(default=False, kw_only=True)

    @property
    def env_name(self) -> str:
        """Name of the environment variable that sets it."""
        return env_name(self.name)

    def parse(self, value: Any, source: str) -> T:
        """Return `value` as this option's type.

        Args:
            value: A value of the type, or a string that spells one.
            source: Where it stands, for the message.

        Raises:
            ConfigurationError: It is not of the type, not a choice, or out of range.
        """
        parsed = _PARSERS[self.type](self, value)
        if parsed is None:
            raise ConfigurationError(
                f"{source}: {self.name} must be {self._expectation()}, not {value!r:.100}"
            )
        return cast("T", parsed)

    def contains(self, number: float) -> bool:
        """Say whether a number is within `minimum` and `maximum`."""
        if self.minimum is not None and number < self.minimum:
            return False
        return self.maximum is None or number <= self.maximum

    def _expectation(self) -> str:
        if self.choices:
            return f"one of {', '.join(self.choices)}"
        if self.type is bool:
            return "true or false"
        kind = {int: "a whole number", float: "a number", str: "a string"}[self.type]
        least = "" if self.minimum is None else f" of at least {self.minimum:.10g}"
        most = "" if self.maximum is None else f" and at most {self.maximum:.10g}"
        return kind + least + most + (", or a size such as 16MiB" if self.in_bytes else "")


def _parse_bool(option: ConfigOption[Any], value: Any) -> bool | None:
    if isinstance(value, str):
        return _BOOLEANS.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _parse_int(option: ConfigOption[Any], value: Any) -> int | None:
    if isinstance(value, str):
        value = _whole_number(value.strip(), option.in_bytes)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return value if option.contains(value) else None


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
    return number if math.isfinite(number) and option.contains(number) else None


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


def env_name(name: str) -> str:
    """Return the name of the environment variable of a key."""
    return ENV_PREFIX + name.upper().replace("-", "_").replace(".", "_")


def flattened(mapping: Mapping[Any, Any], source: str) -> Iterator[tuple[str, Any]]:
    """Yield a nested mapping's values by dotted key, a Limit's as those of the keys it stands for.

    Raises:
        ConfigurationError: A key is no string or is set twice.
    """
    seen: set[str] = set()
    for key, value in _leaves(mapping, source, ""):
        # A policy sets all the keys below `retry`.
        rivals = {RETRY} if is_retry(key) else filter(is_retry, seen) if key == RETRY else ()
        if key in seen or not seen.isdisjoint(rivals):
            raise ConfigurationError(f"{source}: {key} is set twice: remove one of them")
        seen.add(key)
        yield key, value


def _leaves(mapping: Mapping[Any, Any], source: str, prefix: str) -> Iterator[tuple[str, Any]]:
    for name, value in mapping.items():
        key = name.name if isinstance(name, ConfigOption) and not prefix else name
        if not isinstance(key, str):
            raise ConfigurationError(
                f"{source}: key {prefix}{key!r:.100} must be a string: quote it"
            )
        path = f"{prefix}{key}"
        if isinstance(value, Limit) and is_limit(path):
            value = _fields_of(value)
        # An empty mapping sets nothing, but as a limit it is a mistake.
        if isinstance(value, Mapping) and (value or not path.startswith(_LIMIT_KEYS)):
            yield from _leaves(value, source, f"{path}.")
        else:
            yield path, value


def retry_value(value: Any, source: str) -> RetryPolicy:
    """Return the value of `retry` itself, which Python code may set to a policy.

    Raises:
        ConfigurationError: It is no policy.
    """
    if not isinstance(value, RetryPolicy):
        raise ConfigurationError(
            f"{source}: {RETRY} must be a RetryPolicy or a mapping, not {value!r:.100}: "
            f"set {_RETRY_KEYS}max-attempts and the other keys below it"
        )
    return value


def retry_policy(entries: Mapping[str, Entry]) -> RetryPolicy | None:
    """Put the keys below `retry` over the policy that `retry` itself is set to, if any.

    Args:
        entries: Checked values by key.

    Returns:
        The policy, None when nothing is set.

    Raises:
        ConfigurationError: The values make no sense together.
    """
    base = entries.get(RETRY)
    fields = {retry_field(key): entry.value for key, entry in entries.items() if is_retry(key)}
    if not fields:
        return None if base is None else cast("RetryPolicy", base.value)
    if fields.get("total_timeout") == 0:
        fields["total_timeout"] = None
    policy = dataclasses.replace(RetryPolicy() if base is None else base.value, **fields)
    first = entries.get("retry.initial-interval")
    longest = entries.get("retry.max-interval", base)
    if first is not None and policy.initial_interval > policy.max_interval:
        raise ConfigurationError(
            f"{first.source}: retry.initial-interval ({policy.initial_interval:g}) is longer than "
            f"retry.max-interval ({policy.max_interval:g}, "
            f"{'the default' if longest is None else longest.source}): change one of them"
        )
    return policy


def is_retry(key: str) -> bool:
    """Say whether a key is one of those below `retry`."""
    return key.startswith(_RETRY_KEYS)


def retry_field(key: str) -> str:
    """Return the attribute of RetryPolicy that a key below `retry` sets."""
    return key.removeprefix(_RETRY_KEYS).replace("-", "_")


def is_limit(key: str) -> bool:
    """Say whether a key is `limits` or lies below it."""
    return key == LIMITS or key.startswith(_LIMIT_KEYS)


def limit_value(key: str, value: Any, source: str) -> int | Rate:
    """Return the checked value of a key below `limits`.

    Raises:
        ConfigurationError: The key sets nothing of a limit, its name is none, or the value is
            wrong.
    """
    if key == LIMITS:
        raise ConfigurationError(
            f"{source}: {LIMITS} must be a mapping of names to limits, not {value!r:.100}: "
            f"set {LIMITS}.NAME.concurrency or {LIMITS}.NAME.rate"
        )
    name, separator, field = key.removeprefix(_LIMIT_KEYS).rpartition(".")
    if not separator:
        if isinstance(value, Mapping):
            raise ConfigurationError(f"{source}: {key:.100} needs concurrency, rate or both")
        raise ConfigurationError(
            f"{source}: {key:.100} must be a Limit or a mapping, not {value!r:.100}: "
            f"set {key:.100}.concurrency or {key:.100}.rate"
        )
    if field not in _LIMIT_FIELDS:
        raise _unknown_limit_field(key, field, source)
    if not _LIMIT_NAME.fullmatch(name):
        raise ConfigurationError(
            f"{source}: {key:.100}: a limit's name has letters, digits, '-' and '_' only, not"
            f" {name!r:.100}"
        )
    if field == "concurrency":
        return ConfigOption(key, int, 1, minimum=1).parse(value, source)
    return _rate(key, value, source)


def _rate(key: str, value: Any, source: str) -> Rate:
    if isinstance(value, Rate):
        return Rate(ConfigOption(key, int, 1, minimum=1).parse(value.number, source), value.per)
    match = _RATE.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if match is not None and match[3] in _SECONDS:
        rate = Rate(int(match[1]), int(match[2] or 1) * _SECONDS[match[3]])
        if rate.number and rate.per:
            checked_seconds(rate.per, f"{source}: {key}: the time of a rate, ")
            return rate
    raise ConfigurationError(
        f"{source}: {key} must be a whole number of at least 1 per time, such as 500/min or "
        f"20/30s (units: {', '.join(_SECONDS)}), not {value!r:.100}"
    )


def limits(entries: Mapping[str, Entry]) -> dict[str, Limit]:
    """Return the limits by name, each put together from its keys.

    Args:
        entries: Checked values by key.
    """
    fields: dict[str, dict[str, Any]] = {}
    for key, entry in entries.items():
        if is_limit(key):
            name, _, field = key.removeprefix(_LIMIT_KEYS).rpartition(".")
            value = entry.value
            new = {"rate": value.number, "per": value.per} if field == "rate" else {field: value}
            fields.setdefault(name, {}).update(new)
    return {name: Limit(**each) for name, each in fields.items()}


def _fields_of(limit: Limit) -> dict[str, Any]:
    """Return the keys that stand for a limit below its name."""
    fields = {
        "concurrency": limit.concurrency,
        "rate": None if limit.rate is None else Rate(limit.rate, limit.per),
    }
    return {field: value for field, value in fields.items() if value is not None}


def limit_key(variable: str, keys: Iterable[str], source: str) -> str | None:
    """Return the key below `limits` that an environment variable sets; None if it sets none.

    Args:
        variable: Its name. It says neither a name's case nor '-' or '_', so it means the limit
            that there is, or else the name in lower case with '-'.
        keys: Keys that are set.
        source: Where the variable stands, for the message.

    Raises:
        ConfigurationError: What follows the name is unknown, or it may mean several limits.
    """
    prefix = env_name(_LIMIT_KEYS)
    if not f"{variable}_".startswith(prefix):
        return None
    name, _, field = variable.removeprefix(prefix).rpartition("_")
    field = field.lower()
    if not name or field not in _LIMIT_FIELDS:
        raise _unknown_limit_field(variable, field, source)
    dashed = name.lower().replace("_", "-")
    set_names = {key[len(_LIMIT_KEYS) :].rpartition(".")[0] for key in keys if is_limit(key)}
    meant = sorted(each for each in set_names if env_name(each) == ENV_PREFIX + name)
    if len(meant) > 1 and dashed not in meant:
        raise ConfigurationError(
            f"{source}: {variable} may mean {' or '.join(meant)}: set it with --set instead"
        )
    return f"{_LIMIT_KEYS}{meant[0] if meant and dashed not in meant else dashed}.{field}"


def _unknown_limit_field(key: str, field: str, source: str) -> ConfigurationError:
    in_environment = key.startswith(ENV_PREFIX)
    forms = [f"{_LIMIT_KEYS}NAME.{each}" for each in _LIMIT_FIELDS]
    hint = did_you_mean(
        field,
        [each for each in _LIMIT_FIELDS if each != field],
        f"write {' or '.join(map(env_name, forms) if in_environment else forms)}",
        lambda near: f"{key[: -len(field)]:.100}" + (near.upper() if in_environment else near),
        cutoff=0.5,
    )
    return ConfigurationError(f"{source}: unknown key {key!r:.100}: {hint}")


def unknown(key: str, known: Iterable[str], source: str) -> ConfigurationError:
    """Return the error for a key that is none, with the nearest one that is."""
    if is_retry(key) and retry_field(key) in ("retry_on", "non_retryable"):
        hint = "exceptions are set in Python: pass RetryPolicy(...) as retry"
        return ConfigurationError(f"{source}: unknown key {key!r:.100}: {hint}")
    candidates = [*known]
    for wrong, right in (("limit.", _LIMIT_KEYS), ("PERDURE_LIMIT_", env_name(_LIMIT_KEYS))):
        if key.startswith(wrong):
            candidates.append(right + key.removeprefix(wrong))
    own = "an agent's own keys begin with 'agent.'"
    hint = did_you_mean(key, candidates, own, lambda near: f"{near:.100}", cutoff=0.5)
    return ConfigurationError(f"{source}: unknown key {key!r:.100}: {hint}")
