"""Exceptions as outcomes: to bytes and back, the same live as on replay.

Whether an exception comes back as its own type is decided when it is encoded, by trying it on the
very bytes that are journaled. What an action gets is always decoded from them.
"""

from __future__ import annotations

import contextlib
import functools
import traceback
from typing import Any

from perdure.codec.codec import Codec
from perdure.codec.error_types import NotLoaded
from perdure.codec.names import NAMES
from perdure.codec.places import place_in
from perdure.codec.validation_errors import (
    build_validation_error,
    is_validation_error,
    take_validation_error,
)
from perdure.errors import DecodeError, DurableCallError, EncodeError

__all__ = ["TRACEBACK_ATTRIBUTE", "decode_failure", "encode_failure", "failure_summary", "text_of"]

TRACEBACK_ATTRIBUTE = "__perdure_traceback__"
"""Where a decoded exception holds the text of its original traceback."""

_MAX_CHAIN = 5
_MAX_TEXT = 8 * 1024
_MAX_FRAMES = 50
_MAX_NOTES = 20
_OWN_STATE = frozenset((TRACEBACK_ATTRIBUTE, "__notes__"))

_ANY_GROUP = "builtins:ExceptionGroup"
_HEAP_TYPE = 1 << 9
_set_cause = vars(BaseException)["__cause__"].__set__
_set_suppress_context = vars(BaseException)["__suppress_context__"].__set__


def encode_failure(codec: Codec, exc: BaseException) -> bytes:
    """Return the journal bytes of an exception, of any kind; it never fails.

    Args:
        codec: Of the job.
        exc: What a durable call raised.
    """
    for told in (_whole, _opaque):
        # It may be too large, or not let itself be looked at.
        with contextlib.suppress(Exception):
            return codec.encode(told(codec, exc))
    # What happened still has to be told, whatever the bound of a value is.
    least = {"type": f"builtins:{type(exc).__name__}", "message": "", "traceback": "", "notes": []}
    return Codec().encode(least)


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


def _whole(codec: Codec, exc: BaseException) -> dict[str, Any]:
    return _tree(codec, exc, _MAX_CHAIN)


def _opaque(_codec: Codec, exc: BaseException) -> dict[str, Any]:
    """What is told of any exception, rebuildable or not."""
    is_group = isinstance(exc, BaseExceptionGroup) and not isinstance(exc, Exception)
    notes = getattr(exc, "__notes__", None)
    return {
        # A group holds nothing but ordinary exceptions once its members went through here.
        "type": _ANY_GROUP if is_group else NAMES.name(type(exc)),
        "message": text_of(exc)[:_MAX_TEXT],
        "traceback": _traceback_of(exc),
        "notes": [text_of(note)[:_MAX_TEXT] for note in notes[:_MAX_NOTES]]
        if isinstance(notes, list)
        else [],
    }


def _tree(codec: Codec, exc: BaseException, depth: int) -> dict[str, Any]:
    tree = _opaque(codec, exc)
    if depth > 0:
        tree = _rebuildable(codec, exc, tree, depth)
    cause = exc.__cause__
    if cause is not None and depth > 1:
        tree["cause"] = _tree(codec, cause, depth - 1)
    if exc.__suppress_context__:
        tree["suppress"] = True
    return tree


def _rebuildable(
    codec: Codec, exc: BaseException, tree: dict[str, Any], depth: int
) -> dict[str, Any]:
    """Return the tree with what rebuilds the exception, or as it is where that is not possible."""
    is_group = isinstance(exc, BaseExceptionGroup)
    # A group of a class that cannot be rebuilt is one of the plain class, with its members.
    for name in (tree["type"], _ANY_GROUP) if is_group else (tree["type"],):
        try:
            cls = codec.errors.find(name)
            whole = _with_parts(codec, exc, {**tree, "type": name}, depth)
            if _is_like(codec, _rebuild(codec, whole), exc, cls):
                return whole
        except NotLoaded as late:
            tree["notes"] = [*tree["notes"], str(late)]
        except Exception:
            pass  # it does not let itself be taken apart, or put together
    return tree


