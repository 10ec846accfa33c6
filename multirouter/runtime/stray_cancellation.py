"""What a CancelledError means that no party requested: the provider has failed.

Whether one was requested is known to the block around the attempt (`event_loops/deadline.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import copy

import anyio

from multirouter.model import FailureKind, Verdict

STRAY_CANCELLATION = Verdict(FailureKind.UNKNOWN, reason="unrequested CancelledError")
STRAY_MESSAGE = "raised CancelledError although no task was cancelled"

CancellationRequested = Callable[[], bool]
"""Whether the cancellation of an attempt's own task was requested, by the call or its caller.

Otherwise the provider's code has cancelled the task, as libraries do that limit their time by it,
and the attempt has failed.
"""


def is_own_cancellation(
    error: BaseException, cancellation_requested: CancellationRequested | None
) -> bool:
    """Whether an exception is the cancellation of an attempt's own task by its provider."""
    if cancellation_requested is None or type(error) is GeneratorExit:  # maybe without any loop
        return False
    # Of the type, as `__class__` of a foreign exception may raise.
    if not issubclass(type(error), anyio.get_cancelled_exc_class()):
        return False
    return not cancellation_requested()


def replaced_by(cancellation: BaseException) -> Exception | None:
    """The provider's exception that a deadline block took for a cancellation, or None."""
    error = cancellation.__cause__
    return error if isinstance(error, Exception) else None


def for_outcome(error: BaseException) -> BaseException:
    """The exception for the outcome: of a cancellation, a copy without its traceback.

    A consumer that is cancelled, as when a web client disconnects, has a name for the stream, and
    the traceback holds the consumer's frame.
    """
    if isinstance(error, Exception):
        return error
    try:
        return copy(error)
    except Exception:  # noqa: BLE001 - a library may forbid it
        return error
