"""Exceptions as outcomes: to bytes and back, the same live as on replay.

Whether an exception comes back as its own type is decided when it is encoded, by trying it on the
very bytes that are journaled. What an action gets is always decoded from them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple, TypeGuard

from perdure.codec.codec import Codec
from perdure.codec.error_parts import form_of, make, set_aside, taken_apart, value_of
from perdure.codec.error_texts import (
    MAX_TEXT,
    TRACEBACK_ATTRIBUTE,
    class_name,
    members_of,
    notes_of,
    text_of,
    traceback_of,
)
from perdure.codec.error_types import NotLoaded
from perdure.codec.names import NAMES
from perdure.codec.places import place_in
from perdure.codec.validation_errors import (
    build_validation_error,
    is_validation_error,
    take_validation_error,
)
from perdure.errors import DecodeError, DurableCallError, EncodeError

__all__ = ["TRACEBACK_ATTRIBUTE", "decode_failure", "encode_failure", "failure_summary"]

_MAX_CHAIN = 5
_MAX_GROUPS = 30
_MAX_PARTS = 4
_MAX_FURTHER = 1000  # exceptions in groups below _MAX_CHAIN and in parts, all in all
_OWN_STATE = frozenset((TRACEBACK_ATTRIBUTE, "__notes__"))

_ANY_GROUP = "builtins:ExceptionGroup"
_get_cause = vars(BaseException)["__cause__"].__get__
_set_cause = vars(BaseException)["__cause__"].__set__
_get_suppress_context = vars(BaseException)["__suppress_context__"].__get__
_set_suppress_context = vars(BaseException)["__suppress_context__"].__set__


def encode_failure(codec: Codec, exc: BaseException) -> bytes:
    """Return the journal bytes of an exception, of any kind; it never fails.

    Args:
        codec: Of the job.
        exc: What a durable call raised.
    """
    # It may be too large, or not let itself be looked at, whatever it raises then.
    with contextlib.suppress(BaseException):
        return codec.encode(_Telling(codec).tree(exc, _Room()))
    with contextlib.suppress(BaseException):
        return codec.encode(_opaque(exc))
    # What happened still has to be told, whatever the bound of a value is.
    name = class_name(type(exc))
    return Codec().encode({"type": f"builtins:{name}", "message": "", "traceback": "", "notes": []})


def decode_failure(codec: Codec, data: bytes) -> BaseException:
    """Return the exception that journal bytes hold, to be raised.

    Args:
        codec: Of the job.
        data: What `encode_failure` returned.

    Returns:
        A new exception of the original type where that can be imported and rebuilt, else a
        DurableCallError that names it. Its `__perdure_traceback__` is the original traceback.

    Raises:
        DecodeError: The bytes hold no exception.
    """
    return _exception(codec, _read(codec, data))


def failure_summary(codec: Codec, data: bytes) -> dict[str, Any]:
    """Return what people want to know of a failure, without importing anything.

    Args:
        codec: Any codec.
        data: What `encode_failure` returned.

    Returns:
        `type` (dotted name), `message`, `traceback` (text), `notes` (list of text), and `place`:
        file and line of the user's code that failed, "" where none did.

    Raises:
        DecodeError: The bytes hold no exception.
    """
    tree = _read(codec, data)
    return {
        "type": _dotted(tree["type"]),
        "message": _told(tree),
        "traceback": tree["traceback"],
        "notes": list(tree["notes"]),
        "place": _place(tree),
    }


def _place(tree: dict[str, Any]) -> str:
    """Return where a failure came from; of a group, that of the first failure in it."""
    members = tree.get("members")
    return (_place(members[0]) if members else "") or place_in(tree["traceback"])


def _told(tree: dict[str, Any]) -> str:
    """Return the message of a failure; of a group also the first failure that is in it."""
    message: str = tree["message"]
    members = tree.get("members")
    if not members:
        return message
    return f"{message}: {_dotted(members[0]['type']).rpartition('.')[2]}: {_told(members[0])}"


def _read(codec: Codec, data: bytes) -> dict[str, Any]:
    tree = codec.decode(data)
    if not _is_tree(tree):
        raise DecodeError.of_damage(
            "journal bytes hold no failure: they are damaged or of another record"
        )
    found: dict[str, Any] = tree
    return found


def _is_tree(tree: Any) -> bool:
    """Say whether a decoded value is what `_tree` makes, in all that is told of it."""
    if not isinstance(tree, dict):
        return False
    texts = [tree.get(name) for name in ("type", "message", "traceback")]
    members, notes, cause = tree.get("members", []), tree.get("notes"), tree.get("cause")
    return (
        isinstance(notes, list)
        and isinstance(members, list)
        and all(isinstance(text, str) for text in (*texts, *notes))
        and all(_is_tree(member) for member in members)
        and (cause is None or _is_tree(cause))
    )


# Encoding


class _Room(NamedTuple):
    """How much further down an exception is told of what it holds."""

    causes: int = _MAX_CHAIN
    groups: int = _MAX_GROUPS
    parts: int = _MAX_PARTS

    def cause(self) -> _Room:
        return self._replace(causes=self.causes - 1)

    def member(self) -> _Room:
        return self._replace(causes=max(self.causes - 1, 1), groups=self.groups - 1)

    def part(self) -> _Room:
        return self._replace(causes=max(self.causes - 1, 1), parts=self.parts - 1)


def _opaque(exc: BaseException) -> dict[str, Any]:
    """What is told of any exception, rebuildable or not."""
    is_foreign = _is_group(exc) and not issubclass(type(exc), Exception)
    return {
        # A group holds nothing but ordinary exceptions once its members went through here.
        "type": _ANY_GROUP if is_foreign else NAMES.name(type(exc)),
        "message": text_of(exc)[:MAX_TEXT],
        "traceback": traceback_of(exc),
        "notes": notes_of(exc),
    }


def _is_group(exc: BaseException) -> TypeGuard[BaseExceptionGroup[Any]]:
    # By its type: isinstance asks the exception, too, which may be of anybody's making.
    return issubclass(type(exc), BaseExceptionGroup)


class _Telling:
    """Makes the tree of one exception.

    Owns: what it is within at the moment, and how many exceptions are told yet where exceptions
    hold each other in other ways than as causes and as members of a few levels. One use.
    """

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._left = _MAX_FURTHER
        self._within: set[int] = set()

    def tree(self, exc: BaseException, room: _Room) -> dict[str, Any]:
        tree = _opaque(exc)
        if room.groups > 0 and self._is_told(room):
            self._within.add(id(exc))
            tree = self._rebuildable(exc, tree, room)
            self._within.discard(id(exc))
        cause = _get_cause(exc)
        if cause is not None and room.causes > 1:
            tree["cause"] = self.tree(cause, room.cause())
        if _get_suppress_context(exc):
            tree["suppress"] = True
        return tree

    def _is_told(self, room: _Room) -> bool:
        if room.groups > _MAX_GROUPS - _MAX_CHAIN and room.parts == _MAX_PARTS:
            return True
        self._left -= 1
        return self._left >= 0

    def _rebuildable(self, exc: BaseException, tree: dict[str, Any], room: _Room) -> dict[str, Any]:
        """Return the tree with what rebuilds the exception, or as it is where that cannot be."""
        try:
            parts = self._parts(exc, room)
        except BaseException:  # it does not let itself be taken apart
            parts = None
        # A group of a class that cannot be rebuilt is one of the plain class, with its members.
        names = (tree["type"], _ANY_GROUP) if _is_group(exc) else (tree["type"],)
        for name in dict.fromkeys(names):
            try:
                cls = self._codec.errors.find(name)
            except NotLoaded as late:
                tree["notes"] = [*tree["notes"], str(late)]
                continue
            except BaseException:  # there is none, or its module does not let itself be looked at
                cls = None
            if cls is not None and parts is not None:
                for tried in self._tries(exc, {**tree, "type": name, **parts}):
                    if self._comes_back(tried, exc, cls):
                        return tried
        return tree

    def _parts(self, exc: BaseException, room: _Room) -> dict[str, Any]:
        """Return what the exception is made of."""
        codec = self._codec
        if is_validation_error(exc):
            take = functools.partial(self.tree, room=room.member())
            return {"validation": codec.encode(take_validation_error(exc, take))}
        if _is_group(exc):
            members = [self.tree(member, room.member()) for member in members_of(exc)]
            parts: dict[str, Any] = {"args": codec.encode((exc.message,)), "members": members}
        else:
            args, slots = taken_apart(exc)
            within = functools.partial(self._part, room=room)
            parts = {"args": form_of(codec, args, within), "slots": self._forms(slots, room)}
        parts["state"] = self._forms(vars(exc), room)
        return parts

    def _part(self, exc: BaseException, room: _Room) -> bytes:
        """Return the bytes of an exception that is held in an argument or an attribute."""
        if room.parts == 0 or id(exc) in self._within:
            raise EncodeError("exceptions hold each other for ever")
        return self._codec.encode(self.tree(exc, room.part()))

    def _forms(self, state: dict[str, Any], room: _Room) -> dict[str, Any]:
        forms = {}
        within = functools.partial(self._part, room=room)
        for key, held in state.items():
            if key not in _OWN_STATE:
                # Connections, responses and locks stay in the process that raised.
                with contextlib.suppress(EncodeError):
                    forms[key] = form_of(self._codec, held, within)
        return forms

    def _tries(self, exc: BaseException, whole: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Return the trees that an exception may come back from, the plainest kind first."""
        if "slots" not in whole:
            yield whole
            return
        for tried in (whole, {**whole, "bare": True}):
            by_hand: dict[str, Any] = {}
            with contextlib.suppress(BaseException):
                by_hand = set_aside(exc, functools.partial(_rebuild, self._codec, tried))
            if by_hand:
                yield {**tried, "slots": {**whole["slots"], **self._forms(by_hand, _Room())}}
            yield tried

    def _comes_back(
        self, tree: dict[str, Any], exc: BaseException, cls: type[BaseException]
    ) -> bool:
        """Say whether an exception comes back from its tree as what it was."""
        try:
            rebuilt = _rebuild(self._codec, tree)
            if type(rebuilt) is not cls or text_of(rebuilt) != text_of(exc):
                return False
            # Whoever catches it asks: one that cannot be asked is of no use.
            isinstance(rebuilt, _Telling)
            if _is_group(exc) or is_validation_error(exc):
                return True
            return self._args_of(rebuilt) == self._args_of(exc)
        except BaseException:  # it does not let itself be put together, or looked at
            return False

    def _args_of(self, exc: BaseException) -> bytes | dict[str, Any]:
        return form_of(self._codec, taken_apart(exc)[0], self._brief)

    def _brief(self, exc: BaseException) -> bytes:
        return self._codec.encode([NAMES.name(type(exc)), text_of(exc)])


