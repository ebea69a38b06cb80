"""Approval: a person's yes or no, and the one reader of what people send as such (G27)."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, Protocol

from perdure.errors import UnreadableAnswerError, did_you_mean

__all__ = [
    "APPROVAL",
    "Approval",
    "Wait",
    "answer_value",
    "check_readable",
    "read_approval",
    "reader_of",
]

APPROVAL: Final = "approval"  # the kind of a wait that takes a yes or a no alone

_YES: Final = frozenset({"yes", "y", "true", "ok", "approve", "approved"})
_KEYS: Final = ("approved", "by", "comment", "reason", "arguments")
_NO: Final = frozenset({"no", "n", "false", "reject", "rejected"})


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """What a person answered; true in a condition where it is a yes.

    Attributes:
        approved: yes or no.
        by: who answered, where that was said.
        comment: what they said with it.
        arguments: of a tool call the arguments that it is made with instead of the model's; None
            for those.
    """

    __journal_name__ = "perdure:Approval"

    approved: bool
    by: str | None = None
    comment: str | None = None
    arguments: dict[str, Any] | None = None

    def __bool__(self) -> bool:
        return self.approved


def reader_of(rules: int | None) -> Callable[[Any], Approval]:
    """Return what reads the answers that an action takes, by the rules that it goes by.

    Args:
        rules: See `journal.record.RULES`.
    """
    if rules is None:
        return _read_as_before
    return _read_with_more if rules < 2 else read_approval


def read_approval(said: Any) -> Approval:
    """Return what a value says that was sent as an answer.

    Yes are true, "yes", "y", "true", "ok", "approve" and "approved", no are false, "no", "n",
    "false", "reject" and "rejected", in any case. A mapping says it under "approved", and may
    have "by", "comment" (or "reason") and "arguments", and nothing else: a change of the arguments
    under a misspelt name must not become a yes to what the model asked for.

    Raises:
        UnreadableAnswerError: it is neither: it must never be taken for one of them.
    """
    approval = _read_with_more(said)
    if isinstance(said, Mapping):
        for name in said:
            if name not in _KEYS:
                meant = did_you_mean(
                    str(name).lower(), _KEYS, f"there are {', '.join(_KEYS)}", repr
                )
                raise UnreadableAnswerError(
                    f"the answer {_short(said)} has {_short(name)}, which no answer has: {meant}"
                )
    return approval


def _read_with_more(said: Any) -> Approval:
    """Return what `said` says, whatever else a mapping has: so it was read before rules 2."""
    if isinstance(said, Approval):
        return said
    if not isinstance(said, Mapping):
        return Approval(approved=_is_yes(said, said))
    if "approved" not in said:
        raise _unreadable(said)
    comment = said.get("comment", said.get("reason"))
    return Approval(
        approved=_is_yes(said["approved"], said),
        by=_text(said, "by", said.get("by")),
        comment=_text(said, "comment", comment),
        arguments=_arguments(said),
    )


def _read_as_before(said: Any) -> Approval:
    """Return what `said` meant to a tool's approval before rules had numbers: unclear is no."""
    reason, arguments = "", None
    if isinstance(said, dict):
        reason = str(said.get("reason") or "")
        arguments = said.get("arguments")
        if "arguments" in said and not isinstance(arguments, dict):
            return Approval(approved=False, comment=reason or None)
        said = said.get("approved")
    agreed = said is True or (isinstance(said, str) and said.strip().lower() in _YES)
    return Approval(approved=agreed, comment=reason or None, arguments=arguments)


def answer_value(approval: Approval) -> dict[str, Any]:
    """Return an answer as the value of a signal: plain data, which `read_approval` reads."""
    said = dataclasses.asdict(approval)
    return {name: value for name, value in said.items() if value is not None}


class Wait(Protocol):
    """A wait that is open, as a store or a listing has it."""

    @property
    def name(self) -> str:
        """Name of the signal that ends it."""

    @property
    def kind(self) -> str:
        """`APPROVAL`, or "signal"."""


def check_readable(run: str, waits: Iterable[Wait], name: str, value: Any) -> None:
    """Refuse a signal that is neither yes nor no, where that is what its run waits for.

    Args:
        run: the run's id, for the message.
        waits: what the run waits for.
        name: the signal's name.
        value: its value.

    Raises:
        UnreadableAnswerError: it is such a signal.
    """
    if any(wait.name == name and wait.kind == APPROVAL for wait in waits):
        try:
            read_approval(value)
        except UnreadableAnswerError as error:
            text = f"run {run} waits for the approval {name!r}: {error}"
            raise UnreadableAnswerError(text) from None


def _is_yes(answer: Any, said: Any) -> bool:
    if isinstance(answer, bool):
        return answer
    word = answer.strip().lower() if isinstance(answer, str) else None
    if word in _YES:
        return True
    if word in _NO:
        return False
    raise _unreadable(said)


def _text(said: Any, name: str, value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    raise UnreadableAnswerError(f"the answer {_short(said)} has a {name!r} that is no text")


def _arguments(said: Mapping[Any, Any]) -> dict[str, Any] | None:
    arguments = said.get("arguments")
    if arguments is None or isinstance(arguments, dict):
        return arguments
    raise UnreadableAnswerError(f"the answer {_short(said)} has 'arguments' that are no mapping")


def _unreadable(said: Any) -> UnreadableAnswerError:
    return UnreadableAnswerError(
        f"the answer {_short(said)} is neither yes nor no: send true or false, yes or no, approve"
        ' or reject, or {"approved": true, "by": ..., "comment": ...}'
    )


def _short(said: Any) -> str:
    text = repr(said)
    return text if len(text) <= 60 else f"{text[:59]}…"
