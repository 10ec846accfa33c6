"""Memory of a gateway's process: its garbage collections, and the blocks of large bodies."""

from __future__ import annotations

import gc
import os

GC_THRESHOLD = 10_000
"""Container allocations beyond deallocations that start a collection of the young generation.
Python's own 700 are reached every few dozen requests, which free nearly all they allocate."""

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
    gc.set_threshold(GC_THRESHOLD, *gc.get_threshold()[1:])


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
