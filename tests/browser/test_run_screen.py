"""The Run screen in a real browser: what it shows, live, by keys, at each width, and as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.browser.world import Site, looked_at
from tests.patience import PATIENCE
from tests.web import support
from tests.web.support import READER, SECRET

from perdure import Agent, Event, InputEvent, LocalEngine, OutputEvent, RunnerContext, action
from perdure.cli.main import main

HOSTILE = "</script><img src=x onerror=alert(1)>\u202eevil\u0007\x1b[31m{{7*7}}"


async def look_up(order: str, page: int) -> dict[str, Any]:
    await asyncio.sleep(0.002 * (page % 5))
    return {"order": order, "page": page}


async def refuse(order: str) -> None:
    raise ValueError(f"cannot take {order}")


class Scored(Event):
    order: str


class Shop(Agent):
    """Looks pages of an order up, then does what the input says."""

    @action(InputEvent)
    async def triage(self, event: InputEvent, ctx: RunnerContext) -> None:
        given = event.input
        calls = [
            ctx.durable_execute_async(look_up, given["order"], n)
            for n in range(given.get("pages", 3))
        ]
        await asyncio.gather(*calls)
        ctx.short_term_memory.set("last", given["order"])
        ctx.send_event(Scored(order=given["order"]))

    @action(Scored)
    async def judge(self, event: Scored, ctx: RunnerContext) -> None:
        if event.order.startswith("bad"):
            await ctx.durable_execute_async(refuse, event.order)
        if event.order.startswith("gate"):
            await ctx.durable_execute_async(support.pass_gate, event.order)
        if event.order.startswith("ask"):
            consent = await ctx.wait_for_approval("refund", f"Refund {event.order}?")
            ctx.send_event(OutputEvent(output=[consent.approved, consent.by, consent.comment]))
            return
        ctx.send_event(OutputEvent(output="done"))


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    support.GATES.clear()
    with Site(agent=Shop()) as served:
        yield served


def opened(page: Page, site: Site, run: str, query: str = "", token: str = SECRET) -> None:
    """Go to a run's screen, with a token of its own."""
    page.goto(f"{site.url}#token={token}")
    expect(page.locator("#head nav")).to_be_visible()
    page.goto(f"{site.url}#/runs/{run}{query}")
    drawn(page)


def drawn(page: Page, least: int = 1) -> None:
    """Wait until so many bars are drawn."""
    page.wait_for_function(
        "least => Number(document.querySelector('.timeline-canvas')?.dataset.bars ?? 0) >= least",
        arg=least,
        timeout=PATIENCE * 1000,
    )


def bars(page: Page) -> int:
    return int(page.locator(".timeline-canvas").get_attribute("data-bars") or 0)


def fewer(page: Page, most: int) -> None:
    """Wait until fewer bars are drawn."""
    page.wait_for_function(
        "most => Number(document.querySelector('.timeline-canvas').dataset.bars) < most", arg=most
    )


def until(page: Page, status: str) -> None:
    expect(page.locator(f".run-title .badge.is-{status}")).to_be_visible()


def outputs_of(site: Site, run: str) -> list[Any]:
    """Wait for a run's end; return what came of it."""
    job = site.job
    assert job is not None

    async def outputs() -> list[Any]:
        return [output.value for output in await job.run(run).outputs()]

    return site.thread.run(outputs())


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_a_run_is_drawn_at_each_width(browser: Browser, site: Site, width: int, dark: bool) -> None:
    run = site.submit({"order": "B17", "pages": 8}, key=f"w{width}{dark}")
    with looked_at(browser, width, dark=dark) as page:
        opened(page, site, run)
        until(page, "completed")
        drawn(page, 8)
        overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        assert page.evaluate(overflow) == 0
        expect(page.locator(".run-sums")).to_contain_text("calls")


