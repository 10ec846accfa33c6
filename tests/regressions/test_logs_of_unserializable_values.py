"""Log events with infinite or unreadable values are valid JSON and are not lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider

ROOT = Path(__file__).parents[2]


class Unreadable(Exception):
    """An exception whose attributes and text raise when they are read."""

    def __getattr__(self, name: str) -> object:
        raise ValueError(name)

    def __str__(self) -> str:
        raise ValueError("unreadable")


async def unreadable(request: object) -> object:
    raise Unreadable


@pytest.fixture
def lines(capsys):
    """The logged JSON events; a NaN or infinity fails the test."""
    structlog.reset_defaults()  # another test may have configured it
    structlog.configure(processors=[structlog.processors.JSONRenderer()])

    def fail(constant: str) -> None:
        raise AssertionError(constant)

    yield lambda: [
        json.loads(line, parse_constant=fail) for line in capsys.readouterr().out.splitlines()
    ]
    structlog.reset_defaults()


async def test_an_infinite_hold_is_logged_as_null(lines):
    """The open duration of a circuit that is held open is `null`: JSON has no infinity."""
    async with MultiProviderRouter(
        [Provider("a", unreadable)], registry=CollectorRegistry()
    ) as router:
        router.hold("a", "open")
    assert [line["open_duration"] for line in lines() if line["event"] == "circuit opened"] == [
        None
    ]


@pytest.mark.parametrize("error_messages", [False, True])
async def test_an_unreadable_error_is_logged(lines, error_messages):
    """Attributes and texts that raise are left out; the failed call is logged all the same."""
    async with MultiProviderRouter(
        [Provider("a", unreadable)], registry=CollectorRegistry(), error_messages=error_messages
    ) as router:
        assert not (await router.call_outcome("q")).ok
    (failed,) = (line for line in lines() if line["event"] == "call failed")
    assert failed["last_error"] == "Unreadable"
