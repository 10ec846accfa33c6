"""What memory is in use: exactly, by tracemalloc; cheaply, by the allocator's own count."""

from __future__ import annotations

import gc
import resource
import sys
import tracemalloc
from pathlib import Path
from typing import NamedTuple

_STATM = Path("/proc/self/statm")


class Footprint(NamedTuple):
    """What the process holds, after a collection.

    Attributes:
        blocks: allocated blocks of Python's allocator; exact, and free of the system's noise.
        resident: bytes of resident memory, which sees the large blocks too.
    """

    blocks: int
    resident: int


def footprint() -> Footprint:
    """Collects garbage and looks."""
    gc.collect()
    return Footprint(sys.getallocatedblocks(), _resident())


def traced() -> int:
    """Bytes that Python has allocated since tracemalloc started, after a collection."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def _resident() -> int:
    """Bytes of resident memory now; where the system does not tell, the most there ever was.

    Source: proc(5), /proc/pid/statm: the second field, in pages.
    """
    if _STATM.exists():
        return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
