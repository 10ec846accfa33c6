"""Streams as attempts: races to the first content, trials, and background copies."""

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
from multirouter.core.planning.stream_plan import PROVEN_AFTER
from tests.scenarios.harness import TRIPS_AT_ONCE, Harness, harness
from tests.scenarios.scripted_streams import (
    CHAT,
    COMPLETE,
    CONNECTION_LOST,
    ROLE,
    TEXT,
    WORDS,
    chat_chunk,
    read,
    scripted_stream,
    streams_of,
    text_of,
)

RACE: dict[str, Any] = {"hedge": HedgePolicy(after=1.0), "retry": RetryPolicy()}


# ── races ───────────────────────────────────────────────────────────────────────────────────────


async def test_hedged_streams_race_to_the_first_content() -> None:
    """The first content wins, with the chunks before it; the loser is closed and neutral."""
    async with harness(
        scripted_stream("a", [9, *COMPLETE]), scripted_stream("b", [ROLE, 2, *COMPLETE[1:]]), **RACE
    ) as env:
        started = anyio.current_time()
        async with env.router.stream(CHAT, route=["a", "b"]) as stream:
            assert stream.provider == "b"
            assert anyio.current_time() - started == pytest.approx(3, abs=0.05)
            assert streams_of(env)["a"].open == 0
            assert [chunk async for chunk in stream] == COMPLETE
        assert [(r.provider, r.role, r.outcome) for r in env.recorder.attempts] == [
            ("a", "call", "cancelled"),
            ("b", "hedge", "success"),
        ]
        assert env.provider_snapshot("a")["failures"] == 0


async def test_first_contents_at_one_instant_have_one_winner() -> None:
    """One stream serves, the other is closed, and no permit is left."""
    async with harness(
        scripted_stream("a", [3, *WORDS]), scripted_stream("b", [2, *WORDS]), **RACE
    ) as env:
        for _ in range(5):
            assert await read(env, route=["a", "b"]) == WORDS
        assert {scripted_stream.open for scripted_stream in streams_of(env).values()} == {0}
        assert sum(r.ok for r in env.recorder.attempts) == 5


async def test_a_cancelled_race_leaves_nothing_open() -> None:
    """Cancelled at any instant around the first content, nothing stays open or in flight."""
    async with harness(
        scripted_stream("a", [3, *WORDS]), scripted_stream("b", [2, *WORDS]), **RACE
    ) as env:
        for tenths in range(25, 35):
            with anyio.move_on_after(tenths / 10):
                async with env.router.stream("q", route=["a", "b"]):
                    await anyio.sleep(1)
            assert {scripted_stream.open for scripted_stream in streams_of(env).values()} == {0}
            assert (
                env.provider_snapshot("a")["in_flight"]
                == env.provider_snapshot("b")["in_flight"]
                == 0
            )


class SlowToClose:
    """A stream that takes 0.5 s to close, so that the winner of a race waits for it."""

    def __init__(self) -> None:
        self.closed = False

    def __call__(self, request: Any) -> SlowToClose:
        return self

    def __aiter__(self) -> SlowToClose:
        return self

    async def __anext__(self) -> str:
        await anyio.sleep_forever()
        return ""

    async def aclose(self) -> None:
        with anyio.CancelScope(shield=True):
            await anyio.sleep(0.5)
        self.closed = True


async def test_a_winner_is_closed_when_its_caller_is_cancelled() -> None:
    """The caller is cancelled while the race still closes a loser: the winner is closed too."""
    slow = SlowToClose()
    async with harness(
        Provider("a", stream=slow), scripted_stream("b", [1, *WORDS]), **RACE
    ) as env:
        with anyio.move_on_after(2.2):  # b has its content at 2.0, a is closed at 2.5
            async with env.router.stream("q", route=["a", "b"]):
                raise AssertionError("a cancelled caller was served")
        assert slow.closed
        assert streams_of(env)["b"].open == 0
        assert env.provider_snapshot("b")["in_flight"] == 0


