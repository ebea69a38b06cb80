"""simulate: an agent, crashed after every commit of its job, under many seeds."""

from __future__ import annotations

import contextlib
import logging
import random
import warnings
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from perdure.agent.declaration import Agent
from perdure.codec.codec import Codec
from perdure.config.configuration import Configuration
from perdure.engine.inputs import Field
from perdure.engine.plan_of import plan_of
from perdure.journal.record import Record, RecordKind
from perdure.memory.memory import MemoryRef
from perdure.run import STATUS_BY_NUMBER, run_id
from perdure.store.base import OutputRow, Row, RunRow, StatusRow
from perdure.testing.simulation.arguments import (
    check_call,
    checked_seeds,
    coming,
    keyed_inputs,
)
from perdure.testing.simulation.calls import UNIT, Outside
from perdure.testing.simulation.compare import (
    EVERYTHING,
    Difference,
    Result,
    broken_promises,
    differences,
    result_of,
    unexpected,
)
from perdure.testing.simulation.fakes import Fakes
from perdure.testing.simulation.lives import EPOCH, Ended, Script, live
from perdure.testing.simulation.store import Tables

Invariant = Callable[[Tables], Iterable[Difference]]

SHOWN = 5  # differences in a message
REPEATED = 4  # crashes of one job, one after the other


class Simulated(NamedTuple):
    """How much was simulated."""

    seeds: int
    crashes: int


class SimulationFailed(AssertionError):
    """After a crash the job came to another result.

    Attributes:
        seed: under which.
        crashes: numbers of the commits after which it crashed, counted from the first life on; none
            where the job broke a promise without.
        commits: number of commits that the job made without the last crash.
        differences: what is not as it should be.
        history: the journal of the run concerned up to the crash, a line each.
    """

    def __init__(
        self,
        seed: int,
        crashes: Sequence[int],
        commits: int,
        found: Sequence[Difference],
        history: list[str],
    ) -> None:
        self.seed = seed
        self.crashes = list(crashes)
        self.commits = commits
        self.differences = [difference.text for difference in found]
        self.history = history
        after = ", then ".join(map(str, crashes))
        where = f"crashed after commit {after} of {commits}" if crashes else "no crash"
        more = [f"... and {len(found) - SHOWN} more"] if len(found) > SHOWN else []
        lines = [
            f"simulation failed with seed {seed}, {where} (seeds=[{seed}] repeats it):",
            *(f"  - {text}" for text in [*self.differences[:SHOWN], *more]),
            "the journal of that run up to the crash:",
            *(history or ["  (nothing)"]),
        ]
        super().__init__("\n".join(lines))


def simulate(
    agent: Agent | type[Agent] | Callable[[], Agent],
    inputs: Iterable[Any],
    *,
    key: Field,
    seeds: int | Iterable[int] = 100,
    config: Mapping[str, Any] | Configuration | None = None,
    callables: Mapping[Callable[..., Any], Callable[..., Any]] | None = None,
    signals: Iterable[tuple[int, float, str, Any]] = (),
    approve: Callable[[str, Any], Any] = lambda tool, arguments: True,
    compare: Collection[str] = EVERYTHING,
) -> Simulated:
    """Check that an agent comes to the same result wherever its process crashes.

    Under each seed the inputs are run to their end in a simulated world, where calls and commits
    take seeded times and no time passes really. Then, for every commit of that job, the job is run
    again from what its store held right after that commit, as after a crash; and once more with
    several crashes, also while it recovers. Outputs, memory, statuses and events must come out the
    same, no call with a recorded outcome may be executed again, and none oftener than a crash
    explains::

        def test_my_agent_survives_crashes():
            simulate(MyAgent, [{"id": "a", "text": "hi"}], key="id", callables={ask: fake_ask})

    It finds results that depend on `time.time()`, `random`, a global, the order of a set, or
    anything else that is not the same when an action runs again. What it assumes of callables, and
    what may differ by right, is said in `perdure.testing.simulation`.

    Args:
        agent: an agent; its class or a factory begins each life with a new one, as a process does.
        inputs: the inputs, in order; all runs of one key are in this order.
        key: the key of an input: a field name or a function; `a.b` is the field b of a.
        seeds: the seeds, or their number, counted from 0.
        config: configuration of the job.
        callables: by callable, what is executed in its place; the journal has the original's name.
            A warning tells of one that was not called.
        signals: what comes for runs: position of the input, seconds after the start, name, value.
        approve: what a person says to a tool call that waits for approval, as the signal's value;
            called with the tool's name and arguments.
        compare: what must be the same: some of "statuses", "outputs", "memory" (with documents
            of the job's own vector stores) and "events".

    Returns:
        How much was simulated.

    Raises:
        SimulationFailed: the result depends on a crash.
        ConfigurationError, InputError: an argument is wrong, or an input has no such key.
        RuntimeError: an event loop is running.
    """
    check_call(compare)
    keyed, fakes, options = keyed_inputs(inputs, key), Fakes(callables), _configuration(config)
    script = Script(lambda: plan_of(agent, options), options, keyed, [], fakes, 0)
    script = script._replace(signals=coming(signals, len(keyed)), approve=approve)
    with _telling_of_unused(fakes), quiet():
        crashes = [
            check(script._replace(seed=seed, arrivals=arrivals_of(seed, len(keyed))), compare)
            for seed in checked_seeds(seeds)
        ]
    return Simulated(len(crashes), sum(crashes))


