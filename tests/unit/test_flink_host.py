"""The host of a job's subtasks in a process of Flink: it ends with the last that leaves."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading

from tests.patience import PATIENCE

from perdure.engine.flink import host as module
from perdure.engine.flink.host import Host
from perdure.engine.flink.spec import FunctionSpec


def test_the_last_subtask_does_not_end_the_host_in_the_midst_of_what_another_leaves() -> None:
    spec = FunctionSpec(agent="tests.unit.flink_agents:Plain", job="leaving", shards=4)
    host = Host.join(spec)
    assert Host.join(spec) is host
    leaving, go_on = threading.Event(), threading.Event()
    given_back = []

    async def give_back(owner: object) -> None:
        leaving.set()
        await asyncio.to_thread(go_on.wait, PATIENCE)
        given_back.append(owner)

    host._give_back_all = give_back  # type: ignore[method-assign]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(host.leave, "first")
        assert leaving.wait(PATIENCE)
        last = pool.submit(host.leave, "last")
        is_kept = host in module._hosts.values()
        go_on.set()
        first.result(PATIENCE)
        last.result(PATIENCE)
    assert is_kept
    assert sorted(given_back) == ["first", "last"]
    assert host not in module._hosts.values()
    assert not host._thread.is_alive()


def test_a_host_that_is_left_by_its_only_subtask_ends() -> None:
    spec = FunctionSpec(agent="tests.unit.flink_agents:Plain", job="left", shards=4)
    host = Host.join(spec)
    host.leave("only")
    assert not host._thread.is_alive()
    again = Host.join(spec)
    assert again is not host
    again.leave("only")
