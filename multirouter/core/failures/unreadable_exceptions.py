"""Exceptions whose attributes cannot be read: one of our own stands for such a one."""

from __future__ import annotations

from multirouter.errors import ProviderError
from multirouter.model import FailureKind


def readable(error: Exception, provider: str) -> Exception:
    """The exception itself, or one that stands for it when reading it raises.

    `isinstance` reads `__class__`, and a proxy or a broken class may raise there. The attempt would
    then be recorded nowhere, and its permit never be returned.

    Args:
        error: what a provider raised.
        provider: the provider's name.
    """
    try:
        _ = error.__class__, error.__cause__, error.__context__, error.__traceback__
    except Exception:  # noqa: BLE001 - foreign exceptions may do anything
        text = f"{provider!r} raised {type(error).__name__}, whose attributes cannot be read"
        return ProviderError(text, provider=provider, kind=FailureKind.UNKNOWN)
    return error
