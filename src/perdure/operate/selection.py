"""How a command of `perdure` is told which store and job are meant."""

from __future__ import annotations

from perdure.printable import shell_word

IN_MEMORY = "memory://"


def selection_of(url: str, job: str) -> str | None:
    """Return the options that name a job for another process, with a space before each.

    None where no other process can look into the store.
    """
    if url == IN_MEMORY:
        return None
    return f" --store {shell_word(url)} --job {shell_word(job)}"
