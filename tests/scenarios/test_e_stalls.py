"""Stalls of the router's own event loop: no provider is blamed for them, answers already there win.

A stall is time that passes while no callback runs: a blocking call, a long garbage collection, a
CPU quota, a suspended machine, a breakpoint.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import anyio
import pytest

from multirouter import (
    AttemptTimeout,
    CallTimeout,
    CircuitPolicy,
    HedgePolicy,
    LatencyPolicy,
    LimitPolicy,
    MultirouterError,
    Provider,
    Shadow,
    StreamPolicy,
)
from multirouter.runtime.event_loops.stalls import BEAT
from multirouter.testing import Answer, Fault, VirtualClock
from tests.scenarios.harness import (
    NO_RETRIES,
    TICK,
    TRIPS_AFTER_3,
    TRIPS_AT_ONCE,
    Harness,
    harness,
    scripted,
)

NO_ADAPTIVE = LatencyPolicy(adaptive=False)


def kinds(env: Harness) -> Counter[str]:
    """How the attempts ended; a star marks those during which the loop stalled."""
    return Counter(f"{r.verdict.kind}{'*' if r.stalled else ''}" for r in env.recorder.attempts)


# ── whole answers ─────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("seconds", [0.5, 2.0, 5.0, 3600.0])
async def test_answers_that_arrived_during_a_stall_win(seconds: float) -> None:
    """Their deadlines passed meanwhile too: each call is answered, and no circuit changes."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE, attempt_timeout=1.0) as env:
        for name in ("a", "b"):
            env[name].then(*[Answer(after=0.9)] * 100)
        callers = [await env.start() for _ in range(20)]
        await anyio.sleep(0.5)
        VirtualClock.stall(seconds)
        assert [(await caller.end()).result for caller in callers] == ["success"] * 20
        assert [env.openings(name) for name in ("a", "b")] == [0, 0]
        assert kinds(env) == {"success*": 20}
        assert env.total("loop_stall_seconds_count") == 1


async def test_an_attempt_gets_the_time_of_the_stall_back() -> None:
    """What was left of its timeout when the stall began is left afterwards, within a beat."""
    async with harness("a", circuit=TRIPS_AT_ONCE, attempt_timeout=2.0, timeout=60) as env:
        env["a"].then(Answer(after=6.4), "hang")
        caller = await env.start()
        await anyio.sleep(1.0)
        VirtualClock.stall(5.0)
        outcome = await caller.end()
        assert (outcome.result, outcome.elapsed) == ("success", pytest.approx(6.4))
        caller = await env.start()
        await anyio.sleep(1.0)
        VirtualClock.stall(5.0)
        outcome = await caller.end()
        assert outcome.result == "failure"
        assert 7.0 <= outcome.elapsed <= 7.0 + BEAT


async def test_a_timeout_because_of_a_stall_is_neutral() -> None:
    """Circuit, health window, latency and the shares of the retry budget do not move."""
    async with harness(
        "a", "b", circuit=TRIPS_AT_ONCE, attempt_timeout=1.0, timeout=60, latency=NO_ADAPTIVE
    ) as env:
        env["a"].then("hang")
        caller = await env.start("a", "b")
        env["b"].then("hang")
        other = await env.start("b", "a")
        await anyio.sleep(0.5)
        VirtualClock.stall(3.0)
        for outcome in (await caller.end(), await other.end()):
            assert outcome.result == "success"
            first, _ = outcome.attempts
            assert (first.verdict.kind, first.stalled) == ("timeout", True)
            assert isinstance(first.error, AttemptTimeout)
        for name in ("a", "b"):
            assert env.state(name) == "closed"
            assert env.circuit(name).window.failures == 0
            assert env.provider_snapshot(name)["in_flight"] == 0
        env["a"].then(*["hang"] * 3)
        await env.outcome("a")
        assert env.state("a") == "open"


async def test_a_provider_that_hangs_trips_as_soon_as_without_a_stall() -> None:
    """Only attempts that were in flight during the stall are excused."""
    for stall in (0.0, 5.0):
        async with harness("a", circuit=TRIPS_AFTER_3, attempt_timeout=1.0) as env:
            env["a"].then(*["hang"] * 10)
            caller = await env.start()
            await anyio.sleep(0.5)
            VirtualClock.stall(stall)
            await caller.end()
            for _ in range(3 if stall else 2):
                assert env.state("a") == "closed"
                await env.outcome()
            assert env.state("a") == "open"


