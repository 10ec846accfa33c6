"""Prepares requests for attempts: transforms, and copies for attempts in the background."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from multirouter.core import function_checks as hooks


def own_copy(value: Any) -> Any:
    """A copy of plain data for an attempt that runs beside another one of the same call.

    Dicts and lists are copied, at every depth, also inside of tuples; all else is shared. So
    neither attempt sees what the other one's provider does to the request, and no object with a
    lock, a connection or a large graph behind it is copied.
    """
    try:
        return _copied(value)
    except RecursionError:  # a list that contains itself
        return value


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind is dict:
        return {key: _copied(item) for key, item in value.items()}
    if kind is list:
        return [_copied(item) for item in value]
    if kind is tuple:
        return tuple(map(_copied, value))
    return value


class TransformFailed(Exception):
    """A `transform=` raised, so the request cannot be sent to this provider.

    Attributes:
        error: the exception.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class TransformedCall:
    """A provider's function that transforms each request first.

    Args:
        function: the provider's `call` or `stream`.
        transforms: functions applied to the request, in order.
    """

    __slots__ = ("_function", "_transforms")

    def __init__(
        self, function: Callable[[Any], Any], transforms: Sequence[Callable[[Any], Any]]
    ) -> None:
        self._function = function
        self._transforms = transforms

    def __call__(self, request: Any) -> Any:
        """Calls the function with the transformed request.

        Raises:
            TransformFailed: a transform raised.
        """
        try:
            for transform in self._transforms:
                request = hooks.checked_result("transform=", transform(request))
        except Exception as error:
            raise TransformFailed(error) from error
        return self._function(request)


def with_transforms(function: Any, transforms: Sequence[Callable[[Any], Any]]) -> Any:
    """The function with its transforms; unchanged when it is None or there are no transforms."""
    return TransformedCall(function, transforms) if function and transforms else function
