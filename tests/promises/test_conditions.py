"""Conditions trigger each action at most once by an event, and the same actions after a crash."""

from __future__ import annotations

import dataclasses
import functools
import logging
from typing import Any

import pytest
from tests.promises import support
from tests.promises.support import State, error_text, hold, out

from perdure import (
    Agent,
    Event,
    EventType,
    InputEvent,
    LocalEngine,
    OutputEvent,
    action,
    register_type,
)
from perdure.testing import simulate

STRATEGY = "action.trigger-condition.evaluate-failure-strategy"


def one_key(value: Any) -> str:
    return "k"


run = functools.partial(support.run, key=one_key)
failures = functools.partial(support.failures, key=one_key)
crash_and_resume = functools.partial(support.crash_and_resume, key=one_key)


class Scored(Event):
    score: int
    note: str = ""


@register_type
@dataclasses.dataclass
class Review:
    stars: int
    tags: list[str]


class Triage(Agent):
    @action("type == EventType.InputEvent && input.score > 80", "input.urgent == true")
    def high(self, event: InputEvent, ctx: Any) -> None:
        out(ctx, "high")
        ctx.send_event(Scored(score=event.input["score"]))

    @action(InputEvent)
    def every(self, event: InputEvent, ctx: Any) -> None:
        out(ctx, "every")

    @action("type == 'Scored' && score > 90", Scored, "score > 85")
    def scored(self, event: Scored, ctx: Any) -> None:
        out(ctx, f"scored {event.score}")

    @action("has(score) && note == ''")
    def anything_scored(self, event: Event, ctx: Any) -> None:
        out(ctx, f"anything {event.type}")


def test_alternatives_trigger_an_action_once(store: str) -> None:
    both = run(Triage, [{"score": 95, "urgent": True}], store=store)
    assert sorted(both) == ["anything Scored", "every", "high", "scored 95"]


def test_what_meets_no_condition_triggers_by_type_alone(store: str) -> None:
    assert run(Triage, [{"score": 3, "urgent": False}], store=store) == ["every"]


def test_those_that_the_type_triggers_come_first() -> None:
    first = run(Triage, [{"score": 95, "urgent": True}])[0]
    assert first == "every", "declared second, but the type alone triggers it"


def test_conditions_given_to_add_action(store: str) -> None:
    agent = Agent().add_action("good", "input.stars >= 4", lambda event, ctx: out(ctx, "good"))
    agent.add_action("late", ["'late' in input.tags"], lambda event, ctx: out(ctx, "late"))
    inputs = [Review(5, []), Review(1, ["late"]), Review(4, ["late"]), Review(1, [])]
    assert sorted(run(agent, inputs, store=store)) == ["good", "good", "late", "late"]


def test_outputs_trigger_nothing() -> None:
    agent = Agent().add_action("all", "true", lambda event, ctx: out(ctx, event.type))
    assert run(agent, [1]) == [EventType.InputEvent]


def test_an_id_is_that_of_the_event(store: str) -> None:
    class ById(Agent):
        @action(InputEvent)
        def begin(self, event: InputEvent, ctx: Any) -> None:
            ctx.send_event(Scored(score=1, note=event.id))

        @action("type == 'Scored' && id != '' && id != note")
        def other(self, event: Scored, ctx: Any) -> None:
            out(ctx, event.id != event.note)

    assert run(ById, [1], store=store) == [True]


# Failures


class Careless(Agent):
    """Its condition reads what not every event has; its alternative is for those."""

    @action("input.score > 80", "input.kind == 'late'")
    def check(self, event: InputEvent, ctx: Any) -> None:
        out(ctx, event.input)


def test_a_condition_that_fails_counts_as_not_met(
    store: str, caplog: pytest.LogCaptureFixture
) -> None:
    inputs: list[Any] = [{"score": 90}, {"kind": "late"}]
    with caplog.at_level(logging.WARNING, "perdure"):
        assert sorted(run(Careless, inputs, store=store), key=str) == [inputs[1], inputs[0]]
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1, warnings
    assert warnings[0].startswith("action 'check', condition 'input.score > 80', event ")
    assert warnings[0].endswith(
        "of type _input_event: there is no 'score': guard it with has(...): it counts as not met"
    )


