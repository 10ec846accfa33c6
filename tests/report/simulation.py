"""Simulates two weeks of a service with outages in virtual time, and records its history."""

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
"""End of the two weeks, seconds since 1970."""

OPUS = (
    Outage(3.1 * DAY, 3.1 * DAY + HOUR, Fault("error", status=503)),
    Outage(9.3 * DAY, 9.3 * DAY + 5 * HOUR, Fault("error", status=529)),
    Outage(11.0 * DAY, 11.0 * DAY + 2 * HOUR, "hang"),
    Outage(12.4 * DAY, 12.4 * DAY + 4 * HOUR, "rate_limit", share=0.3),
)
GPT = (Outage(9.35 * DAY, 9.35 * DAY + 0.6 * HOUR, "reset", share=0.7),)


def make_router(history: History) -> MultiProviderRouter:
    """A router with three priced providers, and two routes with different orders."""

    def provider(name: str, seconds: float, price: Price, outages: tuple[Outage, ...] = ()):
        latency = LogNormal(seconds, 0.5)
        scripted = ScriptedProvider(name, latency=latency, outages=outages, answer=answer)
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
        logger=SilentLogger(),
        rng=Random(7),
    )


class SilentLogger:
    """A logger that discards all events."""

    def __getattr__(self, _name: str):
        return lambda *_args, **_fields: None


def answer(request: str) -> dict[str, object]:
    """An answer with usage in the format of OpenAI."""
    length = len(request)
    return {
        "choices": [{"message": {"role": "assistant", "content": "done"}}],
        "usage": {"prompt_tokens": 40 * length, "completion_tokens": 12 * length},
    }


def simulate(file: Path, *, days: float = 14.0, interval: float = 180.0) -> None:
    """Fills a history file with calls up to `ENDED`, more by day than by night.

    Args:
        file: the history file.
        days: length of the simulation.
        interval: seconds between two calls, on average.
    """

    async def main() -> None:
        started = anyio.current_time()
        rng = Random(3)
        # The disk works in real time, and the simulation takes seconds: queue all rows.
        history = History(
            file,
            max_queued_rows=10**6,
            wall=lambda: ENDED - days * DAY + anyio.current_time() - started,
        )
        async with make_router(history) as router:
            while anyio.current_time() - started < days * DAY - 600:
                busy = 1.0 - 0.6 * abs(12 - (anyio.current_time() - started) % DAY / HOUR) / 12
                await anyio.sleep(rng.expovariate(1.0) * interval * 0.7 / busy)
                route = "coding" if rng.random() < 0.7 else "simple"
                with suppress(CallFailed):
                    await router.call("x" * rng.randint(20, 120), route=route)

    VirtualClock(io_wait=0.0).run(main)
