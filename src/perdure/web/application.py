"""Applications: the routes with what guards them, for a job that is open or a store."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterable

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from perdure.engine.job import Job
from perdure.engine.served import ServedJob
from perdure.errors import ConfigurationError
from perdure.operate.history import History
from perdure.printable import printable_logger
from perdure.web.access import Access, Token, chosen_tokens
from perdure.web.api import OPERATIONS
from perdure.web.cross_origin import CrossOrigin, checked_origin
from perdure.web.guard import LOCAL_HOSTS, PROBES, Guard, is_host
from perdure.web.limits import Limits
from perdure.web.meta_routes import document_route
from perdure.web.openapi import document
from perdure.web.operations import Operation, routes_of
from perdure.web.page_files import BELOW, ROOT, page_routes
from perdure.web.problems import answer_of
from perdure.web.reading import Reader
from perdure.web.service import Service

__all__ = ["guarded", "served", "service_of_job", "service_of_store"]

logger = printable_logger("perdure")

OPEN_PATHS = frozenset({*PROBES, "/openapi.json", ROOT})  # need no token: they tell of no run
_PREFIX = re.compile(r"(/[\w.~-]+)*")


def served(
    job: Job,
    *,
    tokens: Iterable[Token | str] | None,
    hosts: Iterable[str] | None,
    origins: Iterable[str],
    prefix: str,
    limits: Limits,
) -> ASGIApp:
    """Return the application of a job; see `perdure.web.app`."""
    chosen = chosen_tokens(tokens)
    if chosen is None:
        chosen = [Token.made()]
        logger.warning(
            "job %r: requests need the token %s (tokens= of perdure.web.app, or PERDURE_TOKEN,"
            " gives one of your own)", job.name, chosen[0].secret,
        )  # fmt: skip
    if hosts is None:
        hosts = ("*",) if chosen else LOCAL_HOSTS
    service = service_of_job(job, limits)
    return guarded(service, chosen, hosts=hosts, origins=origins, prefix=prefix)


def service_of_job(job: Job, limits: Limits) -> Service:
    """Return what an application of an open job stands on."""
    served = ServedJob(job)
    served.measure()
    return Service(Reader(served.history, job.name), served, limits)


def service_of_store(
    open_history: Callable[[], History], job: str | None, limits: Limits
) -> Service:
    """Return what an application stands on that only shows a store.

    Args:
        open_history: opens the store; blocks.
        job: name of its job; None for the only one.
        limits: see `Limits`.
    """
    return Service(Reader(open_history, job), None, limits)


def guarded(
    service: Service,
    tokens: Iterable[Token],
    *,
    hosts: Iterable[str],
    origins: Iterable[str],
    prefix: str,
) -> ASGIApp:
    """Return the application over a service.

    Raises:
        ConfigurationError: an argument is wrong.
    """
    prefix, origins, hosts = prefix.rstrip("/"), [*map(checked_origin, origins)], list(hosts)
    if not _PREFIX.fullmatch(prefix):
        raise ConfigurationError(f"prefix {prefix!r} is no path: write it as /perdure")
    for host in hosts:
        if not is_host(host):
            raise ConfigurationError(
                f"host {host!r} is no name: write it as agents.example.org, or * for any"
            )
    documented = Operation(
        method="GET", path="/openapi.json", role=None, name="getDocument", text="This document.",
        handler=document_route(functools.cache(lambda: document(OPERATIONS, prefix))),
    )  # fmt: skip
    routes = Starlette(
        routes=[*page_routes(), *routes_of((*OPERATIONS, documented))],
        exception_handlers={HTTPException: answer_of},
    )
    routes.router.redirect_slashes = False
    routes.state.service = service
    guard = Guard(
        routes, service, Access(tokens), hosts=hosts, origins=origins, prefix=prefix,
        open_paths=OPEN_PATHS, open_below=BELOW,
    )  # fmt: skip
    return CrossOrigin(guard, origins) if origins else guard
