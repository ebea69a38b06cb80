"""`perdure ui`: the page over a store, which is only looked at."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.cli.options import DEFAULT_STORE, JobOption, StoreOption, epilog
from perdure.cli.serve import (
    AllowHostOption,
    HostOption,
    PrefixOption,
    TokenFileOption,
    TokenOption,
    given_tokens,
    say,
    signals_of_server,
    tokens_and_url,
)

if TYPE_CHECKING:
    from perdure.cli.stop_signals import StopSignals
    from perdure.web.access import Token

UiPortOption = Annotated[
    int, typer.Option("--port", metavar="P", min=0, max=65535, help="Port; 0 is any free one.")
]
UiNoTokenOption = Annotated[
    bool, typer.Option("--no-token", help="Ask nobody: whoever reaches the port may read all.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(
        epilog=epilog(
            "perdure ui",
            "perdure ui --store sqlite:///reviews.db --job reviews",
            "ssh -L 8766:localhost:8766 server perdure ui --store /srv/reviews.db",
        )
    )(ui)


def ui(
    store: StoreOption = DEFAULT_STORE,
    job: JobOption = None,
    host: HostOption = "127.0.0.1",
    port: UiPortOption = 8766,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    no_token: UiNoTokenOption = False,
    allow_host: AllowHostOption = None,
    prefix: PrefixOption = "",
) -> None:
    """Show the page over a store: its runs, and who waits for a person.

    It only looks: beside the process that runs the job, after it, or at a copy of its store.
    Nothing is run, changed or answered here; `perdure serve` has the same page and does that.

    The address is printed with a token that it needs, unless --token, PERDURE_TOKEN or
    --token-file give one.
    """
    # Here, so that `perdure --help` waits for none of it.
    import asyncio

    from perdure.operate.history import History
    from perdure.web import needed

    needed("perdure ui")
    tokens = given_tokens(token, token_file, no_token=no_token)
    with History.open(store) as history:  # what is wrong with it is said before anything listens
        row = history.choose_job(job)
    shown = signals_of_server(lambda why: f"{why}; it only looked").run(
        asyncio.Runner(),
        lambda signals: _show(
            store, row.name, tokens, signals,
            host=host, port=port, hosts=allow_host or [], prefix=prefix,
        ),
    )  # fmt: skip
    if not shown:
        raise typer.Exit(1)


async def _show(
    store: str,
    job: str,
    tokens: list[Token] | None,
    signals: StopSignals,
    *,
    host: str,
    port: int,
    hosts: list[str],
    prefix: str,
) -> bool:
    """Serve the page until a signal comes; return whether one did."""
    from perdure.operate.history import History
    from perdure.web import server
    from perdure.web.application import guarded, service_of_store
    from perdure.web.guard import LOCAL_HOSTS
    from perdure.web.limits import Limits

    bound = server.bound_socket(host, port)
    try:
        good, url = tokens_and_url(tokens, server.url_of(bound, prefix.rstrip("/")))
        service = service_of_store(functools.partial(History.open, store), job, Limits())
        application = guarded(
            service, good, hosts=[*LOCAL_HOSTS, host, *hosts], origins=(), prefix=prefix
        )
        server.listen(bound)
        stopping = server.Stopping(say)
        signals.tell(stopping.heard)
        if not good:
            at = f"{host}:{bound.getsockname()[1]}"
            say(
                f"no token is asked (--no-token): whoever reaches {at} may read all that job"
                f" {job!r} has"
            )
        say(f"job {job!r}, store {store}, read-only; Ctrl-C stops")
        print(url, flush=True)
        await server.serve(application, service, bound, stopping)
        await service.close()
    finally:
        bound.close()
    return stopping.received is not None
