"""An aiohttp app that answers from whichever provider is well, and says which one it was.

    pip install multirouter
    python examples/aiohttp_app.py
    curl -i localhost:8080/ask -d '{"prompt": "Hello?"}'
    curl localhost:8080/metrics

The providers here are coroutines that answer by themselves, so it runs offline. Put your own in
their place: any `async def` that takes the request and returns the answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Iterable

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from multirouter import CallFailed, MultiProviderRouter, Provider

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
        raise web.HTTPBadRequest(text='send {"prompt": "..."}') from None
    try:
        outcome = await request.app[ROUTER].call_outcome(prompt)
        body = {"text": outcome.value}
    except CallFailed as error:
        rest = math.ceil(error.retry_after or 1.0)
        detail = {"detail": "no provider could answer"}
        return web.json_response(detail, status=503, headers={"Retry-After": str(rest)})
    return web.json_response(body, headers={"X-Provider": outcome.provider or "fallback"})


async def metrics(request: web.Request) -> web.Response:
    """Shows Prometheus what the router counts."""
    body = generate_latest(request.app[REGISTRY])
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def make_app(providers: Iterable[Provider[str, str]] = PROVIDERS) -> web.Application:
    """The app, with a router of its own that lives as long as the app does."""
    app = web.Application()
    app[REGISTRY] = registry = CollectorRegistry()
    app[ROUTER] = router = MultiProviderRouter(providers, name="aiohttp-example", registry=registry)

    async def routed(_: web.Application) -> AsyncIterator[None]:
        async with router:
            yield

    app.cleanup_ctx.append(routed)
    app.router.add_post("/ask", ask)
    app.router.add_get("/metrics", metrics)
    return app


if __name__ == "__main__":
    web.run_app(make_app())
