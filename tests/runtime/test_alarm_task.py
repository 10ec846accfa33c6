"""Alarms of a real router: each fires once, clears once, and reaches every target."""

from __future__ import annotations

from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    AlarmChanged,
    AlarmReading,
    Alarms,
    AllOpen,
    CircuitOpen,
    ConfigurationError,
    CostPerHour,
    FallbackShare,
    Listener,
    MultiProviderRouter,
    Price,
    Provider,
    ProviderFailing,
)
from multirouter.runtime.alarm_task import AlarmTask
from multirouter.testing import VirtualClock
from tests.scenarios.harness import TRIPS_AT_ONCE, Harness, Logger, harness, scripted


class RecordingTarget:
    """An async target that records its alarms; a script makes it fail or hang."""

    def __init__(self, *script: Exception | str) -> None:
        self.script = list(script)
        self.called_at: list[float] = []
        self.events: list[AlarmChanged] = []

    async def __call__(self, event: AlarmChanged) -> None:
        self.called_at.append(anyio.current_time())
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if step == "hang":
            await anyio.sleep(10_000)
        self.events.append(event)

    @property
    def lines(self) -> list[str]:
        return [summary(event) for event in self.events]


class ManualRule:
    """A rule whose readings the test sets."""

    name = "manual"

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.raises = False

    def evaluate(self, now: float, view: Any) -> list[AlarmReading]:
        if self.raises:
            raise ZeroDivisionError
        return [
            AlarmReading(subject, standing, 1.0, "by hand")
            for subject, standing in self.states.items()
        ]

    def shift(self, by: float) -> None:
        """Does nothing: the rule stores no instants."""


def summary(event: AlarmChanged) -> str:
    """An alarm event in short."""
    return f"{event.alarm} {event.subject} {'firing' if event.firing else 'cleared'}"


def changes(env: Harness) -> list[str]:
    return [summary(event) for event in env.recorder.of("alarm_changed")]


# ── firing and clearing ───────────────────────────────────────────────────────────────────────


async def test_a_failing_primary_fires_once_and_clears_once() -> None:
    """A long failure that is evaluated many times emits one start and one end."""
    target = RecordingTarget()
    rules = Alarms([ProviderFailing("a", over=0.05, within=300, min_count=20)], to=[target])
    async with harness("a", "b", alarms=rules) as env:
        env["a"].error_rate = 1.0
        for _ in range(60):
            await env.outcome("a", "b")
            await anyio.sleep(5)
        assert target.lines == ["provider_failing a firing"]
        assert env["a"].count < 20  # an open circuit counts as failing without calls
        env["a"].error_rate = 0.0
        for _ in range(200):
            await env.outcome("a")
            await anyio.sleep(5)
        assert target.lines == ["provider_failing a firing", "provider_failing a cleared"]
        assert changes(env) == target.lines


async def test_circuit_open_fires_on_time_without_traffic() -> None:
    """Without calls the alarm fires within a second of its duration, by the router's own task."""
    rules = [CircuitOpen("a", longer_than=60)]
    policy = TRIPS_AT_ONCE.__class__(
        failures=1, open_duration=600.0, max_open_duration=600.0, growth=1.0
    )
    async with harness("a", "b", circuit=policy, alarms=rules) as env:
        await env.fail("a")
        opened = anyio.current_time()
        await anyio.sleep(59)
        assert changes(env) == []
        await anyio.sleep(3)
        (fired,) = env.recorder.of("alarm_changed")
        assert fired.firing
        assert 60 < fired.at - opened <= 62
        env.router.hold("a", "closed")
        assert changes(env) == ["circuit_open a firing", "circuit_open a cleared"]
        cleared = env.recorder.of("alarm_changed")[1]
        assert cleared.since == fired.at
        assert cleared.at == anyio.current_time()


async def test_all_open_fires_at_once_and_outlasts_failed_trials() -> None:
    """The last circuit that opens fires it; failed trials neither clear nor repeat it."""
    async with harness("a", "b", circuit=TRIPS_AT_ONCE, alarms=[AllOpen()]) as env:
        await env.fail("a")
        assert changes(env) == []
        await env.fail("b")
        assert changes(env) == ["all_open  firing"]
        for _ in range(3):
            await anyio.sleep(10.5)
            await env.fail("a")
        assert changes(env) == ["all_open  firing"]
        await anyio.sleep(10.5)
        await env.outcome("a")
        assert changes(env) == ["all_open  firing", "all_open  cleared"]


async def test_fallback_share_fires_per_route() -> None:
    """The share of `fallback=` answers is reported by route."""
    rules = [FallbackShare(min_count=5)]
    async with harness(scripted("a", error_rate=1.0), fallback="sorry", alarms=rules) as env:
        for _ in range(5):
            assert await env.call() == "sorry"
        await anyio.sleep(1.5)
        assert changes(env) == ["fallback_share default firing"]


async def test_cost_per_hour_sums_the_cost_of_calls() -> None:
    """Without `cost=` the rule adds up the cost that the router knows of each call."""
    a = scripted("a", price=Price(0.0, 0.0, per_request=0.5))
    async with harness(a, alarms=[CostPerHour(2.0)]) as env:
        for _ in range(5):
            await env.call()
        await anyio.sleep(1.5)
        (event,) = env.recorder.of("alarm_changed")
        assert (event.alarm, event.value) == ("cost_per_hour", 2.5)
        await anyio.sleep(3700)
        assert changes(env) == ["cost_per_hour  firing", "cost_per_hour  cleared"]


