"""The servers of `bench_serve.py`: `perdure serve` of an agent, and a bare endpoint that sleeps."""

from __future__ import annotations

import asyncio
import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from perdure import Agent, InputEvent, OutputEvent, RunnerContext, action

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


if __name__ == "__main__" and sys.argv[1] == "bare":
    asyncio.run(serve_bare())