async def test_a_loop_that_stalls_now_and_then_does_not_hide_a_provider_that_hangs() -> None:
    """Stalls that took less than a tenth of an attempt's time excuse it only just afterwards."""
    async with harness("a", circuit=TRIPS_AFTER_3, attempt_timeout=30.0) as env:
        env["a"].then(*["hang"] * 20)

        async def stall_often() -> None:
            while env.state("a") == "closed":
                await anyio.sleep(14.2)
                VirtualClock.stall(0.8)

        env.group.start_soon(stall_often)
        for _ in range(6):
            if env.state("a") == "closed":
                await env.outcome()
        assert env.total("loop_stall_seconds_count") >= 5
        assert env.state("a") == "open"


@pytest.mark.parametrize(("at", "seconds"), [(5.0, 20.0), (29.8, 1.0)])
async def test_a_stall_excuses_by_its_length_or_because_it_just_ended(
    at: float, seconds: float
) -> None:
    """A long one also when the attempt ends much later, a short one only at the end of it."""
    async with harness("a", circuit=TRIPS_AT_ONCE, attempt_timeout=30.0) as env:
        env["a"].then("hang")
        caller = await env.start()
        await anyio.sleep(at)
        VirtualClock.stall(seconds)
        assert not (await caller.end()).ok
        assert env.state("a") == "closed"


@pytest.mark.parametrize("error", [ConnectionResetError("gone"), TimeoutError("read timeout")])
async def test_a_lost_connection_after_a_stall_is_neutral(error: Exception) -> None:
    """The peer closes what is not read, and a client library's own timers fire late as well."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:

        async def lose(_: Any) -> None:
            await anyio.sleep(1.0)
            raise error

        env.router.add(Provider("b", lose))
        caller = await env.start("b")
        await anyio.sleep(0.5)
        VirtualClock.stall(3.0)
        assert (await caller.end()).result == "failure"
        assert env.state("b") == "closed"
        await env.outcome("b")
        assert env.state("b") == "open"


async def test_an_error_that_the_provider_answered_with_counts() -> None:
    """A status 500 during a stall is the provider's."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        env["a"].then(Fault("error", after=1.0))
        caller = await env.start()
        await anyio.sleep(0.5)
        VirtualClock.stall(3.0)
        await caller.end()
        assert env.state("a") == "open"


async def test_a_provider_function_that_blocks_the_loop_still_trips() -> None:
    """Its own failures are its own; the attempts at others that waited meanwhile are excused."""
    async with harness("a", circuit=TRIPS_AFTER_3, attempt_timeout=2.0) as env:

        async def blocking(_: Any) -> None:
            await anyio.sleep(0)
            VirtualClock.stall(5.0)
            raise ConnectionError("no route to host")

        env.router.add(Provider("b", blocking))
        env["a"].then(*[Answer(after=1.5)] * 3)
        for _ in range(3):
            assert env.state("b") == "closed"
            caller = await env.start("a")
            await env.outcome("b")
            assert (await caller.end()).result == "success"
        assert (env.state("a"), env.state("b")) == ("closed", "open")


async def test_a_provider_function_that_blocks_the_loop_is_reported() -> None:
    """Also when nothing else is in flight; its duration is no latency sample."""
    async with harness("a") as env:

        async def blocking(_: Any) -> str:
            await anyio.sleep(0)
            VirtualClock.stall(5.0)
            return "answer"

        env.router.add(Provider("b", blocking))
        outcome = await env.outcome("b")
        assert (outcome.ok, outcome.attempts[0].stalled) == (True, True)
        assert len(env.recorder.of("loop_stalled")) == 1


async def test_the_failed_provider_stays_available_to_the_call() -> None:
    """A call with nothing else left may attempt it again, as after an adaptive timeout."""
    async with harness("a", circuit=TRIPS_AT_ONCE, attempt_timeout=1.0, retry=None) as env:
        env["a"].then("hang")
        caller = await env.start()
        await anyio.sleep(0.5)
        VirtualClock.stall(3.0)
        outcome = await caller.end()
        assert [r.verdict.kind for r in outcome.attempts] == ["timeout", "success"]


# ── the caller's own deadline ─────────────────────────────────────────────────────────────────


