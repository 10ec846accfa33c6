"""Memory in use, exact or cheap to measure, and whether it grows over a long run."""

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
"""Times at which all calls have ended and memory is measured, evenly spread over the run."""

SETTLED = 3
"""Checkpoints after which everything that is allocated once has been allocated."""

MAX_BLOCK_GROWTH = 2_000
"""Blocks by which a flat run may grow after it settled: some hundred numbers in counters and
histograms become objects. A leak has at least one block per call."""

MAX_RESIDENT_GROWTH = 8 << 20
"""The same in bytes of resident memory, which the system's allocator changes in megabytes."""


class Footprint(NamedTuple):
    """Memory of the process after a garbage collection.

    Attributes:
        blocks: allocated blocks of Python's allocator; exact, and independent of the system.
        resident: bytes of resident memory, which includes large blocks.
    """

    blocks: int
    resident: int


def footprint() -> Footprint:
    """Collects garbage and measures."""
    gc.collect()
    return Footprint(sys.getallocatedblocks(), _resident())


def traced() -> int:
    """Bytes that Python has allocated since tracemalloc started, after a garbage collection."""
    gc.collect()
    return tracemalloc.get_traced_memory()[0]


def growth(footprints: Sequence[Footprint]) -> list[str]:
    """What grew between the settled part and the end, as sentences; none when memory is flat.

    The minimum of several checkpoints stands for each part, so that a short peak does not count.
    """
    middle = len(footprints) - SETTLED
    settled, end = footprints[SETTLED:middle], footprints[middle:]
    problems: list[str] = []
    for what, maximum in (("blocks", MAX_BLOCK_GROWTH), ("resident", MAX_RESIDENT_GROWTH)):
        grown = min(getattr(f, what) for f in end) - min(getattr(f, what) for f in settled)
        if grown > maximum:
            problems.append(f"memory grew: {grown:,} {what} more at the end, allowed {maximum:,}")
    return problems


def _resident() -> int:
    """Bytes of resident memory; where the system does not report it, the peak so far.

    Source: proc(5), /proc/pid/statm: the second field, in pages.
    """
    if _STATM.exists():
        return int(_STATM.read_text(encoding="ascii").split()[1]) * resource.getpagesize()
    maximum = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return maximum if sys.platform == "darwin" else maximum * 1024
