"""What `/metrics` says of a job: documented names, bounded labels, numbers that are right."""

from __future__ import annotations

import asyncio
import re
import runpy
from pathlib import Path
from typing import Any

import pytest
from httpx2 import AsyncClient
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from tests.inside import services_of
from tests.patience import PATIENCE
from tests.web.support import (
    GATES,
    READER,
    SECRET,
    client_of,
    served,
    start,
    until,
    until_status,
)

import perdure.web
from perdure import Agent, InputEvent, LocalEngine, OutputEvent, PerdureError, RunStatus, durable
from perdure.llm.message import ChatMessage, Usage
from perdure.operate.history import History
from perdure.runtime.shared.measures import MOST_NAMES, JobMeasures
from perdure.web import Limits
from perdure.web.application import guarded, service_of_store
from perdure.web.metric_names import METRICS

DOCS = Path(__file__).parents[2] / "docs"
Labels = frozenset[tuple[str, str]]


class Seen(dict[tuple[str, Labels], float]):
    """Samples of a scrape, by name and labels."""

    def of(self, name: str, **labels: str) -> float:
        return self[name, frozenset(labels.items())]

    def labels_of(self, name: str, label: str) -> set[str]:
        return {dict(labels)[label] for found, labels in self if found == name}


async def scraped(client: AsyncClient) -> Seen:
    answer = await client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain")
    seen = Seen()
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            place = sample.name, frozenset(sample.labels.items())
            assert place not in seen, f"{place} is there twice"
            seen[place] = sample.value
    return seen


async def test_runs_and_calls_are_counted() -> None:
    async with served() as (client, _):
        await start(client, {"echo": 1}, id="secret-id", key="secret-key", wait=True)
        await start(client, {"fail": "no"}, id="m-2", wait=True)
        await start(client, {"ask": "pay"}, id="m-3", key="asks")
        await until_status(client, "m-3", "waiting")
        seen = await scraped(client)
        desk = {"agent": "Desk"}
        assert seen.of("perdure_runs_ended_total", status="completed", **desk) == 1
        assert seen.of("perdure_runs_ended_total", status="failed", **desk) == 1
        assert seen.of("perdure_runs", state="waiting", **desk) == 1
        assert seen.of("perdure_runs", state="in_flight", **desk) == 0
        assert seen.of("perdure_waits", kind="approval") == 1
        assert seen.of("perdure_inputs_total") == 3
        assert seen.of("perdure_outputs_total") == 1
        echo = {"function": "tests.web.support:echo"}
        assert seen.of("perdure_calls_total", outcome="returned", **echo) == 1
        assert seen.of("perdure_calls_total", outcome="raised", **echo) == 0
        assert seen.of("perdure_call_seconds_count", **echo) == 1
        assert seen.of("perdure_call_attempts_total") == 1
        assert seen.of("perdure_commit_rows_count") == seen.of("perdure_commit_seconds_count") > 0
        assert seen.of("perdure_commit_rows_sum") >= seen.of("perdure_commit_rows_count")
        assert seen.of("perdure_store_writes") == 1
        assert seen.of("perdure_pool_size") > 0
        text = (await client.get("/metrics")).text
        assert not re.search(r"secret-id|secret-key|m-[23]|\br[0-9a-f]\b", text)


async def test_what_is_under_way_is_seen_while_it_is() -> None:
    async with served() as (client, _):
        await start(client, {"gate": "a"}, id="m-1")
        await until_status(client, "m-1", "running")
        async with asyncio.timeout(PATIENCE):
            while "a" not in GATES:
                await asyncio.sleep(0.01)
        seen = await scraped(client)
        assert seen.of("perdure_calls_in_progress", state="running") == 1
        assert seen.of("perdure_calls_uncommitted") == 0
        GATES["a"].set()
        await until_status(client, "m-1", "completed")

        async def is_over() -> bool:  # a look at what is under way may be a second old
            later = await scraped(client)
            return later.of("perdure_calls_in_progress", state="running") == 0

        await until(is_over)


async def test_every_name_is_documented_and_every_documented_name_is_there() -> None:
    async with served() as (client, _):
        await start(client, {"echo": 1}, id="m-1", wait=True)
        text = (await client.get("/metrics")).text
    named = re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE)
    assert dict(named) == {each.name: each.kind for each in METRICS.values()}
    assert len(named) == len(METRICS)
    for family in text_string_to_metric_families(text):
        known = METRICS.get(family.name) or METRICS[f"{family.name}_total"]
        for sample in family.samples:
            assert set(sample.labels) - {"le"} == set(known.labels)


def test_the_page_is_up_to_date() -> None:
    render = runpy.run_path(str(DOCS / "write_metrics.py"))["render"]
    page = (DOCS / "metrics.md").read_text("utf-8")
    assert page == render(page), "run `make docs`"
    assert all(f"`{name}`" in page for name in METRICS)


