"""What the benchmarks' tests share."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True)
def _stays_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark ends the exemptions from the garbage collector, also those of tests/conftest.py."""
    monkeypatch.setattr(gc, "unfreeze", lambda: None)