@pytest.mark.parametrize("value", ["FAIL", "fail"])
def test_a_condition_that_fails_fails_the_run(store: str, value: str) -> None:
    inputs: list[Any] = [{"score": 90}, {"kind": "late"}]
    failed = failures(Careless, inputs, store=store, config={STRATEGY: value})
    assert [output.value for output in failed.outputs] == [inputs[0]]
    assert len(failed.failed) == 1
    assert error_text(failed).startswith(
        "perdure.errors.ConditionError: action 'check', condition 'input.score > 80', event "
    )


class Sender(Agent):
    @action(InputEvent)
    async def send(self, event: InputEvent, ctx: Any) -> None:
        State.calls.append("send")
        ctx.short_term_memory.set("seen", True)
        ctx.send_event(Event(type="odd", attributes={"score": "many"}))
        out(ctx, "sent")

    @action("type == 'odd' && score > 3")
    def take(self, event: Event, ctx: Any) -> None:
        out(ctx, "taken")


def test_nothing_of_an_action_is_visible_whose_event_fails_a_condition(store: str) -> None:
    assert run(Sender, [1]) == ["sent"]
    failed = failures(Sender, [1], store=store, config={STRATEGY: "FAIL"})
    assert failed.outputs == []
    assert "No such overload" in error_text(failed)


@pytest.mark.parametrize(
    ("agent", "value"), [(Sender, 1), (Careless, {"kind": "late"})], ids=["sent", "input"]
)
def test_a_failed_condition_is_tried_again_with_its_run(
    store: str, agent: type[Agent], value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    config = {
        STRATEGY: "FAIL", "error-handling-strategy": "retry", "max-retries": 2,
        "retry-wait-interval": 0.01,
    }  # fmt: skip
    with caplog.at_level(logging.WARNING, "perdure"):
        failed = failures(agent, [value], store=store, config=config)
    assert "ConditionError" in error_text(failed)
    again = [r for r in caplog.records if "trying again" in r.getMessage()]
    assert len(again) == 2
    if agent is Sender:
        assert State.calls == ["send"] * 3


def test_a_wrong_strategy_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of WARN_AND_SKIP, FAIL"):
        LocalEngine("memory://", config={STRATEGY: "ignore"})


# Crashes


async def double(value: int) -> int:
    return 2 * value


class Resumed(Agent):
    @action("has(input.big) && input.big")
    async def begin(self, event: InputEvent, ctx: Any) -> None:
        State.calls.append("begin")
        for score in (3, 30, 300):
            ctx.send_event(Scored(score=score))

    @action("type == 'Scored' && score > 10", "score == 300")
    async def work(self, event: Scored, ctx: Any) -> None:
        if event.score == 30:
            State.calls.append(f"work {await ctx.durable_execute_async(double, 15)}")
            await ctx.durable_execute_async(hold)
        out(ctx, event.score)

    @action("nothing.at.all == 1")
    def never(self, event: Event, ctx: Any) -> None:
        out(ctx, "never")


def test_g3_the_same_actions_are_triggered_after_a_crash(store: str) -> None:
    assert sorted(crash_and_resume(Resumed, [{"big": True}], store=store)) == [30, 300]
    assert State.calls == ["begin", "work 30", "work 30"]


def test_g3_what_was_triggered_goes_on_though_its_condition_has_changed(sqlite: str) -> None:
    class Changed(Resumed):
        @action("type == 'Scored' && score > 1000")
        async def work(self, event: Scored, ctx: Any) -> None:
            await Resumed.work(self, event, ctx)

    done = crash_and_resume(Resumed, [{"big": True}], store=sqlite, resume_with=Changed())
    assert sorted(done) == [30, 300]


class Simulated(Agent):
    @action("input > 1")
    async def begin(self, event: InputEvent, ctx: Any) -> None:
        value = await ctx.durable_execute_async(double, event.input)
        ctx.send_event(Scored(score=value))
        ctx.send_event(Scored(score=1))

    @action("type == 'Scored' && score > 3", "score == 1 && note == ''")
    async def end(self, event: Scored, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=await ctx.durable_execute_async(double, event.score)))


def test_g3_a_crash_after_any_commit_changes_nothing() -> None:
    simulate(Simulated, [1, 2], key=lambda value: value, seeds=3)
