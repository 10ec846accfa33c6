"""Text in errors: exceptions of others in one line, whatever their `__str__` does; attempts."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby

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


def listed(attempts: Iterable[str]) -> str:
    """The attempts of a call in order; equal ones in a row are counted: `a: server, 3 times`."""
    counted = ((text, sum(1 for _ in run)) for text, run in groupby(attempts))
    return "; ".join(text if n == 1 else f"{text}, {n} times" for text, n in counted)
