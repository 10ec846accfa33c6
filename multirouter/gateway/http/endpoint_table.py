"""Table of the gateway's endpoints, by path and method."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
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
        self._patterns: list[tuple[re.Pattern[str], str]] = []

    def add(self, method: str, path: str, endpoint: Endpoint) -> None:
        """Adds an endpoint.

        Args:
            method: the HTTP method; GET answers HEAD as well.
            path: an exact path, or a pattern: `*` stands for characters other than slashes, and
                behind a colon other than colons too; `**` for any; one at least. Of several
                patterns, the longest counts.
            endpoint: what serves it.
        """
        if "*" in path and path not in self._paths:
            expression = re.escape(path).replace(r"\*\*", ".+")
            # Without colons behind a colon: the time to match is linear in the path's length.
            expression = expression.replace(r":\*", ":[^/:]+").replace(r"\*", "[^/]+")
            self._patterns.append((re.compile(expression), path))
            self._patterns.sort(key=lambda pattern: -len(pattern[1]))
        self._paths.setdefault(path, {})[method] = endpoint

    def all(self) -> list[tuple[str, str]]:
        """Method and path of each endpoint."""
        return [(method, path) for path, methods in self._paths.items() for method in methods]

    def methods(self, path: str) -> Mapping[str, Endpoint]:
        """The endpoints of a path, by method.

        Clients join base URLs and paths in several ways, so double slashes, a slash at the end, and
        a missing or repeated `/v1` make no difference.

        Raises:
            HTTPError: 404.
        """
        if "*" not in path and path in self._paths:
            return self._paths[path]
        parts = [part for part in path.split("/") if part]
        methods = self._matching(parts)
        if methods is None:
            parts = parts[1:] if parts[:2] == ["v1", "v1"] else ["v1", *parts]
            methods = self._matching(parts)
        if methods is None:
            raise HTTPError(404, _unknown(path, parts), code="not_found")
        return methods

    def _matching(self, parts: Sequence[str]) -> Mapping[str, Endpoint] | None:
        """The endpoints of a path by its parts: an exact one, or a pattern."""
        path = "/" + "/".join(parts)
        if path in self._paths and "*" not in path:
            return self._paths[path]
        found = (name for pattern, name in self._patterns if pattern.fullmatch(path))
        name = next(found, None)
        return None if name is None else self._paths[name]

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


_KEPT = frozenset({"files", "batches"})
"""What clients send to a service beside calls, and the service keeps for one account."""


def _unknown(path: str, parts: Sequence[str]) -> str:
    kept = next((part for part in parts if part in _KEPT), None)
    why = f": {kept} are kept by a service for one account; send them to the service itself"
    return f"unknown path {path[:200]!r}{why if kept else ''}"
