"""What sqlite3 is told about values that it binds."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from types import NoneType

import pytest

from perdure.store.sqlite.binding import bind_at_once


@pytest.fixture
def others() -> Iterator[dict[tuple[type, type], object]]:
    """Take the adapters for bytes and None away, and return the others; put all back behind it."""
    adapters = sqlite3.adapters
    before = dict(adapters)
    for kind in (bytes, NoneType):
        adapters.pop((kind, sqlite3.PrepareProtocol), None)
    yield dict(adapters)
    adapters.clear()
    adapters.update(before)


@pytest.mark.usefixtures("others")
def test_values_are_bound_as_they_are() -> None:
    values = (b"", b"a\x00b", None, 1, -(2**63), 1.5, "text", bytearray(b"b"))
    db = sqlite3.connect(":memory:")
    question = f"SELECT {', '.join(['?'] * len(values))}, {', '.join(['typeof(?)'] * len(values))}"
    before = db.execute(question, (*values, *values)).fetchall()
    for _ in range(2):
        bind_at_once()
        assert db.execute(question, (*values, *values)).fetchall() == before
    assert (bytes, sqlite3.PrepareProtocol) in sqlite3.adapters
    assert (NoneType, sqlite3.PrepareProtocol) in sqlite3.adapters
    db.close()


def test_what_somebody_has_registered_stays(others: dict[tuple[type, type], object]) -> None:
    sqlite3.register_adapter(bytes, bytes.hex)
    bind_at_once()
    assert sqlite3.adapters[bytes, sqlite3.PrepareProtocol] == bytes.hex
    new = {(kind, sqlite3.PrepareProtocol) for kind in (bytes, NoneType)}
    assert {pair: made for pair, made in sqlite3.adapters.items() if pair not in new} == others
