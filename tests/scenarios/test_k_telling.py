"""Section K: metrics and logs."""

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
from tests.scenarios.kit import BRITTLE, Logger, house, play


async def test_the_books_balance() -> None:
    """Case 81: calls and attempts equal the sums of their outcomes; each attempt is timed once."""
    names = "abc"
    providers = [play(n, latency=LogNormal(0.5, 0.8), error_rate=0.3) for n in names]
    hedge = HedgePolicy(after=1.0)
    async with house(*providers, hedge=hedge, retry=RetryPolicy(), circuit=BRITTLE) as home:
        rng = Random(3)
        callers = []
        for number in range(300):
            callers.append(home.begin(request=number, wait=rng.choice([0, 3])))
            if rng.random() < 0.2:
                await rng.choice(callers).cancel()
            await anyio.sleep(rng.random() / 5)
        for caller in callers:
            while not caller.ended:
                await anyio.sleep(1)
        asked = sum(home[name].count for name in names)
        begun = {"router": "default"}
        assert home.total("calls_total", **begun) == len(home.news.calls) <= 300
        assert home.total("attempts_total") == asked
        assert home.total("attempt_duration_seconds_count") == asked
        results = {call.result for call in home.news.calls}
        assert results >= {"success", "cancelled", "failure"}
        served = home.total("calls_total", outcome="success")
        assert home.total("attempts_total", outcome="success") >= served


async def test_refusals_are_not_timed_as_attempts() -> None:
    """Case 81: a refused call is a call, and reached no provider."""
    async with house("a") as home:
        home.router.hold("a", "open")
        for _ in range(3):
            with pytest.raises(NoProviderAvailable):
                await home.call()
        assert home.total("calls_total", outcome="refused") == 3
        assert home.total("attempts_total") == 0
        assert home.total("attempt_duration_seconds_count") == 0


async def test_a_caught_failure() -> None:
    """Case 82: A fails, B answers: the call succeeds, an attempt fails, one succeeds."""
    async with house(play("a", "error"), "b") as home:
        await home.call("a", "b")
        counted = {
            "calls": home.total("calls_total", outcome="success"),
            "failed calls": home.total("calls_total") - 1,
            "a": home.total("attempts_total", provider="a", outcome="failure"),
            "b": home.total("attempts_total", provider="b", outcome="success"),
            "attempts": home.total("attempts_total"),
            "failovers": home.total("failovers_total", provider="a", reason="server"),
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
    """Case 83: told apart by their label; the same one made again goes on counting."""
    registry = CollectorRegistry()
    for name in ("one", "two", "two"):
        settings: dict[str, Any] = {"name": name, "registry": registry, "logger": Logger()}
        async with MultiProviderRouter([play("a")], **settings) as router:
            await router.call("q")
            labels = {"router": name, "provider": "a"}
            assert registry.get_sample_value("multirouter_available", labels) == 1
    for name, calls in {"one": 1, "two": 2}.items():
        labels = {"router": name, "route": "default", "outcome": "success"}
        assert registry.get_sample_value("multirouter_calls_total", labels) == calls


async def test_messages_make_no_series() -> None:
    """Case 84: after 1,000 failures with as many messages the series are those of the first one."""
    async with house("a", "b") as home:

        async def failed(number: int) -> int:
            home["a"].then(Fault("error", message=f"no {number}"))
            home["b"].then(RuntimeError(f"never {number}"))
            await home.router.call_outcome(f"q {number}", route=["a", "b"])
            return generate_latest(home.registry).count(b"\n")

        home.router.hold("a", "closed")
        home.router.hold("b", "closed")
        first = await failed(0)
        for number in range(1, 1000):
            home["a"].then(Fault("error", message=f"no {number}"))
            home["b"].then(RuntimeError(f"never {number}"))
            await home.router.call_outcome(f"q {number}", route=["a", "b"])
        assert await failed(1000) == first


async def test_the_cancelled_have_series_of_their_own() -> None:
    """Case 85: outcome="cancelled", timed apart from successes, and nothing is in flight after."""
    async with house("a") as home:
        home["a"].then("hang")
        caller = await home.begun()
        assert home.total("attempts_in_flight", provider="a") == 1
        await anyio.sleep(7)
        await caller.cancel()
        assert home.total("attempts_in_flight", provider="a") == 0
        labels = {"provider": "a", "outcome": "cancelled"}
        assert home.total("attempts_total", **labels) == 1
        assert home.total("attempt_duration_seconds_sum", **labels) == pytest.approx(7, abs=0.1)
        assert home.total("attempt_duration_seconds_count", provider="a", outcome="success") == 0
        assert home.total("calls_total", outcome="cancelled") == 1


async def test_a_change_of_state_is_one_event() -> None:
    """Case 86: provider, from, to, reason, era, open_duration; the gauge is set when it is told."""
    gauges: list[float] = []

    class Watch(Listener):
        def circuit_changed(self, news: CircuitChanged) -> None:
            gauges.append(home.total("circuit_state", provider="a"))

    async with house("a", circuit=BRITTLE, listeners=[Watch()]) as home:
        await home.half_open("a")
        await home.call()
        assert gauges == [2, 1, 0]
        told = home.logger.of("circuit changed")
        assert [(t["from"], t["to"], t["reason"], t["era"], t["open_duration"]) for t in told] == [
            ("closed", "open", "failures", 1, 10.0),
            ("open", "half_open", "reset", 2, 0.0),
            ("half_open", "closed", "recovered", 3, 0.0),
        ]
        assert {fields["provider"] for fields in told} == {"a"}


async def test_no_secret_is_told() -> None:
    """Case 86: prompts, answers, headers and keys of a failing call are in no event."""
    secret = "sk-live-1234"
    headers = {"authorization": f"Bearer {secret}", "retry-after": "1"}
    async with house("a", "b", fallback="sorry") as home:
        home["a"].then(Fault("rate_limit", headers=headers, message=f"key {secret} is over"))
        home["b"].then(StatusError(f"prompt {secret}", status=500, headers=headers))
        await home.router.call(f"my password is {secret}", route=["a", "b"])
        assert len(home.logger.told) >= 3
        assert secret not in repr(home.logger.told)
        assert secret.encode() not in generate_latest(home.registry)


async def test_a_users_structlog_is_used(capsys: pytest.CaptureFixture[str]) -> None:
    """Events go through the user's own configuration, contextvars included."""
    with structlog.testing.capture_logs(
        processors=[structlog.contextvars.merge_contextvars]
    ) as told:
        async with house("a", circuit=BRITTLE, logger=structlog.get_logger()) as home:
            with structlog.contextvars.bound_contextvars(request_id="r-7"):
                await home.fail("a")
    (changed,) = [entry for entry in told if entry["event"] == "circuit changed"]
    assert (changed["log_level"], changed["request_id"]) == ("warning", "r-7")
    assert capsys.readouterr().err == ""


async def test_starts_are_told_to_who_listens() -> None:
    """`attempt_started` comes before the attempt, with its role."""
    heard: list[tuple[str, str, int]] = []

    class Watch(Listener):
        def attempt_started(self, provider: str, role: str) -> None:
            heard.append((provider, role, home[provider].count))

    async with house("a", "b", listeners=[Watch()]) as home:
        home["a"].then("error")
        await home.call("a", "b")
        assert heard == [("a", "call", 0), ("b", "call", 0)]
