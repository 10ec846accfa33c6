"""Two weeks in the life of a service, lived in virtual time: a history with outages in it."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from random import Random

import anyio
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, Provider, Route
from multirouter.core.cost.price import Price
from multirouter.errors import CallFailed
from multirouter.listeners.history.history import History
from multirouter.testing import LogNormal, Outage, ScriptedProvider, VirtualClock
from multirouter.testing.faults import Fault

HOUR, DAY = 3_600.0, 86_400.0
ENDED = 1_790_000_000.0
"""When the two weeks are over, seconds since 1970."""

OPUS = (
    Outage(3.1 * DAY, 3.1 * DAY + HOUR, Fault("error", status=503)),
    Outage(9.3 * DAY, 9.3 * DAY + 5 * HOUR, Fault("error", status=529)),
    Outage(11.0 * DAY, 11.0 * DAY + 2 * HOUR, "hang"),
    Outage(12.4 * DAY, 12.4 * DAY + 4 * HOUR, "rate_limit", share=0.3),
)
GPT = (Outage(9.35 * DAY, 9.35 * DAY + 0.6 * HOUR, "reset", share=0.7),)


def service(history: History, outages: bool = True) -> MultiProviderRouter:
    """A chain of three priced providers, and a route for simple work that begins at the last."""

    def provider(name: str, seconds: float, price: Price, troubles: tuple[Outage, ...] = ()):
        latency = LogNormal(seconds, 0.5)
        scripted = ScriptedProvider(
            name, latency=latency, outages=troubles if outages else (), answer=answered
        )
        return Provider(name, scripted, price=price)

    return MultiProviderRouter(
        [
            provider("opus", 2.6, Price(5.0, 25.0), OPUS),
            provider("gpt", 1.9, Price(2.5, 10.0), GPT),
            provider("haiku", 0.8, Price(1.0, 5.0)),
        ],
        routes=[Route("coding", ["opus", "gpt", "haiku"]), Route("simple", ["haiku", "gpt"])],
        history=history,
        registry=CollectorRegistry(),
        logger=Silent(),
        rng=Random(7),
    )


class Silent:
    """A logger that says nothing."""

    def __getattr__(self, _name: str):
        return lambda *_args, **_fields: None


def answered(request: str) -> dict[str, object]:
    """An answer that says what it used, shaped like OpenAI's."""
    words = len(request)
    return {
        "choices": [{"message": {"role": "assistant", "content": "done"}}],
        "usage": {"prompt_tokens": 40 * words, "completion_tokens": 12 * words},
    }


def live(file: Path, *, days: float = 14.0, every: float = 180.0) -> None:
    """Fills a history with calls, busier by day than by night, up to `ENDED`.

    Args:
        file: where to.
        days: how long it lasts.
        every: seconds between two calls, on average.
    """

    async def main() -> None:
        began = anyio.current_time()
        chance = Random(3)
        # The disk works in real time and these weeks pass in seconds: all rows may wait.
        history = History(
            file, waiting=10**6, wall=lambda: ENDED - days * DAY + anyio.current_time() - began
        )
        async with service(history) as router:
            while anyio.current_time() - began < days * DAY - 600:
                busy = 1.0 - 0.6 * abs(12 - (anyio.current_time() - began) % DAY / HOUR) / 12
                await anyio.sleep(chance.expovariate(1.0) * every * 0.7 / busy)
                route = "coding" if chance.random() < 0.7 else "simple"
                with suppress(CallFailed):
                    await router.call("x" * chance.randint(20, 120), route=route)

    VirtualClock(io_wait=0.0).run(main)
