"""EngineContract: what every engine does with the same agent, as tests to inherit (G29).

    class TestMyEngine(EngineContract):
        def run(self, agent, inputs, config):
            ...

        def run_interrupted(self, agent, inputs, at):
            ...

Plain methods named `test_*`, so that pytest collects them; nothing here imports it. Those that need
no failure of the engine look at the outcome of one run over `workload()`, made once a class: a job
of some engines takes seconds to start.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

from perdure.testing.engine_agent import ContractAgent, work

__all__ = ["EngineContract", "FailedWith", "Ran", "workload"]

KEYS = [f"key {n}" for n in range(4)]
GUESTS = 2 * len(KEYS)  # calls that meet: two of each key
CONFIG: dict[str, Any] = {"limits": {"contract": {"concurrency": 2}}}


@dataclasses.dataclass(frozen=True)
class FailedWith:
    """A run that failed: the class of what it failed with, and what that said."""

    error_type: str
    error: str


@dataclasses.dataclass(frozen=True)
class Ran:
    """What came of a run over inputs: its outputs' values as they came, and what failed."""

    outputs: list[dict[str, Any]]
    failed: list[FailedWith]

    def of(self, key: str) -> list[dict[str, Any]]:
        """Return the outputs of a key."""
        return [output for output in self.outputs if output["key"] == key]

    def one(self, n: int) -> dict[str, Any]:
        """Return the only output of an input."""
        (output,) = [output for output in self.outputs if output["n"] == n]
        return output


def workload() -> list[dict[str, Any]]:
    """Return inputs that have an agent do all it can, several of every sort for each key."""
    todo: list[dict[str, Any]] = [
        {"do": "meet", "guests": GUESTS},
        *({"do": "add", "text": "x" * length} for length in (3, 1, 4, 1, 5)),
        {"do": "fail"},
        {"do": "sleep", "seconds": 0.05},
        {"do": "crowd"},
        {"do": "retry"},
        *({"do": "add", "text": "x" * length} for length in (9, 2, 6)),
    ]
    inputs = [{**each, "key": key} for each in todo for key in KEYS]
    return [{**each, "n": n} for n, each in enumerate(inputs)]


class EngineContract:
    """Tests of what an engine does with an agent; a subclass says how to run one.

    All runs of an engine are to execute in this process, where `engine_agent.work` sees them.
    """

    _kept: ClassVar[dict[type, tuple[Ran, dict[str, int]]]] = {}

    def run(
        self, agent: type[ContractAgent], inputs: list[dict[str, Any]], config: dict[str, Any]
    ) -> Ran:
        """Run an agent over inputs to their end; their key is `key`, their id is `n`."""
        raise NotImplementedError

    def run_interrupted(
        self, agent: type[ContractAgent], inputs: list[dict[str, Any]], at: Callable[[], bool]
    ) -> Ran:
        """Do the same, and have the engine fail on the way.

        Args:
            agent: the agent.
            inputs: its inputs.
            at: to be called once, on a thread that may be kept waiting: when it returns true the
                engine makes durable what it has, fails, and goes on; then `work.open_gate()`.

        Returns:
            What came of it, before the failure and after.
        """
        raise NotImplementedError

    @property
    def ran(self) -> Ran:
        """What came of the workload."""
        return self._outcome()[0]

    def _outcome(self) -> tuple[Ran, dict[str, int]]:
        """Return that, and how many calls were under way at once at most, by name."""
        if type(self) not in self._kept:
            work.reset()
            self._kept[type(self)] = (self.run(ContractAgent, workload(), CONFIG), dict(work.most))
        return self._kept[type(self)]

    def given(self, do: str) -> list[dict[str, Any]]:
        """Return the inputs of a sort."""
        return [each for each in workload() if each["do"] == do]

    def test_g29_outputs_of_a_key_are_in_the_order_of_its_inputs(self) -> None:
        for key in KEYS:
            numbers = [output["n"] for output in self.ran.of(key)]
            assert numbers == sorted(numbers)

    def test_g29_every_input_that_does_not_fail_has_its_output_once(self) -> None:
        expected = [each["n"] for each in workload() if each["do"] != "fail"]
        assert sorted(output["n"] for output in self.ran.outputs) == expected

    def test_g29_runs_and_calls_of_different_keys_overlap(self) -> None:
        for each in self.given("meet"):
            assert self.ran.one(each["n"])["result"] == 2 * GUESTS

    def test_g29_memory_belongs_to_a_key_and_a_failed_run_leaves_none(self) -> None:
        for key in KEYS:
            outputs = self.ran.of(key)
            assert [output["count"] for output in outputs] == list(range(1, len(outputs) + 1))
            totals = [self.ran.one(each["n"]) for each in self.given("add") if each["key"] == key]
            assert [each["result"] for each in totals] == [3, 4, 8, 9, 14, 23, 25, 31]

    def test_g29_a_run_that_fails_is_told_of_and_fails_nothing_else(self) -> None:
        assert sorted(self.ran.failed, key=lambda each: each.error) == [
            FailedWith("ValueError", f"number {each['n']} is bad") for each in self.given("fail")
        ]

    def test_g29_a_timer_takes_its_time(self) -> None:
        assert [self.ran.one(each["n"])["result"] for each in self.given("sleep")] == [
            True for _ in KEYS
        ]

    def test_g29_a_limit_holds_for_all_keys_together(self) -> None:
        assert self._outcome()[1]["crowd"] == 2

    def test_g29_a_call_that_fails_is_tried_again(self) -> None:
        for each in self.given("retry"):
            assert self.ran.one(each["n"])["result"] == 3

    def test_g6_a_run_goes_on_from_its_journal_after_a_failure(self) -> None:
        work.reset()
        inputs: list[dict[str, Any]] = [
            {"do": "steps", "key": KEYS[n % len(KEYS)], "n": n} for n in range(2 * len(KEYS))
        ]
        begun = range(len(KEYS))  # of each key the first: they wait at the gate
        ran = self.run_interrupted(
            ContractAgent,
            inputs,
            lambda: work.wait_for(lambda: all(("gate", n) in work.calls for n in begun)),
        )
        assert ran.failed == []
        assert sorted(output["n"] for output in ran.outputs) == [each["n"] for each in inputs]
        for key in KEYS:
            assert [output["count"] for output in ran.of(key)] == [1, 2]
        results = [ran.one(n)["result"] for n in range(len(inputs))]
        assert [each[:3] for each in results] == [[n, n + 1, n] for n in range(len(inputs))]
        assert len({each[4] for each in results}) == len(inputs)
        for n in range(len(inputs)):
            assert [work.count(name, n) for name in ("size", "plain_size")] == [1, 1]
            made = work.count("gate", n)  # oftener where the engine fails once more by itself
            assert made >= 2 if n in begun else made == 1
