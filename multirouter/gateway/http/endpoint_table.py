"""Table of the gateway's endpoints, by path and method."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import NoReturn

from aiohttp import web

from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.http.wire_format import OPENAI, WireFormat

Handler = Callable[[Exchange], Awaitable[web.StreamResponse]]
"""Answers one request, or raises what `http_error_from` translates."""

_IMPLIED = {"GET": ("GET", "HEAD")}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One method of one path.

    Attributes:
        handler: answers its requests.
        wire_format: the format of its errors; None is the format of each client.
    """

    handler: Handler
    wire_format: WireFormat | None = OPENAI


class EndpointTable:
    """Finds the endpoint of a request."""

    def __init__(self) -> None:
        self._paths: dict[str, dict[str, Endpoint]] = {}

    def add(self, method: str, path: str, endpoint: Endpoint) -> None:
        """Adds an endpoint.

        Args:
            method: the HTTP method; GET answers HEAD as well.
            path: an exact path, or a prefix that ends in `/*`.
            endpoint: what serves it.
        """
        self._paths.setdefault(path, {})[method] = endpoint

    def methods(self, path: str) -> Mapping[str, Endpoint]:
        """The endpoints of a path, by method.

        Raises:
            HTTPError: 404.
        """
        methods, prefix = self._paths.get(path), path
        while methods is None:
            prefix, slash, _ = prefix.rstrip("*").rstrip("/").rpartition("/")
            if not slash:
                raise HTTPError(404, f"unknown path {path[:200]!r}", code="not_found")
            methods = self._paths.get(f"{prefix}/*")
        return methods

    def find(self, request: web.BaseRequest) -> Endpoint:
        """The endpoint of a request.

        Raises:
            HTTPError: 404 for an unknown path, 405 for another method.
        """
        methods = self.methods(request.path)
        # aiohttp leaves out the body of an answer to HEAD by itself.
        method = "GET" if request.method == "HEAD" else request.method
        return methods.get(method) or _method_not_allowed(request, methods)


def _method_not_allowed(request: web.BaseRequest, methods: Iterable[str]) -> NoReturn:
    allow = [name for method in methods for name in _IMPLIED.get(method, (method,))]
    message = f"method {request.method} is not allowed for {request.path}; allowed: "
    raise HTTPError(405, message + ", ".join(allow), code="method_not_allowed", allow=allow)