async def test_a_calls_own_deadline_is_kept_but_for_a_moment() -> None:
    """`timeout=` is a promise: an answer already there wins, else CallTimeout; both neutral."""
    async with harness("a", circuit=TRIPS_AT_ONCE, attempt_timeout=30.0) as env:
        env["a"].then(Answer(after=1.5), "hang", Answer(after=4.5))
        callers = [await env.start(timeout=2.0) for _ in range(3)]
        await anyio.sleep(1.0)
        VirtualClock.stall(3.0)
        answered, hung, late = [await caller.end() for caller in callers]
        assert answered.result == "success"
        for outcome in (hung, late):
            assert isinstance(outcome.error, CallTimeout)
            assert 4.0 <= outcome.elapsed <= 4.3
        assert env.state("a") == "closed"
        assert kinds(env) == {"success*": 1, "cancelled*": 2}


async def test_an_attempt_that_gets_time_back_ends_with_its_call() -> None:
    """At the call's deadline it ends as cancelled: not by its own timeout, which has moved."""
    async with harness("a", attempt_timeout=2.0, circuit=TRIPS_AT_ONCE) as env:
        env["a"].then("hang")
        caller = await env.start(timeout=6.0)
        await anyio.sleep(1.0)
        VirtualClock.stall(10.0)
        outcome = await caller.end()
        assert isinstance(outcome.error, CallTimeout)
        assert [record.outcome for record in outcome.attempts] == ["cancelled"]


# ── latency ───────────────────────────────────────────────────────────────────────────────────


async def test_an_answer_during_a_stall_is_no_latency_sample() -> None:
    """It neither moves the histogram nor counts as slow, whatever judges slowness."""
    policy = CircuitPolicy(slow_after=2.0, slow_rate=0.1, minimum_calls=1)
    async with harness("a", "b", circuit=policy) as env:
        for _ in range(40):
            await env.outcome("a", "b")
        (member,) = [m for m in env.router._engine.registry.route(None).members if m.name == "a"]
        samples, drift = member.latency.latencies.samples, member.latency.drift
        env["a"].then(*[Answer(after=1.0)] * 5)
        callers = [await env.start("a") for _ in range(5)]
        VirtualClock.stall(20.0)
        for caller in callers:
            assert (await caller.end()).ok
        assert (member.latency.latencies.samples, member.latency.drift) == (samples, drift)
        assert env.state("a") == "closed"


async def test_a_short_stall_in_a_long_answer_leaves_it_a_sample() -> None:
    """A tenth of the time is within the precision of a latency: a busy process still learns."""
    async with harness("a", attempt_timeout=100.0) as env:
        env["a"].then(Answer(after=60.0))
        caller = await env.start()
        await anyio.sleep(30)
        VirtualClock.stall(1.0)
        outcome = await caller.end()
        assert env.total("loop_stall_seconds_count") == 1
        assert not outcome.attempts[0].stalled
        (member,) = env.router._engine.registry.route(None).members
        assert member.latency.latencies.samples == 1


async def test_a_slow_trial_during_a_stall_closes_the_circuit() -> None:
    """`slow_after` does not judge a trial by the time of a stall."""
    policy = CircuitPolicy(failures=1, open_duration=10.0, growth=1.0, slow_after=2.0)
    async with harness("a", circuit=policy) as env:
        await env.half_open("a")
        env["a"].then(Answer(after=1.0))
        caller = await env.start()
        VirtualClock.stall(20.0)
        assert (await caller.end()).ok
        assert env.state("a") == "closed"


# ── half-open circuits ────────────────────────────────────────────────────────────────────────


async def test_a_trial_keeps_its_lease_through_a_stall() -> None:
    """It is no lost trial: its success closes the circuit, and no second one ran."""
    async with harness("a", circuit=TRIPS_AT_ONCE, attempt_timeout=2.0, timeout=60) as env:
        await env.half_open("a")
        env["a"].then(Answer(after=9.0))
        trial = await env.start()
        await anyio.sleep(1.0)
        VirtualClock.stall(7.5)
        await anyio.sleep(TICK)
        assert not env.gate("a").admits(anyio.current_time())
        assert (await trial.end()).ok
        assert (env.state("a"), env["a"].count) == ("closed", 2)


async def test_a_trial_that_a_stall_ended_leaves_the_circuit_half_open() -> None:
    """A neutral trial; the next one decides."""
    async with harness("a", circuit=TRIPS_AT_ONCE, attempt_timeout=2.0, timeout=60) as env:
        await env.half_open("a")
        env["a"].then("hang")
        trial = await env.start()
        await anyio.sleep(1.0)
        VirtualClock.stall(7.5)
        assert not (await trial.end()).ok
        assert env.state("a") == "half_open"
        assert (await env.outcome()).ok
        assert env.state("a") == "closed"


