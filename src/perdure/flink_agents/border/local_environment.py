"""LocalEnvironment: agents on the local engine, over a list of inputs."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from typing import Any, Final
from uuid import NAMESPACE_OID, uuid5

from perdure.engine.event_loop import runner_of
from perdure.engine.local import LocalEngine
from perdure.flink_agents.border.compiled import compiled, held_resource
from perdure.flink_agents.border.core_config import core_config
from perdure.flink_agents.border.environment import AgentBuilder, Environment

__all__ = ["LocalEnvironment"]

_NOTHING: Final = object()
Outputs = list[dict[Any, Any]]


class LocalEnvironment(Environment):
    """Runs one agent over one list of inputs, in this process.

    Args:
        store: Where the journal is kept; None: as PERDURE_STORE says, else in memory.
        job: Name of the job in the store; None: as `execute` says.
    """

    def __init__(self, store: str | None = None, job: str | None = None) -> None:
        super().__init__()
        self._store = store or os.environ.get("PERDURE_STORE") or "memory://"
        self._job = job or os.environ.get("PERDURE_JOB")
        self._builder: _ListBuilder | None = None
        self._executed = False

    def from_list(self, input: list[dict[str, Any]]) -> AgentBuilder:
        if self._builder is not None:
            raise RuntimeError("from_list was called already: an environment takes one list")
        self._builder = _ListBuilder(self, input)
        return self._builder

    def from_datastream(self, input: Any, key_selector: Any = None) -> AgentBuilder:
        raise NotImplementedError("the local environment takes no DataStream: use from_list")

    def from_table(self, input: Any, key_selector: Any = None) -> AgentBuilder:
        raise NotImplementedError("the local environment takes no table: use from_list")

    def execute(self, job_name: str | None = None) -> None:
        if self._executed:
            raise RuntimeError("execute was called already: make another environment")
        self._executed = True
        builder = self._builder
        if builder is None or builder.agent is None:
            raise RuntimeError("there is nothing to execute: call from_list(...).apply(agent)")
        if _in_a_loop():
            raise RuntimeError("execute blocks, and an event loop is running here: use a thread")
        inputs = [_key_and_value(n, each) for n, each in enumerate(builder.inputs)]
        engine = LocalEngine(
            store=self._store,
            job=self._job or job_name or "default",
            config=core_config(self._config),
        )
        for type_, several in self.resources.items():
            for name, source in several.items():
                engine.add_resource(name, *held_resource(name, type_, source))
        agent = compiled(builder.agent, self._config, [value for _, value in inputs])
        with runner_of(engine.config) as runner:
            runner.run(_run(engine, agent, inputs, builder.outputs))


def _in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


async def _run(
    engine: LocalEngine, agent: Any, inputs: Sequence[tuple[Any, Any]], outputs: Outputs
) -> None:
    async with engine.open(agent) as job:
        # Known by its place in the list: the same list again gives what is recorded.
        runs = [
            await job.submit(value, key=key, id=f"input {n}")
            for n, (key, value) in enumerate(inputs)
        ]
        for run, (key, _) in zip(runs, inputs, strict=True):
            outputs += [{key: each.value} for each in await run.outputs()]


def _key_and_value(place: int, given: dict[str, Any]) -> tuple[Any, Any]:
    value = given.get("value", given.get("v", _NOTHING))
    if value is _NOTHING:
        raise RuntimeError("Input data must be dict has 'v' or 'value' field")
    if "key" in given or "k" in given:
        return given.get("key", given.get("k")), value
    return str(uuid5(NAMESPACE_OID, f"perdure input {place}")), value


class _ListBuilder(AgentBuilder):
    def __init__(self, environment: LocalEnvironment, inputs: list[dict[str, Any]]) -> None:
        self._environment = environment
        self.inputs = inputs
        self.agent: Any = None
        self.outputs: Outputs = []

    def apply(self, agent: Any) -> AgentBuilder:
        if self.agent is not None:
            raise RuntimeError("apply was called already: an environment runs one agent")
        self.agent = self._environment.agent_named(agent)
        return self

    def to_list(self) -> Outputs:
        return self.outputs

    def to_datastream(self, output_type: Any = None) -> Any:
        raise NotImplementedError("the local environment has no DataStream: use to_list")

    def to_table(self, schema: Any, output_type: Any = None) -> Any:
        raise NotImplementedError("the local environment has no table: use to_list")
