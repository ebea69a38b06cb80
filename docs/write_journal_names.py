"""Writes journal-names.md from the source: `make docs`."""

from __future__ import annotations

import importlib
import pkgutil
from pathlib import Path

import perdure
from perdure.codec.names import NAMES

PAGE = Path(__file__).with_name("journal-names.md")
HEAD = """\
# Names in the journal

What perdure's own classes are called in a journal, wherever they are in its code: values and errors
by these names, methods that are called durably by the name of their class, as in
`perdure:BaseVectorStore.add`. Written by `make docs` from the `__journal_name__` of each class. A
name stays for ever; journals of schema version 3 and before have what stands in the last column.
Names of your own: [names that last](writing-agents.md#names-that-last).

| name | in journals of version 3 and before |
|---|---|
"""


def named_classes() -> dict[str, type]:
    """Return every class of perdure that has a name of its own, by that name."""
    found = {}
    for module in pkgutil.walk_packages(perdure.__path__, "perdure."):
        if module.name.endswith("__main__"):
            continue
        try:
            names = vars(importlib.import_module(module.name))
        except ModuleNotFoundError as error:
            if error.name == "pyflink":  # too large to be wherever this page is written
                continue
            raise
        for cls in names.values():
            if isinstance(cls, type) and "__journal_name__" in vars(cls):
                found[NAMES.of(cls)[0]] = cls
    return dict(sorted(found.items()))


def render() -> str:
    """Return the page as the source is now."""
    rows = []
    for name, cls in named_classes().items():
        before = ", ".join(f"`{each}`" for each in NAMES.of(cls)[1:])
        rows.append(f"| `{name}` | {before} |\n")
    return HEAD + "".join(rows)


if __name__ == "__main__":
    PAGE.write_text(render(), "utf-8")
    print(f"{PAGE.name}: {len(named_classes())} names")