def test_what_a_run_waits_for_is_answered_where_it_is_seen(browser: Browser, site: Site) -> None:
    run = site.submit({"order": "ask"}, key="ask")
    with looked_at(browser) as page:
        opened(page, site, run)
        wait = page.locator(".run-wait")
        expect(wait).to_contain_text("Refund ask?")
        wait.get_by_label("Comment").fill("fine with me")
        wait.get_by_role("button", name="Approve").click()
        until(page, "completed")
        expect(wait).to_have_count(0)
    assert outputs_of(site, run) == [[True, "ann", "fine with me"]]


def test_who_may_only_read_gets_no_buttons_that_act(browser: Browser, site: Site) -> None:
    run = site.submit({"order": "ask again"}, key="reader")
    with looked_at(browser) as page:
        opened(page, site, run, token=READER.secret)
        expect(page.locator(".run-wait")).to_contain_text("Refund ask again?")
        assert page.locator(".run-head button").count() == 0


def test_a_run_that_goes_on_is_followed_and_a_reload_misses_nothing(
    browser: Browser, site: Site
) -> None:
    run = site.submit({"order": "gate 1"}, key="gate")
    with looked_at(browser) as page:
        opened(page, site, run)
        # The call at the gate is in no journal yet: the snapshot has it.
        page.wait_for_function(
            "() => [...document.querySelectorAll('.timeline table tr')]"
            ".some(row => /pass_gate/.test(row.textContent) && /running/.test(row.textContent))",
            timeout=PATIENCE * 1000,
        )
        page.reload()
        drawn(page, 3)
        until(page, "running")
        site.thread.call(lambda: support.GATES["gate 1"].set())
        until(page, "completed")
        expect(page.locator(".tree")).to_contain_text("judge")


def test_an_error_is_shown_with_the_users_own_frame_first(browser: Browser, site: Site) -> None:
    run = site.submit({"order": "bad order"}, key="bad")
    with looked_at(browser) as page:
        opened(page, site, run, "?call=1%2Fjudge%2F0")
        panel = page.locator(".run-panel")
        expect(panel.locator(".error-message")).to_contain_text("cannot take bad order")
        expect(panel.locator(".frames li").first).to_contain_text("test_run_screen.py")
        expect(panel.locator(".frames li").first).to_contain_text('raise ValueError(f"cannot')
        expect(panel.locator(".durable")).to_contain_text("would not be made again")
        expect(page.locator(".run-error")).to_contain_text("cannot take bad order")
        page.get_by_role("button", name="Retry").click()
        expect(page.locator(".toast")).to_contain_text("Put back")
        until(page, "failed")


def test_keys_alone_reach_everything(browser: Browser, site: Site) -> None:
    run = site.submit({"order": "keys", "pages": 12}, key="keys")
    with looked_at(browser) as page:
        opened(page, site, run)
        until(page, "completed")
        drawn(page, 12)
        page.locator(".timeline-canvas").focus()
        for _ in range(8):
            page.keyboard.press("+")
        page.wait_for_function("() => /from=/.test(location.hash)")
        page.keyboard.press("f")
        page.wait_for_function("() => !/from=/.test(location.hash)")
        drawn(page, 12)
        page.keyboard.press("n")
        page.keyboard.press("n")
        page.wait_for_function("() => /call=0%2Ftriage%2F0/.test(location.hash)")
        expect(page.locator(".run-panel h2")).to_have_text("look_up")
        said = page.locator(".timeline [aria-live]")
        expect(said).to_contain_text("look_up(")
        page.keyboard.press("Enter")
        assert page.evaluate("document.activeElement.className") == "run-panel"
        page.locator(".timeline-canvas").focus()
        page.keyboard.press("Escape")
        expect(page.locator(".run-panel")).to_be_hidden()
        page.get_by_role("tab", name="Events").focus()
        page.keyboard.press("ArrowRight")
        expect(page.locator(".tab-body")).to_contain_text("last")
        page.keyboard.press("ArrowRight")
        expect(page.locator(".tab-body")).to_contain_text("completed")
        page.keyboard.press("ArrowRight")
        expect(page.locator(".tab-body pre")).to_contain_text('"actions"')


