"""Runs parsed commands: no shell, a group of processes each, and none that outlives its call."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import signal
from asyncio.subprocess import DEVNULL, Process
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

from perdure.llm.skills.command import Step

__all__ = ["Commands", "Ended"]

MARK: Final = "PERDURE_BASH"
_CHUNK: Final = 64 * 1024
_PROC: Final = Path("/proc")
_ROUNDS: Final = 20  # of looking for what is left: each one kills what there was

Program = Sequence[str]


class Ended:
    """What came of commands.

    Attributes:
        code: The exit code of the last command that was run; None: they took too long.
        stdout: What they printed, cut.
        stderr: What they printed there, cut.
    """

    def __init__(self, code: int | None, stdout: str, stderr: str) -> None:
        self.code = code
        self.stdout = stdout
        self.stderr = stderr


class _Printed:
    """The read end of a pipe, and the first and the last of what came out of it.

    Owns: both ends of the pipe, until `close`. Used on the loop's thread.
    """

    def __init__(self, most: int) -> None:
        self._half = most // 2
        self._first = bytearray()
        self._last: deque[bytes] = deque()
        self._kept = 0
        self._dropped = 0
        self._read, self.write = os.pipe()
        os.set_blocking(self._read, False)
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._read, self._take)

    def _take(self) -> bool:
        """Read a piece; return whether there may be more."""
        try:
            data = os.read(self._read, _CHUNK)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(self._read)
            return False
        room = self._half - len(self._first)
        if room > 0:
            self._first += data[:room]
            data = data[room:]
        if data:
            self._last.append(data)
            self._kept += len(data)
        while self._kept - len(self._last[0] if self._last else b"") >= self._half:
            dropped = len(self._last.popleft())
            self._kept -= dropped
            self._dropped += dropped
        return True

    def close(self) -> str:
        """Close it and return the text; what nobody has read yet is read, and not waited for."""
        os.close(self.write)
        for _ in range(64):  # a pipe holds less; one that is still written to ends here
            if not self._take():
                break
        self._loop.remove_reader(self._read)
        os.close(self._read)
        last = b"".join(self._last)
        over = max(0, len(last) - self._half)
        dropped = self._dropped + over
        if not dropped:
            return (bytes(self._first) + last).decode(errors="replace")
        first = self._first.decode(errors="ignore")
        rest = last[over:].decode(errors="ignore")
        return f"{first}\n[{dropped:,} bytes are left out]\n{rest}"


class Commands:
    """One call's commands while they run.

    Owns: their processes, which are gone when `run` returns or raises. Used on the loop's thread.

    Args:
        cwd: The folder that they run in.
        environment: Their environment variables.
        most: Bytes that are kept of stdout, and of stderr.
    """

    def __init__(self, cwd: str, environment: Mapping[str, str], most: int) -> None:
        self._cwd = cwd
        self._mark = secrets.token_hex(16)
        self._environment = {**environment, MARK: self._mark}
        self._most = most
        self._running: list[Process] = []
        self._killed = False

    async def run(self, steps: Sequence[tuple[Step, Sequence[Program]]], timeout: float) -> Ended:
        """Run them, one step after the other.

        Args:
            steps: Each with its programs: the file of each, and its arguments from the name on.
            timeout: Seconds for all of them.

        Raises:
            OSError: One cannot be started.
        """
        stdout, stderr = _Printed(self._most), _Printed(self._most)
        code: int | None = 0
        try:
            try:
                async with asyncio.timeout(timeout):
                    for step, programs in steps:
                        if step.when == ";" or (step.when == "&&") == (code == 0):
                            code = await self._step(step, programs, stdout.write, stderr.write)
            except TimeoutError:
                code = None
            await asyncio.to_thread(self.kill)  # it reads what all processes of the machine are
        except BaseException:
            self.kill()  # cancelled: nobody may wait any more
            raise
        finally:
            said = stdout.close(), stderr.close()
            await self._reap()
        return Ended(code, *said)

    async def _step(self, step: Step, programs: Sequence[Program], stdout: int, stderr: int) -> int:
        """Start programs that pass on what they print, wait for all, return the last one's code."""
        started: list[Process] = []
        source = DEVNULL
        try:
            for index, (command, program) in enumerate(zip(step.commands, programs, strict=True)):
                is_last = index == len(programs) - 1
                after, target = (DEVNULL, stdout) if is_last else os.pipe()
                try:
                    started.append(
                        await self._start(
                            program, source, target, target if command.joined else stderr
                        )
                    )
                finally:
                    _close(source)
                    source = after
                    if not is_last:
                        os.close(target)
        finally:
            _close(source)
        for each in started:
            await each.wait()
        self._kill_groups()  # what they left behind there
        self._running.clear()
        code = started[-1].returncode
        assert code is not None
        return 128 - code if code < 0 else code  # as shells say that a signal ended it

    async def _start(self, program: Program, stdin: int, stdout: int, stderr: int) -> Process:
        self._check_open()
        file, *arguments = program
        starting = asyncio.ensure_future(
            asyncio.create_subprocess_exec(
                file, *arguments, stdin=stdin, stdout=stdout, stderr=stderr, cwd=self._cwd,
                env=self._environment, start_new_session=True,
            )
        )  # fmt: skip
        try:
            process = await asyncio.shield(starting)
        except asyncio.CancelledError:
            # asyncio would kill it alone, and what it has started by then would be nobody's child.
            with contextlib.suppress(OSError):
                self._running.append(await starting)
            raise
        self._running.append(process)
        if self._killed:  # while it was being started
            self._kill_groups()
        return process

    def _check_open(self) -> None:
        if self._killed:
            raise ProcessLookupError("the chat model was closed")

    def close(self) -> None:
        """Kill them, and let no more be started."""
        self._killed = True
        self.kill()

    def kill(self) -> None:
        """Kill all processes, with those that they started, also in groups of their own."""
        left = _left(self._mark, [each.pid for each in self._running])  # while it has its parents
        self._kill_groups()
        for _ in range(_ROUNDS):
            for pid in left:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            left = _left(self._mark, [each.pid for each in self._running])
            if not left:
                return

    def _kill_groups(self) -> None:
        for each in self._running:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(each.pid, signal.SIGKILL)  # it leads its group

    async def _reap(self) -> None:
        for each in self._running:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(each.wait(), 5)  # one in the kernel's hands may take longer
        self._running.clear()


def _close(source: int) -> None:
    if source >= 0:
        os.close(source)


def _left(mark: str, started: Iterable[int]) -> list[int]:
    """Return what has a mark in its environment, and what descends from processes; on Linux.

    What emptied its environment and whose parent has ended is not found: nothing tells it from
    other programs.
    """
    if not _PROC.is_dir():
        return []
    wanted = f"{MARK}={mark}".encode()
    found: list[int] = []
    children: dict[int, list[int]] = {}
    for name in os.listdir(_PROC):
        if not name.isdecimal():
            continue
        try:
            status = (_PROC / name / "stat").read_bytes()
            state, parent = status[status.rindex(b")") + 1 :].split(None, 2)[:2]
            if state in b"ZX":
                continue
            children.setdefault(int(parent), []).append(int(name))
            if wanted in (_PROC / name / "environ").read_bytes().split(b"\0"):
                found.append(int(name))
        except OSError:
            continue  # it has ended, or is another user's
    waiting = [*started, *found]
    while waiting:
        below = children.pop(waiting.pop(), [])
        found += below
        waiting += below
    return found
