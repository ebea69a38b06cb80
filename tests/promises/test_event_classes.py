"""An action that cannot take an event as the class it names fails its run, and no other (G9)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.promises import support

from perdure import Agent, EncodeError, Event, InputEvent, OutputEvent, action


class Scored(Event):
    score: int


class Plain(Agent):
    @action(Scored, InputEvent)
    def take(self, event: Scored, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=event.score))


class Coroutine(Agent):
    @action(Scored, InputEvent)
    async def take(self, event: Scored, ctx: Any) -> None:
        ctx.send_event(OutputEvent(output=event.score))


@pytest.mark.parametrize("agent", [Plain, Coroutine])
def test_g9_an_event_that_an_action_cannot_take_fails_its_run(store: str, agent: Any) -> None:
    failed = support.failures(agent, [1, 2], store=store, key=lambda value: value)
    assert len(failed.failed) == 2
    assert "is no Scored: it lacks 'score'" in support.error_text(failed)


@pytest.mark.parametrize("wrong", [5, "\ud800"])
def test_g9_a_type_that_is_set_to_what_is_none_is_refused_where_it_is_sent(
    store: str, wrong: Any
) -> None:
    async def go(event: Any, ctx: Any) -> None:
        changed = Event(type="x")
        changed.type = wrong
        with pytest.raises(EncodeError, match=r"action go.* is no event type: "):
            ctx.send_event(changed)
        support.out(ctx, "sent no other")

    assert support.run(support.agent_of(go), [1], store=store, key=str) == ["sent no other"]
