"""Measures perdure beside its peers, case by case, in interleaved rounds; prints tables.

    python run.py PEERS_PYTHON RESTATE_SERVER [--rounds 3] [--quick] [--only one_step ...]

All of it is on loopback and sockets of this machine. A system that fails in a case is named with
what it said, and the rest goes on.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import random
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WORK = HERE.parents[1] / "build" / "peers"
SECONDS = 240.0

SYSTEMS = ("perdure", "raw", "absurd", "dbos", "langgraph", "restate")
ON_POSTGRES = ("absurd", "dbos")
PEERS = SYSTEMS[2:]

CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "one_step": ({"count": 2_000}, {"count": 200}),
    "one_second": ({"count": 10_000}, {"count": 500}),
    "many_calls": ({"runs": 200, "calls": 20}, {"runs": 20, "calls": 20}),
    "sequential": ({"calls": 500, "rounds": 4}, {"calls": 50, "rounds": 2}),
    "lone": ({"count": 100}, {"count": 20}),
    "disk": ({"count": 200}, {"count": 20}),
    "killed": ({"runs": 500}, {"runs": 100}),
}
# A case, its figure, what that is called, and whether more is better.
FIGURES = (
    ("one_step", "rate", "one-step runs/s, {count:,} at once, submit to result", True),
    ("one_step", "cpu_ms", "CPU of such a run, all processes, ms", False),
    ("one_second", "wall", "{count:,} runs with one call of 1.0 s, s", False),
    ("many_calls", "rate", "durable calls/s, {runs} x {calls}", True),
    ("sequential", "cold", "sequential calls/s, a new store", True),
    ("sequential", "warm", "sequential calls/s, warm", True),
    ("lone", "p50_ms", "a run alone, p50, ms (raw: three commits)", False),
    ("disk", "bytes", "20 kB of text as a result, bytes on disk", False),
    ("killed", "again", "calls executed again after a SIGKILL, {runs} runs at work", False),
)
# What a disk has no limit for; and what would only show the rates of the first case once more, for
# minutes: those whose runs come one by one through a database.
LEFT_OUT = {("one_second", "langgraph"), ("one_second", "dbos"), ("one_second", "absurd"),
            ("disk", "raw"), ("killed", "raw")}  # fmt: skip


def on_loopback_alone() -> None:
    """Begin again where there is no network but loopback, as far as this user may."""
    if os.environ.get("PEERS_ALONE"):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
            up = struct.pack("16sH14x", b"lo", 1)  # IFF_UP
            fcntl.ioctl(any_socket, 0x8914, up)  # SIOCSIFFLAGS
        return
    unshare = shutil.which("unshare")
    if os.geteuid() == 0 and unshare and not subprocess.run([unshare, "--net", "true"]).returncode:
        os.environ["PEERS_ALONE"] = "1"
        os.execv(unshare, [unshare, "--net", sys.executable, *sys.argv])
    print(
        "the network stays open, which takes root and `unshare` to close: Restate's server asks for"
        " its newest release when it starts",
        file=sys.stderr,
    )


class Failed(Exception):
    """A system did not do a case."""


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("PERDURE_", "LANG", "DBOS"))}
    return {**kept, "PYTHONHASHSEED": "0", "LANGSMITH_TRACING": "false", **more}


@contextmanager
def folder() -> Iterator[Path]:
    WORK.mkdir(parents=True, exist_ok=True)
    path = Path(tempfile.mkdtemp(dir=WORK))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@contextmanager
def postgres(python: str) -> Iterator[dict[str, str]]:
    """Run a new server; give what tells of it."""
    server = subprocess.Popen(
        [python, str(HERE / "servers.py")], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert server.stdout is not None
    try:
        url, pid = server.stdout.readline().split()
        yield {"PEER_POSTGRES": url, "PEER_SERVERS": pid}
    finally:
        server.communicate()


def measure(system: str, case: str, arguments: dict[str, Any], options: Any) -> dict[str, Any]:
    """Let a system do a case, in a folder and with servers of its own."""
    python = sys.executable if system in ("perdure", "raw") else options.python
    script = "raw.py" if system == "raw" else f"peer_{system}.py"
    with contextlib.ExitStack() as stack:
        path = stack.enter_context(folder())
        env = {"PEER_RESTATE": options.restate, "PEER_LOG": str(path / "log")}
        if system in ON_POSTGRES:
            env |= stack.enter_context(postgres(options.python))
        command = [python, str(HERE / script), case, json.dumps(arguments), str(path)]
        if case == "killed":
            return killed(command, environment(**env), path / "log", arguments["runs"])
        return figures(case, arguments, finished(command, environment(**env)))


def finished(command: list[str], env: dict[str, str]) -> dict[str, Any]:
    process = start(command, env)
    try:
        out, err = process.communicate(timeout=SECONDS)
    except subprocess.TimeoutExpired:
        raise Failed(f"not done after {SECONDS:.0f} s") from None
    finally:
        end(process)
    if process.returncode:
        raise Failed((err.strip().splitlines() or [f"exit code {process.returncode}"])[-1][:200])
    found: dict[str, Any] = json.loads(out.strip().splitlines()[-1])
    return found


def start(command: list[str], env: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
    )  # fmt: skip


def end(process: subprocess.Popen[str]) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)  # with the server that it has started
    process.wait()


def killed(command: list[str], env: dict[str, str], log: Path, runs: int) -> dict[str, Any]:
    """Kill a system at work, with its own server; count what it executes again when it is back."""
    first, deadline = start(command, env), time.monotonic() + SECONDS
    enough = random.randrange(2 * runs, 4 * runs)
    while not log.exists() or log.read_bytes().count(b"\n") < enough:
        if first.poll() is not None or time.monotonic() > deadline:
            end(first)
            raise Failed("it was over before it could be killed")
        time.sleep(0.005)
    end(first)
    first.communicate()
    finished(command, env)
    executed = Counter(log.read_text().splitlines())
    return {"again": sum(count - 1 for count in executed.values())}


def figures(case: str, arguments: dict[str, Any], found: dict[str, Any]) -> dict[str, Any]:
    if case == "one_step":
        found["rate"] = arguments["count"] / found["wall"]
        if "cpu" in found:
            found["cpu_ms"] = 1e3 * found["cpu"] / arguments["count"]
    if case == "many_calls":
        found["rate"] = arguments["runs"] * arguments["calls"] / found["wall"]
    if case == "lone":
        found["p50_ms"] = 1e3 * found["p50"]
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("python", help="the Python of the environment with the peers")
    parser.add_argument("restate", help="Restate's server")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="small and once: a smoke test")
    parser.add_argument("--only", nargs="*", default=list(CASES))
    options = parser.parse_args()
    on_loopback_alone()
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    failed: dict[tuple[str, str], str] = {}
    for case in options.only:
        arguments = CASES[case][options.quick]
        for number in range(1 if options.quick else options.rounds):
            turn = number % len(SYSTEMS)
            for system in (*SYSTEMS[turn:], *SYSTEMS[:turn]):
                if (case, system) in LEFT_OUT or (case, system) in failed:
                    continue
                try:
                    result = measure(system, case, arguments, options)
                except Failed as error:
                    failed[case, system] = str(error)
                    print(f"{case} {system}: FAILED: {error}", file=sys.stderr, flush=True)
                    continue
                found.setdefault((case, system), []).append(result)
                print(f"{case} {system}: {json.dumps(result)}", file=sys.stderr, flush=True)
    print(table(found, options.quick, options.only))


def table(found: Any, quick: bool, only: list[str]) -> str:
    """Return the medians as Markdown; perdure's place against the best peer last."""
    lines = [
        f"| case | {' | '.join(SYSTEMS)} | against the best peer |",
        "|---|" + "---|" * (len(SYSTEMS) + 1),
    ]
    for case, figure, name, more in FIGURES:
        if case not in only:
            continue
        row: dict[str, float] = {}
        for system in SYSTEMS:
            values = [each[figure] for each in found.get((case, system), ()) if figure in each]
            if values:
                row[system] = statistics.median(values)
        cells = [shown(row[system]) if system in row else "-" for system in SYSTEMS]
        others = [row[system] for system in PEERS if system in row]
        against = "-"
        if others and row.get("perdure") and (best := max(others) if more else min(others)):
            ratio = row["perdure"] / best if more else best / row["perdure"]
            against = f"{ratio:.2g} x"
        title = name.format(**CASES[case][quick])
        lines.append(f"| {title} | {' | '.join(cells)} | {against} |")
    return "\n".join(lines)


def shown(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    main()
