"""What `perdure run` says of runs that only wait."""

from __future__ import annotations

HINT_SECONDS = 2.0  # that nothing else is done before the user is told


def advice(selection: str) -> str:
    """Return how to see who waits, and how to answer.

    Args:
        selection: the options that name store and job.
    """
    return f"see who waits, and answer: perdure inbox{selection}"