async def test_a_continuation_may_be_hedged() -> None:
    """A hedged stream that breaks is continued by a race as well."""
    policy = StreamPolicy(on_interrupt="restart")
    made = (
        scripted_stream("a", ["x", CONNECTION_LOST]),
        scripted_stream("b", [60, "y"]),
        scripted_stream("c", WORDS),
    )
    async with harness(*made, **RACE, stream=policy) as env:
        chunks = await read(env, route=["a", "b", "c"])
        assert chunks[-4:] == WORDS
        assert env.recorder.of("stream_continued")[0].to == "c"


# ── trials ──────────────────────────────────────────────────────────────────────────────────────


async def half_open(env: Harness, name: str) -> None:
    """Opens a circuit by a broken stream and waits until it half-opens."""
    with pytest.raises(StreamInterrupted):
        await read(env, route=[name])
    assert env.state(name) == "open"
    await anyio.sleep(10)
    assert env.state(name) == "half_open"


async def test_a_streaming_trial_closes_the_circuit_after_ten_seconds() -> None:
    """After `PROVEN_AFTER` the circuit closes; a later break counts in the new generation."""
    script = [step for _ in range(8) for step in ("x", 3)]
    async with harness(
        scripted_stream("a", ["x", CONNECTION_LOST], [*script, CONNECTION_LOST]),
        circuit=TRIPS_AT_ONCE,
    ) as env:
        await half_open(env, "a")
        states = []
        with pytest.raises(StreamInterrupted):
            async with env.router.stream("q") as stream:
                started = anyio.current_time()
                async for _ in stream:
                    states.append((anyio.current_time() - started >= PROVEN_AFTER, env.state("a")))
        assert {state for proven, state in states if not proven} == {"half_open"}
        assert {state for proven, state in states if proven} == {"closed"}
        assert env.state("a") == "open"
        assert not env.records("a")[-1].late
        assert env.openings("a") == 2


async def test_chunks_renew_the_lease_of_a_trial() -> None:
    """No second trial is admitted beside a slow stream."""
    script = [step for _ in range(3) for step in ("x", 3)]
    async with harness(
        scripted_stream("a", ["x", CONNECTION_LOST], script, attempt_timeout=1),
        circuit=TRIPS_AT_ONCE,
    ) as env:
        await half_open(env, "a")
        async with env.router.stream("q") as stream:
            async for _ in stream:
                assert env.gate("a").rejection(anyio.current_time()) == "half_open, trial in flight"
        assert env.state("a") == "closed"


@pytest.mark.parametrize("span", [3, 60])
async def test_a_copy_is_read_until_it_has_proven_itself(span: float) -> None:
    """A copy outlasts `first_token`; it is read to its end, or for `PROVEN_AFTER` seconds."""
    script = ["x", *[1, "y"] * int(span)]
    a = scripted_stream("a", ["x", CONNECTION_LOST], script, attempt_timeout=2, price=Price(1, 1))
    async with harness(a, scripted_stream("b", WORDS), circuit=TRIPS_AT_ONCE) as env:
        await half_open(env, "a")
        assert await read(env) == WORDS
        await anyio.sleep(0.5)
        assert streams_of(env)["a"].open == 1
        await anyio.sleep(PROVEN_AFTER + 1)
        assert streams_of(env)["a"].open == 0
        assert env.state("a") == "closed"
        record = env.records("a")[-1]
        assert (record.role, record.outcome) == ("trial", "success")
        assert record.first_content == pytest.approx(0, abs=0.01)
        assert record.elapsed == pytest.approx(min(span, PROVEN_AFTER), abs=0.1)


@pytest.mark.parametrize(
    ("script", "limit"),
    [([100, "x"], "first_token"), (["x", 100], "idle"), (["x", CONNECTION_LOST], "")],
)
async def test_a_failed_copy_opens_the_circuit_again(script: list[Any], limit: str) -> None:
    """A copy that never begins, idles too long or breaks is a failed trial."""
    a = scripted_stream("a", ["x", CONNECTION_LOST], script, first_token=2, idle=2)
    async with harness(a, scripted_stream("b", WORDS), circuit=TRIPS_AT_ONCE) as env:
        await half_open(env, "a")
        await read(env)
        await anyio.sleep(5)
        assert env.state("a") == "open"
        assert env.records("a")[-1].verdict.reason.startswith(limit)
        assert streams_of(env)["a"].open == 0


