"""Memory of a gateway's process: large blocks go back to the system."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from multirouter.gateway import memory


class Library:
    """The C library of the process.

    Attributes:
        given: the arguments of `mallopt`.
    """

    def __init__(self) -> None:
        self.given: list[tuple[int, int]] = []

    def mallopt(self, parameter: int, value: int) -> int:
        self.given.append((parameter, value))
        return 1


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Library:
    for name in ("MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    library = Library()
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    return library


def test_large_blocks_are_mapped_by_themselves(library: Library) -> None:
    """M_MMAP_THRESHOLD (-3) is fixed: glibc no longer raises it with the size of freed blocks."""
    memory.return_large_blocks()
    assert library.given == [(-3, memory.LARGE_BLOCK)]


@pytest.mark.parametrize("name", ["MALLOC_MMAP_THRESHOLD_", "GLIBC_TUNABLES"])
def test_the_operator_decides(library: Library, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A variable that sets the allocator is not overruled."""
    monkeypatch.setenv(name, "1")
    memory.return_large_blocks()
    assert library.given == []


@pytest.mark.parametrize("error", [AttributeError, MemoryError, OSError, TypeError])
def test_other_libraries(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    """A library without the function, and a system without one that can be loaded."""

    def load(_: Any) -> Any:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", load)
    memory.return_large_blocks()
