"""Checks of the functions that a user passes: plain or async, with how many arguments.

A function of the wrong kind would otherwise pass silently: what an async one returns is never
false, and a check that needs an argument fails only in the outage that it was written for.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from types import CodeType, FunctionType, MethodType
from typing import Any, get_origin
from weakref import WeakKeyDictionary

from multirouter.errors import ConfigurationError


def plain_function(what: str, value: Any, *arguments: str, iterable: bool = False) -> Any:
    """Returns a function that is called and not awaited, or None.

    Args:
        what: the setting's name, for the error.
        value: the user's value.
        arguments: names of the arguments that it is called with.
        iterable: whether its result is iterated, so that it may be a generator function.

    Raises:
        ConfigurationError: the value is not callable, an async or a generator function, or does
            not take these arguments.
    """
    if value is None:
        return None
    if not callable(value):
        raise ConfigurationError(what, f"must be a plain function, got {value!r}")
    kind = _lazy_kind(value)
    if kind and not (iterable and kind == _GENERATOR):
        raise ConfigurationError(what, f"must be a plain function, got the {kind} {_name(value)}")
    _check_arguments(what, value, arguments)
    return value


def accept_function(what: str, value: Any) -> Any:
    """Returns a check of answers, a plain function; or a JSON Schema, or None.

    The function may take the request as a second argument; see `takes_request`.

    Raises:
        ConfigurationError: the value is neither.
    """
    if isinstance(value, Mapping):
        return value
    if value is not None and not callable(value):
        raise ConfigurationError(what, f"must be a function or a JSON Schema, got {value!r}")
    if value is not None and takes_request(value):
        return plain_function(what, value, "answer", "request")
    return plain_function(what, value, "answer")


def takes_request(accept: Callable[..., object]) -> bool:
    """Whether a check of answers needs a second argument, the request."""
    try:
        parameters = inspect.signature(accept)
    except (TypeError, ValueError):  # some callables in C have no signature
        return False
    for count in (1, 2):
        try:
            parameters.bind(*(None,) * count)
        except TypeError:
            continue
        return count == 2
    return False


def fallback_function(what: str, value: Any) -> Any:
    """Returns a substitute answer, or a plain or async function of (request, error) that makes it.

    Raises:
        ConfigurationError: the value is a function that cannot be called like that.
    """
    return either_function(what, value, "request", "error") if callable(value) else value


def either_function(what: str, value: Any, *arguments: str) -> Any:
    """Returns a function that may be plain or async, or None.

    Args:
        what: the setting's name, for the error.
        value: the user's value.
        arguments: names of the arguments that it is called with.

    Raises:
        ConfigurationError: the value is not callable, a generator function, or does not take
            these arguments.
    """
    if value is None:
        return None
    if not callable(value):
        raise ConfigurationError(what, f"must be a function, got {value!r}")
    kind = _lazy_kind(value)
    if kind not in {"", _ASYNC}:
        raise ConfigurationError(what, f"must return a value, got the {kind} {_name(value)}")
    _check_arguments(what, value, arguments)
    return value


def async_function(what: str, value: Any, *arguments: str) -> Any:
    """Returns a function whose result is awaited, or None.

    A function without `async` is allowed when it may return an awaitable: a lambda, an object with
    `__call__`, a wrapper of an async function made with `functools.wraps`, and one whose return
    annotation says so.

    Args:
        what: the setting's name, for the error.
        value: the user's value.
        arguments: names of the arguments that it is called with.

    Raises:
        ConfigurationError: the value is not callable, certainly returns nothing to await, or does
            not take these arguments.
    """
    if value is None:
        return None
    if not callable(value):
        raise ConfigurationError(what, f"must be an async function, got {value!r}")
    kind = _lazy_kind(value)
    if kind == _ASYNC_GENERATOR and arguments:
        text = f"must be an async function, got an {kind}; pass it as stream="
        raise ConfigurationError(what, text)
    if kind not in {"", _ASYNC}:
        raise ConfigurationError(what, f"must be an async function, got the {kind} {_name(value)}")
    if not kind and _returns_a_plain_value(value):
        raise ConfigurationError(
            what,
            f"must be an async function, got the plain function {_name(value)}: make it "
            "`async def`, or annotate its result as an Awaitable",
        )
    _check_arguments(what, value, arguments)
    return value


def stream_function(what: str, value: Any, *arguments: str) -> Any:
    """Returns a function whose result is an async iterator, or None.

    Args:
        what: the setting's name, for the error.
        value: the user's value.
        arguments: names of the arguments that it is called with.

    Raises:
        ConfigurationError: the value is not callable, certainly returns no async iterator, or does
            not take these arguments.
    """
    if value is None:
        return None
    if not callable(value):
        raise ConfigurationError(what, f"must be an async generator function, got {value!r}")
    kind = _lazy_kind(value)
    if kind not in {"", _ASYNC_GENERATOR}:
        raise ConfigurationError(
            what,
            f"must return an async iterator (async def with yield), got the {kind} {_name(value)}",
        )
    _check_arguments(what, value, arguments)
    return value


def is_async(value: Any) -> bool:
    """Whether a function is certainly async, also as a partial or the `__call__` of an object."""
    return _lazy_kind(value) == _ASYNC


def counts_as_false(result: object) -> bool:
    """Whether a check returned what counts as False; None is what a check that only raises returns.

    Raises:
        Exception: the result has no truth value, such as an array of several.
    """
    return result is not None and not result


def is_awaitable(value: object) -> bool:
    """Whether a value must be awaited; asked of its type, as its attributes may do anything."""
    return hasattr(type(value), "__await__")


def checked_result(what: str, result: Any) -> Any:
    """Returns the result of a plain function.

    Args:
        what: the function, for the error.
        result: what it returned.

    Raises:
        TypeError: it is an awaitable, which would never be awaited.
    """
    if is_awaitable(result):
        kind = type(result).__name__
        dispose(result)
        raise TypeError(f"{what} must be a plain function, but it returned a {kind}")
    return result


def dispose(awaitable: object) -> None:
    """Closes a coroutine that nothing awaits, so that Python does not warn of it as well."""
    if inspect.iscoroutine(awaitable):
        awaitable.close()


_ASYNC = "async function"
_ASYNC_GENERATOR = "async generator function"
_GENERATOR = "generator function"


def _lazy_kind(value: Any) -> str:
    """The kind of a function whose call runs none of its code; "" for any other."""
    underlying = _underlying_function(value)
    for candidate in (value,) if underlying is value else (value, underlying):
        if inspect.iscoroutinefunction(candidate):
            return _ASYNC
        if inspect.isasyncgenfunction(candidate):
            return _ASYNC_GENERATOR
        if inspect.isgeneratorfunction(candidate):
            return _GENERATOR
    return ""


def _underlying_function(value: Any) -> Any:
    """The function of a partial, or the `__call__` of an object."""
    while isinstance(value, functools.partial):
        value = value.func
    if inspect.isroutine(value) or inspect.isclass(value):
        return value
    return type(value).__call__


def _returns_a_plain_value(value: Any) -> bool:
    """Whether a plain function returns nothing to await, as far as can be known."""
    while isinstance(value, functools.partial):
        value = value.func
    function = getattr(_underlying_function(value), "__func__", _underlying_function(value))
    if not inspect.isfunction(function):
        return False
    wrapped = inspect.unwrap(function)
    if inspect.iscoroutinefunction(wrapped):
        return False
    returned = function.__annotations__.get("return", inspect.Parameter.empty)
    if returned is inspect.Parameter.empty:
        # What a lambda, a foreign decorator or the `__call__` of an object returns is not known.
        own = inspect.isroutine(value) and wrapped is function
        return own and function.__name__ != "<lambda>"
    return _is_plain_type(returned)


_PLAIN_TYPES = (str, bytes, int, float, bool, dict, list, tuple, type(None))
_PLAIN_TYPE_NAMES = frozenset(
    {"str", "bytes", "int", "float", "bool", "dict", "list", "tuple", "None"}
)


def _is_plain_type(returned: Any) -> bool:
    """Whether a return annotation names a type that cannot be awaited."""
    if isinstance(returned, str):
        return returned.split("[", 1)[0] in _PLAIN_TYPE_NAMES
    return returned is None or returned in _PLAIN_TYPES or get_origin(returned) in _PLAIN_TYPES


_accepted: WeakKeyDictionary[CodeType, set[object]] = WeakKeyDictionary()
"""Calls that functions take, by the code they share: many providers have methods of one class."""


def _check_arguments(what: str, value: Any, arguments: tuple[str, ...]) -> None:
    code, call = _call_of(value, len(arguments))
    if code is not None and call in _accepted.get(code, ()):
        return
    try:
        # Not that of a wrapped function: a decorator may add arguments or take them away.
        signature = inspect.signature(value, follow_wrapped=False)
    except (TypeError, ValueError):  # a function in C
        return
    try:
        signature.bind(*arguments)
    except TypeError:
        expected = f"({', '.join(arguments)})" if arguments else "no arguments"
        bare = [p.replace(annotation=p.empty) for p in signature.parameters.values()]
        given = f"{_name(value).removesuffix('()')}{inspect.Signature(bare)}"
        raise ConfigurationError(what, f"must take {expected}, got {given}") from None
    if code is not None:
        _accepted.setdefault(code, set()).add(call)


def _call_of(value: Any, count: int) -> tuple[CodeType | None, object]:
    """The code of a plain function or method, and all else that decides what a call may pass it.

    Args:
        value: what is called; no code is returned for other objects.
        count: arguments that are passed.
    """
    bound = isinstance(value, MethodType)
    function = value.__func__ if bound else value
    if not isinstance(function, FunctionType) or "__signature__" in function.__dict__:
        return None, None
    defaults, named = function.__defaults__ or (), function.__kwdefaults__ or {}
    return function.__code__, (bound, count, len(defaults), frozenset(named))


def _name(value: Any) -> str:
    function = _underlying_function(value)
    return f"{getattr(function, '__qualname__', type(value).__qualname__)}()"
