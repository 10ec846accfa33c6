"""Proxies of connections: that of a setting, or those of the environment."""

from __future__ import annotations

import urllib.request
from typing import Any
from urllib.parse import urlsplit

from multirouter.errors import ConfigurationError


def proxy_from_environment(url: str) -> str | None:
    """The proxy that the environment names for a URL, or None.

    Raises:
        ConfigurationError: it cannot be used.
    """
    parts = urlsplit(url)
    proxies: dict[str, Any] = urllib.request.getproxies()
    if urllib.request.proxy_bypass(parts.netloc):
        return None
    proxy: str | None = proxies.get(parts.scheme) or proxies.get("all")
    if proxy and urlsplit(proxy).scheme not in {"http", "https"}:
        own = f"{parts.scheme.upper()}_PROXY"
        # In the second part: a configuration file replaces the first one by the provider's path.
        raise ConfigurationError(
            "proxy from the environment",
            f"environment variable {own if proxies.get(parts.scheme) else 'ALL_PROXY'} must be an "
            "http:// or https:// URL, SOCKS is not supported (the value is not shown): "
            f"set {own}, or NO_PROXY for hosts without a proxy",
        )
    return proxy


def checked_proxy(proxy: str) -> str:
    """The proxy that a user names; "" for none.

    Raises:
        ConfigurationError: it is no http(s) URL. The error does not show it.
    """
    if proxy and urlsplit(proxy).scheme not in {"http", "https"}:
        raise ConfigurationError(
            "Http.proxy",
            "must be an http:// or https:// URL such as http://proxy:3128 (the value is not shown)",
        )
    return proxy
