"""States of files, by which a change is noticed."""

from __future__ import annotations

from pathlib import Path

FileState = tuple[int, int, int]
"""Time of the last change in nanoseconds, size in bytes, and inode.

One of them changes with the content, also when an editor replaces the file.
"""


def file_state(path: Path) -> FileState | None:
    """The state of a file now; None when it cannot be read."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