async def test_a_reading_between_the_thresholds_keeps_the_state() -> None:
    """`between` changes nothing from either side; an alarm whose subject disappears ends."""
    rule = ManualRule()
    async with harness("a", alarms=Alarms([rule], interval=0.1)) as env:
        for state in (
            "unchanged",
            "firing",
            "unchanged",
            "firing",
            "cleared",
            "unchanged",
            "cleared",
        ):
            rule.states["x"] = state
            await anyio.sleep(1)
        assert changes(env) == ["manual x firing", "manual x cleared"]
        rule.states["x"] = "firing"
        await anyio.sleep(1)
        rule.states.clear()
        await anyio.sleep(1)
        assert changes(env)[2:] == ["manual x firing", "manual x cleared"]


# ── delivery ──────────────────────────────────────────────────────────────────────────────────


async def test_an_alarm_reaches_metrics_logs_listeners_and_targets() -> None:
    """Each reports start and end; the gauge counts subjects and starts at 0."""
    rule, received = ManualRule(), []
    async with harness("a", alarms=Alarms([rule], to=[received.append])) as env:
        assert env.total("alarms_firing", alarm="manual") == 0
        assert [s.name for f in env.registry.collect() for s in f.samples].count(
            "multirouter_alarms_firing"
        ) == 1
        rule.states = {"x": "firing", "y": "firing"}
        await anyio.sleep(1.5)
        assert env.total("alarms_firing", router="default", alarm="manual") == 2
        rule.states = {"x": "cleared", "y": "firing"}
        await anyio.sleep(2)
        assert env.total("alarms_firing") == 1
        expected = ["manual x firing", "manual y firing", "manual x cleared"]
        assert [summary(event) for event in received] == changes(env) == expected
        assert [fields["subject"] for fields in env.logger.of("alarm firing")] == ["x", "y"]
        (cleared,) = env.logger.of("alarm cleared")
        assert (cleared["alarm"], cleared["subject"], cleared["text"]) == ("manual", "x", "by hand")
        assert cleared["duration"] == pytest.approx(2)
    assert env.total("alarms_firing") == 0  # a closed router keeps no alarm firing


async def test_errors_of_a_target_or_rule_are_isolated() -> None:
    """A target and a rule that raise are reported once each, by name; the others go on."""
    rule, received = ManualRule(), []

    def failing_target(event: AlarmChanged) -> None:
        raise RuntimeError("pager down")

    bad = ManualRule()
    bad.name, bad.raises = "bad", True
    alarms = Alarms([bad, rule], to=[failing_target, received.append])
    async with harness("a", alarms=alarms) as env:
        for state in ("firing", "cleared", "firing"):
            rule.states["x"] = state
            await anyio.sleep(1.5)
        assert len(received) == 3
        assert await env.call() == "a: q"
        (listener,) = env.logger.of("listener failed")
        assert "failing_target" in listener["listener"]
        (hook,) = env.logger.of("hook failed")
        assert hook["hook"] == "ManualRule.evaluate"


async def test_a_rule_that_is_a_listener_receives_events() -> None:
    """A user's rule that is also a Listener receives events without being added again."""

    class Counts(ManualRule, Listener):
        received = 0

        def call_ended(self, outcome: Any) -> None:
            self.received += 1

    rule = Counts()
    async with harness("a", alarms=[rule]) as env:
        await env.call()
        assert rule.received == 1


# ── life cycle ────────────────────────────────────────────────────────────────────────────────


@pytest.mark.backends("asyncio", "uvloop")
def test_alarms_continue_in_a_new_event_loop(virtual_clock: VirtualClock) -> None:
    """In a new loop, whose time starts at 0, the time that a circuit has been open is kept."""
    target, logger = RecordingTarget(), Logger()
    policy = TRIPS_AT_ONCE.__class__(
        failures=1, open_duration=9000.0, max_open_duration=9000.0, growth=1.0
    )
    router = MultiProviderRouter(
        [scripted("a", "error"), Provider("b", RecordingTarget())],
        circuit=policy,
        alarms=Alarms([CircuitOpen(longer_than=100)], to=[target]),
        registry=CollectorRegistry(),
        logger=logger,
    )

    async def first() -> None:
        await router.call_outcome("q", route=["a"])
        await anyio.sleep(60)
        await router.call("q", route=["b"])  # calls tell the router the time

    async def second() -> None:
        await router.call("q", route=["b"])
        await anyio.sleep(30)
        assert target.events == []
        await anyio.sleep(20)
        assert target.lines == ["circuit_open a firing"]
        await router.aclose()

    virtual_clock.run(first)
    virtual_clock.run(second)


async def test_a_router_without_rules_has_no_alarm_task() -> None:
    """It has no task and no service for alarms."""
    async with harness("a", alarms=[]) as env:
        assert not any(isinstance(s, AlarmTask) for s in env.router._engine.binding.services)
        assert "alarms" not in repr(env.router._engine.binding.attempter.loop)


async def test_alarms_belong_to_one_router() -> None:
    """Rules keep state, so a second router with the same ones is rejected."""
    alarms = Alarms([AllOpen()])
    async with harness("a", alarms=alarms):
        with pytest.raises(ConfigurationError, match="already belongs to the router 'default'"):
            MultiProviderRouter(name="other", registry=CollectorRegistry(), alarms=alarms)


async def test_reprs_show_the_state() -> None:
    """The repr of each part shows its state in one line."""
    target = RecordingTarget()
    alarms = Alarms([ManualRule()], to=[target])
    assert repr(alarms) == "<Alarms ['manual'] of None>"
    async with harness("a", alarms=alarms) as env:
        services = env.router._engine.binding.services
        (alarm_task,) = (service for service in services if isinstance(service, AlarmTask))
        assert repr(alarm_task._evaluator) == "<AlarmEvaluator of 'default' firing=[]>"
        assert repr(alarm_task._outboxes[0]) == f"<Outbox to {target!r} queued=0 dropped=0>"