async def test_slow_after_applies_to_the_first_content() -> None:
    """A long answer is not slow: the circuit's `slow_after` bounds the first content."""
    policy = CircuitPolicy(slow_after=1.0, minimum_calls=1, open_duration=10, growth=1)
    async with harness(scripted_stream("a", ["x", 20, "y"], [2, "x"]), circuit=policy) as env:
        await read(env)
        assert env.state("a") == "closed"
        await read(env)
        assert env.state("a") == "open"


async def test_matching_is_not_part_of_the_first_content_latency() -> None:
    """The time to repeat what was delivered is not the provider's time to first content."""
    policy = StreamPolicy(on_interrupt="continue")
    again = [chat_chunk("one "), 20, chat_chunk("two three four", "stop")]
    async with harness(
        scripted_stream("a", [chat_chunk("one two"), CONNECTION_LOST]),
        scripted_stream("b", again),
        stream=policy,
    ) as env:
        assert text_of(await read(env, CHAT, route=["a", "b"])) == TEXT
        assert env.records("b")[0].first_content == pytest.approx(0, abs=0.01)


async def test_a_trial_without_idle_limit_keeps_a_lease() -> None:
    """With `idle=math.inf` a trial's lease is as long as the circuit's open duration."""
    a = scripted_stream("a", ["x", CONNECTION_LOST], ["x", 5, "y", 5, "z"], idle=math.inf)
    async with harness(a, circuit=TRIPS_AT_ONCE) as env:
        await half_open(env, "a")
        async with env.router.stream("q") as stream:
            assert await anext(stream) == "x"
            await anyio.sleep(4)
            assert env.gate("a").rejection(anyio.current_time()) == "half_open, trial in flight"
            assert [chunk async for chunk in stream] == ["y", "z"]
        assert env.state("a") == "closed"


async def test_a_trial_that_matches_keeps_its_lease() -> None:
    """A half-open provider that continues another's stream is alive while it only repeats."""
    policy = StreamPolicy(on_interrupt="continue", first_token=2)
    again = [step for word in WORDS for step in (chat_chunk(word), 3)]
    b = scripted_stream(
        "b", [CONNECTION_LOST], [*again, chat_chunk("five", "stop")], idle=4
    )  # shorter than all of it
    a = scripted_stream("a", [*map(chat_chunk, WORDS), CONNECTION_LOST])
    retry = RetryPolicy()  # an attempt at a half-open provider needs retry budget
    async with harness(a, b, circuit=TRIPS_AT_ONCE, stream=policy, retry=retry) as env:
        with pytest.raises(AllProvidersFailed):
            await read(env, CHAT, route=["b"])
        await anyio.sleep(10)
        assert env.state("b") == "half_open"
        got: list[Any] = []

        async def consume() -> None:
            got.extend(await read(env, CHAT, route=["a", "b"]))

        async with anyio.create_task_group() as group:
            group.start_soon(consume)
            await anyio.sleep(8)  # longer than a lease without renewal
            assert env.gate("b").rejection(anyio.current_time()) == "half_open, trial in flight"
        assert text_of(got) == TEXT + "five"
        assert env.state("b") == "closed"


@pytest.mark.parametrize("chunks", [["bad"], ["x", "bad"]], ids=["first", "later"])
async def test_a_copy_whose_hook_raises_is_neutral(chunks: list[str]) -> None:
    """A hook that raises on a copy ends it; no provider and no caller is affected."""

    def complete(chunk: str) -> bool:
        if chunk == "bad":
            raise KeyError("typo")
        return chunk == "end"

    policy = StreamPolicy(complete=complete)
    async with harness(
        scripted_stream("a", ["y", CONNECTION_LOST], chunks),
        scripted_stream("b", ["x", "end"]),
        circuit=TRIPS_AT_ONCE,
        stream=policy,
    ) as env:
        await half_open(env, "a")
        assert await read(env) == ["x", "end"]
        await anyio.sleep(1)
        assert env.records("a")[-1].outcome == "cancelled"
        assert env.logger.of("background task failed")
        assert env.state("a") == "half_open"
