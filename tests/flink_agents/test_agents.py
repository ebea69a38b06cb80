"""Whole agents in the style of Flink Agents, with its imports alone: what they put out."""

from __future__ import annotations

import importlib

import pytest
from tests.flink_agents.agents import witness

AGENTS = [
    "orders",
    "opinions",
    "support",
    "calculating",
    "visits",
    "library",
    "translating",
    "flaky",
    "yaml_reviews",
    "inventory",
    "two_stages",
    "researching",
    "skilled",
    "noticing",
]


@pytest.mark.parametrize("name", AGENTS)
def test_g2_an_agent_puts_out_what_it_should_and_again_from_its_journal(
    name: str, store: str, monkeypatch
) -> None:
    monkeypatch.setenv("PERDURE_STORE", store)
    module = importlib.import_module(f"tests.flink_agents.agents.{name}")
    witness.forget()

    assert module.main() == module.OUTPUTS
    assert sorted(witness.CALLS) == sorted(module.CALLS)
    if store.startswith("sqlite"):
        witness.CALLS.clear()
        assert module.main() == module.OUTPUTS
        assert set(witness.CALLS) <= {"close"}  # of what was opened
