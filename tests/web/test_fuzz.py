"""The service answers as its OpenAPI document says; `make soak` asks far more."""

from __future__ import annotations

from tests.web.fuzz import fuzz


def test_schemathesis_finds_no_server_error() -> None:
    statuses = fuzz(2)
    assert {"200", "400", "404"} <= statuses.keys()
