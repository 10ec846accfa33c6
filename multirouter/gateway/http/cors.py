"""CORS headers for web pages of the configured origins."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from aiohttp import web
from multidict import CIMultiDict

_EXPOSED = (
    "X-Request-Id, X-Provider, X-Model, X-Attempts, X-Cost-Usd, X-Router-Overhead-Ms, Retry-After"
)


def allow(request: web.BaseRequest, headers: CIMultiDict[str], origins: Collection[str]) -> None:
    """Adds the response headers that let a page of an allowed origin read the answer.

    Args:
        request: the request; its `Origin` header names the page.
        headers: the response headers to add to.
        origins: the allowed origins; `*` allows all.
    """
    origin = request.headers.get("Origin")
    if origin is not None and (origin in origins or "*" in origins):
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Expose-Headers"] = _EXPOSED
        headers.add("Vary", "Origin")


def preflight(
    request: web.BaseRequest, headers: CIMultiDict[str], methods: Iterable[str]
) -> web.Response:
    """The answer to a preflight request, which browsers send without a key.

    Args:
        request: the OPTIONS request.
        headers: the response headers so far.
        methods: the methods of the path.
    """
    headers["Access-Control-Allow-Methods"] = ", ".join(methods)
    headers["Access-Control-Allow-Headers"] = request.headers.get(
        "Access-Control-Request-Headers", ""
    )
    headers["Access-Control-Max-Age"] = "600"
    return web.Response(status=204, headers=headers)
