"""The doors for machines that watch: alive, ready, and the metrics in Prometheus' format."""

from __future__ import annotations

import os
from typing import Any

from aiohttp import web

from multirouter.gateway.routing.router_calls import Router

_NAMED = {"Server": "multirouter"}


def alive() -> web.Response:
    """The process answers."""
    return web.json_response({"status": "ok"}, headers=_NAMED)


def ready(router: Router, *, draining: bool) -> web.Response:
    """200 when a request would find somebody to ask; 503 while draining or when all are out."""
    states: dict[str, bool] = {name: router.available(name) for name in router.names()}
    fit = any(states.values()) and not draining
    status = "ready" if fit else "draining" if draining else "no provider can be asked"
    body: dict[str, Any] = {"status": status, "providers": states}
    return web.json_response(body, status=200 if fit else 503, headers=_NAMED)


def metrics(registry: Any) -> web.Response:
    """All families; where several processes share a directory, their sum.

    Args:
        registry: a Prometheus registry; None is the default one.
    """
    from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest

    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        from prometheus_client.multiprocess import MultiProcessCollector

        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call] # it has no annotations
    body = generate_latest(REGISTRY if registry is None else registry)
    return web.Response(body=body, headers={**_NAMED, "Content-Type": CONTENT_TYPE_LATEST})
