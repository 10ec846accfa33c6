"""Section K: metrics, logs and events."""

from __future__ import annotations

from random import Random
from typing import Any

import anyio
import pytest
import structlog
from prometheus_client import CollectorRegistry, generate_latest

from multirouter import HedgePolicy, Listener, MultiProviderRouter, NoProviderAvailable, RetryPolicy
from multirouter.core.events import CircuitChanged
from multirouter.testing import Fault, LogNormal, StatusError
from tests.scenarios.harness import TRIPS_AT_ONCE, Logger, harness, scripted


async def test_metrics_add_up() -> None:
    """Case 81: calls and attempts equal the sums of their outcomes; each attempt is timed once."""
    names = "abc"
    providers = [scripted(n, latency=LogNormal(0.5, 0.8), error_rate=0.3) for n in names]
    hedge = HedgePolicy(after=1.0)
    async with harness(*providers, hedge=hedge, retry=RetryPolicy(), circuit=TRIPS_AT_ONCE) as env:
        rng = Random(3)
        callers = []
        for number in range(300):
            callers.append(env.start_soon(request=number, wait=rng.choice([0, 3])))
            if rng.random() < 0.2:
                await rng.choice(callers).cancel()
            await anyio.sleep(rng.random() / 5)
        for caller in callers:
            while not caller.ended:
                await anyio.sleep(1)
        attempts = sum(env[name].count for name in names)
        labels = {"router": "default"}
        assert env.total("calls_total", **labels) == len(env.recorder.calls) <= 300
        assert env.total("attempts_total") == attempts
        assert env.total("attempt_duration_seconds_count") == attempts
        results = {call.result for call in env.recorder.calls}
        assert results >= {"success", "cancelled", "failure"}
        answered = env.total("calls_total", outcome="success")
        assert env.total("attempts_total", outcome="success") >= answered


async def test_rejections_are_not_timed_as_attempts() -> None:
    """Case 81: a rejected call is a call without an attempt."""
    async with harness("a") as env:
        env.router.hold("a", "open")
        for _ in range(3):
            with pytest.raises(NoProviderAvailable):
                await env.call()
        assert env.total("calls_total", outcome="rejected") == 3
        assert env.total("attempts_total") == 0
        assert env.total("attempt_duration_seconds_count") == 0


async def test_failover_in_the_metrics() -> None:
    """Case 82: A fails, B answers: the call succeeds, one attempt fails, one succeeds."""
    async with harness(scripted("a", "error"), "b") as env:
        await env.call("a", "b")
        counted = {
            "calls": env.total("calls_total", outcome="success"),
            "failed calls": env.total("calls_total") - 1,
            "a": env.total("attempts_total", provider="a", outcome="failure"),
            "b": env.total("attempts_total", provider="b", outcome="success"),
            "attempts": env.total("attempts_total"),
            "failovers": env.total("failovers_total", provider="a", reason="server"),
        }
        assert counted == {
            "calls": 1,
            "failed calls": 0,
            "a": 1,
            "b": 1,
            "attempts": 2,
            "failovers": 1,
        }


async def test_two_routers_share_a_registry() -> None:
    """Case 83: separate by their label; the same router created again continues counting."""
    registry = CollectorRegistry()
    for name in ("one", "two", "two"):
        settings: dict[str, Any] = {"name": name, "registry": registry, "logger": Logger()}
        async with MultiProviderRouter([scripted("a")], **settings) as router:
            await router.call("q")
            labels = {"router": name, "provider": "a"}
            assert registry.get_sample_value("multirouter_available", labels) == 1
    for name, calls in {"one": 1, "two": 2}.items():
        labels = {"router": name, "route": "default", "outcome": "success", "operation": "chat"}
        assert registry.get_sample_value("multirouter_calls_total", labels) == calls


