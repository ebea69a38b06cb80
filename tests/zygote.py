"""Processes that start at once: forks of one that has imported perdure already.

Most of what a process costs a test is importing, which says nothing about what the test proves.
`Forked` runs a command of Python as `subprocess.Popen` does, in a process of its own with its own
memory, folder, environment, `__main__` and signals. What it shares with others is what had been
imported. Two of them in a row are forks of two processes with other hash seeds, as two starts of
Python are, so that a set which is iterated differently after a crash is noticed.

A test of what is imported, of where objects lie in memory, or of Python's own start needs
`subprocess`.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import importlib
import importlib.util
import itertools
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
import types
import warnings
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, TextIO

ROOT = Path(__file__).parents[1]
_LENGTH = 8  # bytes in front of an order


def use_event_loop(name: str) -> None:
    """Make every event loop of this process that nobody has chosen an asyncio's or a uvloop's."""
    if name == "uvloop":
        import uvloop

        asyncio.new_event_loop = asyncio.events.new_event_loop = uvloop.new_event_loop


# The side of the tests


class Forked:
    """A process that runs a command of Python; as much of `subprocess.Popen` as tests use.

    Its output is text in pipes, its input empty.

    Args:
        command: `sys.executable` with `-W`, `-c`, `-m` or a file; or a script of the environment.
        cwd: where it runs.
        env: its environment, as it is here by default.
        preload: modules that are imported once for all processes that need them.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: str | Path | None = None,
        env: Mapping[str, str] | None = None,
        preload: Iterable[str] = (),
    ) -> None:
        self.args = list(command)
        self.returncode: int | None = None
        order = {
            "command": self.args,
            "cwd": str(cwd or Path.cwd()),
            "env": dict(os.environ if env is None else env),
            "preload": list(preload),
        }
        (out, to_out), (err, to_err), (self._ended, to_ended) = os.pipe(), os.pipe(), os.pipe()
        with open(os.devnull) as nothing:
            self.pid = _next_zygote().fork(order, [nothing.fileno(), to_out, to_err, to_ended])
        for end in (to_out, to_err, to_ended):
            os.close(end)
        self.stdout: TextIO = os.fdopen(out, encoding="utf-8")
        self.stderr: TextIO = os.fdopen(err, encoding="utf-8")

    def poll(self) -> int | None:
        """Return the exit code, or None while it runs."""
        if self.returncode is None and select.select([self._ended], [], [], 0)[0]:
            self._take_code()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait until it has ended; return its exit code."""
        if self.returncode is None:
            if not select.select([self._ended], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
            self._take_code()
        assert self.returncode is not None
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Read what it writes until it has ended."""
        found = {"out": "", "err": ""}

        def read(name: str, file: TextIO) -> None:
            with file:
                found[name] = file.read()

        readers = [
            threading.Thread(target=read, args=each, daemon=True)
            for each in (("out", self.stdout), ("err", self.stderr))
            if not each[1].closed
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(timeout)
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        self.wait(timeout)
        return found["out"], found["err"]

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send it SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send it SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.stdout.close()
        self.stderr.close()
        self.wait()

    def _take_code(self) -> None:
        # Nothing where whoever waited for it was killed itself.
        self.returncode = int(os.read(self._ended, 32) or b"-9")
        os.close(self._ended)


def run(command: Sequence[str], *, timeout: float, **options: Any) -> subprocess.CompletedProcess:
    """Run a command to its end, as `subprocess.run(..., capture_output=True, text=True)`."""
    process = Forked(command, **options)
    try:
        out, err = process.communicate(timeout)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.wait(), out, err)


class _Zygote:
    """The process that is forked, and the socket on which it takes orders."""

    def __init__(self, hash_seed: int) -> None:
        ours, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.zygote", str(its.fileno())],
                cwd=ROOT,
                env={**os.environ, "PYTHONHASHSEED": str(hash_seed)},
                pass_fds=[its.fileno()],
            )
        self._socket = ours
        self.pid = self._process.pid
        self._lock = threading.Lock()

    def fork(self, order: Any, files: Sequence[int]) -> int:
        """Return the id of a process that does what is ordered, with these as its files."""
        text = json.dumps(order).encode()
        with self._lock:  # one order after another
            socket.send_fds(self._socket, [len(text).to_bytes(_LENGTH, "big")], files)
            self._socket.sendall(text)
            answer = self._socket.recv(32)
        assert answer, "the process that is forked has died"
        return int(answer)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()


