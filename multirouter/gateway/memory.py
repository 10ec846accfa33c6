"""Memory of a gateway's process: its garbage collections, and the blocks of large bodies."""

from __future__ import annotations

import gc
import os

GC_THRESHOLDS = (3_000, 1, 150)
"""Container allocations beyond deallocations that start a collection of the young generation; its
collections that start one of the middle generation; and those of it that may start a full one.

Python's own are 700, 10 and 10. The first is reached every few dozen requests, which free nearly
all that they allocate. With the second, a collection of the middle generation traverses eleven
times the objects of a young one, and all streams wait for it. A full collection comes after as
many allocations as it would with 10,000, 10 and 10.
"""

LARGE_BLOCK = 2**18
"""Bytes from which a block of memory is mapped by itself."""

_M_MMAP_THRESHOLD = -3
"""A parameter of `mallopt`. Source: malloc.h of the GNU C library."""

_OWN_SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES")
"""Variables by which an operator sets the allocator."""


def freeze_startup_objects() -> None:
    """Excludes all objects so far from later garbage collections, and enables them.

    Modules, models and metrics are some 100,000 containers that live as long as the process.
    Traversing them again and again takes time from requests, and sweeps the processor's caches.
    """
    gc.collect()
    gc.freeze()
    gc.enable()  # see `command.run`
    gc.set_threshold(*GC_THRESHOLDS)


def return_large_blocks() -> None:
    """Makes the GNU C library return the memory of a large body as soon as it is freed.

    By itself, the library stops mapping large blocks separately once such a block was freed: those
    up to its size, at most 32 MiB, come from the heaps of threads from then on. There, small blocks
    that live longer lie between them, and the holes fit few bodies, so the process grows. Other
    libraries have no such function, and are left alone.

    Source: https://man7.org/linux/man-pages/man3/mallopt.3.html
    """
    if any(name in os.environ for name in _OWN_SETTINGS):
        return
    try:
        import ctypes  # raises MemoryError where no memory may be made executable

        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)
    except (AttributeError, ImportError, MemoryError, OSError, TypeError):
        return
