"""Runs are found by their keys as lists show them, whatever type those are of."""

from __future__ import annotations

import datetime
import decimal
import json
import uuid
from pathlib import Path
from typing import Any

import pytest

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, action
from perdure.cli.main import main
from perdure.operate.history import History, blocking
from perdure.operate.meant_keys import keys_meant, runs_of_keys


class Echo(Agent):
    @action(InputEvent)
    async def echo(self, event: InputEvent, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=event.input))


KEYS: dict[str, list[Any]] = {
    "1": ["1", 1, decimal.Decimal("1")],
    "1.0": [1.0],
    "true": ["true", True],
    "00000000-0000-0000-0000-000000000005": [uuid.UUID(int=5)],
    "2020-01-01T00:00:00+00:00": [datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)],
    "2020-01-01": [datetime.date(2020, 1, 1)],
    '{"$base64": "AP8="}': [b"\0\xff"],
    "[1, [2]]": [(1, (2,))],
    "[7]": [frozenset([7])],
    "inf": [float("inf")],
    '"q"': ['"q"'],
    "q": [],
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    url = f"sqlite:///{tmp_path_factory.mktemp('keys') / 'keys.db'}"
    inputs = [key for keys in KEYS.values() for key in keys]
    LocalEngine(url, job="keys").run(Echo, [*inputs, *inputs], key=lambda value: value)
    return url


@pytest.mark.parametrize("text", KEYS)
def test_a_key_is_found_by_what_is_shown_of_it(
    store: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["runs", "--key", text, "--json", "--store", store]) == 0
    runs = json.loads(capsys.readouterr().out)["runs"]
    assert len(runs) == 2 * len(KEYS[text])
    numbers = [run["number"] for run in runs]
    assert numbers == sorted(numbers, reverse=True)


def test_runs_of_several_keys_come_in_pages(store: str, tmp_path: Path) -> None:
    with History.open(store) as history:
        job = history.job("keys")
        keys = blocking(keys_meant)(history, job, "1")
        assert sorted(map(repr, keys)) == ["'1'", "1", "Decimal('1')"]
        for limit in (1, 2, 3, 4, 6, 7):
            after, found = "", []
            while True:
                page = blocking(runs_of_keys)(
                    history, job, keys, status=None, after=after, limit=limit
                )
                assert len(page.items) <= limit
                found += [info.number for info in page.items]
                if not (after := page.after):
                    break
            assert len(found) == len(set(found)) == 6
            assert found == sorted(found, reverse=True)