async def test_openmetrics_is_given_where_it_is_asked_for() -> None:
    async with served() as (client, _):
        await start(client, {"echo": 1}, id="m-1", wait=True)
        accept = {"Accept": "application/openmetrics-text; version=1.0.0,text/plain;q=0.5"}
        answer = await client.get("/metrics", headers=accept)
        assert answer.headers["content-type"].startswith("application/openmetrics-text")
        found = {family.name for family in openmetrics(answer.text)}
        assert {"perdure_calls", "perdure_runs", "perdure_commit_seconds"} <= found


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "text/plain;version=one", "application/openmetrics-text; version=x; escaping=é",
     "application/openmetrics-text;version=", ";;,", "application/openmetrics-text; version=9.9.9"],
)  # fmt: skip
async def test_a_strange_accept_header_is_answered(accept: str) -> None:
    async with served() as (client, _):
        answer = await client.get("/metrics", headers={"Accept": accept.encode("latin-1")})
        assert answer.status_code == 200
        assert "perdure_job_info" in answer.text


async def test_it_needs_a_token_that_may_read() -> None:
    async with served(token=None) as (client, _):
        assert (await client.get("/metrics")).status_code == 401
        good = {"Authorization": f"Bearer {READER.secret}"}
        assert (await client.get("/metrics", headers=good)).status_code == 200
        assert (await client.post("/metrics", headers=good, json={})).status_code == 405


