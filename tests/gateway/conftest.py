"""Pytest marker of the tests with real clients."""

from __future__ import annotations

import pytest


def pytest_configure(config: pytest.Config) -> None:
    """Registers the marker `clients`."""
    config.addinivalue_line("markers", "clients: against real SDKs, skipped when not installed")
