"""The thread of the sequential fallback."""

from __future__ import annotations

import asyncio
import threading
import weakref

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
