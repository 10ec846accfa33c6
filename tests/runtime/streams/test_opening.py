"""Streams as attempts: races to the first content, trials that flow, copies that nobody reads."""

from __future__ import annotations

import math
from typing import Any

import anyio
import pytest

from multirouter import (
    AllProvidersFailed,
    CircuitPolicy,
    HedgePolicy,
    Price,
    Provider,
    RetryPolicy,
    StreamInterrupted,
    StreamPolicy,
)
from multirouter.core.planning.stream_plan import FLOW_PROVES
from tests.scenarios.kit import BRITTLE, House, house
from tests.scenarios.tapes import (
    CHAT,
    GONE,
    ROLE,
    TEXT,
    WHOLE,
    WORDS,
    read,
    said,
    tape,
    tapes,
    text_of,
)

RACE: dict[str, Any] = {"hedge": HedgePolicy(after=1.0), "retry": RetryPolicy()}


# ── races ───────────────────────────────────────────────────────────────────────────────────────


async def test_hedged_streams_race_to_the_first_content() -> None:
    """The first content wins, with all that was read before it; the loser is closed and neutral."""
    async with house(tape("a", [9, *WHOLE]), tape("b", [ROLE, 2, *WHOLE[1:]]), **RACE) as home:
        begun = anyio.current_time()
        async with home.router.stream(CHAT, route=["a", "b"]) as stream:
            assert stream.provider == "b"
            assert anyio.current_time() - begun == pytest.approx(3, abs=0.05)
            assert tapes(home)["a"].open == 0
            assert [chunk async for chunk in stream] == WHOLE
        assert [(r.provider, r.role, r.outcome) for r in home.news.attempts] == [
            ("a", "call", "cancelled"),
            ("b", "hedge", "success"),
        ]
        assert home.seen("a")["failures"] == 0


async def test_a_dead_heat_has_one_winner() -> None:
    """Two first contents in one instant: one serves, the other is closed, no permit is left."""
    async with house(tape("a", [3, *WORDS]), tape("b", [2, *WORDS]), **RACE) as home:
        for _ in range(5):
            assert await read(home, route=["a", "b"]) == WORDS
        assert {tape.open for tape in tapes(home).values()} == {0}
        assert sum(r.ok for r in home.news.attempts) == 5


async def test_a_caller_who_leaves_a_race_leaves_nothing() -> None:
    """Cancelled at any instant around the first content, nothing stays open or in flight."""
    async with house(tape("a", [3, *WORDS]), tape("b", [2, *WORDS]), **RACE) as home:
        for tenths in range(25, 35):
            with anyio.move_on_after(tenths / 10):
                async with home.router.stream("q", route=["a", "b"]):
                    await anyio.sleep(1)
            assert {tape.open for tape in tapes(home).values()} == {0}
            assert home.seen("a")["in_flight"] == home.seen("b")["in_flight"] == 0


class Reluctant:
    """A stream that takes its time to close, so that the winner of a race waits for it."""

    def __init__(self) -> None:
        self.closed = False

    def __call__(self, request: Any) -> Reluctant:
        return self

    def __aiter__(self) -> Reluctant:
        return self

    async def __anext__(self) -> str:
        await anyio.sleep_forever()
        return ""

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.5)
        self.closed = True


async def test_a_winner_is_let_go_when_its_caller_leaves_meanwhile() -> None:
    """The caller is cancelled while the race still closes a loser: the winner is closed as well."""
    slow = Reluctant()
    async with house(Provider("a", stream=slow), tape("b", [1, *WORDS]), **RACE) as home:
        with anyio.move_on_after(2.2):  # b has its content at 2.0, a is closed at 2.5
            async with home.router.stream("q", route=["a", "b"]):
                raise AssertionError("nobody serves a caller who left")
        assert slow.closed
        assert tapes(home)["b"].open == 0
        assert home.seen("b")["in_flight"] == 0


async def test_a_race_goes_on_after_a_break() -> None:
    """A hedged stream that breaks is continued by a race as well."""
    policy = StreamPolicy(on_interrupt="restart")
    made = tape("a", ["x", GONE]), tape("b", [60, "y"]), tape("c", WORDS)
    async with house(*made, **RACE, stream=policy) as home:
        chunks = await read(home, route=["a", "b", "c"])
        assert chunks[-4:] == WORDS
        assert home.news.of("stream_continued")[0].to == "c"


# ── trials ──────────────────────────────────────────────────────────────────────────────────────


async def trip(home: House, name: str) -> None:
    """Opens a circuit by a broken stream and waits for its half-open time."""
    with pytest.raises(StreamInterrupted):
        await read(home, route=[name])
    assert home.state(name) == "open"
    await anyio.sleep(10)
    assert home.state(name) == "half_open"


async def test_a_flowing_trial_closes_the_circuit_and_counts_again() -> None:
    """After ten seconds of flow the circuit closes; a later cut counts in the new era."""
    flow = [step for _ in range(8) for step in ("x", 3)]
    async with house(tape("a", ["x", GONE], [*flow, GONE]), circuit=BRITTLE) as home:
        await trip(home, "a")
        states = []
        with pytest.raises(StreamInterrupted):
            async with home.router.stream("q") as stream:
                begun = anyio.current_time()
                async for _ in stream:
                    states.append((anyio.current_time() - begun >= FLOW_PROVES, home.state("a")))
        assert {state for proven, state in states if not proven} == {"half_open"}
        assert {state for proven, state in states if proven} == {"closed"}
        assert home.state("a") == "open"
        assert not home.records("a")[-1].late
        assert home.opened("a") == 2


