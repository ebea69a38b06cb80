"""Where in the user's own code something failed: read from the text of a traceback."""

from __future__ import annotations

import os
import re
import sysconfig

__all__ = ["place_in"]

_FRAME = re.compile(r'^[ |+\t]*File "(?P<file>[^"\n]+)", line (?P<line>\d+)', re.MULTILINE)
# What is raised again follows what was raised first; of a group the first member says why.
_LATER = re.compile(
    r"^The above was journaled and raised again here:|^[ |]*\+-+ 2 -+$", re.MULTILINE
)
_PACKAGE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "")
_LIBRARIES = tuple(
    os.path.join(path, "")
    for name in ("stdlib", "platstdlib")
    if (path := sysconfig.get_path(name))
)
_INSTALLED = re.compile(r"[\\/](?:site|dist)-packages[\\/]")


def place_in(traceback_text: str) -> str:
    """Return `FILE:LINE` of the innermost line of the user's own code; "" where none is in it.

    Args:
        traceback_text: As `traceback.format_exception` makes it, or as a failure has it.
    """
    for part in _LATER.split(traceback_text):
        for frame in reversed(list(_FRAME.finditer(part))):
            if _is_own(frame["file"]):
                return f"{frame['file']}:{frame['line']}"
    return ""


def _is_own(file: str) -> bool:
    """Say whether a file is the user's: not of perdure, of Python, or of what was installed."""
    if file.startswith("<frozen ") or _INSTALLED.search(file):
        return False
    return not file.startswith((_PACKAGE, *_LIBRARIES))
