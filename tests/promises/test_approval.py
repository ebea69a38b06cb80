"""Approval: a tool call waits for a person, who agrees, refuses or changes its arguments."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.promises.chat_support import BOTH, ByEvents, model, said_by_tools, weather
from tests.promises.legs import Legs, go, results, until
from tests.promises.support import State, agent_of, out

from perdure import ChatRequestEvent, ResourceType, RunStatus, UnreadableAnswerError, chat
from perdure.actions.react import ReActAgent
from perdure.llm.message import ToolCall
from perdure.llm.tool import tool


@tool(requires_approval=True)
async def pay(amount: int, to: str = "Ada") -> str:
    """Pay somebody."""
    State.calls.append((amount, to))
    return f"paid {amount} to {to}"


def pays(*amounts: int) -> list[ToolCall]:
    return [ToolCall(id=f"p{n}", name="pay", arguments={"amount": n}) for n in amounts]


def agent_that_pays(*amounts: int, sort: Any = ByEvents, also: Any = ()) -> Any:
    def script(messages: Any, tools: Any) -> Any:
        return " & ".join(said_by_tools(messages)) or [*also, *pays(*amounts)]

    return sort(model(script, tools=[pay, weather]))


def waiting(run_: Any) -> list[dict[str, Any]]:
    """Return what the run's status lists."""
    said = run_.activity
    return said.get("waiting_for_approval", []) if isinstance(said, dict) else []


async def asks(run_: Any, count: int = 1) -> dict[int, str]:
    """Wait until calls wait for approval; return the signals by the amounts."""
    await until(lambda: len(waiting(run_)) == count)
    await until(lambda: run_.status is RunStatus.WAITING)
    return {each["arguments"]["amount"]: each["signal"] for each in waiting(run_)}


async def decided(run_: Any, value: Any) -> str:
    """Decide the one call that waits; return the run's output."""
    ((_, signal),) = (await asks(run_)).items()
    assert await run_.signal(signal, value)
    (output,) = await results(run_)
    return str(output)


@pytest.mark.parametrize("sort", BOTH)
def test_a_call_waits_and_the_status_says_for_what(sort: Any, store: str) -> None:
    legs = Legs(store)

    async def test() -> None:
        async with legs.opened(agent_that_pays(5, sort=sort)) as job:
            run_ = await job.submit({}, key="a")
            await asks(run_)
            (listed,) = waiting(run_)
            assert listed["tool"] == "pay"
            assert listed["arguments"] == {"amount": 5}
            assert listed["signal"].startswith("approve-")
            await asyncio.sleep(0.02)
            assert State.calls == []
            assert await run_.signal(listed["signal"], True)
            assert await results(run_) == ["paid 5 to Ada"]
            assert run_.activity is None
            assert State.calls == [(5, "Ada")]

    go(test)


YES = [True, "yes", " Yes ", "Y", "true", "ok", "approve", "APPROVED",
       {"approved": True}, {"approved": "yes"}, {"approved": True, "reason": "fine"}]  # fmt: skip
NO = [False, "no", " No ", "N", "false", "reject", "REJECTED", {"approved": False},
      {"approved": "no"}]  # fmt: skip
UNCLEAR = [None, "", "yes!", "yes please", "not ok", 1, 1.0, 0, [True], ["yes"], {},
           {"approved": 1}, {"approved": None}, {"approve": True}, {"ok": True},
           {"approved": True, "arguments": [5]}, {"approved": True, "arguments": '{"amount": 1}'},
           {"approved": {"approved": True}}, {"approved": True, "argument": {"amount": 1}},
           {"approved": True, "Arguments": {"amount": 1}}, {"approved": True, 1: 2}]  # fmt: skip


def decisions(values: list[Any], store: str) -> list[str]:
    async def test() -> list[str]:
        async with Legs(store).opened(agent_that_pays(5)) as job:
            runs = [await job.submit({}, key=f"{n}") for n in range(len(values))]
            pairs = zip(runs, values, strict=True)
            return list(await asyncio.gather(*(decided(run_, value) for run_, value in pairs)))

    found: list[str] = go(test)
    return found


def test_clear_words_agree(store: str) -> None:
    assert decisions(YES, store) == ["paid 5 to Ada"] * len(YES)
    assert len(State.calls) == len(YES)


def test_clear_words_refuse(store: str) -> None:
    said = decisions(NO, store)
    assert said == ["Error: a person refused the call of pay"] * len(NO)
    assert State.calls == []


