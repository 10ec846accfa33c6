"""What the benchmarks' tests share."""

from __future__ import annotations

import gc

import pytest


@pytest.fixture(autouse=True)
def _stays_frozen(monkeypatch: pytest.MonkeyPatch) -> None:
    """A benchmark would end the exemptions that tests/conftest.py makes."""
    monkeypatch.setattr(gc, "unfreeze", lambda: None)
