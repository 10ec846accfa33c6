"""The page at `/`, its files, and what `/` says to programs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from aiohttp import web

from multirouter.console.assets import HEADERS, Asset, assets
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError
from multirouter.providers.json_bytes import dumps

PREFIX = "/console/"

_LINKS = {"console": "/", "openapi": "/openapi.json", "health": "/healthz", "metrics": "/metrics"}


def root(exchange: Exchange, endpoints: Iterable[tuple[str, str]]) -> web.Response:
    """The page for a browser, and for a program a list of what there is, as JSON.

    Args:
        exchange: the request.
        endpoints: method and path of each endpoint.
    """
    if wants_page(exchange.request.headers):
        return _file(exchange, assets()["index.html"])
    paths = {path for _, path in endpoints}
    body: dict[str, Any] = {
        "name": "multirouter",
        "version": package_version(),
        "links": {name: path for name, path in _LINKS.items() if path in paths},
        "endpoints": [f"{method} {path}" for method, path in sorted(endpoints, key=_by_path)],
    }
    headers = exchange.headers()
    headers["Content-Type"] = "application/json"
    headers["Vary"] = "Accept"
    return web.Response(body=dumps(body), headers=headers)


def asset(exchange: Exchange) -> web.Response:
    """A file of the page.

    Raises:
        HTTPError: 404.
    """
    found = assets().get(exchange.request.path.removeprefix(PREFIX))
    if found is None:
        raise HTTPError(404, "the console has no such file", code="not_found")
    return _file(exchange, found)


def wants_page(headers: Mapping[str, str]) -> bool:
    """Whether a client names HTML among what it accepts, as browsers do; `*/*` is a program."""
    return "text/html" in headers.get("Accept", "").lower()


def package_version() -> str:
    """The installed version; "" in a checkout that is not installed."""
    try:
        return version("multirouter")
    except PackageNotFoundError:
        return ""


def _file(exchange: Exchange, found: Asset) -> web.Response:
    exchange.path = ""  # not logged: a page has many files
    headers = {
        **HEADERS,
        "Server": "multirouter",
        "Cache-Control": "no-cache",
        "ETag": found.etag,
        "Vary": "Accept",
    }
    if exchange.request.headers.get("If-None-Match") == found.etag:
        return web.Response(status=304, headers=headers)
    return web.Response(body=found.body, headers={**headers, "Content-Type": found.content_type})


def _by_path(endpoint: tuple[str, str]) -> tuple[str, str]:
    return endpoint[1], endpoint[0]
