"""The page: what the list of 100,000 runs costs its server, and how a run of 5,000 calls pans.

Frames are timed in a headless Chromium, between callbacks of `requestAnimationFrame`, against those
of the same page in which nothing is drawn.
"""

from __future__ import annotations

import argparse
import random
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

from bench_serve import TOKEN, Server, server
from common import Result, folder, main, median, rounds
from filled_store import fill
from playwright.sync_api import Page, sync_playwright

from perdure.web.trace_file import TakenRun, html_file

RUNS = 100_000
CALLS = 5_000
FRAMES = 240
MOST_MS = 20.0
MOST_FRAMES = 3.0
CHROMIUM = "/usr/bin/chromium"
LISTS = {
    "the newest 50 runs": ("/runs?limit=50", True),
    "the newest 50 of one status": ("/runs?limit=50&status=completed", True),
    "the numbers of Now": ("/now", True),
    "the last hour": ("/hour", True),
    # There is no index of runs by key, which each run would pay for: they are looked through.
    "the runs of a key": ("/runs?limit=50&key=customer-0000090", False),
}

# Times each frame of so many; in each, `pans`, the wheel moves the timeline by some px.
FRAMES_JS = """async ([frames, pans]) => {
  const canvas = document.querySelector(".timeline-canvas");
  const times = [];
  let most = 0;
  let by = 9;
  for (let frame = 0, last = 0; frame <= frames; frame += 1) {
    const now = await new Promise((resolve) => requestAnimationFrame(resolve));
    if (frame) times.push(now - last);
    last = now;
    if (!pans) continue;
    if (frame % 80 === 79) by = -by;
    canvas.dispatchEvent(new WheelEvent("wheel", { deltaX: by, shiftKey: true, cancelable: true }));
    most = Math.max(most, Number(canvas.dataset.bars));
  }
  times.sort((a, b) => a - b);
  return { p50: times[times.length >> 1], p95: times[Math.floor(times.length * 0.95)], most };
}"""


def bench(options: argparse.Namespace) -> Iterator[Result]:
    yield from lists(options)
    yield from timeline(options)


def lists(options: argparse.Namespace) -> Iterator[Result]:
    """Yield what answers of the list take of the server's CPU."""
    count = RUNS // 10 if options.quick else RUNS
    with folder() as path:
        fill(path / "store.db", count, "bench")
        arguments = ["-m", "perdure", "serve", "served.py:agent", "--port", "0", "--token", TOKEN]
        where = ["--store", str(path / "store.db"), "--job", "bench"]
        with server(*arguments, *where) as served:
            for name, (request, counts) in LISTS.items():
                ask(served, request, 20)
                cpu = median(ask(served, request, 50) for _ in range(rounds(options)))
                yield Result(
                    name=f"{name}, of {count:,}: CPU of the server",
                    measured=1e3 * cpu,
                    raw=0,
                    unit="ms",
                    raw_name="",
                    ratio=0,
                    target=f"at most {MOST_MS:g} ms" if counts else "none",
                    ok=1e3 * cpu <= MOST_MS or not counts,
                )


def ask(served: Server, path: str, count: int) -> float:
    """Ask for a list so often; return the CPU seconds of the server for one answer."""
    url = served.url.partition("#")[0].rstrip("/") + path
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    began = served.cpu()
    for _ in range(count):
        with urllib.request.urlopen(request) as answer:
            if b'"runs"' not in answer.read():
                raise RuntimeError(f"{path} was not answered")
    return (served.cpu() - began) / count


def timeline(options: argparse.Namespace) -> Iterator[Result]:
    """Yield how long frames take while a run of many calls is panned, and what is drawn."""
    with folder() as path, sync_playwright() as playwright:
        file = path / "run.html"
        taken = TakenRun(job="bench", detail=many_calls(CALLS), children={}, records=[])
        file.write_text(html_file(taken), "utf-8")
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 800})
        page.goto(file.as_uri())
        page.wait_for_selector(".timeline-canvas[data-bars]")
        at_once = int(page.locator(".timeline-canvas").get_attribute("data-bars") or 0)
        page.locator(".timeline-canvas").focus()
        for _ in range(3):
            page.keyboard.press("+")
        found = [(frames(page, True), frames(page, False)) for _ in range(rounds(options))]
        browser.close()
    ratio = median(panned["p95"] / empty["p95"] for panned, empty in found)
    yield Result(
        name=f"95th percentile of a frame while {CALLS:,} calls are panned",
        measured=median(panned["p95"] for panned, _ in found),
        raw=median(empty["p95"] for _, empty in found),
        unit="ms",
        raw_name="an empty frame",
        ratio=ratio,
        target=f"at most {MOST_FRAMES:g} x",
        ok=ratio <= MOST_FRAMES,
        details={"rounds": found},
    )
    yield Result(
        name=f"bars drawn of {CALLS:,}, all of the run in sight",
        measured=at_once,
        raw=0,
        unit="bars",
        raw_name="",
        ratio=0,
        target="what is visible alone",
        ok=0 < at_once < CALLS / 2,
        details={"while panning": max(panned["most"] for panned, _ in found)},
    )


def frames(page: Page, pans: bool) -> dict[str, Any]:
    """Return the 50th and 95th percentile of frames in ms, and the most bars drawn in one."""
    result: dict[str, Any] = page.evaluate(FRAMES_JS, [FRAMES, pans])
    return result


def many_calls(count: int) -> dict[str, Any]:
    """Return the detail of a run whose calls were under way by the hundred."""
    chance = random.Random(7)
    first = time.time_ns() / 1e6
    calls, end = [], first
    for number in range(count):
        began = first + number // 100 * 200 + chance.random() * 4
        settled = began + 10 + chance.random() * 190
        end = max(end, settled)
        calls.append(_call(number, began, settled, held=chance.choice((0, 0, 0, 20))))
    action = {
        "name": "score_all", "event": 0, "event_type": "_input_event", "status": "completed",
        "started_at": first, "finished_at": end, "cancelled_at": None, "timers": [],
        "calls": calls,
    }  # fmt: skip
    run = {
        "id": "r1", "key": {"value": "k"}, "sequence": 1, "title": "r1", "input_id": None,
        "status": "completed", "attempts": 1, "error": None, "input": {"value": 1},
        "activity": None, "waits": [], "admitted_at": first, "finished_at": end, "due": None,
    }  # fmt: skip
    event = {
        "number": 0, "type": "_input_event", "id": "", "attributes": {"value": {}},
        "source_event": None, "action": None,
    }  # fmt: skip
    return {
        "run": run, "records": count + 2, "span": [first, end], "processes": [],
        "events": [event], "actions": [action], "memory": [], "outputs": [], "retried_at": [],
        "signals": [], "children": [], "stopped": None, "stopped_at": None, "commands": [],
    }  # fmt: skip


def _call(number: int, began: float, settled: float, held: float) -> dict[str, Any]:
    return {
        "number": number + 1, "function": "reviews:score", "status": "returned", "attempts": 1,
        "arguments": f"'review {number}: the kettle is fine', {number}",
        "outcome": {"value": number / 7}, "error": None, "usage": None, "started_at": began,
        "settled_at": settled, "due_at": None, "superseded": False,
        "waited": {"thread": 0.0, "limit": held, "retries": 0.0},
    }  # fmt: skip


if __name__ == "__main__":
    main(bench)
