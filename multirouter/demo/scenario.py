"""Settings of the demo: providers, number of calls, outage."""

from __future__ import annotations

from dataclasses import dataclass

from multirouter.core import validation as check
from multirouter.testing.latency import Latency, LogNormal


@dataclass(frozen=True, slots=True)
class ProviderSpec:
    """Settings of one provider of the demo.

    Attributes:
        name: the provider's name.
        weight: the provider's weight.
        latency: distribution of its latency.
    """

    name: str
    weight: float
    latency: Latency


PROVIDERS = (
    ProviderSpec("alpha", 3, LogNormal(0.08, 0.35)),
    ProviderSpec("beta", 2, LogNormal(0.10, 0.35)),
    ProviderSpec("gamma", 1, LogNormal(0.12, 0.35)),
)
"""The providers; the first has the highest weight and the outage."""

MAX_CONCURRENCY = 200
"""Each call holds two sockets; processes are often limited to 1,024 open files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """Settings of the demo.

    Attributes:
        calls: number of calls, >= 1.
        concurrency: concurrent calls, 1 to 200.
        seed: seed of the router's choices, the latencies and the faults. The clock is real, so
            two runs with the same seed are similar but not identical.
        outage: duration of the outage, seconds, 0 to 3600; 0 for none.
        outage_after: share of the calls that end before the outage starts, 0 to 1.
        error_rate: share of requests outside the outage that are answered with 503, 0 to 1.
        attempt_timeout: maximum duration of one attempt, seconds.
        metrics_port: port of `/metrics` on loopback, 0 to 65535; 0 takes a free one.

    Raises:
        ConfigurationError: a setting is out of range.
    """

    calls: int = 4000
    concurrency: int = 20
    seed: int = 1
    outage: float = 12.0
    outage_after: float = 0.1
    error_rate: float = 0.005
    attempt_timeout: float = 1.0
    metrics_port: int = 0

    def __post_init__(self) -> None:
        check.count("calls", self.calls)
        check.count("concurrency", self.concurrency, maximum=MAX_CONCURRENCY)
        check.seconds("outage", self.outage, maximum=3600.0)
        check.share("outage_after", self.outage_after)
        check.share("error_rate", self.error_rate)
        check.duration("attempt_timeout", self.attempt_timeout)
        check.count("metrics-port", self.metrics_port, minimum=0, maximum=65535)
