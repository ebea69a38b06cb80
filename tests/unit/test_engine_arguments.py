"""What an engine cannot be made or run with is refused by name, before anything is opened."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest

from perdure import Agent, ConfigurationError, InputEvent, LocalEngine, action
from perdure.connectors.iterable import IterableSource


class Nothing(Agent):
    @action(InputEvent)
    async def nothing(self, event: InputEvent, ctx: Any) -> None:
        pass


@pytest.mark.parametrize("job", [None, 5, b"job"])
def test_a_job_s_name_is_a_text(job: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^job is a \w+: give the job's name as a text"):
        LocalEngine("memory://", job=job)


@pytest.mark.parametrize("field", ["key", "id"])
@pytest.mark.parametrize("given", [0, ("a", "b")])
def test_a_key_is_a_field_or_a_function(
    field: str, given: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    fields = {"key": "a", field: given}
    with pytest.raises(ConfigurationError, match=f"^{field}=.* give the name of a field, or a"):
        LocalEngine("s.db").run(Nothing, [[1]], **fields)
    assert os.listdir(tmp_path) == []

    async def drive() -> None:
        async with LocalEngine("memory://").open(Nothing) as job:
            await job.drive(IterableSource([[1]]), **fields)

    with pytest.raises(ConfigurationError, match=f"^{field}="):
        asyncio.run(drive())


def test_a_key_is_needed() -> None:
    with pytest.raises(ConfigurationError, match=r"^key=None is a NoneType"):
        LocalEngine("memory://").run(Nothing, [1], key=None)  # type: ignore[arg-type]
