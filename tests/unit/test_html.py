"""What notebooks show of runs and outputs: what one would ask, and nothing that acts."""

from __future__ import annotations

import asyncio
import re
from typing import Any

import pytest

from perdure import (
    Agent,
    InputEvent,
    LocalEngine,
    Output,
    OutputEvent,
    RunsFailedError,
    RunStatus,
    action,
)
from perdure.run.html import shown_moment, table


class Replies(Agent):
    @action(InputEvent)
    async def reply(self, event: InputEvent, ctx: Any) -> None:
        if event.input == "fail":
            raise ValueError("<b>no</b>")
        if event.input == "wait":
            ctx.set_status("asking")
            await ctx.wait_for_signal("go")
        ctx.send_event(OutputEvent(output={"said": event.input}))


def cells(thing: Any) -> dict[str, str]:
    found = re.findall(r"<th[^>]*>(.*?)</th><td[^>]*><code>(.*?)</code>", thing._repr_html_())
    return dict(found)


def test_an_output_is_a_table_of_itself() -> None:
    output = Output("<script>x</script>", ("a", 1), "r1", "id\x1b[31m")
    assert cells(output) == {
        "value": "&lt;script&gt;x&lt;/script&gt;",
        "key": "(&#x27;a&#x27;, 1)",
        "run": "r1",
        "id": "id\\x1b[31m",
    }
    assert output._repr_html_().startswith("<table><caption>Output</caption>")


def test_a_run_says_what_it_waits_for_why_it_failed_and_what_it_sent() -> None:
    engine = LocalEngine("memory://")
    with pytest.raises(RunsFailedError):
        engine.run(Replies, ["fail", "hello"], key=str)
    failed, done = cells(engine.run_info("r1")), cells(engine.run_info("r2"))
    assert (failed["status"], failed["error"]) == ("failed", "ValueError: &lt;b&gt;no&lt;/b&gt;")
    assert (done["status"], done["input"], done["sequence"]) == ("completed", "hello", "1")
    assert done["outputs"] == "({&#x27;said&#x27;: &#x27;hello&#x27;},)"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC", done["finished"])
    assert not {"error", "waits for", "due", "activity"} & done.keys()

    async def wait() -> None:
        async with engine.open(Replies) as job:
            run = await job.submit("wait", key="w")
            while run.status is not RunStatus.WAITING or not run.waits:
                await asyncio.sleep(0.002)
            expected = {"key": "w", "status": "waiting", "activity": "asking"}
            assert cells(run) == {**expected, "waits for": "signal go"}
            while engine.run_info(run.id).status is not RunStatus.WAITING:  # durable a bit later
                await asyncio.sleep(0.002)
            info = cells(engine.run_info(run.id))
            assert info.items() >= {**expected, "waits for": "signal go"}.items()
            assert "finished" not in info
            await run.signal("go")

    asyncio.run(wait())


def test_a_long_value_is_cut_and_a_moment_is_utc() -> None:
    assert len(table("x", [("value", "y" * 5000)])) < 1200
    assert shown_moment(0) == ""
    assert shown_moment(1_000_000_000_000_000_000) == "2001-09-09 01:46:40 UTC"
