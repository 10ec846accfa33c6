"""Scripted providers: answers, faults, outages and latencies happen as scripted."""

from __future__ import annotations

import math

import anyio
import pytest

from multirouter.errors import ConfigurationError
from multirouter.testing import (
    Answer,
    Constant,
    Exponential,
    Fault,
    LogNormal,
    Outage,
    ScriptedProvider,
    StatusError,
    Uniform,
    VirtualClock,
)


async def outcome(provider, request="q"):
    """The result of a call as a short string."""
    try:
        return await provider(request)
    except Exception as error:
        return f"{type(error).__name__} {getattr(error, 'status', '')}".strip()


async def test_answers_after_its_latency():
    """Without a script a provider answers with its name and the request, after its latency."""
    provider = ScriptedProvider("a", latency=2)
    assert await provider("hello") == "a: hello"
    assert anyio.current_time() == 2
    assert [*provider.requests] == [(0, "hello")]
    assert repr(provider) == "<ScriptedProvider a: 1 attempts, 0 in flight>"


async def test_script_steps_apply_in_order():
    """Each step applies to one attempt, in order; afterwards the provider answers."""
    limit = Fault("rate_limit", headers={"Retry-After": "5"}, after=0.1)
    provider = ScriptedProvider(
        "a",
        latency=1,
        script=["error", limit, "credentials", "reset", Fault("rubbish", value="?"), OSError("x")],
    )
    provider.then(Answer("special", after=3), Fault("slow", factor=4), Fault(status=503))
    assert await outcome(provider) == "StatusError 500"
    with pytest.raises(StatusError, match="a: status 429") as caught:
        await provider("q")
    assert caught.value.headers == {"Retry-After": "5"}
    assert anyio.current_time() == 1.1
    ends = [await outcome(provider) for _ in range(4)]
    assert ends == ["StatusError 401", "ConnectionResetError", "?", "OSError"]
    at = anyio.current_time()
    assert await outcome(provider) == "special"
    assert anyio.current_time() == at + 3
    assert await outcome(provider) == "a: q"
    assert anyio.current_time() == at + 7
    assert [await outcome(provider) for _ in range(2)] == ["StatusError 503", "a: q"]
    assert provider.ended["answer"] == 4
    assert provider.ended["StatusError"] == 4


async def test_hanging_attempt_is_in_flight_until_cancelled():
    """A hanging attempt stays in flight until it is cancelled, and is counted as cancelled."""
    provider = ScriptedProvider("a", script=["hang", "stall"])
    for _ in range(2):
        with anyio.move_on_after(30) as scope:
            await provider("q")
        assert scope.cancelled_caught
    assert (provider.in_flight, provider.max_in_flight) == (0, 1)
    assert provider.ended == {"cancelled": 2}


async def test_outage_applies_from_start_to_end():
    """An outage applies to attempts that begin in its window, its end excluded."""
    provider = ScriptedProvider("a", outages=[Outage(10, 20, "reset"), Outage(15, 25)])
    seen = {}
    for at in (9, 10, 19, 20, 24, 25):
        await anyio.sleep_until(at) if at > anyio.current_time() else None
        seen[at] = await outcome(provider)
    reset = "ConnectionResetError"
    assert seen == {
        9: "a: q",
        10: reset,
        19: reset,
        20: "StatusError 500",
        24: "StatusError 500",
        25: "a: q",
    }


async def test_flapping_outage_alternates():
    """A flapping outage alternates between faults and answers from its start on."""
    provider = ScriptedProvider("a", outages=[Outage(0, 100, down=2, up=3)])
    seen = ""
    for _ in range(12):
        seen += "x" if "Error" in await outcome(provider) else "-"
        await anyio.sleep(1)
    assert seen == "xx---xx---xx"


async def test_growing_slow_outage():
    """A growing slow outage multiplies the latency by 1 at its start and `factor` at its end."""
    slow = Outage(0, 1000, Fault("slow", factor=11), growing=True)
    provider = ScriptedProvider("a", latency=1, outages=[slow])
    spans = []
    for at in (0, 500, 900):
        await anyio.sleep(at - anyio.current_time())
        await provider("q")
        spans.append(anyio.current_time() - at)
    assert spans == pytest.approx([1, 6, 10])


