"""Vendor of a base URL: the failure domain that all providers of one service share."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from multirouter.core.settings.provider import ProviderSettings
from multirouter.providers.anthropic import wire as anthropic
from multirouter.providers.gemini import wire as gemini
from multirouter.providers.openai.presets import PRESETS


def _host(url: str) -> str:
    return urlsplit(url).hostname or ""


VENDORS: Mapping[str, str] = MappingProxyType(
    {
        _host(anthropic.BASE_URL): "anthropic",
        _host(gemini.BASE_URL): "gemini",
        **{_host(preset.base_url): name for name, preset in PRESETS.items() if preset.needs_key},
    }
)
"""Names of vendors by the host of their API. Local servers are missing: each is its own service."""


def vendor_of(base_url: str) -> str:
    """The vendor behind a base URL; of an unknown one its host and port."""
    host = _host(base_url)
    for known, vendor in VENDORS.items():
        if host == known or host.endswith(f".{known}"):
            return vendor
    return urlsplit(base_url).netloc


def sent_model(made: Mapping[str, Any]) -> str | None:
    """The model of every request; None when the request names it."""
    model = made["options"].get("model") or made["model"]
    return model if isinstance(model, str) else None


def with_vendor(settings: ProviderSettings, made: Mapping[str, Any]) -> ProviderSettings:
    """The settings with the vendor as the first failure domain."""
    given = settings.get("domains", ())
    if isinstance(given, str):  # which `Provider` rejects
        return settings
    domains = dict.fromkeys((vendor_of(made["base_url"]), *given))
    return {**settings, "domains": tuple(domains)}
