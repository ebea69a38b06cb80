"""Chats with a real model server, killed again and again: each answer is asked for once."""

from __future__ import annotations

import importlib.util
import json
import random
import signal
import sys
import time
from collections import Counter, defaultdict
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from tests.patience import PATIENCE
from tests.zygote import Forked

from perdure.testing.model_server import spawned_server
from perdure.testing.request_log import RequestLog

DRIVER = Path(__file__).with_name("chat_driver.py")
KILLS = 3
IN_FLIGHT = 4
SECONDS = PATIENCE


def load_driver() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chat_driver", DRIVER)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Chats:
    """A job of chats, run by one process after another."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        self.url = url

    def start(self) -> Forked:
        return Forked([sys.executable, str(DRIVER), self.url, str(self.folder)])

    def finish(self) -> None:
        process = self.start()
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, errors

    def lines(self, name: str) -> list[Any]:
        """Return the complete lines of a file; a killed process may leave a part of one."""
        path = self.folder / name
        text = path.read_text("utf-8") if path.exists() else ""
        return [json.loads(line) for line in text.split("\n")[:-1] if line]

    def outputs(self) -> list[list[str]]:
        return [json.loads(output) for output in self.lines("outputs.jsonl")]

    def requests(self) -> list[Any]:
        """Return what the model was asked, in order: task and turn."""
        return self.lines("asked.jsonl")

    def killed_after(self, more: int) -> tuple[int, int]:
        """Run until so many further requests have come, then kill.

        Returns:
            The id of the process, and how many requests there had been before it.
        """
        before = len(self.requests())
        process = self.start()
        deadline = time.monotonic() + SECONDS
        while len(self.requests()) < before + more and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        _, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == -signal.SIGKILL, errors
        return process.pid, before


def test_g4_g6_kills_ask_nothing_again_that_was_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CHAT_CRASH_FOLDER", str(tmp_path))
    driver = load_driver()
    chance = random.Random(11)
    finished: list[tuple[int, set[str]]] = []  # requests before a leg, tasks that were done then
    with spawned_server(f"{DRIVER}:answer", log=tmp_path / "log.jsonl") as url:
        chats = Chats(tmp_path, url)
        for _ in range(KILLS):
            done = {output[0] for output in chats.outputs()}
            _, before = chats.killed_after(chance.randint(4, 9))
            finished.append((before, done))
        finished.append((len(chats.requests()), {output[0] for output in chats.outputs()}))
        chats.finish()
        asked = chats.requests()
        chats.finish()
        assert chats.requests() == asked, "a finished job asked again"
    tasks = [f"t{n}" for n in range(driver.KEYS)]
    assert sorted(chats.outputs()) == sorted(map(driver.expected, tasks))

    # What was answered is asked for again only where the answer was not yet recorded at a kill.
    log = RequestLog(tmp_path / "log.jsonl")
    again = log.repeated()
    log.close()
    assert len(again) <= KILLS * IN_FLIGHT
    assert len(chats.requests()) <= driver.KEYS * (driver.TURNS + 1) + KILLS * IN_FLIGHT
    for before, done in finished:
        later = chats.requests()[before:]
        assert not [task for task, _ in later if task in done]

    # Tools: never twice in one process, and once more for each kill at most.
    legs: dict[tuple[str, int], list[int]] = defaultdict(list)
    for city, turn, pid in chats.lines("tools.jsonl"):
        legs[city, turn].append(pid)
    assert len(legs) == driver.KEYS * driver.TURNS * 2
    assert all(len(set(pids)) == len(pids) for pids in legs.values())
    extra = Counter(pid for pids in legs.values() for pid in pids[1:])
    assert max(extra.values(), default=0) <= IN_FLIGHT * 2
