"""Section J: time limits of streams."""

from __future__ import annotations

import math
from contextlib import nullcontext
from typing import Any

import anyio
import pytest

from multirouter import (
    AttemptTimeout,
    StreamInterrupted,
    StreamPolicy,
)
from multirouter.model import FailureKind
from tests.scenarios.harness import harness
from tests.scenarios.scripted_streams import (
    CHAT,
    WORDS,
    chat_chunk,
    read,
    scripted_stream,
    streams_of,
)


@pytest.mark.parametrize(
    ("limit", "policy", "at", "script"),
    [
        ("idle", StreamPolicy(idle=4), 4, ["x", 60, "y"]),
        ("total", StreamPolicy(total=6), 6, ["x", *[1, "y"] * 60]),
        ("min_rate", StreamPolicy(min_rate=2, rate_window=5), 5, ["x" * 5, *[1, "y"] * 60]),
        ("min_rate", StreamPolicy(min_rate=2, rate_window=5), 5, ["x", 60, "y"]),
        ("min_rate", StreamPolicy(min_rate=2, rate_window=5), 15, ["x", 1, "y" * 20, 14, "z"]),
    ],
)
async def test_each_limit_has_its_reason(
    limit: str, policy: StreamPolicy, at: float, script: list[Any]
) -> None:
    """Verdict, trail and error name the limit that was exceeded, at the time it is exceeded."""
    async with harness(scripted_stream("a", script), stream=policy) as env:
        started = anyio.current_time()
        with pytest.raises(StreamInterrupted) as caught:
            await read(env)
        assert anyio.current_time() - started == pytest.approx(at, abs=0.05)
        cause = caught.value.__cause__
        assert isinstance(cause, AttemptTimeout)
        assert cause.limit == limit
        record = env.recorder.attempts[-1]
        assert record.verdict.kind is FailureKind.TIMEOUT
        assert record.verdict.reason.startswith(limit)
        assert env.provider_snapshot("a")["failures"] == 1
        assert streams_of(env)["a"].open == 0


async def test_failover_reason_is_the_limit() -> None:
    """The failover's reason is the limit that was exceeded."""
    policy = StreamPolicy(idle=4, on_interrupt="restart")
    async with harness(
        scripted_stream("a", ["x", 60]), scripted_stream("b", WORDS), stream=policy
    ) as env:
        await read(env, route=["a", "b"])
        assert env.total("failovers_total", provider="a", reason="idle") == 1
        assert env.recorder.of("failed_over")[0].limit == "idle"


async def test_slow_consumer_is_neutral() -> None:
    """Its time counts for neither `idle` nor `min_rate`; a `total` that it spends is neutral."""
    policy = StreamPolicy(idle=2, min_rate=1, rate_window=1)
    async with harness(scripted_stream("a", [*["x", 0.1] * 20]), stream=policy) as env:
        async with env.router.stream("q") as stream:
            async for _ in stream:
                await anyio.sleep(30)
        assert env.recorder.attempts[-1].ok
    async with harness(scripted_stream("a", ["x", "y"]), stream=StreamPolicy(total=20)) as env:
        with pytest.raises(StreamInterrupted):
            async with env.router.stream("q") as stream:
                async for _ in stream:
                    await anyio.sleep(30)
        assert env.recorder.attempts[-1].outcome == "cancelled"
        assert env.provider_snapshot("a")["failures"] == 0


@pytest.mark.parametrize("whole", [False, True])
async def test_total_counts_for_chunks_that_have_arrived(*, whole: bool) -> None:
    """They are passed on after it only where they end an answer that is proven complete."""
    end = "stop" if whole else None
    role, last = chat_chunk("", role="assistant"), chat_chunk("one", end=end)
    async with harness(scripted_stream("a", [role, last]), stream=StreamPolicy(total=20)) as env:
        read = []
        with nullcontext() if whole else pytest.raises(StreamInterrupted):
            async with env.router.stream(CHAT) as stream:
                async for chunk in stream:
                    read.append(chunk)
                    await anyio.sleep(30)
        assert read == ([role, last] if whole else [role])


async def test_reasoning_counts_for_the_rate() -> None:
    """Reasoning and tool calls count as characters."""
    thought = chat_chunk(reasoning_content="hm " * 10)
    called = chat_chunk(tool_calls=[{"function": {"arguments": "x" * 30}}])
    legacy = chat_chunk(function_call={"arguments": "x" * 30})
    script = [*[thought, 1] * 10, *[called, 1] * 10, *[legacy, 1] * 10, chat_chunk(end="stop")]
    async with harness(
        scripted_stream("a", script), stream=StreamPolicy(min_rate=5, rate_window=3)
    ) as env:
        assert len(await read(env, CHAT)) == 31


async def test_idle_of_a_provider_comes_first() -> None:
    """The provider's own `idle=` goes before the policy's."""
    async with harness(
        scripted_stream("a", ["x", 50, "y"], idle=60), stream=StreamPolicy(idle=1)
    ) as env:
        assert await read(env) == ["x", "y"]
    async with harness(
        scripted_stream("a", ["x", 5000, "y"]), stream=StreamPolicy(idle=math.inf)
    ) as env:
        assert await read(env) == ["x", "y"]