async def test_a_health_check_during_a_stall_decides_nothing() -> None:
    """It is repeated at once; the circuit does not open again."""
    checks: list[float] = []

    async def health_check() -> None:
        checks.append(anyio.current_time())
        await anyio.sleep(100.0 if len(checks) == 1 else 0.1)

    a = scripted("a", health_check=health_check, attempt_timeout=2.0)
    async with harness(a, circuit=TRIPS_AT_ONCE) as env:
        await env.fail("a")
        await anyio.sleep(11.0)
        VirtualClock.stall(20.0)
        await anyio.sleep(5.0)
        assert len(checks) == 2
        assert (env.state("a"), env.openings("a")) == ("closed", 1)
        assert [r.stalled for r in env.records("a") if r.role == "trial"] == [True, False]


# ── hedging, waiting, shadows ─────────────────────────────────────────────────────────────────


async def test_a_stall_triggers_no_hedge() -> None:
    """An attempt is hedged after its own time, not after that of a stall."""
    async with harness("a", "b", hedge=HedgePolicy(after=1.0), retry=None) as env:
        env["a"].then(Answer(after=3.0))
        caller = await env.start("a", "b", idempotent=True)
        await anyio.sleep(0.5)
        VirtualClock.stall(5.0)
        outcome = await caller.end()
        assert (outcome.provider, [r.role for r in outcome.attempts]) == ("a", ["call"])
        env["a"].then("hang")
        assert (await env.outcome("a", "b")).provider == "b"


async def test_a_waiting_call_gets_the_time_of_a_stall_back() -> None:
    """The capacity that was freed meanwhile is used, although `wait=` has passed."""
    limited = scripted("a", latency=1.0, limits=LimitPolicy(in_flight=1))
    async with harness(limited) as env:
        callers = [await env.start(wait=4.0) for _ in range(3)]
        await anyio.sleep(0.5)
        VirtualClock.stall(10.0)
        assert [(await caller.end()).result for caller in callers] == ["success"] * 3


async def test_a_shadow_copy_during_a_stall_says_nothing() -> None:
    """Its latency is no sample, its timeout no failure."""
    async with harness(
        "a", "b", shadow=Shadow(["b"], share=1.0), circuit=TRIPS_AT_ONCE, attempt_timeout=2.0
    ) as env:
        env["b"].then(Answer(after=1.0), "hang")
        for _ in range(2):
            assert (await env.outcome("a")).ok
            await anyio.sleep(0.5)
            VirtualClock.stall(10.0)
            await anyio.sleep(3.0)
        members = {m.name: m for m in env.router._engine.registry.route(None).members}
        assert members["b"].latency.latencies.samples == 0
        assert members["b"].health.failures == 0
        assert [r.stalled for r in env.records("b")] == [True, True]


# ── streams ───────────────────────────────────────────────────────────────────────────────────


def streaming(name: str, *script: Any) -> Provider[Any, Any, Any]:
    """A provider whose stream waits for numbers (seconds) and yields strings."""

    async def stream(_: Any) -> AsyncIterator[str]:
        for step in script:
            if isinstance(step, str):
                yield step
            elif isinstance(step, BaseException):
                raise step
            else:
                await anyio.sleep(step)

    return Provider(name, stream=stream)


async def stall_in(delay: float, seconds: float) -> None:
    """Stalls the loop after a delay, seconds."""
    await anyio.sleep(delay)
    VirtualClock.stall(seconds)


async def read(env: Harness, stall_at: float, seconds: float) -> list[str]:
    """Reads a stream while another task stalls the loop."""
    env.group.start_soon(stall_in, stall_at, seconds)
    async with env.router.stream("q") as stream:
        return [chunk async for chunk in stream]


