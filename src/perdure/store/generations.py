"""Generations: a job that is begun anew goes on in another row, by a name made of its own.

So everything that belongs to a job belongs to one generation of it: its runs, inputs, memory,
documents, files. People write JOB@N.
"""

from __future__ import annotations

import re

from perdure.errors import ConfigurationError
from perdure.printable import unstorable

__all__ = [
    "MARK", "asked_for", "check_job_name", "check_job_text", "parted", "stored_name", "title",
    "unfinished",
]  # fmt: skip

MARK = "\x1f"  # before the number of a generation in a stored name; sorted behind the job itself
_DIGITS = 6  # so that the names of generations are in their order


def stored_name(job: str, generation: int) -> str:
    """Return the name by which a store keeps a generation; that of the first is the job's own."""
    return job if generation == 1 else f"{job}{MARK}{generation:0{_DIGITS}}"


def parted(stored: str) -> tuple[str, int]:
    """Return job and generation of a stored name."""
    job, mark, number = stored.partition(MARK)
    return (job, int(number)) if mark and number.isdecimal() else (stored, 1)


def asked_for(name: str) -> tuple[str, int] | None:
    """Return the job and generation that `JOB@N` stands for; None for another name."""
    match = re.fullmatch(r"(.+)@([1-9][0-9]{0,5})", name, re.DOTALL)
    return None if match is None else (match[1], int(match[2]))


def title(job: str, generation: int) -> str:
    """Return how a generation is named for people."""
    return f"{job}@{generation}"


def check_job_text(name: object) -> None:
    """Refuse what is no text as the name of a job; see `check_job_name` for texts.

    Raises:
        ConfigurationError: it is none.
    """
    if not isinstance(name, str):
        raise ConfigurationError(
            f"job is a {type(name).__name__}: give the job's name as a text, such as 'default'"
        )


def check_job_name(name: str) -> None:
    """Refuse a name that generations are kept under, or that none can be kept under.

    Raises:
        ConfigurationError: it has their mark, or no store can have it.
    """
    if MARK in name:
        raise ConfigurationError(
            f"job {name!r}: its name has the character {MARK!r}, which perdure uses: choose another"
        )
    if why := unstorable(name):
        raise ConfigurationError(f"a job cannot be named {name!r}: {why}")


def unfinished(name: str, count: int) -> str:
    """Return what says that a job cannot begin anew, for it has unfinished runs."""
    runs = "1 unfinished run" if count == 1 else f"{count:,} unfinished runs"
    return (
        f"job {name!r} has {runs}, so it does not begin anew: run it without --fresh (fresh=True)"
        " to finish them, or with --abandon (abandon=True) to cancel them"
    )
