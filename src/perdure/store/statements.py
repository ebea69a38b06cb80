"""Named SQL statements, kept in `.sql` files beside the stores."""

from __future__ import annotations

import functools
import importlib.resources
import re
from collections.abc import Mapping

_NAME = re.compile(r"^-- name: (\w+)$", re.MULTILINE)


@functools.cache
def load_statements(backend: str, file: str) -> dict[str, str]:
    """Return the statements of `<backend>/sql/<file>`, by the name above each."""
    parts = _NAME.split(load_script(backend, file))
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def with_parts(statements: Mapping[str, str], parts: Mapping[str, str]) -> dict[str, str]:
    """Return the statements with each `:name` of a part replaced by what it stands for."""

    def filled(sql: str) -> str:
        return functools.reduce(lambda sql, name: sql.replace(f":{name}", parts[name]), parts, sql)

    return {name: filled(sql) for name, sql in statements.items()}


def load_script(backend: str, file: str) -> str:
    """Return the text of `<backend>/sql/<file>`."""
    return (importlib.resources.files(f"perdure.store.{backend}") / "sql" / file).read_text("utf-8")
