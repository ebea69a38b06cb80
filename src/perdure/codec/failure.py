"""Exceptions as outcomes: to bytes and back, the same live as on replay.

Whether an exception comes back as its own type is decided when it is encoded, by trying it on the
very bytes that are journaled. What an action gets is always decoded from them.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
import traceback
import types
from typing import Any, TypeGuard

from perdure.codec.codec import Codec
from perdure.codec.names import NAMES, main_module_name
from perdure.errors import DecodeError, DurableCallError, EncodeError

__all__ = ["TRACEBACK_ATTRIBUTE", "decode_failure", "encode_failure", "failure_summary"]

TRACEBACK_ATTRIBUTE = "__perdure_traceback__"
"""Where a decoded exception holds the text of its original traceback."""

_MAX_CHAIN = 5
_MAX_TEXT = 8 * 1024
_MAX_FRAMES = 50
_MAX_NOTES = 20
_OWN_STATE = frozenset((TRACEBACK_ATTRIBUTE, "__notes__"))

# Raised in an action they would end or unwind something of the interpreter's instead of telling it
# what happened.
_CONTROL_FLOW = (StopIteration, StopAsyncIteration, GeneratorExit, asyncio.CancelledError)
_SHUTDOWN = (KeyboardInterrupt, SystemExit)
_HEAP_TYPE = 1 << 9


def encode_failure(codec: Codec, exc: BaseException) -> bytes:
    """Return the journal bytes of an exception.

    Args:
        codec: Of the job.
        exc: What a durable call raised.

    Raises:
        TypeError: It means shutdown, which is never an outcome.
    """
    _refuse_shutdown(exc)
    try:
        return codec.encode(_tree(codec, exc, _MAX_CHAIN))
    except EncodeError:
        # Too large with all that it carries: what happened still has to be told.
        return codec.encode(_opaque(exc))


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
        `type` (dotted name), `message`, `traceback` (text) and `notes` (list of text).

    Raises:
        DecodeError: The bytes hold no exception.
    """
    tree = _read(codec, data)
    return {
        "type": _dotted(tree["type"]),
        "message": _told(tree),
        "traceback": tree["traceback"],
        "notes": list(tree["notes"]),
    }


def _told(tree: dict[str, Any]) -> str:
    """Return the message of a failure; of a group also the first failure that is in it."""
    message: str = tree["message"]
    members = tree.get("members")
    if not members:
        return message
    return f"{message}: {_dotted(members[0]['type']).rpartition('.')[2]}: {_told(members[0])}"


def _read(codec: Codec, data: bytes) -> dict[str, Any]:
    tree = codec.decode(data)
    if not isinstance(tree, dict) or not {"type", "message", "traceback", "notes"} <= tree.keys():
        raise DecodeError("journal bytes hold no failure: they are damaged or of another record")
    return tree


def _refuse_shutdown(exc: BaseException) -> None:
    if isinstance(exc, _SHUTDOWN):
        raise TypeError(f"{type(exc).__name__} means shutdown and is never journaled: raise it")
    if isinstance(exc, BaseExceptionGroup):
        for member in exc.exceptions:
            _refuse_shutdown(member)


# Encoding


def _opaque(exc: BaseException) -> dict[str, Any]:
    """What is told of any exception, rebuildable or not."""
    cls = type(exc)
    is_group = isinstance(exc, BaseExceptionGroup) and not isinstance(exc, Exception)
    notes = getattr(exc, "__notes__", None)
    return {
        # A group holds nothing but ordinary exceptions once its members went through here.
        "type": "builtins:ExceptionGroup" if is_group else NAMES.name(cls),
        "message": _text_of(exc)[:_MAX_TEXT],
        "traceback": _traceback_of(exc),
        "notes": [str(note)[:_MAX_TEXT] for note in notes[:_MAX_NOTES]]
        if isinstance(notes, list)
        else [],
    }


