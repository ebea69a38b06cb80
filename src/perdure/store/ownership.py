"""Ownership of a SQLite job: an operating-system lock on a file (G22).

The lock goes with its process, so a restart right after SIGKILL is neither refused nor delayed. It
is flock's, which a forked child shares with its parent for as long as its copy of the descriptor is
open; so a child closes it before it does anything else, and what goes on running (the workers of a
process pool, say) never stands in the way of the next owner.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import re
import socket
import stat
import sys
import threading
import time
from pathlib import Path

from perdure.errors import RAISE_FILES, StoreError, StoreLockedError, has_no_file_left
from perdure.printable import printable
from perdure.same_file import is_still

PRIVATE = 0o600  # the mode of new files
# A pipe is not waited for.
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_STOP = "stop that one first, or give this one another --job or --store"

# While a lock file is open and nobody can tell, no process is forked: its child would keep it.
_guard = threading.RLock()
_held: dict[str, JobLock] = {}  # by path: those of this process


def real_path(database: Path) -> Path:
    """Return where a store's file really is, so that every path to it leads to one lock."""
    return Path(os.path.realpath(database))


class Place:
    """Where a store is: where its path led when it was given, whatever folder the process is in.

    Args:
        given: the path, perhaps a relative one.
    """

    def __init__(self, given: Path) -> None:
        self.given = given
        self._meant = _absolute(given)

    @property
    def path(self) -> Path:
        """The path as it was given, which people know, for as long as it leads there."""
        return self.given if _absolute(self.given) == self._meant else self._meant


def _absolute(path: Path) -> Path:
    try:
        return path.absolute()
    except OSError:  # the folder that the process is in was removed
        return path


def lock_path(database: Path, job: str) -> Path:
    """Return the file whose lock means owning `job` of `database`: beside the store itself."""
    slug = re.sub(r"[^A-Za-z0-9._-]", "-", job)[:60]
    if slug != job:  # two names must not meet in one file: "~" is in no plain one
        name = job.encode("utf-8", "surrogatepass")
        slug += "~" + hashlib.blake2b(name, digest_size=4).hexdigest()
    database = real_path(database)
    return database.with_name(f"{database.name}-{slug}.lock")


