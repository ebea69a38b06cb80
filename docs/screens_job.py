"""The job of the pictures of the page: reviews of products, for an hour that is over in a minute.

Its clock is behind the one on the wall, and leaps from minute to minute. Its process is killed in
the middle of two runs, begins again, and then serves the page: `python screens_job.py killed`, then
`served`, which prints the port.
"""

import asyncio
import os
import random
import signal
import sys
import time

wall = time.time_ns
hurries = False  # as it does in what is past
behind = 0  # ns that the job's clock is behind the wall's


def shifted() -> int:
    return wall() - behind


time.time_ns = shifted  # before perdure is imported, which takes it then

import uvicorn

import perdure.web
from perdure import (
    Agent,
    InputEvent,
    Limit,
    LocalEngine,
    OutputEvent,
    RetryableError,
    RetryPolicy,
    RunnerContext,
    action,
    durable,
)
from perdure.engine.job import Job

CONFIG = {"limits": {"model": Limit(concurrency=2), "printer": Limit(concurrency=1)}}
ASPECTS = ("price", "fit", "colour", "seams", "zip")
MINUTE = 60 * 10**9  # ns
FIRST = 58  # minutes ago: the job began
DIED = 21  # minutes ago: the process was killed
QUICK = 0.02  # s that a call of those in the past takes
LONG = 900.0

busy: set[str] = set()
TEXTS = ("much too small", "a fair price", "the zip jams", "fits like a glove", "seams came loose")


async def search(product: str) -> str:
    await asyncio.sleep(QUICK if hurries else 0.5)
    return f"what others say of {product}"


@durable(limit="model", retry=RetryPolicy(max_attempts=4, initial_interval=0.3, jitter=0))
async def judge(text: str, aspect: str) -> bool:
    """Stand for a model, which is too busy at first."""
    await asyncio.sleep(QUICK if hurries else 0.3 + 0.2 * ASPECTS.index(aspect))
    if aspect == "seams" and not hurries and f"{text} {aspect}" not in busy:
        busy.add(f"{text} {aspect}")
        raise RetryableError("the model is busy")
    return aspect in text


async def summarise(judged: list[bool]) -> str:
    await asyncio.sleep(QUICK if hurries else 0.6)
    return "a good buy"


async def pay(order: str, amount: int) -> str:
    await asyncio.sleep(0.7)
    return f"receipt of {amount} for {order}"


@durable(limit="printer")
async def print_label(order: str) -> str:
    await asyncio.sleep(LONG)
    return order


async def deliver(product: str) -> None:
    await asyncio.sleep(QUICK)
    raise ConnectionError(f"the shop of {product} is closed")


class Reviews(Agent):
    """Judges products, and does for the pictures what its input says."""

    @action(InputEvent)
    async def analyse(self, event: InputEvent, ctx: RunnerContext) -> None:
        product, case = event.input["product"], event.input.get("case", "")
        if case:
            await getattr(self, case)(ctx, product)
            return
        found = await ctx.durable_execute_async(search, product)
        judged = await asyncio.gather(
            *(ctx.durable_execute_async(judge, found, aspect) for aspect in ASPECTS)
        )
        summary = await ctx.durable_execute_async(summarise, judged)
        ctx.send_event(OutputEvent(output=summary))

    async def one_by_one(self, ctx: RunnerContext, product: str) -> None:
        for aspect in ASPECTS[:4]:
            await ctx.durable_execute_async(judge, product, aspect)

    async def ask(self, ctx: RunnerContext, product: str) -> None:
        await ctx.wait_for_approval("refund", f"Refund {product}, which is damaged?")

    async def fail(self, ctx: RunnerContext, product: str) -> None:
        await ctx.durable_execute_async(deliver, product)

    async def labels(self, ctx: RunnerContext, product: str) -> None:
        numbers = range(1, 5)
        await asyncio.gather(
            *(ctx.durable_execute_async(print_label, f"{product}, parcel {n}") for n in numbers)
        )

    async def pay_both(self, ctx: RunnerContext, product: str) -> None:
        await ctx.durable_execute_async(pay, product, 20)
        await ctx.durable_execute_async(pay, product, 35)


async def work(first: int, last: int, job: Job) -> None:
    """Do what a job does from so many minutes ago to so many."""
    global behind, hurries
    hurries = True
    chance = random.Random(first)
    for minute in range(first, last, -1):
        behind = minute * MINUTE
        runs = []
        for number in range(chance.randint(1, 9) * (3 if 30 < minute < 40 else 1)):
            fails = chance.random() < (0.5 if minute in (33, 34, 2) else 0.01)
            product = f"B{minute:02}{number}"
            value = {"text": chance.choice(TEXTS), "product": product}
            if fails:
                value["case"] = "fail"
            runs.append(await job.submit(value, key=product, id=f"order-{minute}-{number}"))
        await asyncio.gather(*(run.outputs() for run in runs), return_exceptions=True)
        if minute % 17 == 1:
            refund = {"text": "it came damaged", "product": f"B{minute}", "case": "ask"}
            await job.submit(refund, key=f"B{minute}", id=f"refund-{minute}")
    hurries = False


async def killed(job: Job) -> None:
    """Be killed in the middle of two runs."""
    global behind
    await work(FIRST, DIED, job)
    behind = DIED * MINUTE
    await job.submit({"product": "B17", "case": "pay_both"}, key="B17", id="payment-B17")
    behind = DIED * MINUTE
    await job.submit({"product": "B01"}, key="B01", id="review-B01")
    await asyncio.sleep(1.15)  # `search`, the first payment, and two judgements are recorded
    os.kill(os.getpid(), signal.SIGKILL)


async def served(job: Job) -> None:
    """Do the rest, print the port, and go on until stopped."""
    global behind
    for id_ in ("payment-B17", "review-B01"):  # a little later
        await job.run(id_).outputs()
    await work(DIED - 2, 0, job)
    behind = 0
    slow = {"product": "B02", "case": "one_by_one"}
    await (await job.submit(slow, key="B02", id="review-B02")).outputs()
    await job.submit({"product": "B03", "case": "labels"}, key="B03", id="labels-B03")
    server = uvicorn.Server(
        uvicorn.Config(perdure.web.app(job, tokens=()), port=0, log_level="error")
    )
    serving = asyncio.ensure_future(server.serve())
    while not server.started:
        await asyncio.sleep(0.01)
    print(server.servers[0].sockets[0].getsockname()[1], flush=True)
    await serving


async def main(role: str) -> None:
    job = await LocalEngine("sqlite:///reviews.db", job="reviews", config=CONFIG).start(Reviews())
    await (killed(job) if role == "killed" else served(job))


if __name__ == "__main__":
    behind = {"killed": FIRST, "served": DIED}[sys.argv[1]] * MINUTE
    asyncio.run(main(sys.argv[1]))
