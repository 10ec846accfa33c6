"""What the demo plays: who takes part, how many calls are made, when the heaviest falls ill."""

from __future__ import annotations

from dataclasses import dataclass

from multirouter.core import validation as check
from multirouter.testing.latency import Latency, LogNormal


@dataclass(frozen=True, slots=True)
class Part:
    """One provider of the demo.

    Attributes:
        name: its name in the router.
        weight: its share in the draw.
        latency: how long its answers take.
    """

    name: str
    weight: float
    latency: Latency


CAST = (
    Part("alpha", 3, LogNormal(0.08, 0.35)),
    Part("beta", 2, LogNormal(0.10, 0.35)),
    Part("gamma", 1, LogNormal(0.12, 0.35)),
)
"""The heaviest comes first, and it is the one that goes down."""

MOST_AT_ONCE = 200
"""Calls at a time: each holds two sockets of the process, which often may have 1,024 files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """The demo's settings.

    Attributes:
        calls: how many calls are made, at least 1.
        concurrency: how many are under way at a time, 1 to 200.
        seed: of the router's choices, the latencies and the faults. The clock is the real one,
            so two runs with one seed resemble each other and are not the same.
        outage: seconds for which the heaviest provider is down; 0 for no outage.
        outage_after: the share of the calls that is made before the outage begins.
        hiccups: the share of requests that any provider answers with 503, well as it is.
        attempt_timeout: the longest one attempt may take, seconds.
        metrics_port: where `/metrics` is served on loopback; 0 takes a free port.

    Raises:
        ConfigurationError: for a setting out of its range.
    """

    calls: int = 4000
    concurrency: int = 20
    seed: int = 1
    outage: float = 12.0
    outage_after: float = 0.1
    hiccups: float = 0.005
    attempt_timeout: float = 1.0
    metrics_port: int = 0

    def __post_init__(self) -> None:
        check.count("calls", self.calls)
        check.count("concurrency", self.concurrency)
        check.number("concurrency", self.concurrency, most=MOST_AT_ONCE)
        check.number("outage", self.outage, least=0.0, most=3600.0)
        check.share("outage_after", self.outage_after)
        check.share("hiccups", self.hiccups)
        check.span("attempt_timeout", self.attempt_timeout)
        check.count("metrics port", self.metrics_port, least=0)
        check.number("metrics port", self.metrics_port, most=65535)