@contextlib.contextmanager
def _telling_of_unused(fakes: Fakes) -> Iterator[None]:
    """Warn of what stood in for nothing: perhaps for the wrong callable."""
    try:
        yield
    except SimulationFailed as failure:
        if unused := fakes.unused():  # may be why
            failure.add_note(unused)
        raise
    if unused := fakes.unused():
        warnings.warn(unused, stacklevel=4)  # where `simulate` is called


def _configuration(config: Mapping[str, Any] | Configuration | None) -> Configuration:
    if isinstance(config, Configuration):
        return config
    # By default no call waits for a thread: a crash would change who waits for whom.
    return Configuration({"num-async-threads": 256, **(config or {})})


def check(
    script: Script,
    compare: Collection[str] = EVERYTHING,
    expected: Collection[str] | None = None,
    invariant: Invariant | None = None,
) -> int:
    """Run one seed without a crash and with a crash after every commit.

    Args:
        script: what is simulated.
        compare: what must be the same.
        expected: dotted names of the only exceptions that runs may fail with; None for any.
        invariant: yields what is wrong with what any life left, crashed or not.

    Returns:
        The number of crashes.

    Raises:
        SimulationFailed: the result depends on a crash.
    """
    lives = Lives(script, compare, expected, invariant)
    reference = lives.first()
    commits = len(reference.batches)
    for after in range(1, commits + 1):
        lives.crash(reference, after)
    return commits + _crash_repeatedly(lives, reference, random.Random(f"crashes {script.seed}"))


class Lives:
    """The lives of one seed; each is compared with the one that the others must be like.

    Owns: the world outside, common to them, and what the newest `first` or `upgrade` came to.

    Args:
        script, compare, expected, invariant: as `check` takes them.
    """

    def __init__(
        self,
        script: Script,
        compare: Collection[str] = EVERYTHING,
        expected: Collection[str] | None = None,
        invariant: Invariant | None = None,
    ) -> None:
        self._script = script
        self._compare = compare
        self._expected = expected
        self._invariant = invariant or _nothing
        self._outside = Outside(script.seed)
        self._codec = Codec()
        self._codec.registry.know_modules(script.plan().modules)
        for annotated in (*script.plan().annotated_types, MemoryRef):
            self._codec.registry.register_annotation(annotated)

    def first(self) -> Ended:
        """Run the job from its beginning without a crash."""
        life = live(self._script, self._outside, [], EPOCH)
        self._wanted = result_of(life.tables, self._codec)
        self._known = {attempt[:3] for _, attempt in life.executed}
        self._judge(life, 0, life, self._wanted)
        return life

    def crash(self, before: Ended, after: int) -> Ended:
        """Go on from what was there after commit `after` of the life `before`, to the same end."""
        again, result = self._go_on(before, after)
        found: list[Difference] = []
        if result != self._wanted:
            found += differences(self._wanted, result, self._codec, self._compare)
        self._judge(again, after, before, result, found)
        return again

    def upgrade(self, before: Ended, after: int, rules: int | None, *, alike: bool = True) -> Ended:
        """Likewise, with new actions run by other `rules`: what its crashes are compared with.

        Its runs end as those of `before` did, unless others may have been started: not `alike`.
        """
        self._script = self._script._replace(rules=rules)
        life, result = self._go_on(before, after)
        # A retry that keeps nothing begins by the new rules, and may make other calls.
        self._known |= {attempt[:3] for _, attempt in life.executed if attempt.retries or not alike}
        compare = ["statuses"] if alike else []
        found = list(differences(self._wanted, result, self._codec, compare))
        self._judge(life, after, before, result, found)
        self._wanted = result
        return life

    def _go_on(self, before: Ended, after: int) -> tuple[Ended, Result]:
        life = live(self._script, self._outside, before.batches[:after], before.moment(after))
        life = life._replace(crashes=[*before.crashes, after])
        return life, result_of(life.tables, self._codec)

    def _judge(
        self,
        life: Ended,
        after: int,
        before: Ended,
        result: Result,
        found: Iterable[Difference] = (),
    ) -> None:
        found = [*broken_promises(life, result, after), *_unknown(life, self._known), *found]
        found += self._invariant(life.tables)
        if self._expected is not None:
            found += unexpected(result, self._expected)
        if found:
            raise _failure(self._script.seed, life.crashes, before, found)


