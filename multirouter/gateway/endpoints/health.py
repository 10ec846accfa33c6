"""Endpoints for monitoring: liveness, readiness and Prometheus metrics."""

from __future__ import annotations

import os
from typing import Any, Protocol

from aiohttp import web

from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.routing.router_calls import Router

_HEADERS = {"Server": "multirouter"}


class Host(Protocol):
    """The gateway, as far as monitoring needs it.

    Attributes:
        router: its router.
        draining: whether it is about to stop.
    """

    router: Router
    draining: bool


class Monitoring:
    """Answers monitoring. Its requests are not logged, because they come too often.

    Args:
        host: the gateway.
        registry: a Prometheus registry; None is the default one.
    """

    def __init__(self, host: Host, registry: Any) -> None:
        self._host = host
        self._registry = registry

    async def alive(self, exchange: Exchange) -> web.StreamResponse:
        """200: the process answers."""
        exchange.path = ""
        return web.json_response({"status": "ok"}, headers=_HEADERS)

    async def ready(self, exchange: Exchange) -> web.StreamResponse:
        """200 when a provider is available; 503 while draining or when none is."""
        exchange.path = ""
        router, draining = self._host.router, self._host.draining
        available: dict[str, bool] = {name: router.available(name) for name in router.names()}
        is_ready = any(available.values()) and not draining
        status = "ready" if is_ready else "draining" if draining else "no provider is available"
        body: dict[str, Any] = {"status": status, "providers": available}
        return web.json_response(body, status=200 if is_ready else 503, headers=_HEADERS)

    async def metrics(self, exchange: Exchange) -> web.StreamResponse:
        """All metrics; of several processes that share a directory, their sum."""
        exchange.path = ""
        from prometheus_client import (
            CONTENT_TYPE_LATEST,
            REGISTRY,
            CollectorRegistry,
            generate_latest,
        )

        registry = self._registry
        if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
            from prometheus_client.multiprocess import MultiProcessCollector

            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # it has no annotations
        body = generate_latest(REGISTRY if registry is None else registry)
        return web.Response(body=body, headers={**_HEADERS, "Content-Type": CONTENT_TYPE_LATEST})
