"""A service with its page, on a thread of its own, and a Chromium that looks at it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

from playwright.sync_api import Browser, Page, sync_playwright
from tests.patience import PATIENCE
from tests.web.support import TOKENS, Desk

from perdure import LocalEngine
from perdure.engine.job import Job
from perdure.web import Limits, Token, server
from perdure.web.application import guarded, service_of_job
from perdure.web.guard import LOCAL_HOSTS
from perdure.web.service import Service

T = TypeVar("T")

CHROMIUM = Path("/usr/bin/chromium")
_ARGUMENTS = ["--disable-gpu", "--disable-dev-shm-usage", "--font-render-hinting=none"]


class Thread:
    """An event loop on a thread of its own, for what serves while a test looks."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Return what a coroutine returns there."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(2 * PATIENCE)

    def call(self, work: Callable[[], Any]) -> None:
        """Have a function called there, soon."""
        self._loop.call_soon_threadsafe(work)

    def close(self) -> None:
        self.run(_end_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()


async def _end_others() -> None:
    """End what libraries leave running, such as the watcher of event streams."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)


class Site:
    """A service that listens: of a job that runs, or of a store that is looked at.

    Owns: its thread, the server, the job. Lifecycle: a context manager.

    Args:
        store: URL of the store.
        tokens: who may do what.
        prefix: path below which it is.
        service: makes the service of a store; None: a job is run.
        agent: what the job runs.
    """

    def __init__(
        self,
        store: str = "memory://",
        *,
        tokens: tuple[Token, ...] = TOKENS,
        prefix: str = "",
        service: Callable[[], Service] | None = None,
        agent: Any = None,
        port: int = 0,
    ) -> None:
        self.thread = Thread()
        self.job: Job | None = None
        self._store = store
        self._tokens = tokens
        self._prefix = prefix
        self._make = service
        self._agent = agent or Desk()
        self._port = port

    def __enter__(self) -> Site:
        self.url = self.thread.run(self._begin())
        self.port = int(self.url.rsplit(":", 1)[1].split("/")[0])
        return self

    async def _begin(self) -> str:
        bound = server.bound_socket("127.0.0.1", self._port)
        if self._make is None:
            self.job = await LocalEngine(self._store, job="desk").start(self._agent)
            self._service = service_of_job(self.job, Limits(drain_seconds=1))
        else:
            self._service = self._make()
        application = guarded(
            self._service, self._tokens, hosts=LOCAL_HOSTS, origins=(), prefix=self._prefix
        )
        server.listen(bound)
        self._stopping = server.Stopping(lambda _: None)
        serving = server.serve(application, self._service, bound, self._stopping)
        self._serving = asyncio.ensure_future(serving)
        return server.url_of(bound, self._prefix)

    def __exit__(self, *_error: object) -> None:
        self.thread.run(self._end())
        self.thread.close()

    async def _end(self) -> None:
        if not self._stopping.asked.done():
            self._stopping.asked.set_result(None)
        await self._serving
        await self._service.close()
        if self.job is not None:
            await self.job.close()

    def streams(self) -> int:
        """How many event streams are open."""
        return self._service._streams

    def submit(self, value: Any, *, key: Any = "k", id: str | None = None) -> str:
        """Start a run; return its id once it is durable."""
        assert self.job is not None
        return self.thread.run(self.job.submit(value, key=key, id=id)).id


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """Yield a headless Chromium of this machine."""
    arguments = [*_ARGUMENTS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=arguments, timeout=2 * PATIENCE * 1000
        )
        try:
            yield browser
        finally:
            browser.close()


@contextlib.contextmanager
def looked_at(
    browser: Browser,
    width: int = 1280,
    *,
    height: int = 800,
    dark: bool = False,
    allowed: Callable[[str], bool] = lambda _: False,
) -> Iterator[Page]:
    """Yield a page of its own; at its end nothing may have gone wrong in it.

    Args:
        browser: whose.
        width: of what is seen, in px.
        height: the same.
        dark: in which theme.
        allowed: says of a message of the console that it is meant.
    """
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        locale="en-GB",
        timezone_id="Europe/Berlin",
    )
    context.set_default_timeout(PATIENCE * 1000)
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(f"error: {error}"))
    page.on("dialog", lambda dialog: (wrong.append(f"dialog: {dialog.message}"), dialog.dismiss()))
    page.on(
        "console",
        lambda said: wrong.append(f"{said.type}: {said.text}")
        if said.type in ("error", "warning") and not allowed(said.text) else None,
    )  # fmt: skip
    foreign: list[str] = []
    page.on("request", lambda sent: foreign.append(sent.url))
    try:
        yield page
        assert wrong == []  # violations of the content-security policy are errors of the console
        hosts = {url.split("/")[2].split(":")[0] for url in foreign if url.startswith("http")}
        assert hosts <= {"127.0.0.1"}
    finally:
        context.close()
