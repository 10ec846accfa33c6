"""Prepares requests for attempts: transforms, dropped fields, copies for background attempts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from multirouter.core import function_checks as hooks
from multirouter.core.error_text import class_and_message, message_of
from multirouter.errors import UsageError

Lacks = Callable[[Any], Mapping[str, str]]
"""Returns what of a request a provider cannot express: reasons by field; empty for nothing."""


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
        super().__init__(message_of(error))
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
        return self._function(transformed(request, self._transforms))


def transformed(request: Any, transforms: Sequence[Callable[[Any], Any]]) -> Any:
    """Returns what the transforms make of a request, in order.

    Raises:
        TransformFailed: a transform raised.
    """
    try:
        for transform in transforms:
            request = hooks.checked_result("transform=", transform(request))
    except Exception as error:
        raise TransformFailed(error) from error
    return request


def with_transforms(function: Any, transforms: Sequence[Callable[[Any], Any]]) -> Any:
    """The function with its transforms; unchanged when it is None or there are no transforms."""
    return TransformedCall(function, transforms) if function and transforms else function


CONTENT_FIELDS = frozenset(
    {"messages", "input", "contents", "prompt", "system", "documents", "query", "model", "file"}
)
"""Fields that are never dropped: without them there is no request."""


def lacks_of(lacks: Lacks, request: Any) -> Mapping[str, str]:
    """Returns what a provider cannot express of a request: reasons by field.

    Raises:
        UsageError: `lacks=` raised, or returned no mapping.
    """
    try:
        found = hooks.checked_result("lacks=", lacks(request))
    except Exception as error:
        raise UsageError(f"lacks= raised {class_and_message(error)}") from error
    if not found:
        return {}
    if not isinstance(found, Mapping):
        raise UsageError(f"lacks= must return a mapping of fields to reasons, got {found!r}")
    return found


def can_drop(field: str, request: Any) -> bool:
    """Whether a request can be sent without a field: a setting, and no part of its content."""
    return isinstance(request, Mapping) and field in request and field not in CONTENT_FIELDS


class Dropping:
    """Leaves out what a provider cannot express, for routes with `unsupported="drop"`.

    Args:
        lacks: the provider's.
        transforms: applied to the request before.
    """

    __slots__ = ("_lacks", "_transforms")

    def __init__(self, lacks: Lacks, transforms: Sequence[Callable[[Any], Any]]) -> None:
        self._lacks = lacks
        self._transforms = transforms

    def apply(self, request: Any) -> tuple[Any, tuple[str, ...]]:
        """Returns the request for the provider, and the names of the fields that it lacks.

        Raises:
            TransformFailed: a transform or `lacks=` raised.
        """
        request = transformed(request, self._transforms)
        try:
            found = lacks_of(self._lacks, request)
        except UsageError as error:
            raise TransformFailed(error) from error
        names = tuple(field for field in found if can_drop(field, request))
        if not names:
            return request, ()
        return {key: value for key, value in request.items() if key not in names}, names
