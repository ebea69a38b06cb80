"""The thread of the sequential fallback."""

from __future__ import annotations

import asyncio
import threading
import weakref

import pytest
from tests.patience import PATIENCE

from perdure.executor.fallback import SequentialLane


class Work:
    """What an action leaves behind when its thread holds on to it."""

    def __init__(self) -> None:
        self.done = threading.Event()

    def __call__(self) -> None:
        self.done.set()


def test_g19_a_lane_at_rest_lets_go_of_what_it_has_done() -> None:
    async def main() -> None:
        lane = SequentialLane(asyncio.get_running_loop())
        try:
            work = Work()
            left, done = weakref.ref(work), work.done
            lane.submit(work)
            del work
            assert done.wait(PATIENCE)
            while left() is not None:  # the thread is about to
                await asyncio.sleep(0.001)
        finally:
            lane.close()

    asyncio.run(asyncio.wait_for(main(), PATIENCE))


def test_g19_a_thread_that_another_submission_got_is_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It was refused at first: when it is asked for again there is one already."""
    begin, started = threading.Thread.start, list[str]()
    refusals = iter([RuntimeError("can't start new thread")])

    def start(thread: threading.Thread) -> None:
        if (refused := next(refusals, None)) is not None:
            raise refused
        started.append(thread.name)
        begin(thread)

    async def submit() -> None:
        lane = SequentialLane(asyncio.get_running_loop())
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", start)
            done = [asyncio.Event(), asyncio.Event()]
            for event in done:
                lane.submit(lambda event=event: lane.host.call_soon_threadsafe(event.set))
            for event in done:
                await asyncio.wait_for(event.wait(), PATIENCE)
            lane._starter._again()  # as its timer does
        lane.close()

    asyncio.run(submit())
    assert started == ["perdure-action"]
