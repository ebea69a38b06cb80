"""`perdure serve`: an HTTP service of a job, which runs in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli.log_format import (
    LogFormat,
    LogFormatOption,
    line_of_log,
    log_written,
    told_in_log,
)
from perdure.cli.options import DEFAULT_STORE, StoreOption, epilog
from perdure.cli.run_command import (
    AbandonOption,
    AgentArgument,
    ConfigOption,
    FreshOption,
    NewJobOption,
    SetOption,
    job_name,
)
from perdure.errors import ConfigurationError, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable

    from perdure.cli.load import AnyAgent
    from perdure.cli.stop_signals import StopSignals
    from perdure.config.configuration import Configuration
    from perdure.web.access import Token

HostOption = Annotated[str, typer.Option("--host", metavar="H", help="Address that it listens on.")]
PortOption = Annotated[
    int, typer.Option("--port", metavar="P", min=0, max=65535, help="Port; 0 is any free one.")
]
TokenOption = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="T",
        envvar="PERDURE_TOKEN",
        help="The token that requests need; else one is made and printed.",
    ),
]
TokenFileOption = Annotated[
    str | None,
    typer.Option(
        "--token-file", metavar="PATH", help="Lines of NAME ROLE TOKEN; roles: read, run, operate."
    ),
]
NoTokenOption = Annotated[
    bool, typer.Option("--no-token", help="Ask nobody: whoever reaches the port may do all.")
]
AllowHostOption = Annotated[
    list[str] | None,
    typer.Option("--allow-host", metavar="NAME", help="A name that it is reached by; * is any."),
]
AllowOriginOption = Annotated[
    list[str] | None,
    typer.Option("--allow-origin", metavar="URL", help="A site whose pages may use this."),
]
PrefixOption = Annotated[
    str, typer.Option("--prefix", metavar="/PATH", help="The path below which a proxy shows it.")
]


def register(app: typer.Typer) -> None:
    """Add the command to the app."""
    app.command(
        epilog=epilog(
            "perdure serve agent.py:agent",
            'curl localhost:8765/runs -H "Authorization: Bearer $TOKEN" --json \\',
            """    '{"key": "B01", "value": "too small", "id": "msg-17", "wait": true}'""",
            'curl localhost:8765/runs/msg-17 -H "Authorization: Bearer $TOKEN"',
            "perdure serve agent.py:agent --host 0.0.0.0 --allow-host agents.example.org \\",
            "    --token-file tokens.txt --store sqlite:///reviews.db --job reviews",
        )
    )(serve)


def serve(
    agent: AgentArgument,
    host: HostOption = "127.0.0.1",
    port: PortOption = 8765,
    token: TokenOption = None,
    token_file: TokenFileOption = None,
    no_token: NoTokenOption = False,
    allow_host: AllowHostOption = None,
    allow_origin: AllowOriginOption = None,
    prefix: PrefixOption = "",
    store: StoreOption = DEFAULT_STORE,
    job: NewJobOption = None,
    config: ConfigOption = None,
    set_: SetOption = None,
    fresh: FreshOption = False,
    abandon: AbandonOption = False,
    log_format: LogFormatOption = LogFormat.TEXT,
) -> None:
    """Serve an agent over HTTP: runs are started, awaited and answered.

    Runs are executed in this process, the job's one owner; unfinished ones go on at once.
    POST /runs with a key, a value and an id starts a run, or finds the one that there is; with
    "wait" the answer has its outputs. /openapi.json lists everything.

    Every request needs a token. One is made and printed with the address, unless --token,
    PERDURE_TOKEN or --token-file give it; other users of this machine can read the command line.

    The first SIGTERM or Ctrl-C lets requests and runs end for 5 s, the second stops at once.
    Nothing is lost: the same command goes on.
    """
    # Here, so that `perdure --help` waits for none of it.
    from perdure.cli.load import load_agent
    from perdure.config.configuration import Configuration
    from perdure.engine.event_loop import runner_of
    from perdure.web import needed

    needed("perdure serve")
    tokens = given_tokens(token, token_file, no_token=no_token)
    loaded = load_agent(agent)
    chosen = job_name(store, job, loaded)
    served = _Served(
        agent=loaded.agent,
        config=Configuration.load(config, overrides=set_ or (), below=loaded.config),
        store=store,
        job=chosen.name,
        tokens=tokens,
        host=host,
        port=port,
        hosts=allow_host or [],
        origins=allow_origin or [],
        prefix=prefix,
        fresh=fresh,
        abandon=abandon,
        log_format=log_format,
    )
    with log_written(log_format):
        code = signals_of_server(served.last_words).run(runner_of(served.config), served.run)
    if code:
        raise typer.Exit(code)


def given_tokens(token: str | None, path: str | None, *, no_token: bool) -> list[Token] | None:
    """Return the tokens that are good; none where nobody is asked, None for one to be made."""
    from perdure.web.access import Token, read_token_file

    if no_token and (token or path):
        raise ConfigurationError("--no-token goes with neither --token nor --token-file")
    if no_token:
        return []
    tokens = [Token(token)] if token else []
    tokens += read_token_file(path) if path else []
    return tokens or None


def signals_of_server(last_words: Callable[[str], str]) -> StopSignals:
    """Return what hears the signals of a command that serves, around the loop that it is run on."""
    from perdure.cli.stop_signals import StopSignals
    from perdure.web.limits import TO_ANSWER, Limits

    # Runs and requests have the first together, and answers the second behind it.
    return StopSignals(grace=Limits().drain_seconds + TO_ANSWER, last_words=last_words)


def tokens_and_url(tokens: list[Token] | None, url: str) -> tuple[list[Token], str]:
    """Return the tokens that are good, and the address: with the one that was made, if one was."""
    from perdure.web.access import Token

    if tokens is not None:
        return tokens, url
    made = Token.made()
    return [made], f"{url}#token={made.secret}"


class _Served:
    """One `perdure serve`; see its options."""

    def __init__(
        self,
        *,
        agent: AnyAgent,
        config: Configuration,
        store: str,
        job: str,
        tokens: list[Token] | None,
        host: str,
        port: int,
        hosts: list[str],
        origins: list[str],
        prefix: str,
        fresh: bool,
        abandon: bool,
        log_format: LogFormat,
    ) -> None:
        self.config = config
        self._agent = agent
        self._store = store
        self._job = job
        self._tokens = tokens
        self._host = host
        self._port = port
        self._hosts = hosts
        self._origins = origins
        self._prefix = prefix
        self._fresh = fresh
        self._abandon = abandon
        self._log_format = log_format
        self._say = told_in_log if log_format is LogFormat.JSON else say

    def last_words(self, why: str) -> str:
        """Return what is said where the process ends itself."""
        text = f"{why}; nothing is lost: the same command goes on"
        return line_of_log(text) if self._log_format is LogFormat.JSON else text

    async def run(self, signals: StopSignals) -> int:
        """Serve until a signal comes; return the exit code."""
        from perdure.engine.local import LocalEngine
        from perdure.web import server
        from perdure.web.application import guarded, service_of_job
        from perdure.web.limits import Limits

        bound = self._bound()
        try:
            engine = LocalEngine(store=self._store, job=self._job, config=self.config)
            job = await engine.start(self._agent, fresh=self._fresh, abandon=self._abandon)
            try:
                tokens, url = tokens_and_url(
                    self._tokens, server.url_of(bound, self._prefix.rstrip("/"))
                )
                service = service_of_job(job, Limits())
                application = guarded(
                    service, tokens, hosts=self._known_as(), origins=self._origins,
                    prefix=self._prefix,
                )  # fmt: skip
                server.listen(bound)
                stopping = server.Stopping(self._say)
                signals.tell(stopping.heard)
                self._announce(url, bound.getsockname()[1])
                await server.serve(application, service, bound, stopping)
            finally:
                await job.close()
        finally:
            bound.close()
        return 0 if stopping.received is not None else 1

    def _bound(self) -> Any:
        """Return the socket; where it is taken, perhaps by who runs the job, say by whom."""
        from perdure.web.server import bound_socket

        try:
            return bound_socket(self._host, self._port)
        except ConfigurationError as error:
            if self._is_run():
                raise StoreError(
                    f"job {self._job!r} is being run by another process, perhaps by the one that"
                    f" serves {self._host}:{self._port}: stop that one first, or give this one"
                    " another --job and --port"
                ) from None
            raise error

    def _is_run(self) -> bool:
        from perdure.errors import PerdureError
        from perdure.operate.history import History

        try:
            with History.open(self._store) as history:
                return history.is_owned(history.job(self._job))
        except PerdureError:
            return False

    def _known_as(self) -> list[str]:
        from perdure.web.guard import LOCAL_HOSTS

        return [*LOCAL_HOSTS, self._host, *self._hosts]

    def _announce(self, url: str, port: int) -> None:
        if self._tokens == []:
            self._say(
                f"no token is asked (--no-token): whoever reaches {self._host}:{port} may"
                f" read all that job {self._job!r} has, start runs, cancel and answer them"
            )
        self._say(f"job {self._job!r}, store {self._store}; Ctrl-C stops, the same command goes on")
        print(url, flush=True)


def say(text: str) -> None:
    """Tell the person at the command line."""
    from perdure.cli import render

    render.say(text, error=True)
