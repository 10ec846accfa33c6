"""The vendor of a ready-made provider is its failure domain."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import ConfigurationError
from multirouter.providers import Anthropic, Gemini, GeminiEmbeddings, OpenAI, OpenAIEmbeddings
from multirouter.providers.openai.presets import PRESETS
from multirouter.providers.vendors import vendor_of

KEY = "sk-abcdefghij"


@pytest.mark.parametrize(
    ("url", "vendor"),
    [
        ("https://api.openai.com/v1", "openai"),
        ("https://eu.api.openai.com/v1", "openai"),
        ("https://api.anthropic.com", "anthropic"),
        ("https://generativelanguage.googleapis.com", "gemini"),
        ("https://api.deepseek.com/beta", "deepseek"),
        ("https://notapi.openai.com.example/v1", "notapi.openai.com.example"),
        ("https://shop.openai.azure.com/openai/v1", "shop.openai.azure.com"),
        ("http://localhost:8000/v1", "localhost:8000"),
        ("http://localhost:11434/v1", "localhost:11434"),
    ],
)
def test_vendor_of_a_base_url(url: str, vendor: str) -> None:
    """Of a preset its name; of another address its host and port: two local servers are two."""
    assert vendor_of(url) == vendor


def test_every_preset_is_a_vendor() -> None:
    """A service that needs a key is a vendor of its own."""
    for name, preset in PRESETS.items():
        if preset.needs_key:
            assert vendor_of(preset.base_url) == name


@pytest.mark.parametrize(
    ("maker", "vendor"),
    [
        (OpenAI, "openai"),
        (OpenAIEmbeddings, "openai"),
        (Anthropic, "anthropic"),
        (Gemini, "gemini"),
        (GeminiEmbeddings, "gemini"),
    ],
)
def test_the_vendor_is_a_domain(maker: Any, vendor: str) -> None:
    """In addition to the domains given, once."""
    assert maker("a", model="m", api_key=KEY).domains == (vendor,)
    assert maker("a", model="m", api_key=KEY, domains=["eu"]).domains == (vendor, "eu")
    assert maker("a", model="m", api_key=KEY, domains=[vendor]).domains == (vendor,)
    with pytest.raises(ConfigurationError, match="domains"):
        maker("a", model="m", api_key=KEY, domains="eu")


def test_the_model_is_the_one_that_is_sent() -> None:
    """That of the provider, unless an option overrides it; None when the request names it."""
    assert OpenAI("a", api_key=KEY).model is None
    assert OpenAI("a", model="m", api_key=KEY).model == "m"
    assert OpenAI("a", model="m", api_key=KEY, options={"model": "n"}).model == "n"
    assert OpenAI("a", api_key=KEY, options={"model": 7}).model is None
