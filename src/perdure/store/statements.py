"""Named SQL statements, kept in `.sql` files beside the stores."""

from __future__ import annotations

import functools
import importlib.resources
import re

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@functools.cache
def load_statements(backend: str, file: str) -> dict[str, str]:
    """Return the statements of `<backend>/sql/<file>`, by the name above each."""
    parts = _NAME.split(load_script(backend, file))
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def load_script(backend: str, file: str) -> str:
    """Return the text of `<backend>/sql/<file>`."""
    return (importlib.resources.files(f"perdure.store.{backend}") / "sql" / file).read_text("utf-8")
