"""`perdure serve` in processes of its own: killed under load, refused twice, stopped."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_cli_run import LIMIT_SECONDS, Folder

AGENT = """
import asyncio
import os
from perdure import Agent, InputEvent, OutputEvent, RunnerContext, action

async def pay(n):
    with open("calls.log", "a") as file:
        file.write(f"{n}\\n")
    return n

async def ship(n):
    while not os.path.exists("open"):
        await asyncio.sleep(0.01)
    return n

class Orders(Agent):
    @action(InputEvent)
    async def work(self, event, ctx: RunnerContext) -> None:
        paid = await ctx.durable_execute_async(pay, event.input)
        ctx.set_status("paid")
        ctx.send_event(OutputEvent(output=[paid, await ctx.durable_execute_async(ship, paid)]))

agent = Orders()
"""
TOKEN = "a-token-of-tests"
SERVE = ("serve", "orders.py:agent", "--port", "0", "--token", TOKEN)
RUNS = 40


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Folder]:
    made = Folder(tmp_path)
    (tmp_path / "orders.py").write_text(AGENT, "utf-8")
    yield made
    for process in made.started:
        if process.poll() is None:
            process.kill()
        process.communicate()


class Server:
    """A `perdure serve` of the folder, and requests to it."""

    def __init__(self, folder: Folder, *options: str) -> None:
        self.process = folder.start(*SERVE, *options)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        assert self.url.startswith("http://127.0.0.1:"), self.process.communicate()

    def ask(self, path: str, body: Any = None) -> tuple[int, Any]:
        """Ask; status 0 where the connection broke."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}{path}", data, headers)
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)
        except OSError:
            return 0, None

    def start(self, n: int) -> tuple[int, Any]:
        return self.ask("runs", {"key": n, "value": n, "id": f"order-{n}", "wait": True})


def test_g3_calls_of_runs_that_are_awaited_are_made_once_over_a_sigkill(folder: Folder) -> None:
    server = Server(folder)
    with ThreadPoolExecutor(RUNS) as pool:
        waiting = [pool.submit(server.start, n) for n in range(RUNS)]

        def all_paid() -> bool:
            runs = server.ask("runs?status=running&limit=200")[1]["runs"]
            return sum(run["activity"] is not None for run in runs) == RUNS

        folder.wait_until(all_paid)
        server.process.kill()
        assert {each.result()[0] for each in waiting} == {0}
        server.process.communicate()

        server = Server(folder)
        waiting = [pool.submit(server.start, n) for n in range(RUNS)]
        (folder.path / "open").touch()
        answers = [each.result() for each in waiting]
    assert {status for status, _ in answers} == {200}  # they were there
    assert [answer["outputs"] for _, answer in answers] == [[[n, n]] for n in range(RUNS)]
    assert folder.calls() == {str(n): 1 for n in range(RUNS)}
    server.process.send_signal(signal.SIGTERM)
    server.process.communicate(timeout=LIMIT_SECONDS)
    assert server.process.returncode == 0


def test_a_job_is_served_once(folder: Folder) -> None:
    server = Server(folder)
    code, out, err = folder.do(*SERVE)
    assert (code, out) == (1, "")
    assert "job 'orders.agent' in perdure.db is being run by another process" in err
    assert str(server.process.pid) in err
    port = server.url.rstrip("/").rpartition(":")[2]
    code, _, err = folder.do("serve", "orders.py:agent", "--port", port)
    assert code == 1
    assert "job 'orders.agent' is being run by another process" in err
    code, _, err = folder.do("serve", "orders.py:agent", "--port", port, "--job", "another")
    assert code == 2
    assert f"127.0.0.1:{port} cannot be served" in err
    assert "--port" in err
    assert server.ask("readyz")[0] == 200


def test_what_no_token_opens_is_said_and_a_made_one_is_printed(folder: Folder) -> None:
    process = folder.start("serve", "orders.py:agent", "--port", "0", "--no-token")
    assert process.stdout is not None
    url = process.stdout.readline().strip()
    assert url.endswith("/")
    with urllib.request.urlopen(f"{url}job", timeout=LIMIT_SECONDS) as answer:
        assert json.load(answer)["token"] == {"name": None, "role": "operate"}
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert "no token is asked (--no-token): whoever reaches 127.0.0.1:0" not in err
    assert "whoever reaches" in err
    assert process.returncode == 0

    process = folder.start("serve", "orders.py:agent", "--port", "0")
    assert process.stdout is not None
    url, _, token = process.stdout.readline().strip().partition("#token=")
    request = urllib.request.Request(f"{url}job", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=LIMIT_SECONDS) as answer:
        assert json.load(answer)["token"]["role"] == "operate"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=LIMIT_SECONDS)
    assert (process.returncode, token in err) == (0, False)
