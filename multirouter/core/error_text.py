"""The text of exceptions of others, in one line and cut, whatever their `__str__` does."""

from __future__ import annotations

MAX_MESSAGE_LENGTH = 200
"""Characters of a message that are kept."""


def message_of(error: BaseException) -> str:
    """The message of an exception in one line, cut; "" if its `__str__` raises."""
    try:
        return " ".join(str(error).split())[:MAX_MESSAGE_LENGTH]
    except Exception:  # noqa: BLE001 - a foreign `__str__` may raise anything
        return ""


def class_and_message(error: BaseException) -> str:
    """The class of an exception and its message, if it has one: `ValueError: not a number`."""
    message = message_of(error)
    return type(error).__qualname__ + (f": {message}" if message else "")
