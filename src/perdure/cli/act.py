"""`perdure retry`, `cancel`, `signal` and `approve`: leave a command for a run's job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from perdure.cli.options import (
    DEFAULT_STORE,
    Invocation,
    JobOption,
    RunArgument,
    StoreOption,
    epilog,
    open_job,
)
from perdure.errors import ConfigurationError
from perdure.printable import printable

if TYPE_CHECKING:
    from perdure.operate.history import History, JobRow
    from perdure.run import RunInfo


def register(app: typer.Typer) -> None:
    """Add the commands to the app."""
    app.command(
        epilog=epilog(
            "perdure retry r1f",
            "perdure retry --all-failed --store sqlite:///reviews.db --job reviews",
        )
    )(retry)
    app.command(epilog=epilog("perdure cancel r1f", "perdure cancel r1f --job reviews"))(cancel)
    app.command(
        epilog=epilog(
            "perdure approve r1f",
            "perdure approve r1f refund --no --comment 'ask the customer first'",
        )
    )(approve)
    app.command(
        epilog=epilog(
            """perdure signal r1f change '{"by": "ann", "amount": 12.5}'""",
            "perdure signal r1f rename 'a plain text'",
            "perdure signal r1f adjust -5",
            "perdure signal r1f go --store sqlite:///reviews.db --job reviews",
        ),
        context_settings={"ignore_unknown_options": True},  # -5 is a value
    )(signal)


def retry(
    run: Annotated[str | None, typer.Argument(metavar="[RUN]", help="A run's id.")] = None,
    all_failed: Annotated[bool, typer.Option("--all-failed", help="All failed runs.")] = False,
    store: StoreOption = DEFAULT_STORE,
    job: JobOption = None,
) -> None:
    """Put a failed or cancelled run back into its key's queue.

    What succeeded before the failure is not done again. The job's process takes the command at
    once; without one it waits for the next `perdure run`.
    """
    from perdure.cli import render
    from perdure.operate.control import retry, retry_all_failed
    from perdure.operate.history import blocking

    if all_failed == (run is not None):
        raise ConfigurationError("retry: give either a run's id or --all-failed")
    with open_job(store, job) as (history, row):
        if run is not None:
            info = blocking(retry)(history, row, run)
            render.say(f"{_named(info)} will be retried: {_when(history, row)}")
            return
        failed = blocking(retry_all_failed)(history, row)
        if not failed:
            render.say(f"job {row.name!r} has no failed runs: there is nothing to retry")
            return
        runs = "1 failed run" if len(failed) == 1 else f"{len(failed):,} failed runs"
        render.say(f"{runs} will be retried: {_when(history, row)}")


def cancel(
    run: RunArgument,
    store: StoreOption = DEFAULT_STORE,
    job: JobOption = None,
) -> None:
    """Ask that an unfinished run is stopped.

    The job's process takes the command at once; without one it waits for the next `perdure run`.
    A run that comes to its end before that stays as it ended: `perdure show RUN` tells.
    """
    from perdure.cli import render
    from perdure.operate.control import cancel
    from perdure.operate.history import blocking

    with open_job(store, job) as (history, row):
        info = blocking(cancel)(history, row, run)
        render.say(f"{_named(info)} is asked to stop: {_when(history, row)}")


def signal(
    ctx: typer.Context,
    run: RunArgument,
    name: Annotated[str, typer.Argument(metavar="NAME", help="What the agent waits for.")],
    value: Annotated[
        str | None,
        typer.Argument(metavar="VALUE", help="JSON; anything else is text; without it null."),
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    job: JobOption = None,
) -> None:
    """Send a run a signal that `ctx.wait_for_signal` waits for.

    It is kept until an action waits for it, and given once. The job's process takes it at once;
    without one it waits for the next `perdure run`. `perdure inbox` lists what is waited for,
    `perdure show RUN` the signals of one run.
    """
    from perdure.cli import render
    from perdure.operate.control import signal
    from perdure.operate.history import blocking

    if not name:
        raise ConfigurationError("signal: NAME is empty: give the name that the agent waits for")
    # Past a -- everything is meant as it stands.
    given = ctx.obj.arguments if isinstance(ctx.obj, Invocation) else ()
    sent = _value(name, value, is_plain="--" in given)
    with open_job(store, job) as (history, row):
        info = blocking(signal)(history, row, run, name, sent)
        said = f"the signal {printable(name)} = {render.compact(sent, 60)}"
        render.say(f"{_named(info)} gets {said}: {_when(history, row)}")


def approve(
    run: RunArgument,
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Which approval; not needed where one is open."),
    ] = None,
    no: Annotated[bool, typer.Option("--no", help="Refuse it.")] = False,
    comment: Annotated[
        str | None, typer.Option(metavar="TEXT", help="What the agent is told with it.")
    ] = None,
    by: Annotated[
        str | None, typer.Option(metavar="WHO", help="Who answers; the user of this machine.")
    ] = None,
    store: StoreOption = DEFAULT_STORE,
    job: JobOption = None,
) -> None:
    """Answer a run that waits for a person's approval.

    The first answer counts. The job's process takes it at once; without one it waits for the next
    `perdure run`. `perdure inbox` lists who waits, and for what.
    """
    from perdure.cli import render
    from perdure.operate.control import approve
    from perdure.operate.history import blocking
    from perdure.run.approval import Approval

    answer = Approval(approved=not no, by=by or user(), comment=comment)
    with open_job(store, job) as (history, row):
        info, answered = blocking(approve)(history, row, run, name, answer)
        said = f"{printable(answered)} is answered {'no' if no else 'yes'}"
        render.say(f"{_named(info)}: {said}: {_when(history, row)}")


def user() -> str | None:
    """Return the name of this machine's user, None where it has none."""
    import getpass

    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return None


def _value(name: str, value: str | None, *, is_plain: bool) -> Any:
    """Return what a value on the command line stands for."""
    from perdure.connectors.json_text import json_value

    for text in (name, value or ""):
        if text.startswith("--") and not is_plain:
            raise ConfigurationError(
                f"signal: there is no option {text}: see `perdure signal --help`; write -- before"
                " NAME where a text begins so"
            )
    if value is None:
        return None
    try:
        return json_value(value)
    except RecursionError:
        raise ConfigurationError("signal: VALUE is nested too deeply: flatten it") from None
    except OverflowError as error:
        raise ConfigurationError(
            f"signal: VALUE: {error}: write it in quotes, as '\"…\"', where text is meant"
        ) from None
    except ValueError:
        return value


def _named(info: RunInfo) -> str:
    from perdure.printable import quoted_key

    return f"run {printable(info.title)} (key {quoted_key(info.key)})"


def _when(history: History, job: JobRow) -> str:
    if history.is_owned(job):
        return f"the process that runs job {job.name!r} takes it within a second"
    return f"no process runs job {job.name!r} now; the next `perdure run` of it takes it"