async def test_messages_create_no_series() -> None:
    """Case 84: after 1,000 failures with as many messages the series are those of the first one."""
    async with harness("a", "b") as env:

        async def failed(number: int) -> int:
            env["a"].then(Fault("error", message=f"no {number}"))
            env["b"].then(RuntimeError(f"never {number}"))
            await env.router.call_outcome(f"q {number}", route=["a", "b"])
            return generate_latest(env.registry).count(b"\n")

        env.router.hold("a", "closed")
        env.router.hold("b", "closed")
        first = await failed(0)
        for number in range(1, 1000):
            env["a"].then(Fault("error", message=f"no {number}"))
            env["b"].then(RuntimeError(f"never {number}"))
            await env.router.call_outcome(f"q {number}", route=["a", "b"])
        assert await failed(1000) == first


async def test_cancelled_attempts_have_their_own_series() -> None:
    """Case 85: outcome="cancelled", timed apart from successes, and nothing is in flight after."""
    async with harness("a") as env:
        env["a"].then("hang")
        caller = await env.start()
        assert env.total("attempts_in_flight", provider="a") == 1
        await anyio.sleep(7)
        await caller.cancel()
        assert env.total("attempts_in_flight", provider="a") == 0
        labels = {"provider": "a", "outcome": "cancelled"}
        assert env.total("attempts_total", **labels) == 1
        assert env.total("attempt_duration_seconds_sum", **labels) == pytest.approx(7, abs=0.1)
        assert env.total("attempt_duration_seconds_count", provider="a", outcome="success") == 0
        assert env.total("calls_total", outcome="cancelled") == 1


async def test_state_change_is_one_event() -> None:
    """Case 86: provider, from, to, reason, generation, open_duration; the gauge is set before."""
    gauges: list[float] = []

    class RecordingListener(Listener):
        def circuit_changed(self, event: CircuitChanged) -> None:
            gauges.append(env.total("circuit_state", provider="a"))

    async with harness("a", circuit=TRIPS_AT_ONCE, listeners=[RecordingListener()]) as env:
        await env.half_open("a")
        await env.call()
        assert gauges == [2, 1, 0]
        logged = [
            fields
            for name in ("circuit opened", "circuit half-opened", "circuit closed")
            for fields in env.logger.of(name)
        ]
        assert [
            (t["from"], t["to"], t["reason"], t["generation"], t["open_duration"]) for t in logged
        ] == [
            ("closed", "open", "failures", 1, 10.0),
            ("open", "half_open", "timer", 2, 0.0),
            ("half_open", "closed", "recovered", 3, 0.0),
        ]
        assert {fields["provider"] for fields in logged} == {"a"}


async def test_secrets_are_not_logged() -> None:
    """Case 86: prompts, answers, headers and keys of a failing call are in no log event."""
    secret = "sk-live-1234"
    headers = {"authorization": f"Bearer {secret}", "retry-after": "1"}
    async with harness("a", "b", fallback="sorry") as env:
        env["a"].then(Fault("rate_limit", headers=headers, message=f"key {secret} is over"))
        env["b"].then(StatusError(f"prompt {secret}", status=500, headers=headers))
        await env.router.call(f"my password is {secret}", route=["a", "b"])
        assert len(env.logger.entries) >= 3
        assert secret not in repr(env.logger.entries)
        assert secret.encode() not in generate_latest(env.registry)


async def test_users_structlog_configuration_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    """Log events go through the user's own configuration, contextvars included."""
    with structlog.testing.capture_logs(
        processors=[structlog.contextvars.merge_contextvars]
    ) as logged:
        async with harness("a", circuit=TRIPS_AT_ONCE, logger=structlog.get_logger()) as env:
            with structlog.contextvars.bound_contextvars(request_id="r-7"):
                await env.fail("a")
    (changed,) = [entry for entry in logged if entry["event"] == "circuit opened"]
    assert (changed["log_level"], changed["request_id"]) == ("warning", "r-7")
    assert capsys.readouterr().err == ""


async def test_attempt_started_events() -> None:
    """`attempt_started` comes before the attempt, with its role."""
    started: list[tuple[str, str, int]] = []

    class RecordingListener(Listener):
        def attempt_started(self, provider: str, role: str) -> None:
            started.append((provider, role, env[provider].count))

    async with harness("a", "b", listeners=[RecordingListener()]) as env:
        env["a"].then("error")
        await env.call("a", "b")
        assert started == [("a", "call", 0), ("b", "call", 0)]
