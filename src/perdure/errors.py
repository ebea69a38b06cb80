"""Every error that perdure raises on purpose.

    PerdureError
    ├── ConfigurationError   (ValueError)    a bad option, key or store URL
    ├── AgentDefinitionError (TypeError)     an agent that cannot be run as declared
    ├── ConditionError                       a condition that cannot tell whether an event meets it
    ├── ContextAccessError   (RuntimeError)  a context used outside a turn of its action
    ├── NonDeterminismError  (RuntimeError)  a replay that left its journal
    ├── SpinningActionError  (RuntimeError)  an action that polls instead of waiting
    ├── ActionLoopError      (RuntimeError)  something an action's loop does not do
    ├── EncodeError          (TypeError)     a value the journal cannot hold
    ├── DecodeError          (ValueError)    journal bytes that cannot be read back
    ├── DurableCallError                     a failure whose own type cannot be rebuilt
    ├── OutputSchemaError    (ValueError)    an answer of a model that does not fit its schema
    ├── ToolArgumentsError   (ValueError)    arguments of a model that do not fit a tool
    ├── ChatLimitError                       a chat that took more rounds or tokens than it may
    ├── RetryableError                       raised by a callable: try again
    ├── TerminalError                        raised by a callable: do not try again
    ├── StoreError                           the store did not do what it was asked
    │   ├── StoreDataError                   a row that the store refuses
    │   ├── StoreLockedError                 a job that another process owns
    │   └── StoreFormatError                 a newer, foreign or damaged store
    ├── InputError           (ValueError)    an input record that is bad or has changed
    ├── SinkError                            an output that its sink did not take
    ├── FlinkJobError                        a Flink job whose workers cannot start
    ├── RunsFailedError                      some runs of a finished job failed
    ├── TooManyFailuresError                 a job that was stopped since so many runs failed
    └── RunCancelledError                    a run that was cancelled

Each message is one line: what happened, where, and what to do next.
"""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, SupportsFloat

__all__ = [
    "ActionLoopError",
    "AgentDefinitionError",
    "ChatLimitError",
    "ConditionError",
    "ConfigurationError",
    "ContextAccessError",
    "DecodeError",
    "DurableCallError",
    "EncodeError",
    "FlinkJobError",
    "InputError",
    "NonDeterminismError",
    "OutputSchemaError",
    "PerdureError",
    "RetryableError",
    "RunCancelledError",
    "RunsFailedError",
    "SinkError",
    "SpinningActionError",
    "StoreDataError",
    "StoreError",
    "StoreFormatError",
    "StoreLockedError",
    "TerminalError",
    "TooManyFailuresError",
    "ToolArgumentsError",
    "did_you_mean",
    "install",
    "missing_extra",
    "nearest",
]

RAISE_FILES = "raise how many files this process may have open (ulimit -n)"


class PerdureError(Exception):
    """The root of all errors of this package: catch it to catch them all."""

    __journal_name__ = "perdure:PerdureError"


class ConfigurationError(PerdureError, ValueError):
    """An option, a key or a store URL is wrong: nothing was started."""

    __journal_name__ = "perdure:ConfigurationError"


class AgentDefinitionError(PerdureError, TypeError):
    """An agent cannot be run as declared: change its code."""

    __journal_name__ = "perdure:AgentDefinitionError"


class ConditionError(PerdureError):
    """A condition could not tell whether an event meets it: an attribute is missing, say."""

    __journal_name__ = "perdure:ConditionError"


class ContextAccessError(PerdureError, RuntimeError):
    """A context was used outside a turn of its own action, for instance in a durable callable."""

    __journal_name__ = "perdure:ContextAccessError"


class NonDeterminismError(PerdureError, RuntimeError):
    """A replayed action did something else than its journal records."""

    __journal_name__ = "perdure:NonDeterminismError"


class SpinningActionError(PerdureError, RuntimeError):
    """An action went round in one turn instead of waiting for something."""

    __journal_name__ = "perdure:SpinningActionError"


class ActionLoopError(PerdureError, RuntimeError):
    """An action asked its event loop for what it does not do: I/O belongs in a durable call."""

    __journal_name__ = "perdure:ActionLoopError"


class EncodeError(PerdureError, TypeError):
    """A value has no journal form: hand over plain data or register its type."""

    __journal_name__ = "perdure:EncodeError"


class DecodeError(PerdureError, ValueError):
    """Journal bytes could not be read back as a value.

    Attributes:
        is_damage: The bytes themselves are damaged; else a type in them is not known here.
    """

    __journal_name__ = "perdure:DecodeError"
    is_damage = False

    @classmethod
    def of_damage(cls, message: str) -> DecodeError:
        """Return the error of bytes that nothing has written so."""
        error = cls(message)
        error.is_damage = True
        return error


