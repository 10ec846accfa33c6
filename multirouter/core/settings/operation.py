"""Operation: another kind of call that a provider serves beside its own, such as embeddings."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from multirouter.core import function_checks as hooks
from multirouter.core.request_transform import Lacks
from multirouter.errors import ConfigurationError

OWN_FUNCTIONS = "chat"
"""Name of calls of the providers' own functions where operations are named: in metrics and in the
history. In records it is ""."""


class Operation:
    """Functions of a provider for one operation; see `Provider.operations`.

    Attributes:
        call: a callable that takes the request and returns an awaitable of the response.
        stream: a callable that takes the request and returns an async iterator of chunks.
        lacks: returns what of a request this operation cannot express; see `Provider.lacks`.

    Raises:
        ConfigurationError: both are missing, or one is a function of another kind.
    """

    __slots__ = ("call", "lacks", "stream")

    def __init__(
        self,
        call: Callable[[Any], Awaitable[Any]] | None = None,
        *,
        stream: Callable[[Any], AsyncIterator[Any]] | None = None,
        lacks: Lacks | None = None,
    ) -> None:
        if call is None and stream is None:
            raise ConfigurationError("Operation", "must have call= or stream=, or both")
        self.call: Callable[[Any], Awaitable[Any]] | None = hooks.async_function(
            "Operation.call", call, "request"
        )
        self.stream: Callable[[Any], AsyncIterator[Any]] | None = hooks.stream_function(
            "Operation.stream", stream, "request"
        )
        self.lacks: Lacks | None = hooks.plain_function("Operation.lacks", lacks, "request")
