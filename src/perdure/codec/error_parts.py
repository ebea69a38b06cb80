"""What an exception is made of: its arguments and attributes, taken apart and put together.

A value among them that has a form of its own in the journal is kept as its bytes. In those that
have none, exceptions and exception classes are kept beside the rest: a failure often carries the
one that it came from.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from typing import Any

from perdure.codec.codec import Codec
from perdure.codec.names import NAMES
from perdure.errors import DecodeError, EncodeError

__all__ = ["form_of", "interpreters_own", "make", "set_aside", "taken_apart", "value_of"]

Form = bytes | dict[str, Any]

_MAX_CONTAINERS = 5
_HEAP_TYPE = 1 << 9
_PLAIN = (int, str, bytes)
_SEQUENCES: dict[str, type] = {"tuple": tuple, "list": list}
_set_args = vars(BaseException)["args"].__set__


def form_of(
    codec: Codec, value: Any, take: Callable[[BaseException], bytes], depth: int = _MAX_CONTAINERS
) -> Form:
    """Return the form of a value that may have exceptions and their classes in it.

    Args:
        codec: of the job.
        value: any value.
        take: returns the bytes that stand for an exception.
        depth: of containers that exceptions are looked for in.

    Raises:
        EncodeError: the value, or something in it, has no form.
    """
    try:
        return codec.encode(value)
    except EncodeError:
        if depth == 0:
            raise
        kind = type(value)
        if issubclass(kind, BaseException):
            return {"failure": take(value)}
        if issubclass(kind, type) and issubclass(value, BaseException):
            return {"class": _name_of_class(codec, value)}
        if kind is tuple or kind is list:
            return {kind.__name__: [form_of(codec, each, take, depth - 1) for each in value]}
        if kind is dict:
            pairs = [
                (codec.encode(k), form_of(codec, v, take, depth - 1)) for k, v in value.items()
            ]
            return {"dict": [list(pair) for pair in pairs]}
        raise


def _name_of_class(codec: Codec, cls: type[BaseException]) -> str:
    name = NAMES.name(cls)
    try:
        found = codec.errors.find_class(name)
    except LookupError as error:
        raise EncodeError(str(error)) from None
    if found is not cls:
        raise EncodeError(f"{name} is another class by now")
    return name


def value_of(codec: Codec, form: Form, build: Callable[[bytes], BaseException]) -> Any:
    """Return the value that `form_of` made a form of.

    Args:
        codec: of the job.
        form: what `form_of` returned.
        build: returns the exception of what `take` returned.

    Raises:
        DecodeError: it is no such form.
        LookupError: a class in it is not known here.
    """
    if isinstance(form, bytes):
        return codec.decode(form)
    [(kind, held)] = form.items()
    if kind == "failure":
        return build(held)
    if kind == "class":
        return codec.errors.find_class(held)
    if kind == "dict":
        return {codec.decode(key): value_of(codec, member, build) for key, member in held}
    if kind not in _SEQUENCES:
        raise DecodeError.of_damage(f"journal bytes hold no part of an exception: {kind!r}")
    return _SEQUENCES[kind](value_of(codec, member, build) for member in held)


def interpreters_own(cls: type[BaseException]) -> type[BaseException]:
    """Return the class of the interpreter's own that says how a class's instances are laid out.

    It is not the nearest one in the class's line, of which there may be several.
    """
    while cls.__flags__ & _HEAP_TYPE:
        cls = cls.__base__  # type: ignore[assignment] # an exception's is one
    return cls


def taken_apart(exc: BaseException) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the constructor arguments and the attributes kept outside of `__dict__`."""
    # The interpreter's own __reduce__ knows what its types keep beside args (OSError.filename).
    reduced = interpreters_own(type(exc)).__reduce__(exc)
    args = reduced[1] if isinstance(reduced, tuple) else exc.args
    beside = reduced[2] if len(reduced) > 2 and isinstance(reduced[2], dict) else {}
    slots = {key: held for key, held in beside.items() if key not in vars(exc)}
    for name in _slots_of(type(exc)):
        if hasattr(exc, name):
            slots[name] = getattr(exc, name)
    return args, slots


def _slots_of(cls: type) -> Iterator[str]:
    """The names of the slots of a class, as its instances have them."""
    for base in cls.__mro__:
        names = vars(base).get("__slots__", ())
        for name in (names,) if isinstance(names, str) else names:
            if not name.startswith("__"):
                yield name
            elif not name.endswith("__"):  # private: kept under the name of its class
                owner = base.__name__.lstrip("_")
                yield f"_{owner}{name}" if owner else name


def set_aside(exc: BaseException, rebuild: Callable[[], BaseException]) -> dict[str, Any]:
    """Return what the interpreter's own class keeps of an exception that was set by hand.

    `errno` of an OSError, say, which its arguments did not bring.

    Args:
        exc: the exception.
        rebuild: returns what its arguments make.
    """
    members = vars(interpreters_own(type(exc))).items()
    names = [name for name, at in members if type(at) is types.MemberDescriptorType]
    held = {name: value for name in names if type(value := getattr(exc, name)) in _PLAIN}
    if not held:
        return {}
    rebuilt = rebuild()
    made = {name: getattr(rebuilt, name) for name in held}
    return {
        name: value
        for name, value in held.items()
        if type(made[name]) is not type(value) or made[name] != value
    }


def make(cls: type[BaseException], args: tuple[Any, ...], *, bare: bool) -> BaseException:
    """Return an exception of a class with its arguments, and nothing else yet.

    Args:
        cls: the class.
        args: what `taken_apart` returned.
        bare: the class has set `args` itself: they mean nothing to its base.
    """
    base = interpreters_own(cls)
    # Past an __init__ and __new__ written in Python: they take other arguments than `args`, and
    # they may do more than keep them.
    exc = base.__new__(cls) if bare else base.__new__(cls, *args)
    if cls not in type(exc).__mro__:  # not asked of a metaclass, which is the user's
        raise TypeError(f"{base.__name__} did not make a {cls.__name__}")
    if bare:
        _set_args(exc, args)
    else:
        base.__init__(exc, *args)
    return exc
