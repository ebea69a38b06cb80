"""Whether a path still names the file that is open."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_still"]


def is_still(path: str | Path, known: os.stat_result) -> bool:
    """Say whether `path` names a file that is open; True where nobody can tell.

    Args:
        path: where the file was, absolute.
        known: what the file was: its number is given to no other one while it is open.
    """
    try:
        return os.path.samestat(os.stat(path), known)
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True  # the folder cannot be looked into now