def test_g27_whatever_is_not_clear_is_neither(store: str) -> None:
    async def test() -> None:
        async with Legs(store).opened(agent_that_pays(5)) as job:
            run_ = await job.submit({}, key="a")
            ((_, signal),) = (await asks(run_)).items()
            for value in UNCLEAR:
                with pytest.raises(UnreadableAnswerError):
                    await run_.signal(signal, value)
            assert State.calls == []
            assert await run_.approve(approved=False, comment="enough") == signal
            assert await results(run_) == ["Error: a person refused the call of pay: enough"]

    go(test)


def test_a_refusal_tells_the_model_why(store: str) -> None:
    said = decisions([{"approved": False, "reason": "too much"}], store)
    assert said == ["Error: a person refused the call of pay: too much"]


def test_arguments_can_be_changed_and_are_checked(store: str) -> None:
    said = decisions(
        [
            {"approved": True, "arguments": {"amount": 2, "to": "Bob"}},
            {"approved": True, "arguments": {"amount": "much"}},
            {"approved": True, "arguments": {}},
        ],
        store,
    )
    assert said[0] == "paid 2 to Bob"
    assert said[1].startswith("Error: ")
    assert "amount" in said[1]
    assert "amount" in said[2]
    assert State.calls == [(2, "Bob")]


@pytest.mark.parametrize("sort", BOTH)
def test_two_calls_of_one_tool_need_two_approvals(sort: Any, store: str) -> None:
    async def test() -> None:
        async with Legs(store).opened(agent_that_pays(1, 2, sort=sort)) as job:
            run_ = await job.submit({}, key="a")
            signals = await asks(run_, 2)
            assert len(set(signals.values())) == 2
            await run_.signal(signals[2], True)
            await until(lambda: State.calls == [(2, "Ada")])
            assert list(await asks(run_)) == [1]
            await run_.signal(signals[1], {"approved": False, "reason": "once is enough"})
            assert await results(run_) == [
                "Error: a person refused the call of pay: once is enough & paid 2 to Ada"
            ]

    go(test)


def test_a_signal_sent_twice_approves_nothing_else(store: str) -> None:
    def script(messages: Any, tools: Any) -> Any:
        said = said_by_tools(messages)
        return pays(len(said) + 1) if len(said) < 2 else " & ".join(said)

    async def test() -> None:
        async with Legs(store).opened(ByEvents(model(script, tools=[pay]))) as job:
            run_ = await job.submit({}, key="a")
            first = (await asks(run_))[1]
            assert [await run_.signal(first, True) for _ in range(3)] == [True] * 3
            await until(lambda: waiting(run_) and waiting(run_)[0]["arguments"]["amount"] == 2)
            second = (await asks(run_))[2]
            assert second != first
            await run_.signal(first, True)
            await asyncio.sleep(0.03)
            assert State.calls == [(1, "Ada")]
            await run_.signal(second, False)
            assert await results(run_) == [
                "paid 1 to Ada & Error: a person refused the call of pay"
            ]

    go(test)


def test_an_approval_is_no_other_runs(store: str) -> None:
    async def test() -> None:
        async with Legs(store).opened(agent_that_pays(1)) as job:
            first, second = [await job.submit({}, key=key) for key in "ab"]
            signals = [(await asks(run_))[1] for run_ in (first, second)]
            assert signals[0] != signals[1]
            await second.signal(signals[0], True)
            await asyncio.sleep(0.03)
            assert State.calls == []
            await first.signal(signals[0], True)
            await second.signal(signals[1], True)
            assert await results(first) == await results(second) == ["paid 1 to Ada"]

    go(test)


@pytest.mark.parametrize("sort", BOTH)
def test_what_waits_survives_a_restart(sort: Any, store: str) -> None:
    legs = Legs(store)
    agent = agent_that_pays(1, 2, sort=sort)

    async def test() -> None:
        async with legs.crashing(agent) as job:
            run_ = await job.submit({}, key="a", id="i")
            before = await asks(run_, 2)
        async with legs.crashing(agent) as job:
            run_ = await job.submit({}, key="a", id="i")
            await asks(run_, 2)
            await run_.signal(before[1], True)
            await until(lambda: State.calls == [(1, "Ada")])
            await asks(run_)
        async with legs.opened(agent) as job:
            run_ = await job.submit({}, key="a", id="i")
            assert await asks(run_) == {2: before[2]}
            await run_.signal(before[2], True)
            assert await results(run_) == ["paid 1 to Ada & paid 2 to Ada"]
        assert State.calls == [(1, "Ada"), (2, "Ada")]
        assert len(agent_requests(agent)) == 2

    go(test)


def agent_requests(agent: Any) -> list[Any]:
    """Return the requests of the agent's model."""
    (spec,) = vars(agent)["_added_resources"]
    return list(spec.source.connection.requests)