def _nothing(_tables: Tables) -> Iterator[Difference]:
    return iter(())


def _crash_repeatedly(lives: Lives, reference: Ended, chance: random.Random) -> int:
    """Let the job crash again and again, also while it recovers; return how often."""
    life, after, crashes = reference, 0, 0
    while after < len(life.batches) and crashes < REPEATED:
        after = min(after + chance.randint(1, 4), len(life.batches))
        life = lives.crash(life, after)
        crashes += 1
    return crashes


def _unknown(again: Ended, known: Collection[Any]) -> list[Difference]:
    return [
        Difference(f"{attempt} was executed, which was never made without a crash", attempt.call[0])
        for _, attempt in again.executed
        if attempt[:3] not in known
    ]


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep perdure's loggers silent: simulated runs fail by the thousand."""
    logger = logging.getLogger("perdure")
    level = logger.level
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)


def arrivals_of(seed: int, count: int) -> list[int]:
    """Return when inputs come: some together, some while others are being handled."""
    chance = random.Random(f"arrivals {seed}")
    at, arrivals = 0, []
    for _ in range(count):
        at += chance.choice((0, 0, 1, 4)) * UNIT
        # Off the grid of calls: whether an input comes before an outcome is not left to luck.
        arrivals.append(at + 7_001 if at else 0)
    return arrivals


def _failure(
    seed: int, crashes: Sequence[int], life: Ended, found: Sequence[Difference]
) -> SimulationFailed:
    shown = life.batches[: crashes[-1]] if crashes else life.batches
    return failure_of(seed, crashes, shown, found, len(life.batches))


def failure_of(
    seed: int,
    crashes: Sequence[int],
    batches: Sequence[Sequence[Row]],
    found: Sequence[Difference],
    commits: int | None = None,
) -> SimulationFailed:
    """Return what says that a seed failed, with `batches` as the journal of the run concerned."""
    run = next((difference.run for difference in found if difference.run), 0)
    history = list(_history(batches, run))
    return SimulationFailed(seed, crashes, commits or len(batches), found, history)


def _history(batches: Sequence[Sequence[Row]], run: int) -> Iterator[str]:
    """Yield the rows of a run (0: of all), a line each."""
    for number, batch in enumerate(batches, 1):
        for row in batch:
            if isinstance(row, (Record, RunRow, StatusRow, OutputRow)) and run in (0, row.run):
                yield f"  commit {number:>3}  {run_id(row.run)}  {_line(row)}"


def _line(row: Record | RunRow | StatusRow | OutputRow) -> str:
    if isinstance(row, RunRow):
        return f"admitted, input {row.sequence} of key {row.key & 0xFFFF}"
    if isinstance(row, StatusRow):
        return f"status {STATUS_BY_NUMBER[row.status].value}"
    if isinstance(row, OutputRow):
        return f"output {row.number}, id {row.id[:8]}"
    kind = RecordKind(row.kind).name
    call = f" call {row.call} {row.function}({row.detail})" if row.call else ""
    at = (row.at - EPOCH.instant) / 1e9
    if row.kind == RecordKind.START:
        call = f" by rules {row.rules}"
    return f"{kind} {row.n} of action {row.action!r} of event {row.event}{call} at {at:.6f} s"
