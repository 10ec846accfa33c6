"""A name that holds in the current context, inside a `with` block."""

from __future__ import annotations

from contextvars import ContextVar, Token
from types import TracebackType

from multirouter.errors import UsageError


class ContextName:
    """Sets a context variable on entry, and resets it on exit.

    A class, not a generator: the gateway enters two for each request.

    Args:
        variable: the variable.
        name: its value inside the block.
        caller: the function that users call, for the error.

    Raises:
        UsageError: the name is no string.
    """

    __slots__ = ("_name", "_token", "_variable")

    def __init__(self, variable: ContextVar[str], name: str, caller: str) -> None:
        if not isinstance(name, str):
            raise UsageError(f"{caller}() must get a string, got {name!r}")
        self._variable = variable
        self._name = name
        self._token: Token[str] | None = None

    def __enter__(self) -> None:
        self._token = self._variable.set(self._name)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._token is not None:
            self._variable.reset(self._token)
            self._token = None
