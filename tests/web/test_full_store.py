"""A store that does not write: nothing is begun, and it is said when to ask again (G25)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.promises.disk import Disk
from tests.web.support import GATES, served, start, until, until_status


async def test_a_served_store_that_is_gone_is_not_ready(tmp_path: Path) -> None:
    path, aside = tmp_path / "desk.db", tmp_path / "aside.db"
    async with served(f"sqlite:///{path}") as (client, _):
        assert (await client.get("/readyz")).json() == {"status": "ready"}

        async def is_gone() -> bool:  # the path is looked at every now and then
            answer = await client.get("/readyz")
            return answer.status_code == 503 and "gone" in answer.json()["reason"]

        path.rename(aside)
        await until(is_gone)
        aside.rename(path)
        assert (await client.get("/readyz")).status_code == 200


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'desk.db'}"


@pytest.fixture
def disk(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk(url, monkeypatch)
    yield made
    made.free()


async def test_g25_a_store_that_does_not_write_is_said_to_be_asked_again(
    url: str, disk: Disk
) -> None:
    async with served(url) as (client, _):
        await start(client, {"gate": "g"}, id="before")
        await until_status(client, "before", "running")
        disk.fill()
        large = "x" * 1_000_000
        refused = await start(client, large, id="m", wait=True)
        assert (refused.status_code, "retry-after" in refused.headers) == (503, True)
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/now")).json()["writes"] is False
        assert (await start(client, large, id="m", wait=True)).status_code == 503
        for what in ("cancel", "retry"):
            assert (await client.post(f"/runs/before/{what}", json={})).status_code == 503
        assert (await client.get("/runs/before")).json()["status"] == "running"
        assert (await client.get("/healthz")).status_code == 200

        disk.free()

        async def is_ready() -> bool:
            return (await client.get("/readyz")).status_code == 200

        await until(is_ready)
        GATES["g"].set()
        made = await start(client, large, id="m", wait=True)
        assert (made.status_code, made.json()["outputs"]) == (201, [large])
