"""Lets web pages in, where that was asked for: the headers that browsers want to see."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from aiohttp import web
from multidict import CIMultiDict

_EXPOSED = (
    "X-Request-Id, X-Provider, X-Model, X-Attempts, X-Cost-Usd, X-Router-Overhead-Ms, Retry-After"
)


def allow(request: web.BaseRequest, headers: CIMultiDict[str], origins: Collection[str]) -> None:
    """Adds what a browser needs to hand the answer to a page of an allowed origin."""
    origin = request.headers.get("Origin")
    if origin is not None and (origin in origins or "*" in origins):
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = _EXPOSED
        headers.add("Vary", "Origin")


def preflight(
    request: web.BaseRequest, headers: CIMultiDict[str], methods: Iterable[str]
) -> web.Response:
    """What a browser asks before a request; it comes without a key."""
    headers["Access-Control-Allow-Methods"] = ", ".join(methods)
    headers["Access-Control-Allow-Headers"] = request.headers.get(
        "Access-Control-Request-Headers", ""
    )
    headers["Access-Control-Max-Age"] = "600"
    return web.Response(status=204, headers=headers)
