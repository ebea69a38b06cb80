"""The first screen in a real browser: its numbers, the last hour, who waits, what failed; live."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page, expect
from tests.browser.world import Site, looked_at
from tests.web import support
from tests.web.support import SECRET

from perdure.operate.history import History
from perdure.web import Limits
from perdure.web.application import service_of_store


def opened(page: Page, site: Site) -> None:
    page.goto(f"{site.url}#token={SECRET}")
    expect(page.get_by_role("heading", name="Now")).to_be_visible()


def tile(page: Page, name: str) -> Locator:
    return page.locator(".tile", has_text=name)


def test_an_empty_job_says_how_to_start_a_run_and_then_what_goes_on(browser: Browser) -> None:
    support.GATES.clear()
    with Site() as site, looked_at(browser) as page:
        opened(page, site)
        expect(page.locator("#screen")).to_contain_text("No runs yet. Start one:")
        expect(page.locator(".copied")).to_contain_text(f"curl {site.url}runs")
        assert page.locator(".tile:visible").count() == 0
        site.submit({"echo": 1}, key="a")
        ask = site.submit({"ask": "refund"}, key="b", id="asks")
        site.submit({"fail": "the shop is closed"}, key="c", id="fails")
        site.submit({"gate": "now"}, key="d")
        for _ in range(2):
            expect(tile(page, "waits for a person").locator("b")).to_have_text("1")
            expect(tile(page, "failed today").locator("b")).to_have_text("1")
            expect(tile(page, "running or queued").locator("b")).to_have_text("1")
            expect(tile(page, "calls in flight")).to_contain_text("1 running")
            expect(page.locator(".hour")).to_have_attribute("aria-label", re.compile("1 calls ret"))
            expect(page.locator(".hour .map-done")).to_have_count(1)
            expect(page.locator(".card", has_text="Inbox")).to_contain_text("May I refund?")
            expect(page.locator(".card", has_text="failures")).to_contain_text("1 × ValueError")
            assert page.locator(".copied:visible").count() == 0
            page.reload()
        site.thread.call(lambda: support.GATES["now"].set())
        assert site.job is not None
        site.thread.run(site.job.approve(ask, by="eve"))
        expect(tile(page, "calls in flight").locator("b")).to_have_text("0")
        expect(tile(page, "wait for people").locator("b")).to_have_text("0")
        expect(page.locator(".card", has_text="Inbox")).to_contain_text("Nobody waits for you.")
        page.locator(".row", has_text="ValueError").click()
        expect(page.locator("#screen")).to_contain_text("the shop is closed")


def test_everything_is_reached_by_keys_alone(browser: Browser) -> None:
    with Site() as site, looked_at(browser) as page:
        site.submit({"ask": "refund"}, key="b", id="asks")
        opened(page, site)
        expect(page.locator(".row")).to_have_count(1)
        reached: list[str] = []
        while not reached or "Newest failures" not in reached[-1]:
            page.keyboard.press("Tab")
            reached.append(page.evaluate("() => document.activeElement.textContent"))
            assert len(reached) < 40, reached
        wanted = ["running", "waits for", "failed", "in flight", "Inbox", "May I refund?", "Newest"]
        told = reached[reached.index("Failures") + 1 :]
        assert len(told) == len(wanted)
        assert all(name in text for name, text in zip(wanted, told, strict=True)), told
        tile(page, "waits for a person").focus()
        site.submit({"ask": "another"}, key="c")
        expect(tile(page, "wait for people").locator("b")).to_have_text("2")
        expect(tile(page, "wait for people")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile("#/inbox$"))


def test_a_crash_of_the_last_hour_is_seen_and_what_cannot_be_is_said(
    browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "desk.db"
    store = f"sqlite:///{path}"
    for _ in range(2):
        with Site(store) as site:
            site.submit({"echo": 1}, key="a")
    with sqlite3.connect(path) as db:  # the first process was killed: it never said that it ended
        db.execute("UPDATE life SET ended_at = NULL WHERE life = (SELECT min(life) FROM life)")
    db.close()

    def service() -> Any:
        return service_of_store(lambda: History.open(store), "desk", Limits())

    with Site(service=service, prefix="/perdure") as site, looked_at(browser) as page:
        opened(page, site)
        expect(page.locator(".hour-failed:not(.hour-away)")).to_have_count(1)
        expect(page.locator("#screen")).to_contain_text("crash: process 2 begins")
        expect(tile(page, "calls in flight")).to_contain_text("not visible from here")
        expect(page.locator("#screen")).to_contain_text("No process runs this job.")
