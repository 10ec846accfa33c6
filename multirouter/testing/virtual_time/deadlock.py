"""The error for a program that waits forever, with the lines at which its tasks wait."""

from __future__ import annotations

import asyncio
import linecache
import os
import sysconfig
from types import FrameType
from typing import Any

from multirouter.errors import MultirouterError


class Deadlock(MultirouterError):
    """Every task waits: nothing is ready, no timer is set, and no thread or socket can wake one.

    Attributes:
        at: the virtual time of the deadlock, seconds.
        tasks: one line per waiting task: its name and the line at which it waits.
    """

    def __init__(self, at: float, tasks: list[str], *, awaited: str = "") -> None:
        real = f" ({awaited})" if awaited else ""
        stuck = "\n".join(f"  {line}" for line in tasks) or "  (no task is left)"
        super().__init__(
            f"deadlock at virtual time {at:g} s: nothing is ready and no timer is set{real}; "
            f"these tasks wait forever:\n{stuck}"
        )
        self.at = at
        self.tasks = tasks


def stuck_tasks(loop: asyncio.AbstractEventLoop) -> list[str]:
    """Describes each unfinished task of an asyncio loop, in order of task names."""
    tasks = sorted(asyncio.all_tasks(loop), key=lambda t: (len(t.get_name()), t.get_name()))
    return [f"{task.get_name()} {suspended_at(task.get_coro())}" for task in tasks]


def suspended_at(coroutine: Any) -> str:
    """Describes the line of the user's own code at which a coroutine is suspended."""
    frames = _frames(coroutine)
    if not frames:
        return f"({getattr(coroutine, '__qualname__', coroutine)}) has not started"
    own = [frame for frame in frames if not _is_library_frame(frame)]
    frame = own[-1] if own else frames[0]
    path, line = frame.f_code.co_filename, frame.f_lineno
    source = linecache.getline(path, line).strip()
    shown = f": {source}" if source else ""
    return f"waits in {frame.f_code.co_name}, {path}:{line}{shown}"


def _frames(awaited: Any) -> list[FrameType]:
    """The frames of a chain of awaits, outermost first; a coroutine itself has only its own."""
    frames: list[FrameType] = []
    while awaited is not None:
        prefix = next((p for p in ("cr", "ag", "gi") if hasattr(awaited, f"{p}_frame")), None)
        if prefix is None:
            break
        frame = getattr(awaited, f"{prefix}_frame")
        if frame is not None:
            frames.append(frame)
        awaited = getattr(awaited, "gi_yieldfrom" if prefix == "gi" else f"{prefix}_await")
    return frames


_LIBRARIES = tuple(
    {os.path.realpath(sysconfig.get_path(key)) + os.sep for key in ("stdlib", "purelib")}
)


def _is_library_frame(frame: FrameType) -> bool:
    return os.path.realpath(frame.f_code.co_filename).startswith(_LIBRARIES)
