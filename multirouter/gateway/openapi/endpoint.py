"""Endpoint `GET /openapi.json`: the document of the gateway's API."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from aiohttp import web

from multirouter.gateway.http.exchange import Exchange
from multirouter.providers.json_bytes import dumps


class OpenAPI:
    """Answers with the document, which is made once, when it is first asked for.

    Args:
        endpoints: returns method and path of each endpoint.
    """

    def __init__(self, endpoints: Callable[[], Iterable[tuple[str, str]]]) -> None:
        self._endpoints = endpoints
        self._body = b""

    async def answer(self, exchange: Exchange) -> web.StreamResponse:
        """The document. It is the same for all clients, and names no model and no provider."""
        exchange.path = ""  # not logged, as it is no call
        if not self._body:
            self._body = await asyncio.to_thread(self._make)
        headers = exchange.headers()
        headers["Content-Type"] = "application/json"
        return web.Response(body=self._body, headers=headers)

    def _make(self) -> bytes:
        # In a thread: it loads pydantic in a gateway that has no configuration file.
        from multirouter.gateway.openapi.document import openapi_document

        return dumps(openapi_document(self._endpoints()))