@pytest.mark.parametrize(
    ("policy", "script", "stall_at"),
    [
        (StreamPolicy(first_token=2.0), (1.5, "a", "b"), 1.0),
        (StreamPolicy(idle=2.0), ("a", 1.5, "b"), 1.0),
        (StreamPolicy(total=4.0), ("a", 1.0, "b", 1.0, "c", 1.0, "d"), 1.5),
        (StreamPolicy(min_rate=1.0, rate_window=2.0), ("a", 0.5, "bcd", 0.7, "efg"), 0.2),
    ],
    ids=["first_token", "idle", "total", "min_rate"],
)
async def test_no_limit_of_a_stream_counts_the_time_of_a_stall(
    policy: StreamPolicy, script: tuple[Any, ...], stall_at: float
) -> None:
    """Each limit would have passed during the stall; the stream ends as without it."""
    async with harness(streaming("a", *script), stream=policy, circuit=TRIPS_AT_ONCE) as env:
        chunks = await read(env, stall_at, 10.0)
        assert chunks == [step for step in script if isinstance(step, str)]
        assert env.state("a") == "closed"


@pytest.mark.parametrize(
    ("policy", "script"),
    [
        (StreamPolicy(first_token=2.0), (math.inf,)),
        (StreamPolicy(idle=2.0), ("a", math.inf)),
        (StreamPolicy(total=4.0), ("a", math.inf)),
        (StreamPolicy(), ("a", 2.0, ConnectionResetError("gone"))),
    ],
    ids=["first_token", "idle", "total", "connection"],
)
async def test_a_stream_that_broke_because_of_a_stall_is_neutral(
    policy: StreamPolicy, script: tuple[Any, ...]
) -> None:
    """Its consumer gets the error; the circuit does not count it. Without a stall it does."""
    async with harness(streaming("a", *script), stream=policy, circuit=TRIPS_AT_ONCE) as env:
        with pytest.raises(MultirouterError):
            await read(env, 1.0, 20.0)
        assert (env.state("a"), env.records("a")[0].stalled) == ("closed", True)
        with pytest.raises(MultirouterError):
            await read(env, 1.0, 0.0)
        assert (env.state("a"), env.records("a")[1].stalled) == ("open", False)


async def test_a_stream_that_broke_during_a_stall_is_continued() -> None:
    """Its `total`, which would have passed meanwhile, holds for the continuation."""
    broken = streaming("a", "one ", 1.0, ConnectionResetError("gone"))
    policy = StreamPolicy(total=5.0, on_interrupt="continue")
    async with harness(broken, streaming("b", "one ", "two"), stream=policy) as env:
        env.router.update("b", weight=0.0)
        assert await read(env, 0.5, 20.0) == ["one ", "two"]
        assert env.state("a") == "closed"


async def test_a_consumer_that_blocks_the_loop_breaks_no_circuit() -> None:
    """The stall happens between two chunks, in the consumer's own code."""
    async with (
        harness(
            streaming("a", "a", 1.0, ConnectionResetError("gone")), circuit=TRIPS_AT_ONCE
        ) as env,
        env.router.stream("q") as stream,
    ):
        other = env.start_soon("a")  # keeps the watch awake: it cannot call, and is rejected
        assert await anext(stream) == "a"
        await anyio.sleep(0)
        VirtualClock.stall(30.0)
        with pytest.raises(Exception, match="gone"):
            await anext(stream)
        with pytest.raises(Exception, match="call"):
            await other.end()


@pytest.mark.parametrize("script", [("a", math.inf), ("a", 1.0, "b", math.inf)])
@pytest.mark.parametrize("idle", [2.0, 60.0])
async def test_a_copied_stream_proves_nothing_by_a_stall(
    script: tuple[Any, ...], idle: float
) -> None:
    """A trial that delivered and hangs is neither passed nor failed by the time of a stall."""
    trial, healthy = streaming("a", *script), streaming("b", "b")
    policy = StreamPolicy(idle=idle)
    async with harness(trial, healthy, stream=policy, circuit=TRIPS_AT_ONCE) as env:
        env.circuit("a").restore_open(anyio.current_time(), "failures", 1.0, 1)
        await anyio.sleep(1.0)
        async with env.router.stream("q") as stream:
            assert [chunk async for chunk in stream] == ["b"]
        await anyio.sleep(0.5)
        VirtualClock.stall(20.0)
        await anyio.sleep(1.0 if len(script) > 2 else min(idle, 5.0) + 1.0)
        assert env.state("a") == "half_open"
        assert env.openings("a") == 1


