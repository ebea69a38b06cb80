"""Names of callables that stay the same from process to process."""

from __future__ import annotations

import functools
import inspect
import types
import typing
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeGuard

from perdure.annotations import annotations_of
from perdure.callables import attribute, innermost, is_coroutine_function, layers
from perdure.codec.digests import call_digests
from perdure.codec.names import (
    MAX_NAMES,
    NAMES,
    module_name,
    named_function,
    stable_names,
    type_name,
)
from perdure.errors import EncodeError

__all__ = [
    "annotated_types",
    "check_awaitable",
    "function_identities",
    "function_identity",
    "is_coroutine_callable",
]

_Function = types.FunctionType
# By function object, and only as long as it lives: a call asks for these every time.
_plain_functions: weakref.WeakSet[Any] = weakref.WeakSet()
_annotations: weakref.WeakKeyDictionary[Any, tuple[Any, ...]] = weakref.WeakKeyDictionary()

_BUILTIN_METHODS = (
    types.MethodDescriptorType,
    types.WrapperDescriptorType,
    types.ClassMethodDescriptorType,
)


def function_identity(func: Callable[..., Any]) -> str:
    """Return the name a callable has in the journal, `module:qualname` for a function.

    A bound method adds the class of its instance where that is not where it was defined, a partial
    names what it wraps with a digest of what it binds, a callable object is known by its class.
    A function of a script is named as if the script were imported. What was given a name goes by
    it: a function by the one that `@durable` declares, a class and its methods by that of the
    class.

    Args:
        func: Any callable.

    Raises:
        EncodeError: It has no name that another process would find again.
    """
    return next(function_identities(func))


def function_identities(func: Callable[..., Any]) -> Iterator[str]:
    """Return all names that a callable has or had in the journal, the newest first.

    Args:
        func: Any callable.

    Raises:
        EncodeError: It has no name that another process would find again.
    """
    if _is_a(func, functools.partial):
        yield from _partial_identities(func)
        return
    given, older = _declared_names(func)
    yield from given
    before = ""
    for generation in range(MAX_NAMES):
        identity = _identity(func, generation)
        if identity == before:
            break  # every class in it has come to its oldest name
        yield identity
        before = identity
    yield from older


