"""RequestLog: what a test double was asked and answered, kept apart from any journal."""

from __future__ import annotations

import collections
import json
import os
import threading
from pathlib import Path
from typing import Any

__all__ = ["RequestLog"]


class RequestLog:
    """An append-only log of requests and how they ended.

    A line is a request, when it comes in, or the end of one, when the answer has gone out (status
    0: it did not). Each is written at once, so a killed process leaves all but what it was about
    to write. Used from any thread.
    """

    def __init__(self, path: str | Path | None = None) -> None:
        """Read what is in a log; it is opened when something is noted.

        Args:
            path: A JSONL file, made when missing; None keeps the log in memory.
        """
        self._lock = threading.Lock()
        self._entries: list[dict[str, Any]] = []
        self._path = None if path is None else Path(path)
        self._file: int | None = None
        self._is_cut = False  # its last line is not finished
        if self._path is not None and self._path.exists():
            text = self._path.read_text("utf-8", "replace")
            self._is_cut = not text.endswith("\n") and bool(text)
            for line in text.splitlines():
                try:
                    self._entries.append(json.loads(line))
                except ValueError:
                    continue  # what a killed process was writing
        self._count = len(self.requests())

    def request(self, digest: str, **more: Any) -> int:
        """Note a request and return its number.

        Args:
            digest: What it is recognized by.
            **more: Whatever else of it.
        """
        with self._lock:
            self._count += 1
            number = self._count
            self._write({"event": "request", "number": number, "digest": digest, **more})
        return number

    def response(self, number: int, status: int) -> None:
        """Note that a request was answered with a status; 0: it was not."""
        with self._lock:
            self._write({"event": "response", "number": number, "status": status})

    def _write(self, entry: dict[str, Any]) -> None:
        self._entries.append(entry)
        if self._path is None:
            return
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
            if self._is_cut:
                os.write(self._file, b"\n")
        os.write(self._file, (json.dumps(entry) + "\n").encode())

    def requests(self) -> list[dict[str, Any]]:
        """Return the requests, in order; `status` is None where one was not answered to its end."""
        with self._lock:
            entries = list(self._entries)
        ends = {e["number"]: e["status"] for e in entries if e["event"] == "response"}
        asked = (entry for entry in entries if entry["event"] == "request")
        return [{**entry, "status": ends.get(entry["number"])} for entry in asked]

    def repeated(self) -> list[dict[str, Any]]:
        """Return the requests that came again after they had been answered well.

        Those of a job that was killed may come again only where they were in flight: asked and not
        journaled. The answer to such a one may have gone out to a process that was killed before
        it read it; there are no more of them than requests were in flight.
        """
        answered: collections.Counter[str] = collections.Counter()
        found = []
        with self._lock:
            entries = list(self._entries)
        digests: dict[int, str] = {}
        for entry in entries:
            if entry["event"] == "request":
                digests[entry["number"]] = entry["digest"]
                if answered[entry["digest"]]:
                    found.append(entry)
            elif 200 <= entry["status"] < 300:
                answered[digests.get(entry["number"], "")] += 1
        return found

    def close(self) -> None:
        """Close the file; what was logged can still be read."""
        with self._lock:
            if self._file is not None:
                os.close(self._file)
            self._file = self._path = None
