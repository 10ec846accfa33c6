"""Fixtures: a provider of each format that talks to a fake upstream on a loopback socket."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from multirouter.providers import Anthropic, ChatProvider, Gemini, OpenAI
from multirouter.testing.fakes import FakeProvider

KEY = "sk-test-1234567890abcdef"
FORMATS = ("openai", "responses", "anthropic", "gemini")

Make = Callable[..., ChatProvider]


@pytest.fixture
def make() -> Make:
    """Returns a factory of providers for a fake: `make("gemini", fake, model="stall")`."""

    def factory(kind: str, fake: FakeProvider, **settings: Any) -> ChatProvider:
        settings = {"api_key": KEY, **settings}
        if kind in {"openai", "responses"}:
            api: Any = "responses" if kind == "responses" else "auto"
            return OpenAI("up", base_url=f"{fake.url}/v1", api=api, **settings)
        maker = Anthropic if kind == "anthropic" else Gemini
        return maker("up", base_url=fake.url, **settings)

    return factory


@pytest.fixture(params=FORMATS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each of the formats."""
    return str(request.param)
