"""A log line about endless or unreadable things was no JSON, or was lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import structlog
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider

ROOT = Path(__file__).parents[2]


class Unreadable(Exception):
    """An error whose every part raises when it is looked at."""

    def __getattr__(self, name: str) -> object:
        raise ValueError(name)

    def __str__(self) -> str:
        raise ValueError("no words")


async def unreadable(request: object) -> object:
    raise Unreadable


@pytest.fixture
def lines(capsys):
    """What has been logged as JSON, event by event; a number that is none is an error."""
    structlog.configure(processors=[structlog.processors.JSONRenderer()])

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    yield lambda: [
        json.loads(line, parse_constant=refuse) for line in capsys.readouterr().out.splitlines()
    ]
    structlog.reset_defaults()


async def test_a_hold_without_end_is_json(lines):
    """A circuit that is held open is open for `null` seconds: JSON has no word for infinity."""
    async with MultiProviderRouter(
        [Provider("a", unreadable)], registry=CollectorRegistry()
    ) as router:
        router.hold("a", "open")
    assert [line["open_duration"] for line in lines() if line["event"] == "circuit changed"] == [
        None
    ]


@pytest.mark.parametrize("error_messages", [False, True])
async def test_an_error_that_cannot_be_read_is_told(lines, error_messages):
    """Attributes and words that raise are left out; the failed call is logged all the same."""
    async with MultiProviderRouter(
        [Provider("a", unreadable)], registry=CollectorRegistry()
    ) as router:
        router._engine.dispatcher  # noqa: B018 - see below