async def test_error_rate_and_outage_share():
    """Error rate and outage share hold (n=2000, within 4 sigma) and repeat with the seed."""

    async def run(seed):
        provider = ScriptedProvider(
            "a", seed=seed, error_rate=0.1, outages=[Outage(0, 1e9, "reset", share=0.3)]
        )
        results = [await outcome(provider) for _ in range(2000)]
        return results, provider.ended

    results, counted = await run(1)
    assert abs(counted["ConnectionResetError"] - 600) < 4 * math.sqrt(2000 * 0.3 * 0.7)
    assert abs(counted["StatusError"] - 140) < 4 * math.sqrt(2000 * 0.07 * 0.93)
    assert (await run(1))[0] == results
    assert (await run(2))[0] != results


async def _read(stream):
    """The chunks of a stream with their times, and its end: "end" or the name of an exception."""
    chunks, end = [], "end"
    try:
        async for chunk in stream:
            chunks.append((anyio.current_time(), chunk))
    except Exception as error:
        end = type(error).__name__
    return chunks, end


async def test_stream_chunks_arrive_after_their_latencies():
    """A stream's first chunk arrives after the latency, each other one after the chunk latency."""
    provider = ScriptedProvider("a", latency=2, chunk_latency=0.5)
    chunks, end = await _read(provider.stream("one two"))
    assert chunks == [(2, "a: "), (2.5, "one "), (3, "two")]
    assert end == "end"


async def test_broken_streams():
    """A stream is reset, ends short, or fails before its first chunk, as scripted."""
    provider = ScriptedProvider(
        "a", script=[Fault("cut", chunks=2), Fault("short", chunks=1), "error", Fault("stall")]
    )
    ends = []
    for _ in range(3):
        chunks, end = await _read(provider.stream("one two"))
        ends.append((len(chunks), end))
    assert ends == [(2, "ConnectionResetError"), (1, "end"), (0, "StatusError")]
    with anyio.move_on_after(9) as scope:
        await _read(provider.stream("one two"))
    assert scope.cancelled_caught
    assert provider.in_flight == 0


async def test_answer_and_chunk_functions():
    """Answers and chunks can be made by the user's functions."""
    provider = ScriptedProvider("a", answer=len, chunks=range, script=["short"])
    assert await provider("four") == 4
    assert [c async for c in provider.stream("four")] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("latency", "mean"),
    [
        (Constant(3), 3),
        (Uniform(1, 3), 2),
        (Exponential(2, minimum=1), 3),
        (LogNormal(2, 0.5), 2.27),
    ],
)
def test_latency_distributions(latency, mean):
    """Each distribution has its mean (n=5000, within 5 %) and no negative value."""
    import random

    rng = random.Random(1)
    spans = [latency.sample(rng) for _ in range(5000)]
    assert sum(spans) / len(spans) == pytest.approx(mean, rel=0.05)
    assert min(spans) >= 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: ScriptedProvider(""),
        lambda: ScriptedProvider(latency=-1),
        lambda: ScriptedProvider(error_rate=1.5),
        lambda: ScriptedProvider(script=[404]),
        lambda: ScriptedProvider(script=["eror"]),
        lambda: Fault("hang", status=500),
        lambda: Fault(after=math.nan),
        lambda: Answer(after=-1),
        lambda: Fault(factor=-1),
        lambda: Outage(5, 5),
        lambda: Outage(0, 5, share=2),
        lambda: Outage(0, math.inf, "slow", growing=True),
        lambda: Uniform(3, 1),
        lambda: Exponential(0),
        lambda: LogNormal(0, 1),
        lambda: ScriptedProvider(answer="hello"),
        lambda: ScriptedProvider(chunks=["a", "b"]),
    ],
)
def test_settings_are_checked(make):
    """Case 42: a setting out of range raises when the object is made."""
    with pytest.raises(ConfigurationError):
        make()


def test_the_same_on_every_backend():
    """One script gives the same results at the same times on asyncio, uvloop and trio."""

    async def main():
        provider = ScriptedProvider("a", latency=LogNormal(1, 0.5), error_rate=0.2)
        return [(await outcome(provider), anyio.current_time()) for _ in range(50)]

    asyncio_, uvloop, trio = (
        VirtualClock(backend=b).run(main) for b in ("asyncio", "uvloop", "trio")
    )
    assert asyncio_ == uvloop
    # trio's clock adds up its jumps, so the last bit of its times may differ.
    assert [what for what, _ in trio] == [what for what, _ in asyncio_]
    assert [at for _, at in trio] == pytest.approx([at for _, at in asyncio_])
