"""Fixtures of servers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sharing.servers import KINDS, Server, running


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A real server of each kind."""
    with running(request.param, tmp_path) as found:
        yield found
