"""The page in a real browser: its token, its address, its stream, and the screens of lists.

What must come is waited for by the browser; nothing is timed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, expect
from tests.browser.world import Site, looked_at
from tests.web.support import OPERATOR, READER, SECRET

from perdure.operate.history import History
from perdure.web import Limits
from perdure.web.application import service_of_store

ROWS = ".run-row[data-id]"
HOSTILE = "<img src=x onerror=alert(1)><script>alert(2)</script>\x1b]0;t\x07\u202e\u0000gnp\r\n"
UNSEEN = re.compile("[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]")
# A browser tells of each answer that is no success; a page that asks with a wrong token gets one.
REFUSED = re.compile("Failed to load resource: the server responded with a status of 4")
LOST = re.compile("Failed to load resource: net::ERR_")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """A job with runs of every kind; tests add their own, with keys of their own."""
    with Site() as site:
        site.submit({"echo": {"text": "too small"}}, key="B01", id="order-1")
        site.submit({"fail": "the shop is closed"}, key="B02", id="order-2")
        site.submit({"ask": "refund"}, key="B03", id="order-3")
        yield site


def opened(page: Page, site: Site, path: str = "runs", token: str = SECRET) -> None:
    page.goto(f"{site.url}#token={token}&/{path}")
    expect(page.locator(".live.is-live")).to_be_visible()


def titles(page: Page) -> list[str]:
    return page.locator(f"{ROWS} .run-run").all_inner_texts()


def test_the_token_is_asked_for_kept_for_the_tab_and_not_in_the_address(
    browser: Browser, site: Site
) -> None:
    with looked_at(browser, allowed=lambda text: bool(REFUSED.match(text))) as page:
        page.goto(f"{site.url}#/runs")
        asked = page.get_by_role("dialog")
        expect(asked).to_contain_text("A token is needed")
        page.keyboard.type("not-the-token")
        page.keyboard.press("Enter")
        expect(asked).to_contain_text("Another token, please")
        page.keyboard.type(SECRET)
        page.keyboard.press("Enter")
        expect(page.locator(ROWS).first).to_be_visible()
        page.reload()
        expect(page.locator(ROWS).first).to_be_visible()
        assert page.get_by_role("dialog").count() == 0
    with looked_at(browser) as page:
        opened(page, site, "inbox")
        assert page.url == f"{site.url}#/inbox"
        assert SECRET not in page.content()


def test_runs_are_listed_and_lead_to_their_own_page(browser: Browser, site: Site) -> None:
    with looked_at(browser) as page:
        opened(page, site)
        row = page.locator(ROWS, has_text="order-1")
        expect(row.locator(".run-calls")).to_have_text("1")
        expect(row.locator(".run-key")).to_have_text("B01")
        expect(row.locator(".run-input")).to_contain_text("too small")
        expect(row.get_by_label("completed")).to_be_visible()
        expect(page.locator(ROWS, has_text="order-2")).to_contain_text("the shop is closed")
        expect(page.locator(ROWS, has_text="order-3")).to_contain_text("May I refund?")
        row.get_by_role("link").click()
        expect(page).to_have_url(re.compile(r"#/runs/r\w+"))
        expect(page.locator("#screen")).to_contain_text("order-1")
        page.go_back()
        expect(page.locator(ROWS, has_text="order-2")).to_be_visible()


def test_filters_are_in_the_address_and_outlive_a_reload(browser: Browser, site: Site) -> None:
    with looked_at(browser) as page:
        opened(page, site)
        page.get_by_role("button", name="failed").click()
        expect(page.locator(ROWS, has_text="order-1")).to_have_count(0)
        expect(page.locator(ROWS, has_text="order-2")).to_be_visible()
        assert page.url.endswith("#/runs?status=failed")
        page.reload()
        expect(page.get_by_role("button", name="failed")).to_have_attribute("aria-pressed", "true")
        expect(page.locator(ROWS, has_text="order-2")).to_be_visible()
        page.get_by_role("button", name="failed").click()
        page.locator(ROWS, has_text="order-3").locator(".run-key button").click()
        expect(page.locator(ROWS)).to_have_count(1)
        page.get_by_role("button", name="Without key B03").click()
        page.keyboard.press("/")
        field = page.get_by_role("searchbox")
        field.fill("TOO small")
        field.press("Enter")
        expect(page.locator(ROWS)).to_have_count(1)
        expect(page.locator(".run-foot")).to_contain_text("Looked at")
        field.fill("key:nobody")
        field.press("Enter")
        expect(page.locator(".run-foot")).to_contain_text("No run fits all of this")
        page.go_back()
        expect(page.locator(ROWS)).to_have_count(1)
        page.goto(f"{site.url}#/runs?age=1h&text=shop+is+closed")
        expect(page.locator(ROWS, has_text="order-2")).to_be_visible()
        expect(page.get_by_label("Age")).to_have_value("1h")


def test_new_runs_come_by_themselves_and_move_no_row_under_the_pointer(
    browser: Browser, site: Site
) -> None:
    with looked_at(browser) as page:
        opened(page, site)
        page.mouse.move(5, 5)
        expect(page.locator(ROWS, has_text="order-1")).to_be_visible()
        site.submit({"echo": "new"}, key="live", id="live-1")
        expect(page.locator(ROWS, has_text="live-1").get_by_label("completed")).to_be_visible()
        page.locator(ROWS, has_text="order-1").hover()
        before = titles(page)
        site.submit({"echo": "newer"}, key="live", id="live-2")
        expect(page.locator(".news")).to_have_text("↑ 1 new")
        assert titles(page) == before
        page.locator(".news").click()
        expect(page.locator(ROWS, has_text="live-2")).to_be_visible()


def test_a_run_that_goes_on_changes_where_it_stands(browser: Browser, site: Site) -> None:
    with looked_at(browser) as page:
        run = site.submit({"signal": "go"}, key="changes", id="changes-1")
        opened(page, site)
        row = page.locator(ROWS, has_text="changes-1")
        expect(row.get_by_label("waiting")).to_be_visible()
        assert site.job is not None
        site.thread.run(site.job.signal(run, "go", None))
        expect(row.get_by_label("completed")).to_be_visible()


def test_only_rows_that_are_seen_are_in_the_document(browser: Browser) -> None:
    with Site() as site, looked_at(browser) as page:
        for number in range(700):
            site.submit({"echo": number}, key=number % 50, id=f"many-{number}")
        opened(page, site)
        expect(page.locator(ROWS).first).to_contain_text("many-699")
        scrolled = page.locator(".run-scroll")
        foot = page.locator(".run-foot")
        while "these are all" not in foot.inner_text():
            scrolled.evaluate("element => { element.scrollTop = element.scrollHeight }")
            page.wait_for_function(
                "() => !document.querySelector('.run-foot').textContent.includes('Reading')"
            )
        expect(foot).to_contain_text("700 runs")
        scrolled.evaluate("element => { element.scrollTop = element.scrollHeight }")
        expect(page.get_by_role("link", name="many-0", exact=True)).to_be_visible()
        assert page.locator(ROWS).count() < 80


def test_several_runs_are_cancelled_and_retried_at_once(browser: Browser, site: Site) -> None:
    with looked_at(browser) as page:
        for number in range(3):
            site.submit({"signal": "never"}, key=f"several-{number}", id=f"several-{number}")
        opened(page, site, "runs?text=several")
        expect(page.locator(ROWS)).to_have_count(3)
        page.get_by_label("Select several-2").click()
        page.get_by_label("Select several-0").click(modifiers=["Shift"])
        expect(page.locator(".act-bar")).to_contain_text("3 selected")
        page.locator(".act-bar").get_by_role("button", name="Cancel").click()
        expect(page.get_by_role("dialog")).to_contain_text("Cancel 3 runs?")
        page.get_by_role("button", name="Cancel them").click()
        expect(page.locator("#toasts")).to_contain_text("3 runs cancelled")
        expect(page.locator(ROWS).get_by_label("cancelled")).to_have_count(3)
        page.get_by_label("Select several-1").click()
        page.locator(".act-bar").get_by_role("button", name="Retry").click()
        expect(page.locator("#toasts")).to_contain_text("1 run put back")
        expect(page.locator(ROWS).get_by_label("waiting")).to_have_count(1)


def test_who_may_only_read_is_offered_nothing_else(browser: Browser, site: Site) -> None:
    with looked_at(browser) as page:
        opened(page, site, token=READER.secret)
        expect(page.locator(ROWS).first).to_be_visible()
        assert page.get_by_role("checkbox").count() == 0
        page.get_by_role("link", name="Inbox").click()
        expect(page.locator(".inbox-item", has_text="May I refund?")).to_be_visible()
        expect(page.locator("#screen")).to_contain_text("Your token may read")
        assert page.locator(".inbox-item button").count() == 0


def test_the_inbox_is_answered_by_keys_alone(browser: Browser) -> None:
    with Site() as site, looked_at(browser) as page:
        runs = [site.submit({"ask": f"pay {n}"}, key=n, id=f"pay-{n}") for n in range(3)]
        opened(page, site, "inbox")
        items = page.locator(".inbox-item")
        expect(items).to_have_count(3)
        expect(page.get_by_role("link", name="Inbox")).to_contain_text("3")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("y")
        first = items.nth(0)
        expect(first).to_contain_text(f"Approved by {OPERATOR.name}.")
        expect(first).to_contain_text("completed")
        page.keyboard.press("ArrowDown")
        page.keyboard.press("c")
        page.keyboard.type("too much")
        page.keyboard.press("Escape")
        page.keyboard.press("n")
        expect(items.nth(1)).to_contain_text("Refused by ann: too much.")
        expect(page.get_by_role("link", name="Inbox")).to_contain_text("1")
        expect(items).to_have_count(3)  # what was answered stays in sight
        assert site.job is not None
        site.thread.run(site.job.approve(runs[2], by="eve"))
        expect(items.nth(2)).to_contain_text("answered elsewhere")
        first.get_by_role("link", name="pay-0").click()
        expect(page).to_have_url(re.compile(f"#/runs/{runs[0]}"))


def test_a_signal_takes_a_value_of_text_or_json(browser: Browser) -> None:
    with Site() as site, looked_at(browser) as page:
        runs = [site.submit({"signal": "go"}, key=n) for n in range(2)]
        opened(page, site, "inbox")
        expect(page.locator(".inbox-item")).to_have_count(2)
        for number, text in enumerate(('{"ok": [1]}', "yes")):
            item = page.locator(".inbox-item").nth(number)
            item.get_by_label("Value of the signal").fill(text)
            item.get_by_role("button", name="Send").click()
            expect(item).to_contain_text("Sent.")
            expect(item).to_contain_text("completed")
        said = [page.request.get(
            f"{site.url}runs/{run}", headers={"Authorization": f"Bearer {SECRET}"}
        ).json()["outputs"] for run in runs]  # fmt: skip
        assert said == [[{"ok": [1]}], ["yes"]]


def test_a_lost_connection_and_another_process_miss_nothing(
    browser: Browser, tmp_path: Path
) -> None:
    store = f"sqlite:///{tmp_path / 'desk.db'}"
    with looked_at(
        browser, allowed=lambda text: bool(LOST.match(text) or REFUSED.match(text))
    ) as page:
        with Site(store) as site:
            site.submit({"echo": 1}, key="a", id="before")
            opened(page, site)
            page.mouse.move(5, 5)
            expect(page.locator(ROWS)).to_have_count(1)
        expect(page.locator(".live.is-lost")).to_be_visible()
        with Site(store) as unseen:
            unseen.submit({"echo": 2}, key="a", id="meanwhile")
        with Site(store, port=site.port):
            expect(page.locator(".live.is-live")).to_be_visible()
            expect(page.locator(ROWS, has_text="meanwhile")).to_be_visible()
            expect(page.locator(ROWS)).to_have_count(2)


def test_a_hidden_page_holds_no_stream_and_catches_up(browser: Browser) -> None:
    with Site() as site, looked_at(browser) as page:
        opened(page, site)
        page.mouse.move(5, 5)
        turn(page, hidden=True)
        expect(page.locator(".live")).to_contain_text("Paused")
        while site.streams():
            page.wait_for_timeout(10)
        site.submit({"echo": 1}, key="a", id="unseen")
        turn(page, hidden=False)
        expect(page.locator(ROWS, has_text="unseen")).to_be_visible()
        assert site.streams() == 1


def turn(page: Page, *, hidden: bool) -> None:
    page.evaluate(
        """hidden => {
            Object.defineProperty(document, 'hidden', {value: hidden, configurable: true});
            document.dispatchEvent(new Event('visibilitychange'));
        }""",
        hidden,
    )


def test_failures_are_grouped_and_retried_together(browser: Browser) -> None:
    with Site() as site, looked_at(browser) as page:
        for number in range(3):
            site.submit({"fail": f"number {number}"}, key=number)
        opened(page, site, "failures")
        group = page.locator(".failure")
        expect(group).to_have_count(1)
        expect(group).to_contain_text("3 ×")
        expect(group).to_contain_text("tests/web/support.py")
        group.get_by_role("button", name="Retry all 3").click()
        expect(page.locator("#toasts")).to_contain_text("3 runs put back")
        expect(group.get_by_role("button", name="Retry all 3")).to_be_enabled()  # failed once more
        newest = group.get_by_role("link")
        expect(newest).to_contain_text("the newest: r")
        newest.click()
        expect(page.locator("#screen")).to_contain_text("ValueError")


@pytest.mark.parametrize("path", ["now", "runs", "inbox", "failures"])
def test_hostile_values_do_nothing_and_are_seen(browser: Browser, path: str) -> None:
    long = "x" * 10_000_000
    with Site() as site, looked_at(browser) as page:
        site.submit({"ask": HOSTILE, HOSTILE: HOSTILE}, key=HOSTILE, id=HOSTILE)
        site.submit({"fail": HOSTILE}, key={HOSTILE: [HOSTILE]}, id="failed")
        site.submit({"signal": HOSTILE}, key="s", id="\u202esignal")
        site.submit({"echo": long}, key="long", id="long")
        site.submit({"ask": "y" * 200_000}, key="asks", id="asks")
        opened(page, site, path)
        expect(page.locator("#screen")).to_contain_text("<img src=x onerror=alert(1)>")
        expect(page.locator("#screen")).to_contain_text(r"\u202e")
        text = page.locator("body").inner_text()
        assert not re.search(
            "[\u0000-\u0008\u000e-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]", text
        )
        assert page.locator("img, main script, iframe").count() == 0
        assert len(text) < 50_000
        assert wide(page) == []
        page.goto(f"{site.url}#/runs?text=%3Cscript%3E&key=%E2%80%AE%3Cb%3E&age=__proto__&status=x")
        expect(page.locator(".chip.is-given").first).to_be_visible()
        page.goto(f"{site.url}#/%3Cscript%3E/x")
        expect(page.locator("#screen")).to_contain_text("There is nothing here")


def wide(page: Page) -> list[str]:
    """Return what makes the page wider than what is seen of it."""
    found: list[str] = page.evaluate(
        """() => document.documentElement.scrollWidth <= innerWidth ? [] :
            [...document.querySelectorAll('*')]
                .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
                .map((each) => `${each.tagName}.${each.className}`)"""
    )
    return found


# What can be used has a name that is read out, and each id is there once.
UNNAMED = """() => {
    const ids = [...document.querySelectorAll('[id]')].map((each) => each.id);
    const named = (each) => each.getAttribute('aria-label') || each.textContent.trim()
        || each.labels?.length || each.getAttribute('aria-labelledby');
    return [
        ...ids.filter((id, at) => ids.indexOf(id) !== at),
        ...[...document.querySelectorAll('a, button, input, select, textarea, [role=img]')]
            .filter((each) => !named(each)).map((each) => each.outerHTML),
    ];
}"""


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280, 2560])
def test_every_screen_fits_and_is_named_in_every_width_and_theme(
    browser: Browser, site: Site, width: int, dark: bool
) -> None:
    with looked_at(browser, width, dark=dark) as page:
        opened(page, site)
        ground = page.evaluate("() => getComputedStyle(document.documentElement).backgroundColor")
        assert (max(map(int, re.findall(r"\d+", ground))) < 60) is dark
        links = page.get_by_role("navigation").get_by_role("link")
        for name in [link.get_attribute("href") for link in links.all()]:
            page.goto(f"{site.url}{name}")
            expect(page.locator("#screen")).not_to_contain_text("Reading…")
            expect(page.locator("#screen")).not_to_be_empty()
            assert wide(page) == []
            assert page.evaluate(UNNAMED) == []


def test_the_list_is_walked_by_keys_alone(browser: Browser, site: Site) -> None:
    with looked_at(browser) as page:
        opened(page, site, "runs?text=order-")
        expect(page.locator(ROWS)).to_have_count(3)
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("() => document.activeElement.dataset.part") == "run":
                break
        expect(page.locator(ROWS, has_text="order-3").get_by_role("link")).to_be_focused()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("x")
        expect(page.locator(".act-bar")).to_contain_text("1 selected")
        expect(page.get_by_label("Select order-2")).to_be_checked()
        page.keyboard.press("ArrowDown")
        expect(page.locator(ROWS, has_text="order-1").get_by_role("link")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page).to_have_url(re.compile(r"#/runs/r\w+"))


def test_a_store_is_shown_read_only(browser: Browser, tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path / 'desk.db'}"
    with Site(store) as site:
        site.submit({"ask": "buy"}, key="a", id="asks")

    def service() -> Any:
        return service_of_store(lambda: History.open(store), "desk", Limits())

    with Site(service=service, prefix="/perdure") as site, looked_at(browser) as page:
        opened(page, site)
        expect(page.locator("#head")).to_contain_text("read-only")
        expect(page.locator(ROWS, has_text="asks")).to_be_visible()
        assert page.get_by_role("checkbox").count() == 0
        page.get_by_role("link", name="Inbox").click()
        expect(page.locator(".inbox-item")).to_contain_text("May I buy?")
        assert page.locator(".inbox-item button").count() == 0
        expect(page.locator("#screen")).to_contain_text("perdure inbox")
