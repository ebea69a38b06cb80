"""Zips of skills: checked, and unpacked in a folder that is named by their content."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from perdure.errors import ConfigurationError

__all__ = ["unpacked"]

MAX_ZIP: Final = 64 * 1024 * 1024
MAX_ENTRIES: Final = 2_000
MAX_DIRECTORY: Final = 1024 * 1024  # bytes of the list of entries
MAX_FILE: Final = 16 * 1024 * 1024
MAX_TOTAL: Final = 64 * 1024 * 1024
MAX_RATIO: Final = 100
MAX_DEPTH: Final = 9  # that of a skill's own folder, below the folder of skills
SMALL: Final = 64 * 1024  # what is no larger may be packed as well as it can be
_END: Final = b"PK\x05\x06"
_END_SIZE: Final = 22
_NAME: Final = re.compile(r"[^\x00-\x1f\x7f\\:]+")
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


def unpacked(file: Path) -> Path:
    """Return the folder that a zip is unpacked in; the same for the same content.

    It lies in `$XDG_CACHE_HOME/perdure/skills`, or in `~/.cache`. One that is there already is held
    against the zip, and made anew where they differ.

    Raises:
        ConfigurationError: It is no zip, is not safe to unpack, or there is no place for it.
    """
    try:
        with file.open("rb") as opened:
            data = opened.read(MAX_ZIP + 1)
        if len(data) > MAX_ZIP:
            raise ValueError(f"it has over {MAX_ZIP // 1024**2} MB")
        contents = _contents(data)
    except (OSError, ValueError, EOFError, RuntimeError, NotImplementedError) as error:
        raise ConfigurationError(f"zip of skills {file}: {error}") from None
    except (zipfile.BadZipFile, zlib.error, struct.error) as error:
        raise ConfigurationError(f"zip of skills {file}: it is damaged: {error}") from None
    place = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "perdure" / "skills"
    folder = Path(os.path.abspath(place)) / hashlib.sha256(data).hexdigest()[:32]
    try:
        _lay(folder, contents)
    except OSError as error:
        raise ConfigurationError(
            f"zip of skills {file}: it cannot be unpacked in {folder}: {error.strerror or error}:"
            " set XDG_CACHE_HOME to a folder of your own"
        ) from error
    return folder


def _contents(data: bytes) -> dict[str, tuple[bytes, int]]:
    """Return content and mode of each file by its name.

    Raises:
        ValueError: It is not safe to unpack.
    """
    _check_end(data)
    found: dict[str, tuple[bytes, int]] = {}
    with zipfile.ZipFile(io.BytesIO(data)) as opened:
        entries = opened.infolist()
        if len(entries) > MAX_ENTRIES:
            raise ValueError(f"it has {len(entries):,} entries, over {MAX_ENTRIES:,}")
        if sum(each.file_size for each in entries) > MAX_TOTAL:
            raise ValueError(f"unpacked it has over {MAX_TOTAL // 1024**2} MB")
        folders: set[str] = set()
        names: set[str] = set()
        for entry in entries:
            parts = _checked(entry)
            if entry.is_dir():
                continue
            name = "/".join(parts)
            above = {"/".join(parts[:n]).casefold() for n in range(1, len(parts))}
            if name.casefold() in names | folders or above & names:
                raise ValueError(f"{name!r} is in it twice")
            names.add(name.casefold())
            folders |= above
            found[name] = _read(opened, entry)
    return found


def _check_end(data: bytes) -> None:
    """Check the size of the list of entries before it is read.

    Raises:
        ValueError: It is no zip, or the list is too large.
    """
    at = len(data) - _END_SIZE
    if at < 0 or data[at : at + 4] != _END or data[-2:] != b"\0\0":
        at = data.rfind(_END, max(0, len(data) - _END_SIZE - 0xFFFF))
    if at < 0 or at + _END_SIZE > len(data):
        raise ValueError("it is no zip")
    size = int.from_bytes(data[at + 12 : at + 16], "little")
    is_64 = data[at - 20 : at - 16] == b"PK\x06\x07" if at >= 20 else False
    if is_64 or size > MAX_DIRECTORY:
        raise ValueError(f"its list of entries has over {MAX_DIRECTORY // 1024**2} MB")


def _checked(entry: zipfile.ZipInfo) -> list[str]:
    """Return the parts of an entry's name.

    Raises:
        ValueError: It is nothing to unpack.
    """
    name = entry.orig_filename  # `filename` ends at a NUL
    parts = name.removesuffix("/").split("/")
    if not _NAME.fullmatch(name) or any(each in ("", ".", "..") for each in parts):
        raise ValueError(f"the name {name[:80]!r} is not a plain path below it")
    if len(parts) > MAX_DEPTH or any(len(each.encode()) > 255 for each in parts):
        raise ValueError(f"the name {name[:80]!r} is too long or over {MAX_DEPTH} deep")
    kind = stat.S_IFMT(entry.external_attr >> 16) if entry.create_system == 3 else 0
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise ValueError(f"{name!r} is a link or a device: put the file itself there")
    if entry.flag_bits & 0x1:
        raise ValueError(f"{name!r} is encrypted")
    if entry.compress_type not in _METHODS:
        raise ValueError(f"{name!r} is packed in another way than deflate")
    if entry.file_size > MAX_FILE:
        raise ValueError(f"{name!r} has over {MAX_FILE // 1024**2} MB")
    if entry.file_size > max(SMALL, MAX_RATIO * entry.compress_size):
        raise ValueError(f"{name!r} is packed over {MAX_RATIO} times as small as it is")
    return parts


def _read(opened: zipfile.ZipFile, entry: zipfile.ZipInfo) -> tuple[bytes, int]:
    with opened.open(entry) as file:
        data = file.read(entry.file_size + 1)
    if len(data) != entry.file_size:
        raise ValueError(f"{entry.filename!r} has another size than it says")
    may_run = bool(entry.external_attr >> 16 & 0o111) or data[:2] == b"#!"
    return data, 0o555 if may_run else 0o444


def _lay(folder: Path, contents: Mapping[str, tuple[bytes, int]]) -> None:
    """Make a folder of files, unless it is there and has these files and nothing else."""
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.parent.stat().st_uid != os.getuid() or folder.parent.stat().st_mode & 0o022:
        raise OSError("others may write there")
    if _holds(folder, contents):
        return
    fresh = Path(tempfile.mkdtemp(prefix=".new-", dir=folder.parent))
    try:
        for name, (data, mode) in contents.items():
            path = fresh / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            path.chmod(mode)  # what a command writes here by mistake would be lost
        for below, _, _ in os.walk(fresh):
            Path(below).chmod(0o755 if below == str(fresh) else 0o555)
        if os.path.lexists(folder):
            folder.rename(fresh.with_name(f"{fresh.name}-old"))
        try:
            fresh.rename(folder)
        except OSError:
            if not _holds(folder, contents):  # another process was quicker
                raise
    finally:
        for each in (fresh, fresh.with_name(f"{fresh.name}-old")):
            _remove(each)


def _holds(folder: Path, contents: Mapping[str, tuple[bytes, int]]) -> bool:
    """Say whether a folder has these files and nothing else."""
    left = dict(contents)
    if folder.is_symlink() or not folder.is_dir():
        return False
    for below, folders, files in os.walk(folder):
        names = [Path(below, each) for each in (*folders, *files)]
        if any(each.is_symlink() for each in names):
            return False
        for each in files:
            path = Path(below, each)
            data, mode = left.pop(path.relative_to(folder).as_posix(), (None, 0))
            status = path.stat()
            if data is None or not stat.S_ISREG(status.st_mode) or status.st_size != len(data):
                return False
            if stat.S_IMODE(status.st_mode) != mode or path.read_bytes() != data:
                return False
    return not left


def _remove(folder: Path) -> None:
    if folder.is_symlink() or folder.is_file():
        folder.unlink()
        return

    for below, _, _ in os.walk(folder):
        Path(below).chmod(0o755)
    shutil.rmtree(folder, ignore_errors=True)
