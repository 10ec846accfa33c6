"""Four providers that fail in every way, behind a router that is reconfigured continually.

All durations are those of virtual time; `scale` shrinks them, and those of the policies, for runs
by the real clock.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable
from random import Random
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from multirouter import (
    CircuitPolicy,
    HedgePolicy,
    Listener,
    MultiProviderRouter,
    Provider,
    RetryPolicy,
    Route,
)
from multirouter.core.settings.policies import LatencyPolicy
from multirouter.testing import Fault, LogNormal, Outage, ScriptedProvider
from multirouter.testing.faults import FaultKind

NAMES = ("resetting", "erring", "hanging", "limited")
ERRORS = 0.01
"""The share of calls that fail at each provider without an outage."""


def providers(scale: float) -> list[Provider[int, Any]]:
    """The providers, each with a repeating outage of its own."""
    rate_limited = Fault("rate_limit", headers={"Retry-After": f"{5 * scale:g}"})
    outages_of: dict[str, tuple[Fault | FaultKind, float, float, float]] = {
        "resetting": ("reset", 0.3, 120.0, 300.0),
        "erring": ("error", 1.0, 60.0, 600.0),
        "hanging": ("hang", 0.5, 40.0, 900.0),
        "limited": (rate_limited, 0.5, 30.0, 400.0),
    }
    return [
        Provider(
            name,
            ScriptedProvider(
                name,
                latency=LogNormal(scale, 0.5),
                error_rate=ERRORS,
                outages=[Outage(0, math.inf, fault, share, down * scale, up * scale)],
                max_requests=0,
            ),
            weight=weight,
        )
        for weight, (name, (fault, share, down, up)) in enumerate(outages_of.items(), 1)
    ]


def make_router(
    scale: float, registry: CollectorRegistry, listeners: Iterable[Listener] = ()
) -> MultiProviderRouter[int, Any]:
    """The router over these providers: policies are the defaults, shrunk by `scale`."""
    hedged = HedgePolicy(percentile=0.9)
    return MultiProviderRouter(
        providers(scale),
        name="soak",
        routes=[Route("hedged", ["*"], hedge=hedged), Route("chain", [*NAMES])],
        timeout=120 * scale,
        attempt_timeout=30 * scale,
        retry=RetryPolicy(base=0.5 * scale, cap=8 * scale, budget_window=10 * scale),
        circuit=CircuitPolicy(
            window=10 * scale,
            open_duration=5 * scale,
            max_open_duration=20 * scale,
            cooldown=5 * scale,
        ),
        latency=LatencyPolicy(floor=2 * scale),
        listeners=listeners,
        registry=registry,
        logger=structlog.wrap_logger(structlog.ReturnLogger(), processors=[_silent]),
        rng=Random(1),
    )


async def reconfigure(router: MultiProviderRouter[int, Any], scale: float) -> None:
    """Holds, releases, updates, removes and adds providers, one step every 30 s, without end."""
    rng = Random(2)
    while True:
        await asyncio.sleep(30 * scale)
        name = rng.choice(NAMES)
        router.hold(name, rng.choice(("open", "closed", "disabled", "metrics_only")))
        await asyncio.sleep(30 * scale)
        router.unhold(name)
        router.update(name, weight=rng.uniform(0.5, 4.0))
        await asyncio.sleep(30 * scale)
        guest = ScriptedProvider("guest", latency=LogNormal(scale, 0.5), max_requests=0)
        router.add(Provider("guest", guest))
        await asyncio.sleep(30 * scale)
        router.remove("guest")


def _silent(_: Any, __: str, ___: Any) -> tuple[tuple[()], dict[str, Any]]:
    """Renders every event to nothing: kept log lines would count as memory."""
    return (), {}
