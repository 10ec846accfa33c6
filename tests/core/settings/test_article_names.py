"""The names of the article's router are answered by errors that give ours."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import ConfigurationError, MultiProviderRouter, Provider


async def call(request: object) -> object:
    return request


def test_the_articles_class() -> None:
    """`from multirouter import AIProvider` says what it is called here."""
    with pytest.raises(ImportError, match="multirouter has no AIProvider: use Provider"):
        importlib.import_module("multirouter").AIProvider  # noqa: B018


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"callable": call}, "unknown setting 'callable': use `call=`"),
        ({"circuit_breaker_threshold": 3}, "CircuitPolicy.failures="),
        ({"wieght": 3}, "unknown setting 'wieght'; did you mean 'weight'"),
    ],
)
def test_settings_of_a_provider(settings: dict[str, Any], message: str) -> None:
    """Before any other error, such as that of a missing `call=`."""
    with pytest.raises(ConfigurationError, match=message):
        Provider("a", **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_retries": 3}, "RetryPolicy.attempts=.*, which counts the first attempt"),
        ({"circuit_breaker_timeout": 60}, "CircuitPolicy.open_duration="),
        ({"timeouts": 3}, "unknown setting 'timeouts'; did you mean 'timeout'"),
    ],
)
def test_settings_of_a_router(settings: dict[str, Any], message: str) -> None:
    """The closest name, where it is no name of the article's."""
    with pytest.raises(ConfigurationError, match=message):
        MultiProviderRouter([Provider("a", call)], registry=CollectorRegistry(), **settings)
