"""Agents of theirs in a process that is killed: the same outputs, and no recorded call again.

They are the scripts of `agents`, run as their users run them. `KILL_AT` is in a call, which has
been made then and is not recorded, or in an action before it has done anything: between actions.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections import Counter
from pathlib import Path

import pytest
from tests.patience import PATIENCE
from tests.zygote import ROOT, run

from perdure.operate.history import History

AGENTS = Path(__file__).parent / "agents"

KILLS = {
    "orders": ["ship", "price stove", "book 2"],
    "opinions": ["chat realist", "hear"],
    "support": ["look up o-1", "refund o-2", "answer"],
    "library": ["query", "read"],
    "flaky": ["ask tea first", "ask tea again", "answer"],
    "researching": ["submit bees", "status ghosts", "edit a draft", "tell"],
}
# Once for all processes.
IMPORTED = [
    f"perdure.flink_agents.{each}"
    for each in (
        "api.agents.react_agent",
        "api.execution_environment",
        "api.vector_stores.vector_store",
        "border.builtin_actions",
        "border.local_environment",
        "runtime.async_subagent",
        "runtime.deferred_subagent",
    )
]


def settled(store: str) -> int:
    """Return how many calls the journal has the outcome of."""
    with History.open(store) as history:
        return sum(
            call.settled_at > 0
            for job in history.jobs()
            for each in history.runs(job)
            for action in history.detail(job, each.id).actions
            for call in action.calls
        )


@pytest.mark.parametrize(
    ("name", "kill_at"), [(name, at) for name, places in KILLS.items() for at in places]
)
def test_g1_g5_a_killed_process_goes_on_from_its_journal(tmp_path, name: str, kill_at: str) -> None:
    module = importlib.import_module(f"tests.flink_agents.agents.{name}")
    store, log = f"sqlite:///{tmp_path}/job.db", tmp_path / "calls"
    env = {
        **os.environ,
        "PERDURE_STORE": store,
        "WITNESS": str(tmp_path),
        "KILL_AT": kill_at,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "perdure.flink_agents.__main__", str(AGENTS / f"{name}.py")]

    def start() -> tuple[int, str, str]:
        done = run(command, timeout=PATIENCE, env=env, preload=IMPORTED)
        return done.returncode, done.stdout, done.stderr

    code, _, errors = start()
    assert code == -signal.SIGKILL, errors
    before = log.read_text("utf-8").splitlines()
    unrecorded = len(before) - settled(store)
    code, said, errors = start()
    assert code == 0, errors

    assert said.splitlines() == [
        str(each).replace(module.__name__, "__main__") for each in module.OUTPUTS
    ]
    calls = log.read_text("utf-8").splitlines()
    again = Counter(calls) - Counter(module.CALLS)
    assert not again - Counter(before)  # only what had been made, and nobody knew of
    if name == "researching":  # the archive goes on though nobody knows that it was asked
        assert again.total() <= unrecorded
        assert not any(each.startswith("submit") for each in again)
    else:
        assert again.total() == unrecorded
