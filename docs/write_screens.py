"""Takes the pictures of the page: a real job, looked at by a headless Chromium.

The job has an hour behind it, in which its process was killed once: its clock goes faster than the
one on the wall. Needs Debian's chromium.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

HERE = Path(__file__).parent
PICTURES = HERE / "pictures"
CHROMIUM = "/usr/bin/chromium"


@contextmanager
def address() -> Iterator[str]:
    """Yield where the page is."""
    shutil.copy(HERE / "screens_job.py", "agent.py")  # the page shows where the agent is
    command = [sys.executable, "agent.py"]
    subprocess.run([*command, "killed"], check=False, stderr=subprocess.DEVNULL)
    with subprocess.Popen(
        [*command, "served"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield f"http://127.0.0.1:{int(process.stdout.readline())}/"
        finally:
            process.kill()


def shown(page: Page, address: str, place: str, ready: str) -> None:
    """Show a place of the page, and wait until that of it is there."""
    page.goto(f"{address}#/{place}")
    page.locator(ready).first.wait_for()
    page.wait_for_function("() => !document.body.textContent.includes('Reading…')")
    page.wait_for_timeout(1500)  # numbers and maps come after the rows


def taken(page: Page, name: str, bottom: str, most: int) -> None:
    """Take a picture down to the end of an element."""
    box = page.locator(bottom).last.bounding_box()
    assert box is not None
    page.mouse.move(0, 0)
    height = min(box["y"] + box["height"] + 12, most)
    data = page.screenshot(clip={"x": 0, "y": 0, "width": 1280, "height": height})
    (PICTURES / f"page-{name}.png").write_bytes(data)
    print(name, len(data))


def pictures(page: Page, address: str) -> None:
    shown(page, address, "now", ".hour")
    taken(page, "now", ".cards", 860)
    shown(page, address, "runs", ".run-row[data-id]")
    taken(page, "runs", ".run-row[data-id]", 520)
    for name, place, panel in (
        ("run", "runs/review-B01", False),
        ("one-by-one", "runs/review-B02", False),
        ("held", "runs/labels-B03", False),
        ("again", "runs/payment-B17?call=0%2Fanalyse%2F1", True),
    ):
        shown(page, address, place, ".timeline-canvas[data-bars]")
        taken(page, name, ".run-panel" if panel else ".run-hint", 620)


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary, sync_playwright() as playwright:
        folder = Path(temporary, "reviews")
        folder.mkdir()
        os.chdir(folder)
        arguments = ["--no-sandbox", "--font-render-hinting=none"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        page = browser.new_page(
            viewport={"width": 1280, "height": 900}, color_scheme="light", locale="en-GB",
            timezone_id="UTC",
        )  # fmt: skip
        with address() as found:
            pictures(page, found)
        browser.close()
        os.chdir("/")


if __name__ == "__main__":
    main()
