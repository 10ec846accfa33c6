"""Peers, each in its shortest healthy use; only installed ones take part."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from benchmarks.harness.rounds import Call

ATTEMPTS = 3


def tenacity(answer: Call) -> Call:
    """Retries only: `AsyncRetrying` as a callable, its cheapest form."""
    from tenacity import AsyncRetrying, stop_after_attempt, wait_random_exponential

    retrying = AsyncRetrying(stop=stop_after_attempt(ATTEMPTS), wait=wait_random_exponential())

    async def call(request: str) -> object:
        return await retrying(answer, request)

    return call


def stamina(answer: Call) -> Call:
    """Retries only, with stamina's defaults; its instrumentation is off."""
    import stamina as peer
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([])
    return peer.retry(on=ConnectionError, attempts=ATTEMPTS)(answer)


def purgatory(answer: Call) -> Call:
    """A circuit breaker only, in memory."""
    from purgatory import AsyncCircuitBreakerFactory

    breakers = AsyncCircuitBreakerFactory()

    async def call(request: str) -> object:
        async with await breakers.get_breaker("first"):
            return await answer(request)

    return call


def litellm(answer: Call) -> Call:
    """`litellm.Router` over three custom providers that answer at once with a ready response."""
    os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no network access
    peer: Any = import_module("litellm")  # may be missing where types are checked
    peer.suppress_debug_info = True
    logging.getLogger("LiteLLM").setLevel(logging.ERROR)
    hello = [{"role": "user", "content": "question"}]
    ready = peer.completion(model="gpt-4o", messages=hello, mock_response="answer")

    base: type[Any] = peer.CustomLLM

    class Instant(base):  # type: ignore[misc]  # untyped
        async def acompletion(self, *args: Any, **kwargs: Any) -> Any:
            await answer("question")
            return ready

    peer.custom_provider_map = [{"provider": "instant", "custom_handler": Instant()}]
    models = [
        {"model_name": "any", "litellm_params": {"model": f"instant/{name}"}} for name in "abc"
    ]
    router = peer.Router(model_list=models)

    async def call(request: str) -> object:
        return await router.acompletion(
            model="any", messages=[{"role": "user", "content": request}]
        )

    return call


PEERS: dict[str, Callable[[Call], Call]] = {
    "tenacity": tenacity,
    "stamina": stamina,
    "purgatory": purgatory,
    "litellm": litellm,
}


def installed() -> Iterator[tuple[str, Callable[[Call], Call]]]:
    """The peers that are installed, by name."""
    return ((name, make) for name, make in PEERS.items() if find_spec(name) is not None)
