"""The test matrix of backends in tests/conftest.py."""

from __future__ import annotations

import time

import anyio
import pytest
import sniffio


async def test_each_backend_runs_its_library(virtual_clock):
    """A test runs on the library in its id."""
    library = "trio" if virtual_clock.backend == "trio" else "asyncio"
    assert sniffio.current_async_library() == library


@pytest.mark.real_io
async def test_real_io_uses_the_real_clock():
    """A test marked `real_io` runs in real time."""
    real = time.monotonic()
    await anyio.sleep(0.002)
    assert time.monotonic() - real >= 0.0015


@pytest.mark.backends("trio")
async def test_backends_mark_selects_backends():
    """A test marked `backends` runs on those backends only."""
    assert sniffio.current_async_library() == "trio"