def pids() -> set[int]:
    """Return the ids of the processes that are forked."""
    return {each.pid for each in _zygotes}


def close() -> None:
    """End the processes that are forked; the next command starts new ones."""
    while _zygotes:
        _zygotes.pop().close()


_zygotes: list[_Zygote] = []
_count = itertools.count()
_lock = threading.Lock()


def _next_zygote() -> _Zygote:
    with _lock:
        if not _zygotes:
            _zygotes.extend(_Zygote(seed) for seed in (1, 2))
        return _zygotes[next(_count) % len(_zygotes)]


# The side of the process that is forked


def _import_perdure() -> None:
    import perdure

    for name in perdure.__all__:
        getattr(perdure, name)
    for name in ("cli.main", "cli.drive", "engine.local", "store.sqlite", "history", "testing"):
        importlib.import_module(f"perdure.{name}")


def _serve(orders: socket.socket) -> dict[str, Any]:
    """Fork for each order; return it in the process that is to carry it out."""
    while True:
        head, files, _, _ = socket.recv_fds(orders, _LENGTH, 4)
        _reap()
        if not head:
            os._exit(0)
        text = b""
        while len(text) < int.from_bytes(head, "big"):
            text += orders.recv(1 << 20)
        order: dict[str, Any] = json.loads(text)
        for name in order["preload"]:
            importlib.import_module(name)
        gc.freeze()  # nobody's collector looks at what all have
        if not os.fork() and _is_the_one(orders, files):
            return order
        for each in files:
            os.close(each)


def _reap() -> None:
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _is_the_one(orders: socket.socket, files: Sequence[int]) -> bool:
    """Fork once more: the one that returns carries out the order, the other one waits for it."""
    child = os.fork()
    if child:
        orders.sendall(str(child).encode())
        for each in (0, 1, 2, *files[:3], orders.fileno()):
            os.close(each)
        _, status = os.waitpid(child, 0)
        os.write(files[3], str(os.waitstatus_to_exitcode(status)).encode())
        os._exit(0)
    orders.close()
    # Ignored where the tests run in the background; here Ctrl-C is what a test sends.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number, each in enumerate(files[:3]):
        os.dup2(each, number)
    for each in files:
        os.close(each)
    return True


def _carry_out(order: Mapping[str, Any]) -> None:
    """Become what Python's own start makes of the command, and run it."""
    os.chdir(order["cwd"])
    os.environ.clear()
    os.environ.update(order["env"])
    use_event_loop(os.environ.get("PERDURE_EVENT_LOOP", "asyncio"))
    command = list(order["command"])
    if command[0] == sys.executable:
        command.pop(0)
    while command[0] == "-W":
        sys.warnoptions.append(command[1])
        warnings._setoption(command[1])  # type: ignore[attr-defined]
        del command[:2]
    main = types.ModuleType("__main__")
    first = ""
    if command[0] == "-c":
        code: Any = compile(command[1], "<string>", "exec")
        del command[1]
    elif command[0] == "-m":
        spec = importlib.util.find_spec(command[1])
        assert spec is not None
        code = spec.loader.get_code(command[1])  # type: ignore[union-attr]
        main.__spec__, main.__package__, main.__file__ = spec, spec.parent, spec.origin
        command[:2] = [str(spec.origin)]
    else:
        main.__file__ = command[0]
        code = compile(Path(command[0]).read_bytes(), command[0], "exec")
        first = str(Path(command[0]).resolve().parent)
    sys.argv = command
    extra = order["env"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [first or os.getcwd(), *(each for each in extra if each)]
    main.__dict__["__builtins__"] = __builtins__
    sys.modules["__main__"] = main
    exec(code, main.__dict__)


if __name__ == "__main__":
    sys.path.remove(str(ROOT))  # which is there for this file alone
    _import_perdure()
    _carry_out(_serve(socket.socket(fileno=int(sys.argv[1]))))