class DurableCallError(PerdureError):
    """A durable call failed with an exception whose own type cannot be rebuilt here.

    Attributes:
        type_name: Qualified name of the original exception's type.
        message: What the original exception said.
        traceback_text: The original traceback as text, empty when it is not known.
    """

    __journal_name__ = "perdure:DurableCallError"

    def __init__(
        self, type_name: str = "Exception", message: str = "", traceback_text: str = ""
    ) -> None:
        """Name the failure that stands behind this error.

        Args:
            type_name: Qualified name of the original exception's type.
            message: What the original exception said.
            traceback_text: The original traceback as text.
        """
        # All three stay in args, so that pickle and copy rebuild the same error.
        super().__init__(type_name, message, traceback_text)
        self.type_name = type_name
        self.message = message
        self.traceback_text = traceback_text

    def __str__(self) -> str:
        """Return `type: message`, or the type alone when it said nothing."""
        return f"{self.type_name}: {self.message}" if self.message else self.type_name


class OutputSchemaError(PerdureError, ValueError):
    """An answer of a model does not fit the schema that was asked for."""

    __journal_name__ = "perdure:OutputSchemaError"


class ToolArgumentsError(PerdureError, ValueError):
    """The arguments that a model gave do not fit the tool; the text is for the model."""

    __journal_name__ = "perdure:ToolArgumentsError"


class ChatLimitError(PerdureError):
    """A chat took more rounds of tools, or more tokens, than its chat model allows."""

    __journal_name__ = "perdure:ChatLimitError"


class RetryableError(PerdureError):
    """Raised by a durable callable: this attempt failed, another may succeed.

    Attributes:
        retry_after: Seconds to wait before the next attempt; None leaves it to the policy.
    """

    __journal_name__ = "perdure:RetryableError"

    # Here as well, for subclasses with an __init__ that does not come to this one.
    retry_after: float | None = None

    def __init__(
        self, message: str = "", retry_after: SupportsFloat | str | timedelta | None = None
    ) -> None:
        """Say why, and how long to wait.

        Args:
            message: Why.
            retry_after: Seconds as a number or its text, such as a Retry-After header has it, or a
                timedelta; less than none is none.

        Raises:
            ConfigurationError: `retry_after` is neither.
        """
        seconds = None
        if retry_after is not None:
            seconds = seconds_of(retry_after, f"RetryableError({message!r:.200}): retry_after")
        super().__init__(message, seconds)
        self.retry_after = seconds

    def __str__(self) -> str:
        """Return the message."""
        return str(self.args[0]) if self.args else ""


def seconds_of(given: object, name: str) -> float:
    """Return a number of seconds that was given as a number, its text or a timedelta.

    Args:
        given: What was given.
        name: What it was given as, for the message.

    Raises:
        ConfigurationError: It is neither.
    """
    try:
        seconds = given.total_seconds() if isinstance(given, timedelta) else float(given)  # type: ignore[arg-type]
        if not math.isnan(seconds):
            return seconds
    except (TypeError, ValueError, OverflowError):
        pass
    raise ConfigurationError(
        f"{name}={given!r:.60} is no number of seconds: give a number, its text or a timedelta"
    )


class TerminalError(PerdureError):
    """Raised by a durable callable: no attempt can succeed, whatever the retry policy says."""

    __journal_name__ = "perdure:TerminalError"


class StoreError(PerdureError):
    """The store did not do what it was asked; what was asked is not durable.

    Attributes:
        undone: Nothing of it was done, for certain; False where nobody knows.
        is_final: Nothing will be done any more: nobody tries again, and the job stops.
    """

    __journal_name__ = "perdure:StoreError"
    undone = False
    is_final = False


class StoreDataError(StoreError):
    """The store refuses a row for what is in it: writing it again would fail again."""

    __journal_name__ = "perdure:StoreDataError"


class StoreLockedError(StoreError):
    """Another process owns this job: stop that one first, or use another job name."""

    __journal_name__ = "perdure:StoreLockedError"


class StoreFormatError(StoreError):
    """The store is newer than this version, damaged, or not perdure's; it was left untouched."""

    __journal_name__ = "perdure:StoreFormatError"


class UnknownCursorError(StoreError, ValueError):
    """A part of a list was asked for by a cursor that no part of it ended with."""

    __journal_name__ = "perdure:UnknownCursorError"


class InputError(PerdureError, ValueError):
    """An input record is bad, or differs from what was submitted under its id before."""

    __journal_name__ = "perdure:InputError"


