"""Worlds of streams, drawn at random: who says what and where it breaks, and who reads it how."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from multirouter import CircuitPolicy, HedgePolicy, RetryPolicy, StreamPolicy

TEXTS = ("one two  three\n four five", "one two  trees\n and more")
"""All that anybody ever answers; the second is what somebody else may make of the question."""

ARGUMENTS = ('{"city": "Bern"}', '{"zone": "CET"}')
"""The arguments of the parallel tool calls that end each answer of a world with tools."""

CALL_TIMEOUT = 20.0
FIRST_TOKEN = 3.0
IDLE = 2.0


@dataclass(frozen=True)
class Take:
    """One attempt as its provider plays it.

    Attributes:
        text: which of the texts it says.
        size: characters of one chunk.
        breaks_after: chunks after which it ends as `end` says; None: it is whole.
        end: how it breaks off: by an exception, a clean end, silence, or rubbish.
        first, rest: seconds before the first chunk, and before each other one.
        thinks: whether it thinks aloud, before it speaks and between its words.
        at_once: whether its role comes in the same chunk as its first words.
        closely: whether the text, and what follows it, come in the same chunk where they meet.
    """

    text: int
    size: int
    breaks_after: int | None
    end: Any
    first: float
    rest: float
    thinks: bool
    at_once: bool
    closely: bool


@dataclass(frozen=True)
class Player:
    """A provider: its takes, the last of which stays, and its settings.

    Attributes:
        prefill: whether it says that it goes on from a prefill, and whether it refuses one then.
        objects: whether its chunks are objects, as those of an SDK.
    """

    name: str
    takes: tuple[Take, ...]
    at_most: int | None
    prefill: tuple[bool, bool]
    objects: bool


@dataclass(frozen=True)
class Reader:
    """A consumer.

    Attributes:
        begins: seconds after which it asks.
        pause: seconds it takes for each chunk.
        stops: chunks after which it stops reading, or None.
        leaves: seconds after which it is cancelled, or None.
        closed: seconds after which another task closes its stream, or None.
    """

    begins: float
    pause: float
    stops: int | None
    leaves: float | None
    closed: float | None
    idempotent: bool
    wait: float

    @property
    def stays(self) -> bool:
        """Whether it reads to the end."""
        return self.stops is None and self.leaves is None and self.closed is None


@dataclass(frozen=True)
class World:
    """All that decides a run."""

    players: tuple[Player, ...]
    readers: tuple[Reader, ...]
    tools: bool
    policy: StreamPolicy
    hedge: HedgePolicy | None
    circuit: CircuitPolicy
    retry: RetryPolicy
    closes: float | None
    seed: int


ENDS: list[Any] = [
    ConnectionResetError("gone"),
    "clean",
    "silence",
    "request",
    "overloaded",
    {"choices": [None]},
]

_SECONDS = st.sampled_from([None, None, None, 0.0, 0.5, 2.5])

_TAKES = st.builds(
    Take,
    text=st.sampled_from([0, 0, 0, 1]),
    size=st.sampled_from([1, 3, 5, 100]),
    breaks_after=st.sampled_from([None, None, 0, 1, 2, 4, 7]),
    end=st.sampled_from(ENDS),
    first=st.sampled_from([0.0, 0.5, 0.5, 2.0, 4.0]),
    rest=st.sampled_from([0.0, 0.0, 0.25, 1.0]),
    thinks=st.booleans(),
    at_once=st.booleans(),
    closely=st.booleans(),
)

_READERS = st.builds(
    Reader,
    begins=st.sampled_from([0.0, 0.0, 1.0, 6.0]),
    pause=st.sampled_from([0.0, 0.0, 0.5, 3.0]),
    stops=st.sampled_from([None, None, None, 0, 1, 3]),
    leaves=_SECONDS,
    closed=_SECONDS,
    idempotent=st.sampled_from([True, True, True, False]),
    wait=st.sampled_from([0.0, 5.0]),
)

_POLICIES = st.builds(
    StreamPolicy,
    first_token=st.just(FIRST_TOKEN),
    idle=st.just(IDLE),
    total=st.sampled_from([float("inf"), float("inf"), 4.0]),
    min_rate=st.sampled_from([None, None, 4.0]),
    rate_window=st.just(1.5),
    on_interrupt=st.sampled_from(["raise", "continue", "continue", "restart"]),
    on_divergence=st.sampled_from(["instruct", "raise"]),
)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """A world of one to three providers and one to six readers."""
    players = tuple(
        draw(
            st.builds(
                Player,
                name=st.just(name),
                takes=st.lists(_TAKES, min_size=1, max_size=4).map(tuple),
                at_most=st.sampled_from([None, None, 1]),
                prefill=st.sampled_from([(False, False), (True, False), (True, True)]),
                objects=st.sampled_from([False, False, True]),
            )
        )
        for name in "abc"[: draw(st.integers(1, 3))]
    )
    return World(
        players=players,
        readers=tuple(draw(st.lists(_READERS, min_size=1, max_size=6))),
        tools=draw(st.booleans()),
        policy=draw(_POLICIES),
        hedge=draw(
            st.sampled_from(
                [None, None, HedgePolicy(after=0.25), HedgePolicy(after=0.0, at_most=3)]
            )
        ),
        circuit=CircuitPolicy(
            failures=draw(st.sampled_from([1, 3])), open_duration=draw(st.sampled_from([1.0, 5.0]))
        ),
        retry=RetryPolicy(attempts=draw(st.sampled_from([1, 4])), base=0.5, cap=1.0),
        closes=draw(st.sampled_from([None, None, None, 1.0])),
        seed=draw(st.integers(0, 2**16)),
    )
