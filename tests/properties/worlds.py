"""Random worlds of a router: providers, settings, and timed actions."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from multirouter import CircuitPolicy, HedgePolicy, RetryPolicy
from multirouter.core.events import HoldName
from multirouter.testing import Answer, Fault

ATTEMPT_TIMEOUT = 3.0
RETRY_AFTER = 4.0
MAX_BACKOFF = 1.0
INVALID_ANSWER = "invalid"

RELIABLE = "reliable"
"""A provider that never fails, has no limit and is never held, so it serves every call."""

GUEST = "guest"
"""A provider that may be removed and added retries."""


@dataclass(frozen=True)
class ProviderSpec:
    """A provider: how its attempts end, how it treats cancellations, and its settings."""

    name: str
    script: tuple[Any, ...] = ()
    error_rate: float = 0.0
    latency: float = 0.5
    swallowed_cancellations: int = 0
    weight: float = 1.0
    max_in_flight: int | None = None
    per_minute: float | None = None
    health_check: bool = False


@dataclass(frozen=True)
class Call:
    """Calls at one instant; each is cancelled after so many seconds, or never."""

    times: int
    route: str | tuple[str, ...] | None
    timeout: float
    wait: float
    idempotent: bool
    cancel_after: float | None


@dataclass(frozen=True)
class Hold:
    """A manual hold of a circuit, or (None) its release."""

    name: str
    how: HoldName | None


@dataclass(frozen=True)
class Update:
    """Other settings for a provider."""

    name: str
    weight: float
    max_in_flight: int | None
    failures: int
    half_open_max_calls: int


@dataclass(frozen=True)
class ToggleGuest:
    """Removes the guest provider when it is present, else adds it."""


@dataclass(frozen=True)
class Close:
    """Closes the router during its calls."""

    grace: float


Action = Call | Hold | Update | ToggleGuest | Close


@dataclass(frozen=True)
class World:
    """Everything that determines a run.

    Attributes:
        actions: pairs of the seconds since the last action, and the action.
        native_cancel: whether callers are cancelled by `Task.cancel`, or by a cancel scope.
    """

    providers: tuple[ProviderSpec, ...]
    actions: tuple[tuple[float, Action], ...]
    seed: int
    circuit: CircuitPolicy
    hedge: HedgePolicy | None
    retry: RetryPolicy
    retries: int
    max_in_flight: int | None
    panic: float | None
    fallback: str | None
    native_cancel: bool

    @property
    def names(self) -> list[str]:
        return [spec.name for spec in self.providers]

    def longest_search(self) -> float:
        """Longest time until the reliable provider is attempted, seconds."""
        per_attempt = ATTEMPT_TIMEOUT + max(spec.swallowed_cancellations for spec in self.providers)
        backoffs = self.retries * (RETRY_AFTER + MAX_BACKOFF)
        return len(self.providers) * ((1 + self.retries) * per_attempt + backoffs)


FAULTS: list[Any] = [
    "error",
    "reset",
    "hang",
    "rate_limit",
    "credentials",
    "slow",
    ValueError("broken"),
    Answer(),
    Answer(after=1.5),
    Fault("rate_limit", headers={"Retry-After": "4"}),
    Fault("error", status=400),
    Fault("error", status=402),
    Fault("error", status=403),
    Fault("error", status=404),
    Fault("error", status=503, after=2.5),
    Fault("hang"),
    Fault("rubbish", value=INVALID_ANSWER),
]
STRAY = asyncio.CancelledError("without a cancellation")


def _provider(name: str, faults: list[Any]) -> st.SearchStrategy[ProviderSpec]:
    return st.builds(
        ProviderSpec,
        name=st.just(name),
        script=st.lists(st.sampled_from(faults), min_size=2, max_size=8).map(tuple),
        error_rate=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
        latency=st.sampled_from([0.0, 0.5, 2.0]),
        swallowed_cancellations=st.sampled_from([0, 0, 0, 1, 2]),
        weight=st.sampled_from([0.5, 1.0, 4.0]),
        max_in_flight=st.sampled_from([None, None, 1, 2]),
        per_minute=st.sampled_from([None, None, 2.0, 60.0]),
        health_check=st.booleans(),
    )


_RELIABLE = st.builds(ProviderSpec, name=st.just(RELIABLE), weight=st.sampled_from([0.0, 1.0]))


def _calls(names: list[str], waits: list[float]) -> st.SearchStrategy[Call]:
    some = st.lists(st.sampled_from(names), min_size=1, unique=True).map(tuple)
    return st.builds(
        Call,
        times=st.sampled_from([1, 1, 1, 2, 5]),
        route=st.one_of(st.none(), st.none(), st.just("chain"), some),
        timeout=st.sampled_from([200.0, 200.0, 10.0, 3.0, 0.5]),
        wait=st.sampled_from(waits),
        idempotent=st.sampled_from([True, True, True, False]),
        cancel_after=st.sampled_from([None, None, None, None, 0.0, 0.5, 4.0]),
    )


def _actions(names: list[str]) -> st.SearchStrategy[Action]:
    unreliable = [name for name in names if name != RELIABLE]
    call = _calls(names, waits=[0.0, 0.0, 5.0, 60.0])
    holds = st.sampled_from(["open", "closed", "disabled", "metrics_only", None, None])
    hold = st.builds(Hold, name=st.sampled_from(unreliable), how=holds)
    update = st.builds(
        Update,
        name=st.sampled_from(unreliable),
        weight=st.sampled_from([0.5, 3.0]),
        max_in_flight=st.sampled_from([None, 1, 3]),
        failures=st.sampled_from([1, 2]),
        half_open_max_calls=st.sampled_from([1, 2]),
    )
    return st.one_of(*[call] * 9, hold, update, st.just(ToggleGuest()))


@st.composite
def worlds(draw: st.DrawFn, *, asyncio_only: bool = True, crowded: bool = False) -> World:
    """Strategy of worlds; a crowded one has only calls, which queue for little capacity.

    Args:
        draw: passed by hypothesis.
        asyncio_only: whether it may contain what works on asyncio alone.
        crowded: whether it is a crowded one.
    """
    faults = [*FAULTS, STRAY] if asyncio_only else FAULTS
    names = ["a", "b", GUEST][: draw(st.sampled_from([3, 2, 1]))]
    providers = [draw(_provider(name, faults)) for name in names]
    if draw(st.sampled_from([True, True, False])):
        providers.append(draw(_RELIABLE))
    pause = st.sampled_from([0.0, 0.1, 0.5, 3.0, 7.0])
    names = [spec.name for spec in providers]
    action = _calls(names, waits=[5.0, 60.0]) if crowded else _actions(names)
    actions = draw(st.lists(st.tuples(pause, action), min_size=8, max_size=30))
    if asyncio_only and not crowded and draw(st.sampled_from([False, False, False, True])):
        actions.append((1.0, Close(draw(st.sampled_from([0.0, 2.0])))))
        actions.append((0.5, draw(action)))
    return World(
        providers=tuple(providers),
        actions=tuple(actions),
        seed=draw(st.integers(0, 2**16)),
        circuit=CircuitPolicy(
            failures=draw(st.sampled_from([1, 2, 3])),
            open_duration=draw(st.sampled_from([1.0, 5.0])),
        ),
        hedge=draw(
            st.sampled_from(
                [None, None, HedgePolicy(after=0.25), HedgePolicy(after=0.0, max_in_flight=3)]
            )
        ),
        retry=RetryPolicy(
            attempts=draw(st.sampled_from([1, 4])),
            base=0.5,
            cap=MAX_BACKOFF,
            max_retry_after=RETRY_AFTER,
        ),
        retries=draw(st.sampled_from([0, 0, 1])),
        max_in_flight=draw(st.sampled_from([1, 2] if crowded else [None, None, None, None, 1, 3])),
        panic=draw(st.sampled_from([None, None, 0.5])),
        fallback=draw(st.sampled_from([None, None, "substitute"])),
        native_cancel=asyncio_only and draw(st.booleans()),
    )