class RunNotFoundError(PerdureError, LookupError):
    """The job has no run with this id."""

    __journal_name__ = "perdure:RunNotFoundError"


class ShardNotHeldError(PerdureError, LookupError):
    """A shard of the job is asked for that this process does not hold; nothing was done."""

    __journal_name__ = "perdure:ShardNotHeldError"


class UnreadableAnswerError(PerdureError, ValueError):
    """What was sent to a wait for an approval is neither yes nor no; it was not taken (G27)."""

    __journal_name__ = "perdure:UnreadableAnswerError"


class SinkError(PerdureError):
    """A sink did not take an output; the output stays in the store, undelivered."""

    __journal_name__ = "perdure:SinkError"


class FlinkJobError(PerdureError):
    """The workers of a Flink job could not start it, or it failed for good."""

    __journal_name__ = "perdure:FlinkJobError"


class RunsFailedError(PerdureError):
    """All inputs were processed, and some runs failed.

    Attributes:
        outputs: Outputs of the runs that succeeded, as the engine would have returned them.
        failed: What is known of each failed run.
    """

    __journal_name__ = "perdure:RunsFailedError"

    def __init__(
        self, message: str = "", *, outputs: Iterable[Any] = (), failed: Iterable[Any] = ()
    ) -> None:
        """Carry what succeeded beside what failed.

        Args:
            message: One line; counted from `failed` when empty.
            outputs: Outputs of the runs that succeeded.
            failed: Infos of the failed runs.
        """
        self.outputs: list[Any] = list(outputs)
        self.failed: list[Any] = list(failed)
        super().__init__(message or self._counted())

    def _counted(self) -> str:
        count = len(self.failed)
        text = "1 run failed" if count == 1 else f"{count} runs failed"
        error = getattr(self.failed[0], "error", None) if self.failed else None
        if error:  # with the logging off this message is all that tells why
            from perdure.printable import printable, quoted_key, shown_place  # they take in logging

            info, type_name = self.failed[0], error["type"].rpartition(".")[2]
            first = "" if count == 1 else "the first "
            key, message = quoted_key(info.key), printable(str(error["message"]))
            at = f", at {shown_place(place)}" if (place := error.get("place")) else ""
            text += f" ({first}{info.title} of key {key}: {type_name}: {message}{at})"
        return f"{text}: see .failed, and .outputs for the rest"


class TooManyFailuresError(PerdureError):
    """The job was stopped, for as many runs failed as `max-failures` allows; the rest goes on."""

    __journal_name__ = "perdure:TooManyFailuresError"


class RunCancelledError(PerdureError):
    """The run was cancelled: it gives no further outputs."""

    __journal_name__ = "perdure:RunCancelledError"


def install(extra: str) -> str:
    """Return the command that installs an extra."""
    return f"pip install 'perdure[{extra}]'"


def missing_extra(what: str, extra: str, error: ImportError) -> ConfigurationError:
    """Return the error that says what is not installed, and how it is.

    Args:
        what: What needs it.
        extra: The extra's name.
        error: What importing it raised.
    """
    return ConfigurationError(f"{what} needs the extra `{extra}`: {install(extra)} ({error})")


def nearest(name: str, known: Iterable[str], cutoff: float = 0.6) -> str | None:
    """Return the name that is most like one that there is not; None where none is.

    Args:
        name: What was written.
        known: The names that there are.
        cutoff: How much alike they must be, from 0 to 1.
    """
    import difflib  # here: most programs make no mistake

    return next(iter(difflib.get_close_matches(name, list(known), n=1, cutoff=cutoff)), None)


def did_you_mean(
    name: str,
    known: Iterable[str],
    otherwise: str,
    shown: Callable[[str], str] = str,
    cutoff: float = 0.6,
) -> str:
    """Return what to say after naming something that is not there.

    Args:
        name: What was written.
        known: The names that there are.
        otherwise: What is said where none of them is near.
        shown: How the nearest one is written.
        cutoff: How much alike they must be, from 0 to 1.
    """
    meant = nearest(name, known, cutoff)
    return otherwise if meant is None else f"did you mean {shown(meant)}?"


def has_no_file_left(error: BaseException) -> bool:
    """Say whether something failed since as many files are open as may be."""
    return isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE)


def what_to_do(error: BaseException, otherwise: str) -> str:
    """Return what to do about an error of the system.

    Args:
        error: What it raised.
        otherwise: What is said unless the fault lies with the process, wherever it shows.
    """
    return RAISE_FILES if has_no_file_left(error) else otherwise
