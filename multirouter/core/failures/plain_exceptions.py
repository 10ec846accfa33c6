"""Whether an exception has any field beside its arguments: most exceptions of Python have none."""

from __future__ import annotations

from types import WrapperDescriptorType
from weakref import WeakKeyDictionary

FIELDS = (
    "already_retried",
    "body",
    "code",
    "details",
    "error_code",
    "headers",
    "param",
    "reason",
    "request",
    "response",
    "response_json",
    "retry_after",
    "status",
    "status_code",
    "type",
)
"""The attributes that `ExceptionDetails` reads."""

_plain: WeakKeyDictionary[type, bool] = WeakKeyDictionary()
"""Of each class of exceptions, whether its instances have fields only in their own dict."""


def is_plain(error: BaseException) -> bool:
    """Whether an exception has none of `FIELDS`, so that reading each of them can be left out."""
    if getattr(error, "__dict__", None):
        return False
    cls = type(error)
    plain = _plain.get(cls)
    if plain is None:
        plain = _plain[cls] = _is_plain(cls)
    return plain


def _is_plain(cls: type) -> bool:
    """Whether a class defines none of `FIELDS`, and no function that finds attributes."""
    try:
        return (
            type(cls.__getattribute__) is WrapperDescriptorType
            and not hasattr(cls, "__getattr__")
            and not any(hasattr(cls, name) for name in FIELDS)
        )
    except Exception:  # noqa: BLE001 - a foreign metaclass may raise anything
        return False
