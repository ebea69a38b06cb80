"""A job with every feature, ended and stopped by seeded signals again and again.

`test_chaos.py` does one round of it. `python -m tests.crash.chaos --seconds 600` does rounds for as
long, each with another seed, and says what was done.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from tests import zygote
from tests.crash.chaos_agent import CHILD_EACH, expected
from tests.patience import PATIENCE
from tests.zygote import Forked

from perdure import LocalEngine, PerdureError
from perdure.journal.record import RecordKind

AGENT = Path(__file__).with_name("chaos_agent.py")
INPUTS = 1_500
SIGNALS = 40
KEYS = 60
IN_FLIGHT = 50
KINDS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGSTOP)
# One that gets SIGTERM before it listens ends as any does.
ENDED = {0, -signal.SIGKILL, -signal.SIGTERM, 128 + signal.SIGTERM}
LOGGED = ("ask", "compute", "hang", "pay", "scarce")


class Figures(NamedTuple):
    """What a round was.

    Attributes:
        signals: how many processes were ended or stopped, by the signal.
        outcomes: recorded outcomes of calls.
        executions: how often callables executed.
        again: how many of these were of a call that a process had begun before.
    """

    signals: Counter[str]
    outcomes: int
    executions: int
    again: int


class Round:
    """One job, run by one process after another.

    Owns: its folder's files, the process, the thread that sends signals to runs.
    """

    def __init__(self, folder: Path, seed: int, inputs: int = INPUTS, ends: int = SIGNALS) -> None:
        self.folder = folder
        self.inputs = inputs
        self.ends = ends
        self.store = f"sqlite:///{folder / 'store.db'}"
        self._chance = random.Random(seed)
        self._done = threading.Event()
        self._sent: set[int] = set()
        lines = [{"n": n, "k": f"key {self._chance.randrange(KEYS)}"} for n in range(inputs)]
        self.keys = {line["n"]: line["k"] for line in lines}
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / "inputs.jsonl").write_text(text, "utf-8")
        (folder / "config.yaml").write_text(
            f"max-runs-in-flight: {IN_FLIGHT}\n"
            "limits:\n  few: {concurrency: 4}\n  pace: {rate: 400/s}\n",
            "utf-8",
        )

    # Running

    def run(self) -> Figures:
        """Run the job through all its signals to its end, and check what it left."""
        sender = threading.Thread(target=self._send)
        sender.start()
        try:
            ended = self._ends()
        finally:
            self._done.set()
            sender.join()
        return self._check(ended)

    def _ends(self) -> Counter[str]:
        ended: Counter[str] = Counter()
        process = self._start()
        try:
            for n in range(self.ends):
                # Spread over the inputs; at any moment, whatever the machine's speed.
                self._until(self.inputs * n // (self.ends + 1) + 1, process)
                time.sleep(self._chance.uniform(0.0, 0.02))
                kind = self._chance.choice(KINDS)
                process.send_signal(kind)
                ended[kind.name] += 1
                if kind is signal.SIGSTOP:
                    time.sleep(self._chance.uniform(0.0, 0.2))
                    process.send_signal(signal.SIGCONT)
                    continue
                # It may be at its end already, or near it: then there is less for the next one.
                self._finish(process, ENDED)
                process = self._start()
            self._finish(process, {0})
        finally:
            process.kill()
        return ended

    def _start(self) -> Forked:
        command = [
            str(Path(sys.executable).with_name("perdure")), "run", f"{AGENT}:Chaos",
            "--input", "inputs.jsonl", "--output", "outputs.jsonl", "--key", "k",
            "--store", self.store, "--config", "config.yaml", "--quiet",
        ]  # fmt: skip
        return Forked(command, cwd=self.folder, env={"CHAOS_FOLDER": str(self.folder)})

    def _finish(self, process: Forked, allowed: set[int]) -> None:
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode in allowed, (process.returncode, errors)

    def _until(self, count: int, process: Forked) -> None:
        """Wait until so many outputs stand in the file."""
        deadline = time.monotonic() + PATIENCE
        while len(self.lines("outputs.jsonl")) < count and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def _send(self) -> None:
        """Send each run that waits its signal, as another process does."""
        engine = LocalEngine(self.store, job=f"{AGENT.stem}.Chaos")
        while not self._done.is_set():
            for n, run in self.lines("waits.jsonl"):
                if n not in self._sent:
                    try:
                        engine.signal(run, "go", f"signal {n}")
                    except PerdureError as error:
                        print(f"signal of {n}: {error}", file=sys.stderr)
                        continue
                    self._sent.add(n)
            self._done.wait(0.02)

    def lines(self, name: str) -> list[Any]:
        """Return the complete lines of a file; a killed process may leave a part of one."""
        path = self.folder / name
        text = path.read_text("utf-8") if path.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1]]

    # What is right

    def _check(self, ended: Counter[str]) -> Figures:
        self._check_outputs()
        effects = Counter(self.lines("effects.jsonl"))
        assert effects == Counter(range(self.inputs)), "an effect was lost, or repeated"
        executed: dict[tuple[int, str], list[tuple[int, int]]] = defaultdict(list)
        for n, what, pid, at in self.lines("calls.jsonl"):
            executed[n, what].append((pid, at))
        outcomes = self._recorded()
        assert outcomes.keys() == executed.keys()
        again = 0
        for call, starts in executed.items():
            late = [at for _, at in starts if at > outcomes[call]]
            assert not late, f"{call} had a recorded outcome and was executed again"
            again += len({pid for pid, _ in starts}) - 1
        return Figures(ended, len(outcomes), sum(map(len, executed.values())), again)

    def _check_outputs(self) -> None:
        outputs = self.lines("outputs.jsonl")
        children = Counter(output["child"] for output in outputs if "child" in output)
        assert children == Counter(range(0, self.inputs, CHILD_EACH))
        mine = [output for output in outputs if "n" in output]
        assert Counter(output["n"] for output in mine) == Counter(range(self.inputs))
        by_key: dict[str, list[Any]] = defaultdict(list)
        for output in mine:
            assert output["seen"] == expected(output["n"])
            by_key[self.keys[output["n"]]].append(output)
        for of_key in by_key.values():
            assert [output["n"] for output in of_key] == sorted(output["n"] for output in of_key)
            assert [output["count"] for output in of_key] == list(range(1, len(of_key) + 1))

    def _recorded(self) -> dict[tuple[int, str], int]:
        """Return when the outcome of each call was recorded, from the journal itself."""
        with contextlib.closing(sqlite3.connect(self.folder / "store.db")) as journal:
            rows = journal.execute(
                "SELECT function, detail, at FROM record WHERE kind IN (?, ?) AND call > 0",
                (RecordKind.RESULT, RecordKind.ERROR),
            ).fetchall()
        outcomes: dict[tuple[int, str], int] = {}
        for function, detail, at in rows:
            if function.rsplit(":", 1)[-1] in LOGGED:
                n, what = json.loads(f"[{detail.strip('()')}]".replace("'", '"'))
                assert (n, what) not in outcomes, f"{(n, what)} has two outcomes"
                outcomes[n, what] = at
        return outcomes


def main() -> None:
    """Do rounds for as long as the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.crash.chaos")
    parser.add_argument("--seconds", type=float, default=600.0, help="how long (default: 600)")
    parser.add_argument("--seed", type=int, default=0, help="of the first round (default: 0)")
    options = parser.parse_args()
    began, rounds, signals, sums = time.monotonic(), 0, Counter[str](), Counter[str]()
    while time.monotonic() - began < options.seconds:
        with tempfile.TemporaryDirectory(prefix="perdure-chaos-") as folder:
            sys.stdout.write(f"seed {options.seed + rounds}\n")
            figures = Round(Path(folder), options.seed + rounds).run()
        rounds += 1
        signals += figures.signals
        sums.update(outcomes=figures.outcomes, executions=figures.executions, again=figures.again)
    told = ", ".join(f"{count} {name}" for name, count in sorted(signals.items()))
    sys.stdout.write(
        f"{rounds} rounds of {INPUTS} inputs in {time.monotonic() - began:.0f} s: {told};"
        f" {sums['outcomes']} recorded outcomes, none executed again; {sums['executions']}"
        f" executions, {sums['again']} again by a later process\n"
    )


if __name__ == "__main__":
    try:
        main()
    finally:
        zygote.close()
