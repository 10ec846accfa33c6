"""Applies a route's and a provider's `transform=` to a request just before an attempt."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class TransformFailed(Exception):
    """A `transform=` raised, so the request cannot be sent to this provider.

    Attributes:
        error: the exception, with a note that names the provider.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class TransformedCall:
    """A provider's function that transforms each request first.

    Args:
        name: the provider's name.
        function: its `call` or `stream`.
        transforms: functions applied to the request, in order.
    """

    __slots__ = ("_function", "_name", "_transforms")

    def __init__(
        self,
        name: str,
        function: Callable[[Any], Any],
        transforms: Sequence[Callable[[Any], Any]],
    ) -> None:
        self._name = name
        self._function = function
        self._transforms = transforms

    def __call__(self, request: Any) -> Any:
        """Calls the function with the transformed request.

        Raises:
            TransformFailed: a transform raised.
        """
        try:
            for transform in self._transforms:
                request = transform(request)
        except Exception as error:
            error.add_note(
                f"multirouter: raised by transform= before the attempt at {self._name!r}"
            )
            raise TransformFailed(error) from error
        return self._function(request)


def with_transforms(name: str, function: Any, transforms: Sequence[Callable[[Any], Any]]) -> Any:
    """The function with its transforms; unchanged when it is None or there are no transforms."""
    return TransformedCall(name, function, transforms) if function and transforms else function