def test_a_link_shows_what_was_seen(browser: Browser, site: Site) -> None:
    run = site.submit({"order": "link", "pages": 6}, key="link")
    with looked_at(browser) as page:
        opened(page, site, run)
        until(page, "completed")
        drawn(page, 6)
        box = page.locator(".timeline-canvas").bounding_box()
        assert box is not None
        page.mouse.move(box["x"] + 300, box["y"] + 10)  # in the axis: a range
        page.mouse.down()
        page.mouse.move(box["x"] + 500, box["y"] + 10, steps=4)
        page.mouse.up()
        page.locator(".tree-action").first.click()
        page.wait_for_function(
            "() => /from=.*to=/.test(location.hash) && /call=/.test(location.hash)"
        )
        link = page.url.partition("#")[2]
        seen = page.locator(".timeline-canvas").get_attribute("data-bars")
    with looked_at(browser) as page:
        opened(page, site, run, link.removeprefix(f"/runs/{run}"))
        expect(page.locator(".run-panel h2")).to_have_text("triage")
        page.wait_for_function(
            "seen => document.querySelector('.timeline-canvas').dataset.bars === seen", arg=seen
        )


def test_a_run_of_5000_calls_draws_what_is_visible_alone(browser: Browser, site: Site) -> None:
    run = site.submit({"order": "many", "pages": 5000}, key="many")
    with looked_at(browser, height=900) as page:
        page.goto(f"{site.url}#token={SECRET}")
        expect(page.locator("#head nav")).to_be_visible()
        outputs_of(site, run)
        opened(page, site, run)
        expect(page.locator(".run-sums")).to_contain_text("5,000")
        canvas = page.locator(".timeline-canvas")
        drawn(page)
        assert 0 < bars(page) < 2500
        canvas.focus()
        for _ in range(12):
            page.keyboard.press("+")
        page.wait_for_function("() => /from=/.test(location.hash)")
        fewer(page, 1000)


def test_hostile_values_do_nothing(browser: Browser, site: Site, tmp_path: Path) -> None:
    run = site.submit({"order": f"bad {HOSTILE}", "more": HOSTILE}, key=HOSTILE, id=f"{HOSTILE} id")
    with looked_at(browser) as page:
        for tab in ("Events", "Memory", "Journal", "Raw JSON"):
            opened(page, site, run, f"?call=1%2Fjudge%2F0&tab={tab}")
            until(page, "failed")
            expect(page.locator(".error-message")).to_contain_text("cannot take bad </script>")
        assert page.locator("#screen img, #screen script").count() == 0


def files_of_runs(folder: Path) -> list[Path]:
    store = f"sqlite:///{folder / 'shop.db'}"
    asks = [{"order": "B17"}, {"order": f"fine {HOSTILE}"}]
    LocalEngine(store, job="shop").run(Shop(), asks, key="order")
    files = [folder / "r1.html", folder / "r2.html"]
    for file in files:
        command = ["trace", file.stem, "--store", store, "--format", "html", "-o", str(file)]
        assert main(command) == 0
    return files


def test_the_file_of_a_run_shows_it_and_asks_for_nothing(browser: Browser, tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as thread:  # this one has the browser's event loop
        files = thread.submit(files_of_runs, tmp_path).result()
    for file in files:
        with looked_at(browser) as page:
            page.goto(file.as_uri())
            drawn(page, 3)
            until(page, "completed")
            page.locator(".tree-action").first.click()
            expect(page.locator(".run-panel h2")).to_have_text("triage")
            page.get_by_role("tab", name="Journal").click()
            expect(page.locator(".tab-body")).to_contain_text("completed")
            assert page.locator("img").count() == 0
            assert page.locator("script").count() == 2
