"""A FastAPI app that answers from whichever provider is well, and says which one it was.

    pip install multirouter fastapi uvicorn
    uvicorn fastapi_app:app --app-dir examples
    curl -i localhost:8000/ask -H 'content-type: application/json' -d '{"prompt": "Hello?"}'
    curl localhost:8000/metrics

The providers here are coroutines that answer by themselves, so it runs offline. Put your own in
their place: any `async def` that takes the request and returns the answer.
"""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel

from multirouter import CallFailed, MultiProviderRouter, Provider


class Question(BaseModel):
    """What is asked."""

    prompt: str


class Answer(BaseModel):
    """What was answered."""

    text: str


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


def make_app(providers: Iterable[Provider[str, str]] = PROVIDERS) -> FastAPI:
    """The app, with a router of its own that lives as long as the app does."""
    registry = CollectorRegistry()
    router = MultiProviderRouter(providers, name="fastapi-example", registry=registry)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncGenerator[None, None]:
        async with router:
            yield

    app = FastAPI(title="multirouter example", lifespan=lifespan)

    @app.post("/ask")
    async def ask(question: Question, response: Response) -> Answer:
        outcome = await router.call_outcome(question.prompt)
        answer = Answer(text=outcome.value)  # raises CallFailed when nobody could answer
        response.headers["X-Provider"] = outcome.provider or "fallback"
        return answer

    @app.exception_handler(CallFailed)
    async def unavailable(_: Request, error: CallFailed) -> JSONResponse:
        rest = math.ceil(error.retry_after or 1.0)
        detail = {"detail": "no provider could answer"}
        return JSONResponse(detail, status_code=503, headers={"Retry-After": str(rest)})

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app


app = make_app()
