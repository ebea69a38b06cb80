"""Draws the README's picture: `perdure trace` of a run that was killed and resumed.

The run is made for it, in a process of its own that is killed for good half way.
"""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

from perdure import Agent, InputEvent, LocalEngine, OutputEvent, RunnerContext, action
from perdure.cli.timeline import _BLOCKS, timeline
from perdure.operate.history import History

PICTURE = Path(__file__).parent / "pictures" / "resumed-run.svg"
STORE, JOB, WIDTH = "sqlite:///reviews.db", "reviews", 108


async def search(product: str) -> str:
    await asyncio.sleep(0.5)
    return f"what others say of {product}"


async def judge(text: str, aspect: str) -> bool:
    print(aspect, flush=True)
    await asyncio.sleep({"price": 0.6, "fit": 1.1, "colour": 1.8}[aspect])
    return True


async def summarise(judged: list[bool]) -> str:
    await asyncio.sleep(0.7)
    return "a good buy"


class Reviews(Agent):
    """Judges a product by three aspects at once, and sums up."""

    @action(InputEvent)
    async def analyse(self, event: InputEvent, ctx: RunnerContext) -> None:
        found = await ctx.durable_execute_async(search, event.input)
        aspects = [
            ctx.durable_execute_async(judge, found, aspect) for aspect in ("price", "fit", "colour")
        ]
        judged = await asyncio.gather(*aspects)
        summary = await ctx.durable_execute_async(summarise, judged)
        ctx.send_event(OutputEvent(output=summary))


def run() -> None:
    """Run the job to its end: what a process of its own does."""
    LocalEngine(store=STORE, job=JOB).run(Reviews(), ["B01"], key=str)


def killed_and_resumed() -> None:
    """Run the job, kill it when one of three judgements is there, and run it to its end."""
    again = [sys.executable, __file__, "run"]
    first = subprocess.Popen(again, stdout=subprocess.PIPE, text=True)
    assert first.stdout is not None
    with first.stdout as begun:
        while begun.readline().strip() != "colour":
            pass
        settled = 0
        while settled < 2:  # `search` and the quickest judgement
            with History.open(STORE) as history:
                detail = history.detail(history.job(JOB), "r1")
            settled = sum(call.settled_at is not None for call in detail.actions[0].calls)
    first.kill()
    first.wait()
    subprocess.run(again, check=True, stdout=subprocess.DEVNULL)


def drawn() -> str:
    """Return the picture, as SVG that loads no font from elsewhere."""
    with History.open(STORE) as history:
        detail = history.detail(history.job(JOB), "r1")
    console = Console(
        record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, highlight=False,
        color_system="truecolor",
    )  # fmt: skip
    console.print(Text("$ perdure trace r1", style="bold"))
    for line in timeline(detail, JOB, WIDTH, _BLOCKS):
        console.print(line, soft_wrap=True)
    form = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    return console.export_svg(title="a run that was killed, and resumed", code_format=form)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        killed_and_resumed()
        PICTURE.write_text(drawn(), "utf-8")
        os.chdir("/")


if __name__ == "__main__":
    run() if sys.argv[1:] == ["run"] else main()
