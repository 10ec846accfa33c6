"""The project's own matrix of backends, see tests/conftest.py."""

from __future__ import annotations

import time

import anyio
import pytest
import sniffio


async def test_each_backend_is_what_it_says(virtual_clock):
    """A test runs on the library that its id names."""
    library = "trio" if virtual_clock.backend == "trio" else "asyncio"
    assert sniffio.current_async_library() == library


@pytest.mark.real_io
async def test_real_io_is_real():
    """A test marked `real_io` runs by the real clock."""
    real = time.monotonic()
    await anyio.sleep(0.002)
    assert time.monotonic() - real >= 0.0015


@pytest.mark.backends("trio")
async def test_backends_can_be_named():
    """A test marked `backends` runs on those alone."""
    assert sniffio.current_async_library() == "trio"
