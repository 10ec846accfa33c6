"""Each provider's own form of a request, made just before it is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class TransformFailed(Exception):
    """A `transform=` raised: the request cannot be put to this provider.

    Attributes:
        error: what it raised, with a note that says where.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(str(error))
        self.error = error


class TransformedCall:
    """A provider's function, with its requests transformed before they reach it.

    Args:
        name: the provider's name.
        function: its `call` or `stream`.
        transforms: what a request goes through, in order.
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
        """What the function returns for the transformed request.

        Raises:
            TransformFailed: when a transform raises.
        """
        try:
            for transform in self._transforms:
                request = transform(request)
        except Exception as error:
            error.add_note(f"multirouter: raised by transform= before {self._name!r} was asked")
            raise TransformFailed(error) from error
        return self._function(request)


def transformed(name: str, function: Any, transforms: Sequence[Callable[[Any], Any]]) -> Any:
    """The function itself where there is nothing to transform, or no function."""
    return TransformedCall(name, function, transforms) if function and transforms else function
