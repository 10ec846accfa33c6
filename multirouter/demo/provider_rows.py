"""Where each provider stands: one row for the live table, the plain lines and the summary."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from multirouter.demo.counters import Tally
from multirouter.router import MultiProviderRouter


@dataclass(frozen=True, slots=True)
class Standing:
    """One provider at one moment.

    Attributes:
        provider: its name.
        state: its circuit's: `closed`, `open` or `half_open`.
        reset_in: seconds until an open circuit is tried, or None.
        share: its share of the next draw, 0 to 1.
        in_flight: attempts under way.
        answered: attempts that brought an answer.
        failed: attempts that failed.
        p50: half of its recent answers were faster, seconds; None before the first.
        p99: nearly all were faster, seconds; None before the first.
    """

    provider: str
    state: str
    reset_in: float | None
    share: float
    in_flight: int
    answered: int
    failed: int
    p50: float | None
    p99: float | None

    @property
    def state_in_words(self) -> str:
        """The state, and how long it lasts where that is known."""
        words = self.state.replace("_", " ")
        return words if self.reset_in is None else f"{words}, {self.reset_in:.1f} s"


def standings(router: MultiProviderRouter[Any, Any, Any], tally: Tally) -> list[Standing]:
    """A row for each provider, as `router.snapshot()` and the tally have it."""
    picture = router.snapshot()
    [tier] = picture["routes"]["default"]["tiers"]
    rows: list[Standing] = []
    for seat in tier:
        name = seat["provider"]
        door = picture["providers"][name]
        rows.append(
            Standing(
                provider=name,
                state=door["state"],
                reset_in=door["reset_in"],
                share=seat["share"],
                in_flight=door["in_flight"],
                answered=tally.answered[name],
                failed=tally.failed(name),
                p50=seat["p50"],
                p99=seat["p99"],
            )
        )
    return rows


def milliseconds(seconds: float | None) -> str:
    """A span for people: `83 ms`; a dash when it is not known."""
    return "-" if seconds is None else f"{seconds * 1000:.0f} ms"
