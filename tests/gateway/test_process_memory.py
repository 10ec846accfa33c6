"""Memory of a gateway's process: large blocks go back to the system."""

from __future__ import annotations

import ctypes
import subprocess
import sys
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


GROWTH = """
import gc
from multirouter.gateway.memory import freeze_startup_objects

freeze_startup_objects()
traversed = [0, 0, 0]

def began(phase, info):
    if phase == "start":
        generation = info["generation"]
        young = sum(len(gc.get_objects(each)) for each in range(generation + 1))
        traversed[generation] = max(traversed[generation], young)

gc.callbacks.append(began)
kept = [{"number": [number]} for number in range(100_000)]
print(*traversed)
"""


def test_no_collection_of_growth_traverses_much() -> None:
    """While streams become more, short collections are made, each of a few thousand objects.

    A collection traverses about a million objects a second on a slow machine, and all streams wait.
    """
    ran = subprocess.run([sys.executable, "-c", GROWTH], capture_output=True, text=True, check=True)
    young, middle, full = map(int, ran.stdout.split())
    assert 0 < young <= middle < 10_000
    assert full == 0
