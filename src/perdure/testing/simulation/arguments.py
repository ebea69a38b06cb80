"""What `simulate` is given, refused where nothing would be simulated, or something else."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

from perdure.checks import checked_bound, checked_name, checked_seconds
from perdure.engine.inputs import Field, check_fields, field_of
from perdure.errors import ConfigurationError
from perdure.executor.running import running_loop
from perdure.testing.simulation.compare import EVERYTHING
from perdure.testing.simulation.lives import Signal


def check_call(compare: Collection[str]) -> None:
    """Refuse to simulate inside a running loop, or to compare what is not known.

    Raises:
        ConfigurationError: something in `compare` is nothing that can be compared.
        RuntimeError: an event loop is running.
    """
    if running_loop() is not None:
        raise RuntimeError(
            "simulate blocks, and an event loop is running here: use `await"
            " asyncio.to_thread(simulate, ...)`"
        )
    if unknown := set(compare) - set(EVERYTHING):
        raise ConfigurationError(f"compare={sorted(unknown)} is not among {list(EVERYTHING)}")


def coming(signals: Iterable[tuple[int, float, str, Any]], inputs: int) -> list[Signal]:
    """Return signals in the order of their times, which all differ.

    Raises:
        ConfigurationError: one is none, or is for none of so many inputs.
    """
    found = []
    for n, given in enumerate(signals):
        if not isinstance(given, Sequence) or len(given) != 4:
            raise ConfigurationError(
                f"signals: {given!r:.60} is no signal: give position, seconds, name and value"
            )
        position, at, name, value = given
        if not isinstance(position, int) or not 0 <= position < inputs:
            raise ConfigurationError(
                f"signals: there is no input at position {position!r:.60}: the inputs are {inputs},"
                " counted from 0"
            )
        seconds = checked_seconds(checked_bound("signals: seconds", at), "signals: seconds=")
        found.append(Signal(position, int(seconds * 1e9) + n, checked_name(name), value))
    return sorted(found, key=lambda signal: signal.at)


def keyed_inputs(inputs: Iterable[Any], key: Field) -> list[tuple[Any, Any]]:
    """Return keys and values, the keys as an engine finds them.

    Raises:
        ConfigurationError: `key` says of no input what its key is.
        InputError: an input has no such key.
    """
    check_fields(key, None)
    return [
        (field_of(value, key, "key", f"input {position}"), value)
        for position, value in enumerate(inputs)
    ]


def checked_seeds(seeds: int | Iterable[int]) -> Sequence[int]:
    """Return the seeds.

    Raises:
        ConfigurationError: there are none.
    """
    found = range(seeds) if isinstance(seeds, int) else list(seeds)
    if not found or not all(isinstance(seed, int) for seed in found):
        raise ConfigurationError(
            f"seeds={seeds!r:.60} are no seeds: give their number, from 1 on, or a list of them"
        )
    return found