class JobLock:
    """The lock of one job, held until `release` or `discard`, or the end of the process.

    A forked child does not have it.

    Args:
        database: the store's file, by any path.
        job: the job's name.
        mode: the permissions of the lock file where it is new.

    Raises:
        StoreLockedError: somebody else owns the job; the message says who, and whether it lives.
        StoreError: there can be no lock file, or no lock on it.
    """

    def __init__(self, database: Path, job: str, *, mode: int = PRIVATE) -> None:
        self._database, self._job = database, job
        self._path = lock_path(database, job)
        self._is_new = False
        self._descriptor: int | None = None
        with _guard:
            while self._descriptor is None:
                descriptor = self._open(mode)
                try:
                    _lock_soon(descriptor)
                except OSError as error:
                    refused = _refusal(database, job, self._path, descriptor, error)
                    os.close(descriptor)
                    raise refused from error
                if is_still(self._path, os.fstat(descriptor)):
                    self._descriptor = descriptor
                else:
                    os.close(descriptor)  # an opening that failed has removed it meanwhile
            if str(self._path) in _held:  # whose file was removed
                self.discard()
                raise _held_here(database, job)
            _held[str(self._path)] = self
        self._left_by = _Holder.read(self._descriptor)
        with contextlib.suppress(OSError):  # the disk may be full: it only helps
            _Holder.this_process().write(self._descriptor)

    def _open(self, mode: int) -> int:
        flags = os.O_RDWR | os.O_CREAT
        try:
            try:
                descriptor = os.open(self._path, flags | os.O_EXCL, mode)
            except FileExistsError:
                self._is_new = False
                return open_alone(self._path, flags, mode)
            self._is_new = True
            if sys.platform != "win32":
                os.fchmod(descriptor, mode)  # as asked for, whatever the umask
            return descriptor
        except OSError as error:
            right = ": give this user the right to write there" if _is_right(error) else ""
            do = f": {RAISE_FILES}" if has_no_file_left(error) else right
            raise StoreError(
                f"cannot open the lock file {self._path}, which is kept beside the store"
                f" ({error.strerror}){do}"
            ) from error

    def refuse_beside(self, host: str, pid: int, begun_at: int) -> None:
        """Refuse the job where its last owner lives, and has lost its lock file.

        As long as the file is the one that the owner held, having its lock says that it has ended.

        Args:
            host: the machine of the last owner, as the store has it.
            pid: its process there.
            begun_at: when that took the job, ns since the epoch.

        Raises:
            StoreLockedError: it has the job. Where nobody can tell it is not refused: a restart
                must not be.
        """
        before = self._left_by
        if before is not None and (before.pid, before.host) == (pid, host):
            return
        if host != this_host() or pid == os.getpid():
            return
        if is_since(pid, begun_at) and has_open(pid, real_path(self._database)):
            raise StoreLockedError(
                f"job {self._job!r} in {self._database} is being run by another process, which is"
                f" alive (pid {pid}) though its lock file {self._path} was removed or replaced:"
                f" {_STOP}"
            )

    def lost(self) -> StoreError | None:
        """Return why the job is no longer safely this process's; None while it is."""
        if self._descriptor is None or is_still(self._path, os.fstat(self._descriptor)):
            return None
        return StoreError(
            f"the lock file {self._path} was removed or replaced under the running job (pid"
            f" {os.getpid()}), so that another process could take job {self._job!r} too: it was"
            " stopped; run it again, and leave that file where it is while the job runs"
        )

    def release(self) -> None:
        """Give the job back; again it does nothing. The file stays for the next owner."""
        self._close()

    def discard(self) -> None:
        """Give the job back, which could not be opened, and leave no file that was not there."""
        self._close(remove=self._is_new)

    def _close(self, *, remove: bool = False) -> None:
        with _guard:
            descriptor, self._descriptor = self._descriptor, None
            if descriptor is None:
                return
            if _held.get(str(self._path)) is self:
                del _held[str(self._path)]
            if remove and sys.platform != "win32":
                self._path.unlink(missing_ok=True)  # before another can have its lock
            os.close(descriptor)

    def _forget(self) -> None:
        """Close this process's copy of what the parent holds, which keeps it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def open_alone(path: Path, flags: int, mode: int = PRIVATE) -> int:
    """Open a file that is written over, unless that would write over another one.

    Raises:
        OSError: it cannot be opened; or it is a link of either kind, a pipe or the like.
    """
    try:
        descriptor = os.open(path, flags | _NO_LINK, mode)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EMLINK):
            raise _not_alone(path) from error
        raise
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_nlink < 2:
        return descriptor
    os.close(descriptor)
    raise _not_alone(path)


def _not_alone(path: Path) -> OSError:
    why = "it is a link to another file, or no regular file: remove it"
    return OSError(errno.EMLINK, why, str(path))


def _is_right(error: OSError) -> bool:
    return error.errno in (errno.EACCES, errno.EPERM, errno.EROFS)


def is_owned(database: Path, job: str) -> bool:
    """Say whether a live process owns `job`; takes nothing."""
    with _guard:
        try:
            descriptor = os.open(lock_path(database, job), _TO_LOOK)
        except FileNotFoundError:
            return False
        try:
            _lock(descriptor)
        except OSError:
            return True
        finally:
            os.close(descriptor)
    return False


class _Holder:
    """Which process holds a lock, as it has written it into the file; see `this_process`."""

    def __init__(self, pid: int, started: str = "", host: str = "") -> None:
        self.pid, self.started, self.host = pid, started, host

    @classmethod
    def this_process(cls) -> _Holder:
        pid = os.getpid()
        return cls(pid, _start_of(pid), this_host())

    @classmethod
    def read(cls, descriptor: int) -> _Holder | None:
        os.lseek(descriptor, 0, os.SEEK_SET)
        lines = os.read(descriptor, 1000).decode("utf-8", "replace").splitlines()
        try:
            pid = int(lines[0])
        except (IndexError, ValueError):
            return None  # it has only just taken it
        return cls(pid, *lines[1:3]) if 0 < pid < 1 << 31 else None  # else no system gave it

    def write(self, descriptor: int) -> None:
        """Write it in the place of the holder before; raises OSError."""
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)  # whoever has read it is behind that text
        os.write(descriptor, f"{self.pid}\n{self.started}\n{self.host}\n".encode())

    @property
    def is_elsewhere(self) -> bool:
        return bool(self.host) and self.host != this_host()

    @property
    def is_alive(self) -> bool:
        if sys.platform == "win32":
            return True  # there a lock never outlives its process, and signal 0 is Ctrl-C
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            pass  # another user's
        # Its number may have been given to another process since.
        return not self.started or _start_of(self.pid) in ("", self.started)


def this_host() -> str:
    """Return this machine's name, as a store can keep it."""
    return socket.gethostname().encode("utf-8", "backslashreplace").decode()


