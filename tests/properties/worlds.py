"""Whole worlds for a router, drawn at random: providers, settings, and what happens when."""

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
REST = 1.0
RUBBISH = "rubbish"

ROCK = "rock"
"""A provider that never fails, has no limit and is never held: whoever may ask it gets served."""

GUEST = "guest"
"""A provider that may leave and come back."""


@dataclass(frozen=True)
class Player:
    """A provider: what befalls its attempts, what it makes of cancellations, and its settings."""

    name: str
    script: tuple[Any, ...] = ()
    error_rate: float = 0.0
    latency: float = 0.5
    swallows: int = 0
    weight: float = 1.0
    at_most: int | None = None
    per_minute: float | None = None
    health_check: bool = False


@dataclass(frozen=True)
class Call:
    """Calls at one instant, by callers who leave after so many seconds, or stay."""

    times: int
    route: str | tuple[str, ...] | None
    timeout: float
    wait: float
    idempotent: bool
    leaves: float | None


@dataclass(frozen=True)
class Hold:
    """A hand on a circuit, or (None) off it."""

    name: str
    how: HoldName | None


@dataclass(frozen=True)
class Update:
    """Other settings for a provider."""

    name: str
    weight: float
    at_most: int | None
    failures: int
    half_open_max_calls: int


@dataclass(frozen=True)
class Come:
    """The guest goes, when it is there, or else comes."""


@dataclass(frozen=True)
class Close:
    """The router is closed under its calls."""

    grace: float


Act = Call | Hold | Update | Come | Close


@dataclass(frozen=True)
class World:
    """All that decides a run.

    Attributes:
        acts: pairs of the seconds since the last one, and what happens then.
        natively: whether callers leave by `Task.cancel`, as in a web server, or by a scope.
    """

    players: tuple[Player, ...]
    acts: tuple[tuple[float, Act], ...]
    seed: int
    circuit: CircuitPolicy
    hedge: HedgePolicy | None
    retry: RetryPolicy
    again: int
    at_most: int | None
    panic: float | None
    fallback: str | None
    natively: bool

    @property
    def names(self) -> list[str]:
        return [player.name for player in self.players]

    def enough(self) -> float:
        """Seconds after which the rock has been asked, however slowly all the others failed."""
        a_try = ATTEMPT_TIMEOUT + max(player.swallows for player in self.players)
        rests = self.again * (RETRY_AFTER + REST)
        return len(self.players) * ((1 + self.again) * a_try + rests)


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
    Fault("rubbish", value=RUBBISH),
]
STRAY = asyncio.CancelledError("nobody asked for it")


def _player(name: str, faults: list[Any]) -> st.SearchStrategy[Player]:
    return st.builds(
        Player,
        name=st.just(name),
        script=st.lists(st.sampled_from(faults), min_size=2, max_size=8).map(tuple),
        error_rate=st.sampled_from([0.0, 0.2, 0.5, 1.0]),
        latency=st.sampled_from([0.0, 0.5, 2.0]),
        swallows=st.sampled_from([0, 0, 0, 1, 2]),
        weight=st.sampled_from([0.5, 1.0, 4.0]),
        at_most=st.sampled_from([None, None, 1, 2]),
        per_minute=st.sampled_from([None, None, 2.0, 60.0]),
        health_check=st.booleans(),
    )


_ROCK = st.builds(Player, name=st.just(ROCK), weight=st.sampled_from([0.0, 1.0]))


def _calls(names: list[str], waits: list[float]) -> st.SearchStrategy[Call]:
    some = st.lists(st.sampled_from(names), min_size=1, unique=True).map(tuple)
    return st.builds(
        Call,
        times=st.sampled_from([1, 1, 1, 2, 5]),
        route=st.one_of(st.none(), st.none(), st.just("chain"), some),
        timeout=st.sampled_from([200.0, 200.0, 10.0, 3.0, 0.5]),
        wait=st.sampled_from(waits),
        idempotent=st.sampled_from([True, True, True, False]),
        leaves=st.sampled_from([None, None, None, None, 0.0, 0.5, 4.0]),
    )


def _acts(names: list[str]) -> st.SearchStrategy[Act]:
    fickle = [name for name in names if name != ROCK]
    call = _calls(names, waits=[0.0, 0.0, 5.0, 60.0])
    hands = st.sampled_from(["open", "closed", "disabled", "metrics_only", None, None])
    hold = st.builds(Hold, name=st.sampled_from(fickle), how=hands)
    update = st.builds(
        Update,
        name=st.sampled_from(fickle),
        weight=st.sampled_from([0.5, 3.0]),
        at_most=st.sampled_from([None, 1, 3]),
        failures=st.sampled_from([1, 2]),
        half_open_max_calls=st.sampled_from([1, 2]),
    )
    return st.one_of(*[call] * 9, hold, update, st.just(Come()))


@st.composite
def worlds(draw: st.DrawFn, *, asyncio_only: bool = True, crowded: bool = False) -> World:
    """A world of calls and hands; a crowded one has calls alone, who wait for little room.

    Args:
        draw: given by hypothesis.
        asyncio_only: whether it may hold what works on asyncio alone.
        crowded: whether it is a crowded one.
    """
    faults = [*FAULTS, STRAY] if asyncio_only else FAULTS
    names = ["a", "b", GUEST][: draw(st.sampled_from([3, 2, 1]))]
    players = [draw(_player(name, faults)) for name in names]
    if draw(st.sampled_from([True, True, False])):
        players.append(draw(_ROCK))
    pause = st.sampled_from([0.0, 0.1, 0.5, 3.0, 7.0])
    names = [player.name for player in players]
    act = _calls(names, waits=[5.0, 60.0]) if crowded else _acts(names)
    acts = draw(st.lists(st.tuples(pause, act), min_size=8, max_size=30))
    if asyncio_only and not crowded and draw(st.sampled_from([False, False, False, True])):
        acts.append((1.0, Close(draw(st.sampled_from([0.0, 2.0])))))
        acts.append((0.5, draw(act)))
    return World(
        players=tuple(players),
        acts=tuple(acts),
        seed=draw(st.integers(0, 2**16)),
        circuit=CircuitPolicy(
            failures=draw(st.sampled_from([1, 2, 3])),
            open_duration=draw(st.sampled_from([1.0, 5.0])),
        ),
        hedge=draw(
            st.sampled_from(
                [None, None, HedgePolicy(after=0.25), HedgePolicy(after=0.0, at_most=3)]
            )
        ),
        retry=RetryPolicy(
            attempts=draw(st.sampled_from([1, 4])),
            base=0.5,
            cap=REST,
            max_retry_after=RETRY_AFTER,
        ),
        again=draw(st.sampled_from([0, 0, 1])),
        at_most=draw(st.sampled_from([1, 2] if crowded else [None, None, None, None, 1, 3])),
        panic=draw(st.sampled_from([None, None, 0.5])),
        fallback=draw(st.sampled_from([None, None, "substitute"])),
        natively=asyncio_only and draw(st.booleans()),
    )
