"""G25: data that no store takes, in one input of many: at most its own run fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from tests.promises.support import echo, out, values

from perdure import Agent, Event, InputEvent, LocalEngine, RunsFailedError, action

COUNT = 600  # more than the 512 that are admitted at a time
CULPRIT = 555
SURROGATE = "lone \ud800 surrogate"
HUGE = 1 << 200


class Works(Agent):
    """Puts the input's `poison` where its `place` says."""

    @action(InputEvent)
    async def work(self, event: Any, ctx: Any) -> None:
        place, poison = event.input["place"], event.input["poison"]
        if place == "argument":
            await ctx.durable_execute_async(echo, poison)
        elif place == "result":
            await ctx.durable_execute_async(lambda: SURROGATE if poison == "s" else HUGE)
        elif place == "durable_id":
            await ctx.durable_execute_async(echo, 1, durable_id=str(poison))
        elif place == "path":
            ctx.short_term_memory.set(str(poison).replace(".", ""), 1)
        elif place == "memory":
            ctx.short_term_memory.set("value", poison)
        elif place == "event":
            ctx.send_event(Event(type="next", attributes={"value": poison}))
        elif place == "event_type":
            ctx.send_event(Event(type=str(poison), attributes={}))
        elif place == "error":
            raise LookupError(str(poison))
        else:
            await ctx.durable_execute_async(echo, event.input["n"])
        out(ctx, poison if place == "output" else event.input["n"])


def batch(place: str, poison: Any) -> list[dict[str, Any]]:
    inputs: list[dict[str, Any]] = [
        {"k": n, "n": n, "id": n, "place": "", "poison": None} for n in range(COUNT)
    ]
    inputs[CULPRIT].update(place=place, poison=poison)
    if place == "id":
        inputs[CULPRIT]["id"] = poison
    elif place == "key":
        inputs[CULPRIT]["k"] = poison
    return inputs


PLACES = [
    "id", "key", "argument", "result", "durable_id", "path", "memory", "event", "event_type",
    "output",
]  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("poison", [SURROGATE, HUGE], ids=["surrogate", "huge"])
def test_g25_a_poisonous_row_fails_at_most_its_own_run(place: str, poison: Any, store: str) -> None:
    inputs = batch(place, "s" if place == "result" and poison is SURROGATE else poison)
    engine = LocalEngine(store)
    failed: list[Any] = []
    try:
        outputs = engine.run(Works(), inputs, key="k", id="id")
    except RunsFailedError as error:
        outputs, failed = error.outputs, error.failed
        assert [info.sequence for info in failed] == [1]
        assert failed[0].error is not None
    others = [value for value in values(outputs) if value not in (CULPRIT, poison)]
    assert len(others) == COUNT - 1
    assert len(outputs) == COUNT - len(failed)
    assert [o.key for o in outputs if o.value == CULPRIT] in ([inputs[CULPRIT]["k"]], [])


@pytest.mark.parametrize("poison", [SURROGATE, HUGE], ids=["surrogate", "huge"])
def test_g25_a_poisonous_error_fails_its_own_run(poison: Any, store: str) -> None:
    with pytest.raises(RunsFailedError) as caught:
        LocalEngine(store).run(Works(), batch("error", poison), key="k", id="id")
    assert len(caught.value.failed) == 1
    assert len(caught.value.outputs) == COUNT - 1


@pytest.mark.parametrize("make", [lambda: {1: object()}, lambda: [lambda: 1]])
def test_g25_a_bad_input_ends_the_source_and_names_its_place(
    make: Callable[[], Any], store: str
) -> None:
    inputs: list[Any] = batch("", None)[:20]
    inputs[13] = {**inputs[13], "bad": make()}
    with pytest.raises(Exception, match=r"input 13 of inputs.*cannot be journaled"):
        LocalEngine(store).run(Works(), inputs, key="k", id="id")