def _tree(codec: Codec, exc: BaseException, depth: int) -> dict[str, Any]:
    tree = _opaque(exc)
    if depth > 0 and not isinstance(exc, _CONTROL_FLOW):
        try:
            rebuilt = _rebuildable(codec, exc, tree, depth)
        except Exception:
            rebuilt = None
        if rebuilt is not None:
            tree = rebuilt
    cause = exc.__cause__
    if cause is not None and depth > 1 and not isinstance(cause, _SHUTDOWN):
        tree["cause"] = _tree(codec, cause, depth - 1)
    if exc.__suppress_context__:
        tree["suppress"] = True
    return tree


def _rebuildable(
    codec: Codec, exc: BaseException, tree: dict[str, Any], depth: int
) -> dict[str, Any] | None:
    """Return the tree with what rebuilds the exception, or None when that gives another one."""
    tree = dict(tree)
    if isinstance(exc, BaseExceptionGroup):
        tree["args"] = codec.encode((exc.message,))
        tree["members"] = [_tree(codec, member, depth - 1) for member in exc.exceptions]
    else:
        args, slots = _taken_apart(exc)
        tree["args"] = codec.encode(args)
        tree["slots"] = _encoded(codec, slots)
    tree["state"] = _encoded(codec, vars(exc))
    rebuilt = _rebuild(codec, tree)
    same_type = type(rebuilt) is type(exc) or isinstance(exc, BaseExceptionGroup)
    if not same_type or _text_of(rebuilt) != _text_of(exc):
        return None
    if not isinstance(exc, BaseExceptionGroup):
        again, _ = _taken_apart(rebuilt)
        if codec.encode(again) != tree["args"]:
            return None
    return tree


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


def _text_of(exc: BaseException) -> str:
    try:
        return str(exc)
    except Exception:
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
    exc: BaseException | None = None
    if "args" in tree:
        try:
            exc = _rebuild(codec, tree)
        except Exception:
            exc = None
    if exc is None:
        exc = DurableCallError(_dotted(tree["type"]), tree["message"], tree["traceback"])
    for note in tree["notes"]:
        exc.add_note(note)
    cause = tree.get("cause")
    if cause is not None:
        exc.__cause__ = _exception(codec, cause)
    exc.__suppress_context__ = bool(tree.get("suppress"))
    try:
        exc.__dict__[TRACEBACK_ATTRIBUTE] = tree["traceback"]
    except AttributeError:
        pass
    return exc


def _rebuild(codec: Codec, tree: dict[str, Any]) -> BaseException:
    cls = _find_exception(tree["type"])
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


def _find_exception(name: str) -> type[Exception]:
    """Return the exception class of a journaled name, which it may have had before.

    Raises:
        LookupError: There is none, or it is no exception.
    """
    named = NAMES.find(name) or NAMES.find_error(name)
    if named is not None and _is_outcome(named):
        return named
    module_name, _, qualname = name.partition(":")
    if "<" in qualname:
        raise LookupError(f"{name} was defined in a function")
    for module in _modules(module_name):
        found: Any = module
        for part in qualname.split("."):
            found = getattr(found, part, None)
        if _is_outcome(found) and name in NAMES.of(found):
            return found
    raise LookupError(f"{name} is no exception here")


def _is_outcome(cls: Any) -> TypeGuard[type[Exception]]:
    return (
        isinstance(cls, type) and issubclass(cls, Exception) and not issubclass(cls, _CONTROL_FLOW)
    )


def _modules(name: str) -> list[types.ModuleType]:
    if name == main_module_name():
        # The running script, which must not be run a second time under its own name.
        found = [sys.modules.get("__main__"), sys.modules.get(name)]
        return [module for module in found if module is not None]
    module = sys.modules.get(name)
    if module is None:
        try:
            module = importlib.import_module(name)
        except (Exception, SystemExit) as error:
            raise LookupError(f"module {name} cannot be imported") from error
    return [module]


def _dotted(name: str) -> str:
    """Return what people call an exception class: where it is, or the name it was given."""
    own = NAMES.find_error(name)
    if own is not None:
        return f"{own.__module__}.{own.__qualname__}"
    module, _, qualname = name.partition(":")
    return qualname if module == "builtins" else f"{module}.{qualname}".rstrip(".")
