"""Writes the table of rooms in architecture.md from the source: `make docs`."""

from __future__ import annotations

import sys
from pathlib import Path

PAGE = Path(__file__).with_name("architecture.md")
BEGIN = "<!-- Rooms: written by `make docs` from the rules of tests and the rooms' docstrings. -->"
END = "<!-- End of rooms. -->"


def render(page: str) -> str:
    """Return the page with the table as the source is now."""
    sys.path.insert(0, str(PAGE.parents[1]))
    try:
        from tests.architecture import table
    finally:
        sys.path.pop(0)
    head, _, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not end:
        raise SystemExit(f"{PAGE.name} has lost the marks between which its table stands")
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{tail}"


if __name__ == "__main__":
    text = render(PAGE.read_text("utf-8"))
    PAGE.write_text(text, "utf-8")
    print(next(line for line in text.splitlines() if line.endswith("arrows between them.")))