def _start_of(pid: int) -> str:
    """Return when a process started, as Linux counts; "" where that is not known."""
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return ""


def is_since(pid: int, at: int) -> bool:
    """Say whether a process is there, and was at a time, ns since the epoch.

    False also where nobody can tell: its number may have been given to another one since.
    """
    ticks = _start_of(pid)
    if not ticks or sys.platform != "linux":
        return False
    age = time.clock_gettime(time.CLOCK_BOOTTIME) - int(ticks) / os.sysconf("SC_CLK_TCK")
    return time.time_ns() - int(age * 1e9) <= at


def has_open(pid: int, file: Path) -> bool:
    """Say whether a process of this machine has a file open; True where this user may not see it.

    By its name alone: a container sees the same file at another path.
    """
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        return True
    except OSError:
        return False  # it has ended
    for each in descriptors:
        with contextlib.suppress(OSError):  # it was closed meanwhile
            if Path(os.readlink(f"/proc/{pid}/fd/{each}")).name == file.name:
                return True
    return False


def _held_here(database: Path, job: str) -> StoreLockedError:
    return StoreLockedError(
        f"job {job!r} in {database} is open in this process already, by another engine or thread"
        f" (pid {os.getpid()}): {_STOP}"
    )


def _refusal(database: Path, job: str, path: Path, descriptor: int, error: OSError) -> StoreError:
    """Return why there is no lock: who holds it, and what to do about that."""
    if not isinstance(error, (BlockingIOError, PermissionError)):
        return StoreError(
            f"{path} cannot be locked ({error.strerror}): keep the store on a local disk, whose"
            " file system has locks"
        )
    if str(path) in _held:
        return _held_here(database, job)
    what = f"job {job!r} in {database}"
    holder = _Holder.read(descriptor)
    if holder is None:
        return StoreLockedError(f"{what} is being run by another process (pid unknown): {_STOP}")
    if holder.is_elsewhere:
        return StoreLockedError(
            f"{what} is being run by a process of {printable(holder.host)} (pid {holder.pid}),"
            f" which lives as far as can be told from here: {_STOP}"
        )
    if holder.is_alive:
        return StoreLockedError(
            f"{what} is being run by another process, which is alive (pid {holder.pid}): {_STOP}"
        )
    return StoreLockedError(
        f"{what} was run by a process that has ended (pid {holder.pid}), but one that it started"
        f" keeps its lock: end that one (`fuser {path}` names it), or give this one another --job"
        " or --store"
    )


def _lock_soon(descriptor: int) -> None:
    """Take the lock; whoever only looks (`is_owned`) holds it for a moment and is waited for."""
    for _ in range(4):
        try:
            _lock(descriptor)
            return
        except OSError:
            time.sleep(0.01)
    _lock(descriptor)


if sys.platform == "win32":
    import msvcrt

    _TO_LOOK = os.O_RDWR

    def _lock(descriptor: int) -> None:
        # Far behind the text, so that the holder's pid stays readable.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    _TO_LOOK = os.O_RDONLY | os.O_NONBLOCK  # a store that cannot be written can be looked at

    def _lock(descriptor: int) -> None:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _forked() -> None:
    """Let a child of this process have none of its locks."""
    for lock in _held.values():
        lock._forget()
    _held.clear()
    _guard.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_guard.acquire, after_in_parent=_guard.release, after_in_child=_forked
    )
