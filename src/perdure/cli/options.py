"""What several commands share: options, examples in the help, finding store and job."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from perdure.printable import shell_word

if TYPE_CHECKING:
    from perdure.operate.history import History, JobRow

DEFAULT_STORE = "sqlite:///perdure.db"
MOST = 2**63 - 1  # of a --limit: no store counts further


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Invocation:
    """How the command was called: its arguments, for telling how to call it again."""

    arguments: tuple[str, ...]

    @property
    def command(self) -> str:
        """The command line, quoted for a shell."""
        return " ".join(map(shell_word, ("perdure", *self.arguments)))

    def without(self, *flags: str) -> Invocation:
        """Return the same call without these flags."""
        return Invocation(arguments=tuple(each for each in self.arguments if each not in flags))


StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="URL",
        envvar="PERDURE_STORE",
        help="Where the journal is kept; file.db is sqlite:///file.db.",
    ),
]
JobOption = Annotated[
    str | None,
    typer.Option(
        "--job",
        metavar="NAME",
        envvar="PERDURE_JOB",
        help="The job; not needed where the store has one.",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
RunArgument = Annotated[
    str, typer.Argument(metavar="RUN", help="A run: the id of its input, or r1f.")
]


def epilog(*commands: str) -> str:
    """Return examples for the end of a command's help, each on a line of its own."""
    # \b keeps the lines as they are.
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


@contextlib.contextmanager
def open_job(store: str, job: str | None) -> Iterator[tuple[History, JobRow]]:
    """Open a store for looking and acting, with the job that is meant."""
    from perdure.operate.history import History

    with History.open(store) as history:
        yield history, history.choose_job(job)


def selection(store: str, job: str | None) -> str:
    """Return the options that name store and job again, with a space before each."""
    text = "" if store == DEFAULT_STORE else f" --store {shell_word(store)}"
    return text if job is None else f"{text} --job {shell_word(job)}"
