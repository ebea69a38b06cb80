"""The servers of `bench_serve.py`: `perdure serve`, a bare endpoint that sleeps, runs watched."""

from __future__ import annotations

import asyncio
import socket
import sys
import time

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, RunnerContext, action
from perdure.engine.job import Job
from perdure.web import Limits, Token, server
from perdure.web.application import guarded, service_of_job

SECONDS = 1.0


async def take_time(value: int) -> int:
    await asyncio.sleep(SECONDS)
    return value


class OneCall(Agent):
    """One call of a second."""

    @action(InputEvent)
    async def work(self, event: InputEvent, ctx: RunnerContext) -> None:
        ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(take_time, event.input)))


agent = OneCall()


async def sleeps(request: Request) -> JSONResponse:
    body = await request.json()
    await asyncio.sleep(SECONDS)
    return JSONResponse({"outputs": [body["value"]]})


async def serve_bare() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        print(f"http://127.0.0.1:{listening.getsockname()[1]}/", flush=True)
        app = Starlette(routes=[Route("/runs", sleeps, methods=["POST"])])
        config = uvicorn.Config(app, http="h11", log_config=None, access_log=False, backlog=1024)
        await uvicorn.Server(config).serve([listening])


async def echo(value: int) -> int:
    return value


async def one_step(event: InputEvent, ctx: RunnerContext) -> None:
    ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(echo, event.input)))


async def work(store: str, count: int, pairs: int, token: str) -> None:
    """Print CPU seconds of one-step runs with a service that nobody asks, and watched: JSON.

    They alternate in this one process; each begins with a line of the standard input.
    """
    worker = Agent().add_action("work", InputEvent, one_step)
    async with LocalEngine(store, job="watched").open(worker) as job:
        await _serve(job, token)
        await _run(job, count // 2, "warm")
        for turn in range(2 * pairs):
            await asyncio.to_thread(sys.stdin.readline)
            before = time.process_time()
            await _run(job, count, f"{turn}")
            print(time.process_time() - before, flush=True)


async def _run(job: Job, count: int, name: str) -> None:
    async def run(n: int) -> None:
        async with under_way:
            await (await job.submit(n, key=f"{name}-{n}")).outputs()

    under_way = asyncio.Semaphore(200)
    await asyncio.gather(*(run(n) for n in range(count)))


async def _serve(job: Job, token: str) -> None:
    bound = server.bound_socket("127.0.0.1", 0)
    service = service_of_job(job, Limits())
    app = guarded(service, [Token(token)], hosts=["127.0.0.1"], origins=(), prefix="")
    server.listen(bound)
    stopping = server.Stopping(print)
    SERVING.add(asyncio.ensure_future(server.serve(app, service, bound, stopping)))
    print(server.url_of(bound, ""), flush=True)


SERVING: set[asyncio.Future[None]] = set()

if __name__ == "__main__" and sys.argv[1] == "bare":
    asyncio.run(serve_bare())
elif __name__ == "__main__" and sys.argv[1] == "work":
    asyncio.run(work(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5]))
