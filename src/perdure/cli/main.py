"""The `perdure` command: its subcommands, and how errors reach the user."""

from __future__ import annotations

import contextlib
import io
import sys
import traceback
from collections.abc import Sequence
from importlib.metadata import version
from typing import Annotated

import typer

from perdure.cli import act, doctor, inbox, inspect, outputs, run_command, schema, serve, stats, ui
from perdure.cli.options import Invocation, epilog
from perdure.errors import (
    AgentDefinitionError,
    ConfigurationError,
    PerdureError,
    UnreadableAnswerError,
    what_to_do,
)
from perdure.printable import printable

USAGE = 2  # exit code of a wrong command line, configuration or agent
INTERRUPTED = 130
_USAGE_ERRORS = (ConfigurationError, AgentDefinitionError, UnreadableAnswerError)

app = typer.Typer(
    name="perdure",
    help="Asynchronous, durable agents on keyed event streams.",
    epilog=epilog(
        "perdure run agent.py:agent --input reviews.jsonl --key id --output scores.jsonl",
        "perdure runs --status failed",
        "perdure retry --all-failed",
        "perdure inbox",
    ),
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,  # plain help: twice as fast to come up, and the same in a pipe
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
run_command.register(app)
serve.register(app)
ui.register(app)
inspect.register(app)
act.register(app)
inbox.register(app)
outputs.register(app)
stats.register(app)
doctor.register(app)
schema.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"perdure {version('perdure')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Add the traceback to an error; works anywhere.")
    ] = False,
) -> None:
    """Asynchronous, durable agents on keyed event streams."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: What stands behind `perdure`; the process's own when None.

    Returns:
        The exit code: 0 success, 1 failure, 2 wrong usage, 130 and 143 interrupted.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Taken out here, so that it may also stand behind the subcommand, where one thinks of it.
    debug = "--debug" in given
    rest = [argument for argument in given if argument != "--debug"]
    _let_any_text_out()
    try:
        code = typer.main.get_command(app).main(
            rest,
            prog_name="perdure",
            standalone_mode=False,
            obj=Invocation(arguments=tuple(given)),
        )
        sys.stdout.flush()
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit:
        raise
    except BaseException as error:  # of the user's code, whatever its class is
        if _is_closed_pipe(error):
            return _leave_pipe(error)
        return _report(error, debug)
    return code if isinstance(code, int) else 0


def _let_any_text_out() -> None:
    """Have a terminal that knows few characters get the others' numbers, not an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and "utf" not in stream.encoding.lower():
            with contextlib.suppress(OSError):  # a stream that both reads and writes may refuse
                stream.reconfigure(errors="backslashreplace")


def _is_closed_pipe(error: BaseException) -> bool:
    return isinstance(error, BrokenPipeError) or isinstance(error.__cause__, BrokenPipeError)


def _leave_pipe(error: BaseException) -> int:
    """Whoever read our output has seen enough, as `head` has; return the exit code."""
    sys.stdout = None  # else the exit would flush it and complain
    if isinstance(error, PerdureError):
        _say("standard output was closed: the rest is kept; run the same again to get it")
    return 1


def _report(error: BaseException, debug: bool) -> int:
    """Tell the user of an error in one line; return the exit code."""
    if debug:
        sys.stderr.write(printable("".join(traceback.format_exception(error)), lines=True))
    if hasattr(error, "format_message"):  # the command line itself: typer's own error classes
        context = getattr(error, "ctx", None)
        if type(error).__name__ == "NoArgsIsHelpError" and context is not None:
            print(context.get_help(), file=sys.stderr)
        else:
            command = context.command_path if context is not None else "perdure"
            _say(f"{error.format_message().rstrip('.')}: see `{command} --help`")
        return int(getattr(error, "exit_code", USAGE))
    _say(_one_line(error, debug))
    return USAGE if isinstance(error, _USAGE_ERRORS) else 1


def _one_line(error: BaseException, debug: bool) -> str:
    if isinstance(error, PerdureError):
        return str(error) or type(error).__name__
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename is not None else ""
        do = what_to_do(error, "check the path and its permissions")
        return f"{where}{error.strerror or error}: {do}"
    hint = "" if debug else " (--debug shows where)"
    return f"{type(error).__name__}: {error}{hint}"


def _say(text: str) -> None:
    with contextlib.suppress(OSError):  # nobody reads it, which changes nothing that was done
        print("perdure: " + printable(" ".join(text.split())), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
