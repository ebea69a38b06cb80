"""`flink_agents` means what is here, for the agents of these tests."""

from __future__ import annotations

import pytest

from perdure.flink_agents import install

install()


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path) -> str:
    """Both stores that need no server."""
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/job.db"