def _with_parts(
    codec: Codec, exc: BaseException, tree: dict[str, Any], depth: int
) -> dict[str, Any]:
    """Return the tree with the parts of the exception."""
    if is_validation_error(exc):
        take = functools.partial(_tree, codec, depth=depth - 1)
        return {**tree, "validation": codec.encode(take_validation_error(exc, take))}
    if isinstance(exc, BaseExceptionGroup):
        tree["args"] = codec.encode((exc.message,))
        tree["members"] = [_tree(codec, member, depth - 1) for member in exc.exceptions]
    else:
        args, slots = _taken_apart(exc)
        tree["args"] = codec.encode(args)
        tree["slots"] = _encoded(codec, slots)
    tree["state"] = _encoded(codec, vars(exc))
    return tree


def _is_like(
    codec: Codec, rebuilt: BaseException, exc: BaseException, cls: type[BaseException]
) -> bool:
    """Say whether an exception came back as what it was."""
    if type(rebuilt) is not cls or text_of(rebuilt) != text_of(exc):
        return False
    if isinstance(exc, BaseExceptionGroup) or is_validation_error(exc):
        return True
    return codec.encode(_taken_apart(rebuilt)[0]) == codec.encode(_taken_apart(exc)[0])


def _taken_apart(exc: BaseException) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the constructor arguments and the attributes kept outside of `__dict__`."""
    # The interpreter's own __reduce__ knows what its types keep beside args (OSError.filename).
    reduced = _builtin_base(type(exc)).__reduce__(exc)
    args = reduced[1] if isinstance(reduced, tuple) else exc.args
    beside = reduced[2] if len(reduced) > 2 and isinstance(reduced[2], dict) else {}
    slots = {key: held for key, held in beside.items() if key not in vars(exc)}
    for base in type(exc).__mro__:
        names = vars(base).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if not name.startswith("__") and hasattr(exc, name):
                slots[name] = getattr(exc, name)
    return args, slots


def _encoded(codec: Codec, state: dict[str, Any]) -> dict[str, bytes]:
    encoded = {}
    for key, held in state.items():
        if key not in _OWN_STATE:
            try:
                encoded[key] = codec.encode(held)
            except EncodeError:
                # Connections, responses and locks stay in the process that raised.
                continue
    return encoded


def text_of(exc: object) -> str:
    """Return the text of an exception or a note, whatever its `__str__` does."""
    try:
        return str(exc)
    except (KeyboardInterrupt, SystemExit):
        raise  # the process ends, as it may in any line
    except BaseException:
        return f"<{type(exc).__name__} whose text cannot be made>"


def _traceback_of(exc: BaseException) -> str:
    before = getattr(exc, "__dict__", {}).get(TRACEBACK_ATTRIBUTE)
    try:
        lines = traceback.format_exception(
            type(exc), exc, exc.__traceback__, limit=-_MAX_FRAMES, chain=False
        )
        text = "".join(lines)
    except Exception:
        text = type(exc).__name__ + "\n"
    if isinstance(before, str) and before:
        text = f"{before}\nThe above was journaled and raised again here:\n\n{text}"
    # The innermost frames say most.
    return text if len(text) <= _MAX_TEXT else "...\n" + text[4 - _MAX_TEXT :]


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
    args: Any = codec.decode(tree["args"])
    if "members" in tree:
        args = (*args, [_exception(codec, member) for member in tree["members"]])
    base = _builtin_base(cls)
    # Past an __init__ and __new__ written in Python: they take other arguments than `args`, and
    # they may do more than keep them.
    exc = base.__new__(cls, *args)
    if not isinstance(exc, cls):
        raise TypeError(f"{base.__name__} did not make a {cls.__name__}")
    base.__init__(exc, *args)
    exc.__dict__.update({key: codec.decode(held) for key, held in tree["state"].items()})
    for key, held in tree.get("slots", {}).items():
        object.__setattr__(exc, key, codec.decode(held))
    return exc


def _builtin_base(cls: type[BaseException]) -> type[BaseException]:
    """The nearest class of the interpreter's own in the class's line."""
    return next(
        base
        for base in cls.__mro__
        if issubclass(base, BaseException) and not base.__flags__ & _HEAP_TYPE
    )


def _dotted(name: str) -> str:
    """Return what people call an exception class: where it is, or the name it was given."""
    own = NAMES.find_error(name)
    if own is not None:
        return f"{own.__module__}.{own.__qualname__}"
    module, _, qualname = name.partition(":")
    return qualname if module == "builtins" else f"{module}.{qualname}".rstrip(".")
