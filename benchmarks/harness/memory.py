"""What memory is in use, exactly or cheaply, and whether it grows over a long run."""

from __future__ import annotations

import gc
import resource
import sys
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

_STATM = Path("/proc/self/statm")

CHECKPOINTS = 10
"""Times at which all calls have ended and memory is looked at, evenly spread over the run."""

SETTLED = 3
"""Checkpoints after which everything that is kept once for all has been made."""

MOST_BLOCKS = 2_000
"""Blocks that a flat run may end above where it had settled: counts in counters and histograms
are numbers that become objects, some hundreds of them. A leak has a block a call at least."""

MOST_RESIDENT = 8 << 20
"""The same in bytes of resident memory, which the system's allocator moves about in megabytes."""


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


def growth(footprints: Sequence[Footprint]) -> list[str]:
    """What grew between the settled part and the end, in words; nothing when memory is flat.

    The smallest of several looks stands for each, so that a passing high proves nothing.
    """
    middle = len(footprints) - SETTLED
    settled, end = footprints[SETTLED:middle], footprints[middle:]
    problems: list[str] = []
    for what, most in (("blocks", MOST_BLOCKS), ("resident", MOST_RESIDENT)):
        grown = min(getattr(f, what) for f in end) - min(getattr(f, what) for f in settled)
        if grown > most:
            problems.append(f"memory grew: {grown:,} {what} more at the end, allowed {most:,}")
    return problems


def _resident() -> int:
    """Bytes of resident memory now; where the system does not tell, the most there ever was.

    Source: proc(5), /proc/pid/statm: the second field, in pages.
    """
    if _STATM.exists():
        return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else most * 1024
