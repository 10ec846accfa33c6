"""Cancellations of asyncio tasks: what exceptions and counts of requests tell about them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from types import FrameType
from typing import Any
from weakref import WeakSet

COUNT_IS_EXACT = sys.version_info >= (3, 13)
"""Whether asyncio itself takes each cancellation of its own back from `Task.cancelling()`.

Source: CPython issue 116720. Before 3.13, a TaskGroup whose task failed while the group waited for
its tasks left the count one too high.
"""


OUR_MESSAGE = "cancelled during an attempt of multirouter"
"""Message of the cancellations that the router makes. A scope of anyio does not recognise it."""


def is_requested(task: asyncio.Task[Any]) -> bool:
    """Whether a cancellation was requested that the task's next await will raise.

    So it is when the task's own step called `cancel`: a listener, the handler of Ctrl-C, or a
    TaskGroup that repeats a cancellation which arrived while it was failing.
    """
    return bool(getattr(task, "_must_cancel", False))


def hidden_behind(task: asyncio.Task[Any], error: Exception) -> asyncio.CancelledError | None:
    """The cancellation that an exception hides, of a task whose count says that there is one.

    A provider may turn a cancellation into an exception of its own, and a task group that is
    failing swallows one. Where the count may be too high, an exception without any trace of a
    cancellation hides none.

    Returns:
        The cancellation to raise in its place, or None.
    """
    cancellation = _cancellation_in(error)
    if cancellation is not None:
        return asyncio.CancelledError(*cancellation.args)  # a scope of anyio knows its message
    if is_requested(task):
        return asyncio.CancelledError(getattr(task, "_cancel_message", None) or OUR_MESSAGE)
    if COUNT_IS_EXACT or any(isinstance(link, BaseExceptionGroup) for link in _links(error)):
        return asyncio.CancelledError(OUR_MESSAGE)
    return None


def take_back_leftovers(
    task: asyncio.Task[Any], error: BaseException, *, before: int, expired: bool
) -> None:
    """Takes back the cancellations that failed TaskGroups have left in a task's count, if proven.

    Otherwise each later `asyncio.timeout` of the caller would end as a cancellation. A group in
    whose end the exception was raised proves it. When a deadline of ours sent the exception, a
    group that failed before and is still in a variable of the provider's code does, unless that
    code was handling another cancellation.

    Args:
        task: the task.
        error: the exception that came out of the provider's code.
        before: the count when that code began.
        expired: whether a deadline of ours cancelled that code.
    """
    if COUNT_IS_EXACT:
        return
    expired = _no_other_cancelled(error) if expired else _is_from_a_timeout(error)
    left: dict[asyncio.TaskGroup, bool] = {}
    for frame in _frames(error):
        variables, outer = frame.f_locals, frame.f_code.co_freevars
        if frame.f_code is asyncio.TaskGroup.__aexit__.__code__:
            group = variables["self"]
            left[group] = _failed(group, task) and variables["et"] is None
        elif expired:
            for name, value in variables.items():
                if isinstance(value, asyncio.TaskGroup) and name not in outer:
                    left.setdefault(value, _failed(value, task))
    for group, is_left in left.items():
        if is_left and group not in _taken_back and task.cancelling() > before:
            _taken_back.add(group)
            task.uncancel()


_taken_back: WeakSet[asyncio.TaskGroup] = WeakSet()
"""The groups whose leftover was taken back: their errors may pass further blocks."""


def _failed(group: Any, task: asyncio.Task[Any]) -> bool:
    """Whether a TaskGroup of this task has ended, and had cancelled the task for a failure."""
    ended = group._exiting and not group._tasks  # noqa: SLF001 - of 3.11 and 3.12, which are fixed
    return bool(ended and group._parent_task is task and group._parent_cancel_requested)  # noqa: SLF001


def _no_other_cancelled(error: BaseException) -> bool:
    """Whether the code that a deadline of ours cancelled was handling no other cancellation."""
    return error.__context__ is None or _cancellation_in(error.__context__) is None


def _is_from_a_timeout(error: BaseException) -> bool:
    """Whether the only cancellation behind an exception was sent by an `asyncio.timeout` block.

    The block itself has found no other cancellation while it was open.
    """
    links = list(_links(error))
    sent = [link.__cause__ for link in links if _ended_a_timeout(link)]
    cancellations = [link for link in links if isinstance(link, asyncio.CancelledError)]
    return bool(sent) and all(cancellation in sent for cancellation in cancellations)


def _ended_a_timeout(error: BaseException) -> bool:
    trace = error.__traceback__ if isinstance(error, TimeoutError) else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return trace is not None and trace.tb_frame.f_code is asyncio.Timeout.__aexit__.__code__


def _cancellation_in(error: BaseException) -> asyncio.CancelledError | None:
    """The nearest CancelledError among an exception, its contexts and its causes, or None."""
    found = (link for link in _links(error) if isinstance(link, asyncio.CancelledError))
    return next(found, None)


def _links(error: BaseException) -> Iterator[BaseException]:
    """An exception, its contexts, its causes and the members of groups, each once."""
    seen: set[int] = set()
    links: list[BaseException | None] = [error]
    for link in links:  # it grows meanwhile
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        links += (link.__context__, link.__cause__)
        if isinstance(link, BaseExceptionGroup):
            links += link.exceptions


def _frames(error: BaseException) -> Iterator[FrameType]:
    """The frames of the provider's code in the tracebacks of an exception and its links."""
    running = set(_running_frames())
    try:
        for link in _links(error):
            trace = link.__traceback__
            if trace is not None and link is not error and trace.tb_frame in running:
                continue  # the caller was handling it when it made the call
            while trace is not None:
                # Reading the variables of a frame of ours would keep them alive with the exception.
                if not str(trace.tb_frame.f_globals.get("__name__")).startswith("multirouter."):
                    yield trace.tb_frame
                trace = trace.tb_next
    finally:
        running.clear()  # this frame is in it, and would hold itself and all of its callers


def _running_frames() -> Iterator[FrameType]:
    frame: FrameType | None = sys._getframe()  # noqa: SLF001 - documented, and the only way
    while frame is not None:
        yield frame
        frame = frame.f_back