def _declared_names(func: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names that `@durable` gives a function before its own, and behind it."""
    options = attribute(func, "__perdure_options__")
    if options is None:
        return (), ()
    if options.durable_id is None:
        return (), options.durable_aliases
    return (options.durable_id, *options.durable_aliases), ()


def _partial_identities(func: Any) -> Iterator[str]:
    # What it wraps and the types of what it binds are renamed at different times.
    for wrapped in function_identities(func.func):
        try:
            for bound in call_digests(func.args, func.keywords):
                yield f"partial({wrapped},{bound.hex()})"
        except EncodeError as error:
            raise EncodeError(
                f"a partial of {wrapped} binds what has no digest ({error}): "
                "pass it as an argument, or name the callable with durable_id="
            ) from None


def _identity(func: Any, generation: int) -> str:
    if type(func) is not _Function:
        return _other_identity(func, generation)
    return _named(func.__module__, func.__qualname__, func, generation)


def _named(module: Any, qualname: Any, func: Any, generation: int) -> str:
    if not isinstance(module, str) or not isinstance(qualname, str):
        raise _unnamed(func)
    if module == "__main__" or module == "__mp_main__":
        module = module_name(module)
    own = stable_names(func)
    if own is not None:
        return own[min(generation, len(own) - 1)]
    return named_function(module, qualname, generation)


def _unnamed(func: Any) -> EncodeError:
    return EncodeError(
        f"a callable of type {type_name(type(func))} has no name that lasts: call a function "
        "instead, or name it with durable_id="
    )


def _other_identity(func: Any, generation: int) -> str:
    if _is_a(func, types.MethodType):
        return _method_identity(func, generation)
    if _is_a(func, type):
        return NAMES.name(func, generation)
    if _is_a(func, types.BuiltinFunctionType, types.MethodWrapperType):
        return _builtin_identity(func, generation)
    if _is_a(func, *_BUILTIN_METHODS):
        return f"{NAMES.name(func.__objclass__, generation)}.{func.__name__}"
    if not callable(func):
        raise _unnamed(func)
    # What a decorator such as functools.cache made of a function keeps the function's name.
    own = attribute(func, "__dict__", {})
    if isinstance(own.get("__qualname__"), str) and isinstance(own.get("__module__"), str):
        return _named(own["__module__"], own["__qualname__"], func, generation)
    return f"{NAMES.name(type(func), generation)}.__call__"


def _method_identity(func: types.MethodType, generation: int) -> str:
    owner = func.__self__
    cls = owner if isinstance(owner, type) else type(owner)
    identity = _identity(func.__func__, generation)
    name = NAMES.name(cls, generation)
    # Inherited, or bound by hand: the same function on another class is another callable.
    if identity.rpartition(".")[0] == name:
        return identity
    return f"{identity}@{name}"


def _builtin_identity(func: Any, generation: int) -> str:
    owner = func.__self__
    if owner is None or isinstance(owner, types.ModuleType):
        module = getattr(func, "__module__", None) or getattr(owner, "__name__", None)
        return _named(module, getattr(func, "__qualname__", None), func, generation)
    cls = owner if isinstance(owner, type) else type(owner)
    return f"{NAMES.name(cls, generation)}.{func.__name__}"


def is_coroutine_callable(func: Callable[..., Any]) -> bool:
    """Return whether calling it gives a coroutine to be awaited.

    Sees through partials, bound methods and objects with an `async def __call__`.

    Args:
        func: Any callable.
    """
    if type(func) is _Function:
        if func.__code__.co_flags & inspect.CO_COROUTINE:
            return True
        if func in _plain_functions:
            return False
        # Marked as one, by a decorator that returns an awaitable from a plain function.
        if is_coroutine_function(func):
            return True
        _plain_functions.add(func)
        return False
    func = _unbound(func)
    if is_coroutine_function(func):
        return True
    if _is_a(func, type) or inspect.isroutine(func):
        return False
    return inspect.iscoroutinefunction(_call_of(func))


def check_awaitable(func: Callable[..., Any], what: str = "") -> None:
    """Refuse what gives an async generator when it is called: nobody can wait for one.

    Args:
        func: Any callable.
        what: What it is to be, for the message.

    Raises:
        EncodeError: It gives one.
    """
    function = _executed(func)
    if function is not None and function.__code__.co_flags & inspect.CO_ASYNC_GENERATOR:
        raise EncodeError(
            f"{what}{function_identity(function)} is an async generator, which is no durable call:"
            " collect what it yields in a coroutine function and return a list"
        )


def annotated_types(func: Callable[..., Any]) -> tuple[Any, ...]:
    """Return the annotations of a callable, that of its result first.

    Annotations that cannot be resolved, such as names that exist for type checkers alone, are left
    out.

    Args:
        func: Any callable.
    """
    function = _function_of(func)
    if function is None:
        # Calling a class gives an instance of it.
        return (func,) if isinstance(func, type) else ()
    try:
        return _annotations[function]
    except KeyError:
        found = _annotations[function] = _resolved(function)
        return found


def _executed(func: Any) -> types.FunctionType | None:
    """Return the function whose code runs when a callable is called, where it is one of Python."""
    if _is_function(func):  # as most are
        return func
    for layer in layers(func):
        if _is_function(layer):
            return layer
        if _is_a(layer, type):
            return None
        # An object does as its class says, whatever it wraps; one of C, which functools.cache
        # makes, hands on.
        call = _call_of(layer)
        if not _is_a(layer, functools.partial, types.MethodType) and _is_function(call):
            return call
    return None


def _function_of(func: Any) -> types.FunctionType | None:
    """Return the function that has the annotations of a callable."""
    if _is_function(func):
        return func
    inner = func
    for inner in layers(func):
        if _is_function(inner):
            return inner
        if _is_a(inner, type):
            return None
    call = _call_of(inner)
    return call if _is_function(call) else None


def _unbound(func: Any) -> Any:
    while _is_a(func, functools.partial):
        func = func.func
    return func


def _is_a(func: Any, *classes: type) -> bool:
    """Do what `isinstance` does; a mock passes for an instance of anything there."""
    return issubclass(type(func), classes)


def _is_function(func: Any) -> TypeGuard[types.FunctionType]:
    return type(func) is _Function


def _call_of(func: Any) -> Any:
    return getattr(type(func), "__call__", None)  # noqa: B004 - the method itself is wanted


def _resolved(function: types.FunctionType) -> tuple[Any, ...]:
    # A wrapper's annotations were written where the wrapped function stands.
    inner = innermost(function)
    if not _is_function(inner):
        inner = function
    scope = dict(inner.__globals__)
    for name, cell in zip(inner.__code__.co_freevars, inner.__closure__ or (), strict=True):
        try:
            scope[name] = cell.cell_contents
        except ValueError:
            # Not assigned yet.
            continue
    annotations = annotations_of(function)
    names = sorted(annotations, key=lambda name: name != "return")
    # One at a time, because get_type_hints gives up at the first name it does not find.
    found = (_hint(annotations[name], scope) for name in names)
    return tuple(hint for hint in found if hint is not None)


def _hint(annotation: Any, scope: dict[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"hint": annotation})
    try:
        return typing.get_type_hints(holder, scope, scope, include_extras=True)["hint"]
    except Exception:
        return None
