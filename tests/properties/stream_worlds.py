"""Random worlds of streams: what providers send and where it breaks, and how consumers read it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from multirouter import CircuitPolicy, HedgePolicy, RetryPolicy, StreamPolicy

TEXTS = ("one two  three\n four five", "one two  trees\n and more")
"""All possible answers; the second is that of a provider that diverges."""

ARGUMENTS = ('{"city": "Bern"}', '{"zone": "CET"}')
"""The arguments of the parallel tool calls that end each answer of a world with tools."""

CALL_TIMEOUT = 20.0
FIRST_TOKEN = 3.0
IDLE = 2.0


@dataclass(frozen=True)
class StreamScript:
    """Script of one attempt.

    Attributes:
        text: index of the text that it sends.
        size: characters of one chunk.
        breaks_after: chunks after which it ends as `end` says; None for a complete stream.
        end: how it is interrupted: by an exception, a clean end, silence, or an invalid chunk.
        first, pause: seconds before the first chunk, and after each other one.
        reasoning: whether it sends reasoning, before its text and between its words.
        role_with_text: whether its role comes in the same chunk as its first words.
        joined_end: whether its last words and what follows them come in the same chunk.
    """

    text: int
    size: int
    breaks_after: int | None
    end: Any
    first: float
    pause: float
    reasoning: bool
    role_with_text: bool
    joined_end: bool


@dataclass(frozen=True)
class ProviderSpec:
    """A provider: its scripts, the last of which repeats, and its settings.

    Attributes:
        prefill: whether it declares prefill, and whether it then rejects one.
        objects: whether its chunks are objects, as those of an SDK.
    """

    name: str
    scripts: tuple[StreamScript, ...]
    max_in_flight: int | None
    prefill: tuple[bool, bool]
    objects: bool


@dataclass(frozen=True)
class ConsumerSpec:
    """A consumer.

    Attributes:
        start: seconds after which it opens its stream.
        pause: seconds it takes for each chunk.
        stops: chunks after which it stops reading, or None.
        cancel_after: seconds after which it is cancelled, or None.
        close_after: seconds after which another task closes its stream, or None.
    """

    start: float
    pause: float
    stops: int | None
    cancel_after: float | None
    close_after: float | None
    idempotent: bool
    wait: float

    @property
    def reads_all(self) -> bool:
        """Whether it reads to the end."""
        return self.stops is None and self.cancel_after is None and self.close_after is None


@dataclass(frozen=True)
class World:
    """Everything that determines a run."""

    providers: tuple[ProviderSpec, ...]
    consumers: tuple[ConsumerSpec, ...]
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

_SCRIPTS = st.builds(
    StreamScript,
    text=st.sampled_from([0, 0, 0, 1]),
    size=st.sampled_from([1, 3, 5, 100]),
    breaks_after=st.sampled_from([None, None, 0, 1, 2, 4, 7]),
    end=st.sampled_from(ENDS),
    first=st.sampled_from([0.0, 0.5, 0.5, 2.0, 4.0]),
    pause=st.sampled_from([0.0, 0.0, 0.25, 1.0]),
    reasoning=st.booleans(),
    role_with_text=st.booleans(),
    joined_end=st.booleans(),
)

_CONSUMERS = st.builds(
    ConsumerSpec,
    start=st.sampled_from([0.0, 0.0, 1.0, 6.0]),
    pause=st.sampled_from([0.0, 0.0, 0.5, 3.0]),
    stops=st.sampled_from([None, None, None, 0, 1, 3]),
    cancel_after=_SECONDS,
    close_after=_SECONDS,
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
    """Strategy of worlds with one to three providers and one to six consumers."""
    providers = tuple(
        draw(
            st.builds(
                ProviderSpec,
                name=st.just(name),
                scripts=st.lists(_SCRIPTS, min_size=1, max_size=4).map(tuple),
                max_in_flight=st.sampled_from([None, None, 1]),
                prefill=st.sampled_from([(False, False), (True, False), (True, True)]),
                objects=st.sampled_from([False, False, True]),
            )
        )
        for name in "abc"[: draw(st.integers(1, 3))]
    )
    return World(
        providers=providers,
        consumers=tuple(draw(st.lists(_CONSUMERS, min_size=1, max_size=6))),
        tools=draw(st.booleans()),
        policy=draw(_POLICIES),
        hedge=draw(
            st.sampled_from(
                [None, None, HedgePolicy(after=0.25), HedgePolicy(after=0.0, max_in_flight=3)]
            )
        ),
        circuit=CircuitPolicy(
            failures=draw(st.sampled_from([1, 3])), open_duration=draw(st.sampled_from([1.0, 5.0]))
        ),
        retry=RetryPolicy(attempts=draw(st.sampled_from([1, 4])), base=0.5, cap=1.0),
        closes=draw(st.sampled_from([None, None, None, 1.0])),
        seed=draw(st.integers(0, 2**16)),
    )
