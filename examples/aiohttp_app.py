"""An aiohttp app with failover, error statuses, and metrics.

    pip install multirouter
    python examples/aiohttp_app.py
    curl -i localhost:8080/ask -d '{"prompt": "Hello?"}'
    curl localhost:8080/metrics

The header X-Provider names the provider that answered. The providers are local coroutines, so the
example runs offline. Replace them by your own: any `async def` that takes the request and returns
the answer.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable

from aiohttp import web
from http_errors import http_error
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from multirouter import MultiProviderRouter, Provider

ROUTER = web.AppKey("router", MultiProviderRouter[str, str])
REGISTRY = web.AppKey("registry", CollectorRegistry)


async def ask_large(prompt: str) -> str:
    """Stands for a call to a large model."""
    return f"A long answer to {prompt!r}."


async def ask_small(prompt: str) -> str:
    """Stands for a call to a small model."""
    return f"A short answer to {prompt!r}."


PROVIDERS = (
    Provider("large", ask_large, weight=3),
    Provider("small", ask_small, weight=1),
)


async def ask(request: web.Request) -> web.Response:
    """Answers `{"prompt": ...}` with `{"text": ...}` and the header X-Provider."""
    try:
        prompt = (await request.json())["prompt"]
    except (json.JSONDecodeError, KeyError, TypeError):
        raise web.HTTPBadRequest(text='the body must be {"prompt": "..."}') from None
    outcome = await request.app[ROUTER].call_outcome(prompt)
    if outcome.error is not None:
        error = http_error(outcome)
        body = {"detail": error.detail}
        return web.json_response(body, status=error.status, headers=error.headers)
    headers = {"X-Provider": outcome.provider or "fallback"}
    return web.json_response({"text": outcome.value}, headers=headers)


async def metrics(request: web.Request) -> web.Response:
    """Serves the router's metrics to Prometheus."""
    body = generate_latest(request.app[REGISTRY])
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def make_app(providers: Iterable[Provider[str, str]] = PROVIDERS) -> web.Application:
    """The app, with its own router, which is closed with the app."""
    app = web.Application()
    app[REGISTRY] = registry = CollectorRegistry()
    app[ROUTER] = router = MultiProviderRouter(providers, name="aiohttp-example", registry=registry)

    async def router_context(_: web.Application) -> AsyncIterator[None]:
        async with router:
            yield

    app.cleanup_ctx.append(router_context)
    app.router.add_post("/ask", ask)
    app.router.add_get("/metrics", metrics)
    return app


if __name__ == "__main__":
    web.run_app(make_app())
