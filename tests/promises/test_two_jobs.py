"""Two jobs of one process at once: each has its own resources, and takes its own runs alone."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from tests.promises.support import agent_of, out, values

from perdure import (
    Agent,
    ChatModel,
    Document,
    FunctionTool,
    InputEvent,
    LocalEngine,
    ResourceType,
    RunNotFoundError,
    RunStatus,
    ToolCall,
    VectorStore,
    chat,
)
from perdure.engine.job import Job, Run
from perdure.testing import ScriptedChatModel


async def documents(event: Any, ctx: Any) -> None:
    store = ctx.get_resource("own", ResourceType.VECTOR_STORE)
    await ctx.durable_execute_async(store.add, [Document(f"of {event.input}")])
    await ctx.sleep(0.05)
    found = await ctx.durable_execute_async(store.get)
    out(ctx, [each.content for each in found])


async def chats(event: Any, ctx: Any) -> None:
    await ctx.sleep(event.input)  # the other job closes before this one asks
    out(ctx, (await chat(ctx, "model", "go")).response.content)


def both(agent: Agent, inputs: list[Any]) -> list[Any]:
    async def main() -> list[Any]:
        engines = [LocalEngine("memory://", job=f"job {n}") for n in range(len(inputs))]
        ran = [
            engine.run_async(agent, [value], key=lambda _: "k")
            for engine, value in zip(engines, inputs, strict=True)
        ]
        return [[each.value for each in outputs] for outputs in await asyncio.gather(*ran)]

    return asyncio.run(main())


def test_documents_go_into_the_index_of_the_own_job() -> None:
    agent = Agent().add_action("go", InputEvent, documents)
    agent.add_resource("own", ResourceType.VECTOR_STORE, VectorStore())
    assert both(agent, ["job a", "job b"]) == [[["of job a"]], [["of job b"]]]


def test_what_a_model_names_is_found_though_another_job_has_closed() -> None:
    async def look() -> str:
        return "found"

    connection = ScriptedChatModel(
        lambda messages, tools: (
            messages[-1].content
            if len(messages) > 1
            else ToolCall(id="1", name="look", arguments={})
        )
    )
    agent = Agent().add_action("go", InputEvent, chats)
    agent.add_resource("look", ResourceType.TOOL, FunctionTool(look))
    model = ChatModel("any", connection=connection, tools=["look"])
    agent.add_resource("model", ResourceType.CHAT_MODEL, model)
    assert both(agent, [0.0, 0.1]) == [["found"], ["found"]]
    assert len(connection.requests) == 4, "a copy shares what the original keeps in lists"


def test_one_after_the_other_uses_the_instance_itself() -> None:
    store = VectorStore()
    seen = []

    async def watch(event: Any, ctx: Any) -> None:
        seen.append(ctx.get_resource("own", ResourceType.VECTOR_STORE))

    watching = Agent().add_action("go", InputEvent, watch)
    watching.add_resource("own", ResourceType.VECTOR_STORE, store)
    for _ in range(2):
        LocalEngine("memory://").run(watching, [1], key=str)
    assert all(each is store for each in seen)
    assert store.resource_context is None, "closed"


async def waits(event: Any, ctx: Any) -> None:
    out(ctx, await ctx.wait_for_signal("go"))


WAITING = agent_of(waits)


def commands(job: Job, run: Run) -> list[Callable[[], Awaitable[Any]]]:
    """All that a job may be asked of a run."""
    return [
        lambda: job.signal(run, "go", "wrong"), lambda: job.approve(run), lambda: job.cancel(run),
        lambda: job.retry(run), lambda: job.input_ids([run]),
    ]  # fmt: skip


async def refuses(job: Job, run: Run, why: str) -> None:
    for command in commands(job, run):
        with pytest.raises(RunNotFoundError, match=why):
            await command()


@pytest.mark.parametrize("memory", [False, True])
def test_a_run_of_another_job_or_store_is_not_taken_for_the_own_one_with_its_id(
    tmp_path: Path, memory: bool
) -> None:
    one, other = ["memory://"] * 2 if memory else [f"sqlite:///{tmp_path}/{n}.db" for n in "ab"]
    places = [(one, "a"), (other, "a")] + ([] if memory else [(one, "b")])

    async def main() -> None:
        jobs = [await LocalEngine(store, job=job).start(WAITING) for store, job in places]
        runs = [await job.submit(1, key="k", id=f"{n}") for n, job in enumerate(jobs)]
        assert len({run.id for run in runs}) == 1
        for job in jobs:
            for run, theirs, (_store, name) in zip(runs, jobs, places, strict=True):
                if theirs is not job:
                    await refuses(job, run, f"run r1 is of job '{name}'")
        assert not any(run.status.is_final for run in runs), "nothing was done to any"
        for n, (job, run) in enumerate(zip(jobs, runs, strict=True)):
            assert await job.input_ids([run]) == {run.id: f"{n}"}
            assert await job.signal(run, "go", n)
            assert values(await run.outputs()) == [n]
            await job.close()

    asyncio.run(main())


def test_a_run_of_the_generation_before_is_no_run_of_the_present_one(store: str) -> None:
    async def main() -> None:
        engine = LocalEngine(store)
        before = await engine.start(WAITING)
        old = await before.submit(1, key="k")
        await old.cancel()
        await before.close()
        job = await engine.start(WAITING, fresh=True)
        run = await job.submit(1, key="k")
        assert run.id == old.id
        await refuses(job, old, "is of another generation of job 'default'")
        assert await job.cancel(run)
        await job.close()

    asyncio.run(main())


def test_a_run_is_taken_by_its_job_when_that_is_opened_again_by_another_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    async def main() -> None:
        before = await LocalEngine("runs.db").start(WAITING)
        run = await before.submit(1, key="k")
        await before.close()
        (tmp_path / "link.db").symlink_to("runs.db")
        job = await LocalEngine(f"sqlite:///{tmp_path}/link.db").start(WAITING)
        assert await job.signal(run, "go", "went")
        again = job.run(run.id)
        assert await again.wait() is RunStatus.COMPLETED
        assert values(await again.outputs()) == ["went"]
        await job.close()

    asyncio.run(main())


def test_a_run_in_memory_is_taken_by_its_job_when_that_is_opened_again() -> None:
    async def main() -> None:
        engine = LocalEngine("memory://")
        before = await engine.start(WAITING)
        run = await before.submit(1, key="k")
        await before.close()
        job = await engine.start(WAITING)
        assert await job.cancel(run)
        await job.close()

    asyncio.run(main())