async def test_the_callers_stream_proves_nothing_by_a_stall() -> None:
    """As the trial of a half-open circuit it passes after ten seconds of its own, or at its end."""
    async with harness(streaming("a", "a", 1.0, "b", 1.0), circuit=TRIPS_AT_ONCE) as env:
        env.circuit("a").restore_open(anyio.current_time(), "failures", 1.0, 1)
        await anyio.sleep(1.0)
        async with env.router.stream("q") as stream:
            assert await anext(stream) == "a"
            env.group.start_soon(stall_in, 0.5, 20.0)
            assert await anext(stream) == "b"
            assert env.state("a") == "half_open"
            assert [chunk async for chunk in stream] == []
        assert env.state("a") == "closed"


async def test_the_first_content_during_a_stall_is_no_latency_sample() -> None:
    """The rest of the stream is judged as usual."""
    async with harness(streaming("a", 1.0, "a", "b"), circuit=TRIPS_AT_ONCE) as env:
        assert await read(env, 0.5, 20.0) == ["a", "b"]
        (member,) = env.router._engine.registry.route(None, streaming=True).members
        assert member.latency.latencies.samples == 0
        assert env.records("a")[0].stalled


# ── what is reported ──────────────────────────────────────────────────────────────────────────


async def test_a_stall_is_reported_once() -> None:
    """One event, one observation and one log line, however many attempts it touched."""
    async with harness("a") as env:
        env["a"].then(*[Answer(after=2.0)] * 10)
        callers = [await env.start() for _ in range(10)]
        await anyio.sleep(0.5)
        VirtualClock.stall(3.0)
        for caller in callers:
            await caller.end()
        (event,) = env.recorder.of("loop_stalled")
        assert event.router == "default"
        assert 3.0 - BEAT <= event.seconds <= 3.0
        assert env.total("loop_stall_seconds_count") == 1
        assert env.total("loop_stall_seconds_sum") == pytest.approx(event.seconds)
        (fields,) = env.logger.of("event loop stalled")
        assert fields["seconds"] == round(event.seconds, 3)


async def test_short_stalls_in_a_row_are_logged_once() -> None:
    """A loop that is always a little late does not fill the log; the metric counts each stall."""
    async with harness("a") as env:
        env["a"].then(Answer(after=30.0))
        caller = await env.start()
        for _ in range(10):
            await anyio.sleep(0.9)
            VirtualClock.stall(0.4)
        await caller.end()
        assert env.total("loop_stall_seconds_count") == 10
        assert len(env.logger.of("event loop stalled")) == 1


async def test_a_stall_without_attempts_is_not_reported() -> None:
    """Nothing waited: a program may stop its loop and run it again."""
    async with harness("a") as env:
        for _ in range(3):
            assert (await env.outcome()).ok
            VirtualClock.stall(10.0)
        await anyio.sleep(1.0)
        assert not env.recorder.of("loop_stalled")
        assert not env.logger.of("event loop stalled")


async def test_a_call_that_fails_says_that_the_loop_stalled() -> None:
    """Its error names the stall, so that the provider is not searched for the fault."""
    async with harness("a", attempt_timeout=1.0, retry=NO_RETRIES, timeout=60) as env:
        env["a"].then("hang")
        caller = await env.start()
        await anyio.sleep(0.5)
        VirtualClock.stall(3.0)
        outcome = await caller.end()
        assert "while the event loop stalled" in str(outcome.error)


@pytest.mark.backends("asyncio")
async def test_a_router_between_two_runs_of_its_loop_reports_no_stall() -> None:
    """As in a notebook: `run_until_complete` twice, with other code in between."""
    async with harness("a") as env:
        env["a"].then(Answer(after=0.1))
        assert (await env.outcome()).ok
        asyncio.get_running_loop().call_soon(VirtualClock.stall, 60.0)
        await anyio.sleep(0)
        await anyio.sleep(0)
        assert (await env.outcome()).ok
        assert not env.recorder.of("loop_stalled")


async def test_what_was_left_of_a_wait_is_left_after_a_stall() -> None:
    """`wait=` and `half_open_wait` go on after a stall with what was left of them before it."""
    async with harness("a", circuit=TRIPS_AT_ONCE) as env:
        env.router.hold("a", "open")
        waiting = await env.start(wait=2.0)
        await anyio.sleep(1)
        VirtualClock.stall(3.0)
        outcome = await waiting.end()
        assert (outcome.ok, outcome.elapsed) == (False, pytest.approx(5.0, abs=0.3))
        env.router.unhold("a")
        env["a"].then("hang")
        await env.start()
        waiting = await env.start()
        VirtualClock.stall(0.9)
        outcome = await waiting.end()
        assert outcome.ok, "it joined the trial"
