"""Schemathesis against a live service: what its OpenAPI document allows, and what it does not.

    python -m tests.web.fuzz --examples 300

A server with a job of its own answers on a thread. Half of the requests about a run are about one
that there is. No answer may be a server's error, and each must be documented: status, type, schema.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from tests.patience import PATIENCE

from perdure import Agent, InputEvent, LocalEngine, OutputEvent
from perdure.web import Limits, Token, server
from perdure.web.application import guarded, service_of_job

SECRET = "a-token-for-fuzzing"
SEED = 20_261_127
CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance,
    response_schema_conformance,
]  # fmt: skip
ENDED, WAITING = "r1", "r2"
ENDLESS = "/stream"  # of these answers only the head is looked at


async def echo(value: Any) -> Any:
    return value


async def work(event: Any, ctx: Any) -> None:
    if event.input == WAITING:
        await ctx.wait_for_approval("pay", "May I?")
    ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(echo, event.input)))


@contextlib.contextmanager
def served() -> Iterator[str]:
    """Yield the address of a service with a run that has ended and one that waits."""
    ready = threading.Event()
    found: dict[str, Any] = {}

    async def serve() -> None:
        agent = Agent().add_action("work", InputEvent, work)
        job = await LocalEngine("memory://", job="fuzzed").start(agent)
        try:
            await (await job.submit(1, key="a", id="m-1")).wait()
            await job.submit(WAITING, key="b", id="m-2")
            service = service_of_job(job, Limits(drain_seconds=0.1, rate=1e6, burst=10**6))
            tokens = [Token(SECRET)]
            app = guarded(service, tokens, hosts=["127.0.0.1"], origins=(), prefix="")
            bound = server.bound_socket("127.0.0.1", 0)
            server.listen(bound)
            stopping = server.Stopping(print)
            found["url"] = server.url_of(bound, "").rstrip("/")
            found["loop"], found["asked"] = asyncio.get_running_loop(), stopping.asked
            ready.set()
            await server.serve(app, service, bound, stopping)
        finally:
            ready.set()
            await job.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), name="fuzzed", daemon=True)
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield found["url"]
    finally:
        found["loop"].call_soon_threadsafe(found["asked"].set_result, None)
        thread.join(PATIENCE)


def fuzz(examples: int) -> dict[str, int]:
    """Ask each operation so often; return how many answers there were of each status.

    Raises:
        ExceptionGroup: answers were a server's error, or are not documented; with how to ask again.
    """
    statuses: dict[str, int] = {}
    failures: list[Exception] = []
    with served() as url:
        headers = {"Authorization": f"Bearer {SECRET}"}
        document = requests.get(f"{url}/openapi.json", timeout=PATIENCE).json()
        schema = schemathesis.openapi.from_dict(document)
        for found in schema.get_all_operations():
            operation = found.ok()
            for mode in GenerationMode:
                try:
                    _ask(operation, mode, examples, url, headers, statuses)
                except Exception as error:
                    failures.append(error)
    if failures:
        raise ExceptionGroup("the service does not answer as its document says", failures)
    return statuses


def _ask(
    operation: Any,
    mode: GenerationMode,
    examples: int,
    url: str,
    headers: dict[str, str],
    statuses: dict[str, int],
) -> None:
    known = WAITING if operation.method.upper() == "POST" else ENDED

    @seed(SEED)
    @settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(case=operation.as_strategy(generation_mode=mode), is_known=st.booleans())
    def asks(case: Any, is_known: bool) -> None:
        if is_known and "run" in (case.path_parameters or {}):
            case.path_parameters["run"] = known
        if operation.path == ENDLESS:
            given = case.as_transport_kwargs(base_url=url, headers=headers)
            with requests.request(**given, stream=True, timeout=PATIENCE) as answer:
                status = answer.status_code
            assert status < 500, given
        else:
            answer = case.call(base_url=url, headers=headers, timeout=PATIENCE)
            status = answer.status_code
            case.validate_response(answer, checks=CHECKS)
        statuses[str(status)] = statuses.get(str(status), 0) + 1

    try:
        asks()
    except Exception as error:
        if type(error).__name__ == "Unsatisfiable" and mode is GenerationMode.NEGATIVE:
            return  # nothing that it takes could be wrong
        raise


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=300, help="for each operation, twice")
    print(fuzz(parser.parse_args().examples))