async def test_a_store_that_is_only_looked_at_says_where_to_scrape(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/desk.db"
    async with served(url) as (client, _):
        await start(client, {"echo": 1}, id="m-1", wait=True)
    service = service_of_store(lambda: History.open(url), "desk", Limits())
    app = guarded(service, [perdure.web.Token(SECRET)], hosts=["*"], origins=(), prefix="")
    async with client_of(app) as client:
        answer = await client.get("/metrics")
    await service.close()
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert "perdure serve" in answer.json()["detail"]


# Agents of their own


async def scrape_of(agent: Agent, values: list[Any], **options: Any) -> Seen:
    """Return what a service says when an agent has run inputs to their ends."""
    engine = LocalEngine("memory://", job="own", **options)
    async with engine.open(agent) as job:
        async with client_of(perdure.web.app(job, tokens=[SECRET])) as client:
            for n, value in enumerate(values):
                run = await job.submit(value, key=n)
                await run.wait()
            return await scraped(client)


def doing(act: Any) -> Agent:
    return Agent().add_action("act", InputEvent, act)


async def add(n: int) -> int:
    return n + 1


@durable(id="declared-name")
async def declared(n: int) -> int:
    return n


async def test_an_id_that_a_call_was_given_becomes_no_label() -> None:
    async def act(event: Any, ctx: Any) -> None:
        naming = f"add-{ctx.run_id}-{ctx.key}"
        await ctx.durable_execute_async(add, event.input, durable_id=naming)
        await ctx.with_options(durable_id=naming, timeout=60).durable_execute_async(add, 1)
        await ctx.durable_execute_async(declared, 1)

    seen = await scrape_of(doing(act), list(range(5)))
    assert seen.labels_of("perdure_calls_total", "function") == {f"{__name__}:add", "declared-name"}
    assert seen.of("perdure_calls_total", function=f"{__name__}:add", outcome="returned") == 10


async def test_very_many_names_are_counted_together() -> None:
    measures = JobMeasures(lambda: 0)
    for n in range(3 * MOST_NAMES):
        measures.call_over(f"module:f{n}" + "x" * 1000, 0, None, None, raised=False)
        message = ChatMessage(model=f"m{n}", usage=Usage(input_tokens=1))
        measures.call_over("ask", 0, None, message, raised=False)
    assert len(measures.functions) == len(measures.models) == MOST_NAMES + 1
    assert measures.functions["other"].returned == 2 * MOST_NAMES + 1
    assert measures.models["other"].input_tokens == 2 * MOST_NAMES
    assert max(map(len, measures.functions)) <= 200


async def test_failed_and_retried_calls_their_waits_and_limits() -> None:
    tries: list[int] = []

    def flaky(n: int) -> int:
        tries.append(n)
        if len(tries) < 3:
            raise ConnectionError("again")
        return n

    def broken() -> None:
        raise ValueError("never")

    async def act(event: Any, ctx: Any) -> None:
        retrying = ctx.with_options(
            retry=perdure.RetryPolicy(max_attempts=5, initial_interval=0.01, jitter=0.0),
            limit="api",
        )
        await retrying.durable_execute_async(flaky, 1, durable_id="flaky")
        try:
            await ctx.durable_execute_async(broken, durable_id="broken")
        except ValueError:
            ctx.send_event(OutputEvent(output=1))

    seen = await scrape_of(doing(act), [1], config={"limits": {"api": {"concurrency": 1}}})
    name = f"{__name__}:test_failed_and_retried_calls_their_waits_and_limits.<locals>"
    returned = {"function": f"{name}.flaky", "outcome": "returned"}
    assert seen.of("perdure_calls_total", **returned) == 1
    raised = {"function": f"{name}.broken", "outcome": "raised"}
    assert seen.of("perdure_calls_total", **raised) == 1
    assert seen.of("perdure_call_retries_total") == 2
    assert seen.of("perdure_call_attempts_total") == 4
    waits = {"for": "retries"}
    assert seen.of("perdure_call_wait_seconds_count", **waits) == 1
    assert seen.of("perdure_call_wait_seconds_sum", **waits) >= 0.02
    assert seen.of("perdure_limit_running", limit="api") == 0
    assert seen.of("perdure_limit_queue", limit="api") == 0


async def test_models_are_counted_by_name_with_tokens_and_cost() -> None:
    async def ask(text: str) -> ChatMessage:
        usage = Usage(input_tokens=100, output_tokens=7, cost=0.25)
        return ChatMessage(content="yes", model='mo"del\n', usage=usage)

    async def ask_form(text: str) -> dict[str, Any]:
        return {"model": "m2", "usage": {"input_tokens": 3, "output_tokens": None, "cost": None}}

    async def act(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(ask, "x")
        await ctx.durable_execute_async(ask_form, "x")

    seen = await scrape_of(doing(act), [1, 2])
    named = {"model": 'mo"del\\n'}
    assert seen.of("perdure_model_requests_total", **named) == 2
    assert seen.of("perdure_model_tokens_total", direction="input", **named) == 200
    assert seen.of("perdure_model_tokens_total", direction="output", **named) == 14
    assert seen.of("perdure_model_cost_usd_total", **named) == 0.5
    assert seen.of("perdure_model_tokens_total", direction="input", model="m2") == 6


async def test_the_metrics_of_the_agent_are_there_under_names_that_prometheus_takes() -> None:
    async def act(event: Any, ctx: Any) -> None:
        group, own = ctx.agent_metric_group, ctx.action_metric_group
        group.get_counter("scored").inc(3)
        group.get_counter("a-b").inc()
        group.get_counter("a b").inc(2)
        own.get_counter("scored").inc()
        group.get_gauge("load").update(0.5)
        group.get_gauge("size_sum").update(9)
        group.get_gauge("text").update("no number")
        group.get_gauge("metrics_left_out").update(7)
        group.get_meter("seen_total").mark(4)
        size = group.get_sub_group("tool", "x\ud800\n").get_histogram("size")
        size.update(2)
        size.update(4)

    seen = await scrape_of(doing(act), [1])
    assert seen.of("perdure_user_scored_total", group="") == 3
    assert seen.of("perdure_user_scored_total", group="act") == 1
    assert seen.of("perdure_user_a_b_total", group="") == 1
    assert seen.of("perdure_user_a_b_2_total", group="") == 2
    assert seen.of("perdure_user_load", group="") == 0.5
    assert seen.of("perdure_user_seen_total", group="") == 4
    inner = {"group": "tool.x\\ud800\\n"}
    assert seen.of("perdure_user_size_2_count", **inner) == 2
    assert seen.of("perdure_user_size_2_sum", **inner) == 6
    assert seen.of("perdure_user_size_2_min", **inner) == 2
    assert seen.of("perdure_user_size_2_max", **inner) == 4
    assert seen.of("perdure_user_metrics_left_out") == 1
    assert seen.of("perdure_user_metrics_left_out_2", group="") == 7


async def test_replays_and_divergences_are_counted(tmp_path: Path) -> None:
    first_life = True

    async def act(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(add, 1)
        await ctx.durable_execute_async(add, 2 if first_life or event.input == "same" else 3)
        await ctx.wait_for_signal("go")

    engine = LocalEngine(f"sqlite:///{tmp_path}/own.db", job="own")
    with pytest.raises(PerdureError):
        async with engine.open(doing(act)) as job:
            runs = [await job.submit(value, key=value) for value in ("same", "other")]
            async with asyncio.timeout(PATIENCE):
                while any(run.status is not RunStatus.WAITING for run in runs):
                    await asyncio.sleep(0.01)
            job.stop_now()
    first_life = False
    async with engine.open(doing(act)) as job:
        async with client_of(perdure.web.app(job, tokens=[SECRET])) as client:
            assert await job.run(runs[1].id).wait() is RunStatus.FAILED

            async def is_replayed() -> bool:
                return (await scraped(client)).of("perdure_calls_replayed_total") >= 3

            await until(is_replayed)
            assert (await scraped(client)).of("perdure_divergences_total") == 1
        await job.cancel(runs[0].id)


async def test_nobody_who_does_not_ask_is_measured() -> None:
    async def act(event: Any, ctx: Any) -> None:
        await ctx.durable_execute_async(add, 1)

    async with LocalEngine("memory://", job="own").open(doing(act)) as job:
        await (await job.submit(1, key=1)).wait()
        services = services_of(job)
        assert services.measures is None
        assert services.commits.measure is None