# Decoding


def _exception(codec: Codec, tree: dict[str, Any]) -> BaseException:
    try:
        exc = _complete(codec, _rebuild(codec, tree), tree) if _has_parts(tree) else None
    except Exception:
        exc = None
    if exc is None:
        opaque = DurableCallError(_dotted(tree["type"]), tree["message"], tree["traceback"])
        exc = _complete(codec, opaque, tree)
    return exc


def _has_parts(tree: dict[str, Any]) -> bool:
    return "args" in tree or "validation" in tree


def _complete(codec: Codec, exc: BaseException, tree: dict[str, Any]) -> BaseException:
    """Give an exception its cause, its notes and its original traceback."""
    # Past the __setattr__ of the class, which may refuse: a frozen dataclass, say.
    if tree["notes"]:
        exc.__dict__["__notes__"] = list(tree["notes"])
    cause = tree.get("cause")
    if cause is not None:
        _set_cause(exc, _exception(codec, cause))
    _set_suppress_context(exc, bool(tree.get("suppress")))
    exc.__dict__[TRACEBACK_ATTRIBUTE] = tree["traceback"]
    return exc


def _rebuild(codec: Codec, tree: dict[str, Any]) -> BaseException:
    cls = codec.errors.find(tree["type"])
    if "validation" in tree:
        build = functools.partial(_exception, codec)
        return build_validation_error(cls, codec.decode(tree["validation"]), build)
    args: Any = _value(codec, tree["args"])
    if "members" in tree:
        args = (*args, [_exception(codec, member) for member in tree["members"]])
    exc = make(cls, args, bare=bool(tree.get("bare")))
    exc.__dict__.update({key: _value(codec, held) for key, held in tree["state"].items()})
    for key, held in tree.get("slots", {}).items():
        object.__setattr__(exc, key, _value(codec, held))
    return exc


def _value(codec: Codec, form: Any) -> Any:
    return value_of(codec, form, functools.partial(decode_failure, codec))


def _dotted(name: str) -> str:
    """Return what people call an exception class: where it is, or the name it was given."""
    own = NAMES.find_error(name)
    if own is not None:
        return f"{own.__module__}.{own.__qualname__}"
    module, _, qualname = name.partition(":")
    return qualname if module == "builtins" else f"{module}.{qualname}".rstrip(".")
