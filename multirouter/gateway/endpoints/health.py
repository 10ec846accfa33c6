"""Endpoints for monitoring: liveness, readiness and Prometheus metrics."""

from __future__ import annotations

import os
from typing import Any

from aiohttp import web

from multirouter.gateway.routing.router_calls import Router

_HEADERS = {"Server": "multirouter"}


def alive() -> web.Response:
    """200: the process answers."""
    return web.json_response({"status": "ok"}, headers=_HEADERS)


def ready(router: Router, *, draining: bool) -> web.Response:
    """200 when a provider is available; 503 while draining or when none is."""
    available: dict[str, bool] = {name: router.available(name) for name in router.names()}
    is_ready = any(available.values()) and not draining
    status = "ready" if is_ready else "draining" if draining else "no provider is available"
    body: dict[str, Any] = {"status": status, "providers": available}
    return web.json_response(body, status=200 if is_ready else 503, headers=_HEADERS)


def metrics(registry: Any) -> web.Response:
    """All metrics; of several processes that share a directory, their sum.

    Args:
        registry: a Prometheus registry; None is the default one.
    """
    from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # it has no annotations
    body = generate_latest(REGISTRY if registry is None else registry)
    return web.Response(body=body, headers={**_HEADERS, "Content-Type": CONTENT_TYPE_LATEST})
