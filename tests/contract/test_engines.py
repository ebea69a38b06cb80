"""Every engine keeps the contract of engines."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from perdure import LocalEngine, RunsFailedError
from perdure.run import Output, RunInfo
from perdure.testing.engine_agent import ContractAgent, work
from perdure.testing.engine_contract import EngineContract, FailedWith, Ran


def ran(outputs: list[Output], failed: list[RunInfo]) -> Ran:
    told = [FailedWith(e.error["type"], e.error["message"]) for e in failed if e.error is not None]
    return Ran([output.value for output in outputs], told)


class LocalEngineContract(EngineContract):
    url: str

    def run(
        self, agent: type[ContractAgent], inputs: list[dict[str, Any]], config: dict[str, Any]
    ) -> Ran:
        try:
            return ran(
                LocalEngine(self.url, config=config).run(agent, inputs, key="key", id="n"), []
            )
        except RunsFailedError as error:
            return ran(error.outputs, error.failed)

    def run_interrupted(
        self, agent: type[ContractAgent], inputs: list[dict[str, Any]], at: Callable[[], bool]
    ) -> Ran:
        engine = LocalEngine(self.url)

        async def interrupted() -> Ran:
            running = asyncio.ensure_future(engine.run_async(agent, inputs, key="key", id="n"))
            assert await asyncio.to_thread(at)
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
            work.open_gate()
            return ran(await engine.run_async(agent, inputs, key="key", id="n"), [])

        return asyncio.run(interrupted())


class TestOnMemoryStore(LocalEngineContract):
    url = "memory://"


class TestOnSqliteStore(LocalEngineContract):
    @pytest.fixture(autouse=True)
    def _store(self, tmp_path: Path) -> None:
        self.url = f"sqlite:///{tmp_path / 'journal.db'}"
