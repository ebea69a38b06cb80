"""Cassette: the file of a RecordedChatModel, one in a process for all who record in it."""

from __future__ import annotations

import json
import os
import secrets
import threading
import weakref
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from perdure.errors import ConfigurationError, RetryableError, TerminalError
from perdure.llm.message import ChatMessage
from perdure.testing.chat_forms import message_from

__all__ = ["Cassette", "cassette_at", "played"]

_FORMAT: Final = 1
_FAILURES: Final[dict[str, Callable[..., Exception]]] = {
    "RetryableError": RetryableError,
    "TerminalError": TerminalError,
}


class Cassette:
    """Requests by their digest, with what came of them, in memory and in a file.

    Owns: the entries; whoever shares it has the same. Its methods may be called on any thread, and
    those that say so wait for the disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._entries: dict[str, dict[str, Any]] = {}
        self._known: object = None  # as what the file was last read or written
        self._recorders: weakref.WeakSet[object] = weakref.WeakSet()  # that began it anew

    def load(self) -> None:
        """Read the file, unless it is as it was when it was last read or written here.

        Raises:
            ConfigurationError: it cannot be read, or is no cassette; it says which entry is none.
        """
        with self._lock:
            found = self._seen()
            if found is None:
                self._entries, self._known = {}, None
            elif found != self._known:
                self._entries = _entries_of(self._path)
                self._known = found

    def begin_anew(self, recorder: object) -> None:
        """Forget what there was, unless another recorder has done so and is not over yet."""
        with self._lock:
            if not self._recorders:
                self._entries = {}
            self._recorders.add(recorder)

    def is_over(self, recorder: object) -> None:
        """Take note that a recorder is closed: the next one begins anew."""
        self._recorders.discard(recorder)

    def outcomes(self, digest: str) -> list[Mapping[str, Any]]:
        """Return what came of a request, in order; nothing where it is not recorded."""
        with self._lock:
            return list(self._entries.get(digest, {}).get("outcomes", ()))

    def record(self, digest: str, request: dict[str, Any], outcome: dict[str, Any]) -> None:
        """Add what came of a request; it is in the file when this returns, else nowhere.

        Raises:
            ConfigurationError: the file cannot be written.
        """
        with self._lock:
            new = {"digest": digest, "request": request, "outcomes": []}
            outcomes = self._entries.setdefault(digest, new)["outcomes"]
            outcomes.append(outcome)
            try:
                self._write()
            except BaseException as error:
                outcomes.pop()  # or what cannot be written would be in the way of all that can
                if not outcomes:
                    del self._entries[digest]
                if isinstance(error, OSError):
                    raise ConfigurationError(
                        f"cannot write the cassette {self._path}: {error.strerror}: give a path"
                        " that can be written"
                    ) from error
                raise
            self._known = self._seen()

    def _write(self) -> None:
        cassette = {"format": _FORMAT, "requests": list(self._entries.values())}
        text = json.dumps(cassette, indent=1, ensure_ascii=False) + "\n"
        # Providers cut characters in half, and UTF-8 has no form for these: what stands for one
        # is an escape of JSON.
        data = text.encode("utf-8", "backslashreplace")
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Whoever reads it meanwhile finds the old one or the new one.
        draft = self._path.with_name(f".{self._path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            draft.write_bytes(data)
            draft.replace(self._path)
        finally:
            draft.unlink(missing_ok=True)

    def _seen(self) -> object:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise _unreadable(self._path, error) from error
        return found.st_ino, found.st_mtime_ns, found.st_size


_cassettes: weakref.WeakValueDictionary[str, Cassette] = weakref.WeakValueDictionary()
_lock = threading.Lock()


def cassette_at(path: Path) -> Cassette:
    """Return the cassette of this process at a path, links followed."""
    real = os.path.realpath(path)
    with _lock:
        found = _cassettes.get(real)
        if found is None:
            found = _cassettes[real] = Cassette(Path(real))
        return found


def played(outcome: Mapping[str, Any]) -> ChatMessage:
    """Return the response of an outcome; raise its failure."""
    found = _replayed(outcome)
    if isinstance(found, Exception):
        raise found
    return found


def _replayed(outcome: Mapping[str, Any]) -> ChatMessage | Exception:
    failure = outcome.get("failure")
    if failure is None:
        return message_from(outcome["response"])
    more = {"retry_after": failure["retry_after"]} if "retry_after" in failure else {}
    return _FAILURES[failure["type"]](failure["message"], **more)


_ODD: Final = (ValueError, KeyError, TypeError, AttributeError, IndexError, msgspec.MsgspecError)


def _entries_of(path: Path) -> dict[str, dict[str, Any]]:
    try:
        found = json.loads(path.read_text("utf-8"))
        known = found["format"] == _FORMAT
        requests = list(found["requests"])
    except OSError as error:
        raise _unreadable(path, error) from error
    except (*_ODD, RecursionError) as error:
        raise ConfigurationError(
            f"{path} is no cassette of chat requests: {error}; delete it and record it anew"
        ) from None
    if not known:
        raise ConfigurationError(
            f"the cassette {path} has format {found['format']!r}, not {_FORMAT}: delete it and"
            " record it anew"
        )
    return dict(_checked(entry, number, path) for number, entry in enumerate(requests, 1))


def _checked(entry: Any, number: int, path: Path) -> tuple[str, dict[str, Any]]:
    """Return the digest of an entry and the entry; people edit cassettes."""
    try:
        digest, outcomes = entry["digest"], entry["outcomes"]
        if not isinstance(outcomes, list) or not outcomes:
            raise ValueError("its outcomes are no list of one or more")
        for outcome in outcomes:
            _replayed(outcome)
        hash(digest)
    except _ODD as error:
        why = f"it has no known {error}" if isinstance(error, KeyError) else str(error)
        raise ConfigurationError(
            f"the cassette {path} cannot be replayed: entry {number} of its requests is none"
            f" ({why}): correct the entry, or delete it and record it anew"
        ) from None
    return digest, entry


def _unreadable(path: Path, error: OSError) -> ConfigurationError:
    return ConfigurationError(
        f"cannot read the cassette {path}: {error.strerror}: give the path of a file"
    )
