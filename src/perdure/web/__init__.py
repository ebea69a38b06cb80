"""The HTTP service of a job: its API, and the page over a store; Starlette on use.

`app(job)` is an ASGI application for a job that is open, on the job's event loop; `perdure serve`
runs the same. What it answers is in docs/serve.md, and in its own `/openapi.json`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from perdure.errors import missing_extra
from perdure.web.access import Role, Token
from perdure.web.limits import Limits

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from perdure.engine.job import Job

__all__ = ["Limits", "Role", "Token", "app"]


def app(
    job: Job,
    *,
    tokens: Iterable[Token | str] | None = None,
    hosts: Iterable[str] | None = None,
    origins: Iterable[str] = (),
    prefix: str = "",
    limits: Limits | None = None,
) -> ASGIApp:
    """Return an ASGI application for an open job, to be served or mounted on the job's event loop.

    Closing the job ends its streams; what is asked afterwards is answered with 503.

    Args:
        job: the job, from `engine.open` or `engine.start`.
        tokens: who may do what; a text is a token that may do everything. None: PERDURE_TOKEN, or
            one that is made and logged. Empty: nobody is asked, which is for applications that ask
            themselves.
        hosts: names that requests may be for, as their Host header says; "*" is any. None: any
            where tokens are asked for, else those of this machine.
        origins: origins of pages that may use it, besides that of the service itself.
        prefix: path below which a proxy shows the application, such as "/perdure".
        limits: bounds of what one client, and all of them, may take.

    Raises:
        ConfigurationError: the extra `web` is not installed, or an argument is wrong.
    """
    made: Any = needed("perdure.web.app").served(
        job, tokens=tokens, hosts=hosts, origins=origins, prefix=prefix, limits=limits or Limits()
    )
    return made  # type: ignore[no-any-return]


def needed(what: str) -> Any:
    """Return the module that makes applications.

    Args:
        what: what needs it.

    Raises:
        ConfigurationError: the extra `web` is not installed.
    """
    try:
        from perdure.web import application
    except ImportError as error:
        if (error.name or "").partition(".")[0] == "perdure":
            raise
        raise missing_extra(what, "web", error) from None
    return application
