"""Names of callables that stay the same from process to process."""

from __future__ import annotations

import asyncio
import functools
import inspect
import types
import typing
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from perdure.annotations import annotations_of
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
    "function_identities",
    "function_identity",
    "is_async_generator_callable",
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
    if isinstance(func, functools.partial):
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
    options = getattr(func, "__perdure_options__", None)
    if options is None:
        return (), ()
    if options.durable_id is None:
        return (), options.durable_aliases
    return (options.durable_id, *options.durable_aliases), ()


def _partial_identities(func: functools.partial[Any]) -> Iterator[str]:
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
    if isinstance(func, types.MethodType):
        return _method_identity(func, generation)
    if isinstance(func, type):
        return NAMES.name(func, generation)
    if isinstance(func, types.BuiltinFunctionType | types.MethodWrapperType):
        return _builtin_identity(func, generation)
    if isinstance(func, _BUILTIN_METHODS):
        return f"{NAMES.name(func.__objclass__, generation)}.{func.__name__}"
    if not callable(func):
        raise _unnamed(func)
    # What a decorator such as functools.cache made of a function keeps the function's name.
    own = getattr(func, "__dict__", {})
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
        if inspect.iscoroutinefunction(func) or asyncio.iscoroutinefunction(func):
            return True
        _plain_functions.add(func)
        return False
    while isinstance(func, functools.partial):
        func = func.func
    if inspect.iscoroutinefunction(func) or asyncio.iscoroutinefunction(func):
        return True
    if isinstance(func, type) or inspect.isroutine(func):
        return False
    call = getattr(type(func), "__call__", None)  # noqa: B004 - the method itself is wanted
    return inspect.iscoroutinefunction(call)


def is_async_generator_callable(func: Callable[..., Any]) -> bool:
    """Return whether calling it gives an async generator, which nobody can wait for.

    Args:
        func: Any callable.
    """
    function = _function_of(func)
    return function is not None and bool(function.__code__.co_flags & inspect.CO_ASYNC_GENERATOR)


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


def _function_of(func: Any) -> types.FunctionType | None:
    while True:
        if isinstance(func, functools.partial):
            func = func.func
        elif isinstance(func, types.MethodType):
            func = func.__func__
        elif isinstance(func, types.FunctionType):
            return func
        elif hasattr(func, "__wrapped__") and not isinstance(func, type):
            func = func.__wrapped__
        else:
            break
    if isinstance(func, type):
        return None
    call = getattr(type(func), "__call__", None)  # noqa: B004 - the method itself is wanted
    return call if isinstance(call, types.FunctionType) else None


def _resolved(function: types.FunctionType) -> tuple[Any, ...]:
    # A wrapper's annotations were written where the wrapped function stands.
    inner = inspect.unwrap(function)
    if not isinstance(inner, types.FunctionType):
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
