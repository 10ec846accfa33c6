"""Key of the client that calls are made for: a dimension of metrics, history and the report."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from contextvars import ContextVar

from multirouter.core.context_name import ContextName

_current: ContextVar[str] = ContextVar("multirouter_client_key", default="")

current_client_key: Callable[[], str] = _current.get
"""Returns the key that `client_key` has set in the current context; "" for none."""


def client_key(name: str) -> AbstractContextManager[None]:
    """Names the client that the calls inside the `with` block are made for.

    Metrics, history and the report show calls, tokens and cost by this name. It is a team, a
    product or a tenant, not a request. The name holds in the current context (see `contextvars`),
    and in tasks that are started inside. The gateway sets the name of the client's key.

    Args:
        name: the name; "" for none.

    Raises:
        UsageError: it is no string.
    """
    return ContextName(_current, name, "client_key")