def test_an_approval_sent_while_the_job_is_closed_counts(store: str) -> None:
    legs = Legs(store)
    agent = agent_that_pays(7)

    async def test() -> str:
        async with legs.crashing(agent) as job:
            run_ = await job.submit({}, key="a", id="i")
            (signal,) = (await asks(run_)).values()
        legs.engine.signal(run_.id, signal, True)
        async with legs.opened(agent) as job:
            run_ = await job.submit({}, key="a", id="i")
            return str((await results(run_))[0])

    assert go(test) == "paid 7 to Ada"


def test_other_tools_of_the_turn_do_not_wait(store: str) -> None:
    also = [ToolCall(id="w", name="weather", arguments={"city": "Oslo"})]

    async def test() -> str:
        legs = Legs(store, **{"tool_call.parallelism": 1})
        async with legs.opened(agent_that_pays(1, also=also)) as job:
            run_ = await job.submit({}, key="a")
            (signal,) = (await asks(run_)).values()
            await until(lambda: State.calls == ["Oslo"])
            await run_.signal(signal, True)
            return str((await results(run_))[0])

    assert go(test) == "sunny in Oslo & paid 1 to Ada"


def test_bad_arguments_are_not_shown_to_a_person() -> None:
    """A person is not asked about a call that could not be made."""
    calls = [
        ToolCall(id="x", name="pay", arguments="{no json"),
        ToolCall(id="y", name="pay", arguments={"amount": "much"}),
        ToolCall(id="z", name="pay", arguments={}),
    ]
    setup = model(lambda messages, _: " & ".join(said_by_tools(messages)) or calls, tools=[pay])

    async def test() -> str:
        async with Legs("memory://").opened(ReActAgent(chat_model=setup)) as job:
            run_ = await job.submit("go", key="a")
            return str((await results(run_))[0])

    no_json, unfit, missing = go(test).split(" & ")
    assert no_json.startswith("Error: the arguments are no JSON object")
    assert "amount" in unfit
    assert "amount" in missing


def test_a_run_that_waits_for_a_person_can_be_cancelled(store: str) -> None:
    async def test() -> RunStatus:
        async with Legs(store).opened(agent_that_pays(1, 2)) as job:
            run_ = await job.submit({}, key="a")
            await asks(run_, 2)
            await run_.cancel()
            return await run_.wait()

    assert go(test) is RunStatus.CANCELLED
    assert State.calls == []


async def two_chats(event: Any, ctx: Any) -> None:
    answers = await asyncio.gather(*(chat(ctx, "m", f"{n}") for n in (1, 2)))
    out(ctx, [each.response.content for each in answers])


class TwoRequests(ByEvents):
    def _begin(self, event: Any, ctx: Any) -> None:
        for n in (1, 2):
            ctx.send_event(ChatRequestEvent("m", f"{n}"))


@pytest.mark.parametrize("sort", ["inside", "events"])
def test_what_several_chats_of_a_run_wait_for_is_listed_together(sort: str, store: str) -> None:
    def script(messages: Any, tools: Any) -> Any:
        return " & ".join(said_by_tools(messages)) or pays(int(messages[0].content))

    setup = model(script, tools=[pay])
    agent = TwoRequests(setup)
    if sort == "inside":
        agent = agent_of(two_chats).add_resource("m", ResourceType.CHAT_MODEL, setup)

    async def test() -> None:
        async with Legs(store).opened(agent) as job:
            run_ = await job.submit({}, key="a")
            signals = await asks(run_, 2)
            await run_.signal(signals[1], True)
            await until(lambda: State.calls == [(1, "Ada")])
            assert await asks(run_) == {2: signals[2]}
            await run_.signal(signals[2], True)
            await run_.wait()
            assert run_.activity is None

    go(test)


async def status_and_approval(event: Any, ctx: Any) -> None:
    ctx.set_status("thinking")
    out(ctx, (await chat(ctx, "m", "1")).response.content)


def test_a_status_of_the_action_is_kept_beside_what_waits(store: str) -> None:
    def script(messages: Any, tools: Any) -> Any:
        return " & ".join(said_by_tools(messages)) or pays(int(messages[0].content))

    agent = agent_of(status_and_approval)
    agent.add_resource("m", ResourceType.CHAT_MODEL, model(script, tools=[pay]))

    async def test() -> None:
        legs = Legs(store)
        async with legs.crashing(agent) as job:
            run = await job.submit({}, key="a", id="x")
            await asks(run)
            assert run.activity["status"] == "thinking"
        async with legs.opened(agent) as job:
            run = await job.submit({}, key="a", id="x")
            (signal,) = (await asks(run)).values()
            assert run.activity["status"] == "thinking"
            await run.signal(signal, True)
            await run.wait()
            assert run.activity == "thinking"

    go(test)