async def test_a_trial_is_no_lost_one_while_it_flows() -> None:
    """Each chunk renews the lease: no second trial is let out beside a slow stream."""
    flow = [step for _ in range(3) for step in ("x", 3)]
    async with house(tape("a", ["x", GONE], flow, attempt_timeout=1), circuit=BRITTLE) as home:
        await trip(home, "a")
        async with home.router.stream("q") as stream:
            async for _ in stream:
                assert home.gate("a").refuses(anyio.current_time()) == "half_open, trial out"
        assert home.state("a") == "closed"


@pytest.mark.parametrize("span", [3, 60])
async def test_a_copy_is_read_as_far_as_it_proves(span: float) -> None:
    """A trial's copy outlasts `first_token`; it is read to its end, or for ten seconds of flow."""
    flow = ["x", *[1, "y"] * int(span)]
    a = tape("a", ["x", GONE], flow, attempt_timeout=2, price=Price(1, 1))
    async with house(a, tape("b", WORDS), circuit=BRITTLE) as home:
        await trip(home, "a")
        assert await read(home) == WORDS
        await anyio.sleep(0.5)
        assert tapes(home)["a"].open == 1
        await anyio.sleep(FLOW_PROVES + 1)
        assert tapes(home)["a"].open == 0
        assert home.state("a") == "closed"
        record = home.records("a")[-1]
        assert (record.role, record.outcome) == ("trial", "success")
        assert record.first_content == pytest.approx(0, abs=0.01)
        assert record.elapsed == pytest.approx(min(span, FLOW_PROVES), abs=0.1)


@pytest.mark.parametrize(
    ("flow", "limit"), [([100, "x"], "first_token"), (["x", 100], "idle"), (["x", GONE], "")]
)
async def test_a_copy_that_fails_opens_again(flow: list[Any], limit: str) -> None:
    """A copy that never begins, rests too long or breaks is a failed trial."""
    a = tape("a", ["x", GONE], flow, first_token=2, idle=2)
    async with house(a, tape("b", WORDS), circuit=BRITTLE) as home:
        await trip(home, "a")
        await read(home)
        await anyio.sleep(5)
        assert home.state("a") == "open"
        assert home.records("a")[-1].verdict.reason.startswith(limit)
        assert tapes(home)["a"].open == 0


async def test_slow_after_means_the_first_content() -> None:
    """A long answer is no slow one: the circuit's `slow_after` looks at the first content."""
    policy = CircuitPolicy(slow_after=1.0, minimum_calls=1, open_duration=10, growth=1)
    async with house(tape("a", ["x", 20, "y"], [2, "x"]), circuit=policy) as home:
        await read(home)
        assert home.state("a") == "closed"
        await read(home)
        assert home.state("a") == "open"


async def test_matching_does_not_teach_the_pace() -> None:
    """What a provider takes to say again what was delivered is not its time to first content."""
    policy = StreamPolicy(on_interrupt="continue")
    again = [said("one "), 20, said("two three four", "stop")]
    async with house(tape("a", [said("one two"), GONE]), tape("b", again), stream=policy) as home:
        assert text_of(await read(home, CHAT, route=["a", "b"])) == TEXT
        assert home.records("b")[0].first_content == pytest.approx(0, abs=0.01)


async def test_a_trial_without_idle_limit_keeps_a_lease() -> None:
    """With `idle=math.inf` a trial's lease is as long as the circuit's open time."""
    a = tape("a", ["x", GONE], ["x", 5, "y", 5, "z"], idle=math.inf)
    async with house(a, circuit=BRITTLE) as home:
        await trip(home, "a")
        async with home.router.stream("q") as stream:
            assert await anext(stream) == "x"
            await anyio.sleep(4)
            assert home.gate("a").refuses(anyio.current_time()) == "half_open, trial out"
            assert [chunk async for chunk in stream] == ["y", "z"]
        assert home.state("a") == "closed"


async def test_a_trial_that_matches_keeps_its_lease() -> None:
    """A half-open provider that goes on for another is alive while it only repeats."""
    policy = StreamPolicy(on_interrupt="continue", first_token=2)
    again = [step for word in WORDS for step in (said(word), 3)]
    b = tape("b", [GONE], [*again, said("five", "stop")], idle=4)  # shorter than all of it
    a = tape("a", [*map(said, WORDS), GONE])
    retry = RetryPolicy()  # who is half-open is ill, and to ask him is paid for
    async with house(a, b, circuit=BRITTLE, stream=policy, retry=retry) as home:
        with pytest.raises(AllProvidersFailed):
            await read(home, CHAT, route=["b"])
        await anyio.sleep(10)
        assert home.state("b") == "half_open"
        got: list[Any] = []

        async def listen() -> None:
            got.extend(await read(home, CHAT, route=["a", "b"]))

        async with anyio.create_task_group() as group:
            group.start_soon(listen)
            await anyio.sleep(8)  # longer than a lease that nobody renews
            assert home.gate("b").refuses(anyio.current_time()) == "half_open, trial out"
        assert text_of(got) == TEXT + "five"
        assert home.state("b") == "closed"


@pytest.mark.parametrize("chunks", [["bad"], ["x", "bad"]], ids=["first", "later"])
async def test_a_copy_whose_hook_breaks_is_neutral(chunks: list[str]) -> None:
    """A hook that breaks on a copy ends it, blames nobody, and is no caller's error."""

    def complete(chunk: str) -> bool:
        if chunk == "bad":
            raise KeyError("typo")
        return chunk == "end"

    policy = StreamPolicy(complete=complete)
    async with house(
        tape("a", ["y", GONE], chunks), tape("b", ["x", "end"]), circuit=BRITTLE, stream=policy
    ) as home:
        await trip(home, "a")
        assert await read(home) == ["x", "end"]
        await anyio.sleep(1)
        assert home.records("a")[-1].outcome == "cancelled"
        assert home.logger.of("background task broken")
        assert home.state("a") == "half_open"
