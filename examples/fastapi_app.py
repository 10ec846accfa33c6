"""A FastAPI app with failover, complete and streamed answers, error statuses, and metrics.

    pip install multirouter fastapi uvicorn
    uvicorn fastapi_app:app --app-dir examples
    curl -i localhost:8000/ask -H 'content-type: application/json' -d '{"prompt": "Hello?"}'
    curl -iN localhost:8000/stream -H 'content-type: application/json' -d '{"prompt": "Hello?"}'
    curl localhost:8000/metrics

The header X-Provider names the provider that answered. The providers are local coroutines, so the
example runs offline. Replace them by your own: any `async def` that takes the request and returns
the answer, and any async generator function that yields the answer in pieces.
"""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator, Iterable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, HTTPException, Response
from fastapi.responses import StreamingResponse
from http_errors import http_error
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest
from pydantic import BaseModel

from multirouter import CallFailed, CallOutcome, MultiProviderRouter, Provider, Stream


class Question(BaseModel):
    """Body of a request."""

    prompt: str


class Answer(BaseModel):
    """Body of a response."""

    text: str


async def ask_large(prompt: str) -> str:
    """Stands for a call to a large model."""
    return f"A long answer to {prompt!r}."


async def ask_small(prompt: str) -> str:
    """Stands for a call to a small model."""
    return f"A short answer to {prompt!r}."


async def stream_large(prompt: str) -> AsyncGenerator[str, None]:
    """Stands for a streamed answer of a large model."""
    for word in ("A ", "long ", "answer ", "to ", f"{prompt!r}."):
        yield word


async def stream_small(prompt: str) -> AsyncGenerator[str, None]:
    """Stands for a streamed answer of a small model."""
    for word in ("A ", "short ", "answer ", "to ", f"{prompt!r}."):
        yield word


PROVIDERS = (
    Provider("large", ask_large, stream=stream_large, weight=3),
    Provider("small", ask_small, stream=stream_small, weight=1),
)


def make_app(providers: Iterable[Provider[str, str, str]] = PROVIDERS) -> FastAPI:
    """The app, with its own router, which is closed with the app."""
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
        if outcome.error is not None:
            raise http_exception(outcome)
        response.headers["X-Provider"] = outcome.provider or "fallback"
        return Answer(text=outcome.value)

    @app.post("/stream")
    async def stream(question: Question) -> StreamingResponse:
        answer = router.stream(question.prompt)
        try:
            # Waits for the first content. A provider that fails before it is replaced.
            _ = await answer
        except Exception:
            if answer.outcome is None:
                raise
            raise http_exception(answer.outcome) from None
        headers = {"X-Provider": answer.provider}
        return StreamingResponse(events(answer), media_type="text/event-stream", headers=headers)

    @app.get("/metrics")
    def metrics() -> Response:
        return Response(generate_latest(registry), media_type=CONTENT_TYPE_LATEST)

    return app


def http_exception(outcome: CallOutcome[Any]) -> HTTPException:
    """The exception with which FastAPI responds to a failed call."""
    error = http_error(outcome)
    return HTTPException(error.status, error.detail, error.headers)


async def events(answer: Stream[str]) -> AsyncGenerator[str, None]:
    """The answer as server-sent events; the last one is `done` or, if it was cut, `error`."""
    try:
        async for text in answer:
            yield f"data: {json.dumps({'text': text})}\n\n"
        yield "event: done\ndata: {}\n\n"
    except CallFailed:
        # The status is already sent, so the client must see here that the answer is incomplete.
        yield f"event: error\ndata: {json.dumps({'detail': 'the answer is incomplete'})}\n\n"
    finally:
        await answer.aclose()  # also when the client disconnects: ends the provider's stream


app = make_app()
