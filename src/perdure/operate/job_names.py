"""What a job is called that nobody has named."""

from __future__ import annotations

from typing import NamedTuple

from perdure.store.url import job_names

__all__ = ["ChosenName", "choose_name"]


class ChosenName(NamedTuple):
    """A job's name.

    Attributes:
        name: its name.
        is_former: it is what an older version called it, whose job goes on.
        is_alone: the store has no other job, so that commands find it without its name.
    """

    name: str
    is_former: bool
    is_alone: bool


def choose_name(url: str, name: str, former: str) -> ChosenName:
    """Choose the name of a job in a store: the one that an older version gave it, where it did.

    Args:
        url: the store, which need not exist.
        name: what a new job is called.
        former: what an older version called it.

    Raises:
        ConfigurationError: the URL names no store that there is.
    """
    known = job_names(url)
    is_former = former in known and name not in known
    chosen = former if is_former else name
    return ChosenName(chosen, is_former, is_alone=known <= {chosen})
