"""State of each provider as one row, for the live table, the plain lines and the summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from multirouter.demo.counters import Counters
from multirouter.router import MultiProviderRouter


@dataclass(frozen=True, slots=True)
class ProviderRow:
    """State of one provider.

    Attributes:
        provider: the provider's name.
        state: state of its circuit: `closed`, `open` or `half_open`.
        half_open_in: seconds until an open circuit becomes half open, or None.
        share: probability that the next call goes to it, 0 to 1.
        in_flight: attempts in flight.
        answered: attempts whose answer went to a caller.
        failed_attempts: failed attempts.
        p50: median of its recent latencies, seconds; None before the first answer.
        p99: 99th percentile of its recent latencies, seconds; None before the first answer.
    """

    provider: str
    state: str
    half_open_in: float | None
    share: float
    in_flight: int
    answered: int
    failed_attempts: int
    p50: float | None
    p99: float | None

    @property
    def state_text(self) -> str:
        """The circuit's state, and the time until it becomes half open if known."""
        words = self.state.replace("_", " ")
        return words if self.half_open_in is None else f"{words}, {self.half_open_in:.1f} s"


def provider_rows(
    router: MultiProviderRouter[Any, Any, Any], counters: Counters
) -> list[ProviderRow]:
    """Returns a row for each provider, from `router.snapshot()` and the counters."""
    snapshot = router.snapshot()
    [tier] = snapshot["routes"]["default"]["tiers"]
    rows: list[ProviderRow] = []
    for member in tier:
        name = member["provider"]
        gate = snapshot["providers"][name]
        rows.append(
            ProviderRow(
                provider=name,
                state=gate["state"],
                half_open_in=gate["half_open_in"],
                share=member["share"],
                in_flight=gate["in_flight"],
                answered=counters.answered[name],
                failed_attempts=counters.failed_attempts(name),
                p50=member["p50"],
                p99=member["p99"],
            )
        )
    return rows


def milliseconds(seconds: float | None) -> str:
    """A duration as text: `83 ms`; `-` for None."""
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"
