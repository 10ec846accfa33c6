"""Alarms of a real router: each fires once and clears once, and reaches who wants to know."""

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
    UsageError,
)
from multirouter.runtime.alarm_task import ATTEMPTS, FAREWELL, MOST_WAITING
from multirouter.testing import VirtualClock
from tests.scenarios.kit import BRITTLE, House, Logger, house, play


class Told:
    """An async target that keeps what it is told, and fails or hangs to order."""

    def __init__(self, *script: Exception | str) -> None:
        self.script = list(script)
        self.asked: list[float] = []
        self.news: list[AlarmChanged] = []

    async def __call__(self, news: AlarmChanged) -> None:
        self.asked.append(anyio.current_time())
        step = self.script.pop(0) if self.script else None
        if isinstance(step, Exception):
            raise step
        if step == "hang":
            await anyio.sleep(10_000)
        self.news.append(news)

    @property
    def lines(self) -> list[str]:
        return [line(news) for news in self.news]


class Switch:
    """A rule whose readings are set by hand."""

    name = "switch"

    def __init__(self) -> None:
        self.standing: dict[str, Any] = {}
        self.broken = False

    def judge(self, now: float, view: Any) -> list[AlarmReading]:
        if self.broken:
            raise ZeroDivisionError
        return [AlarmReading(who, how, 1.0, "by hand") for who, how in self.standing.items()]

    def shift(self, by: float) -> None:
        """Stores no instant."""


def line(news: AlarmChanged) -> str:
    """An alarm in short."""
    return f"{news.alarm} {news.subject} {'fires' if news.firing else 'is over'}"


def changes(home: House) -> list[str]:
    return [line(news) for news in home.news.of("alarm_changed")]


# ── once and once ───────────────────────────────────────────────────────────────────────────────


async def test_a_failing_primary_fires_once_and_clears_once() -> None:
    """However long it fails and however often it is looked at: one alarm, and one end of it."""
    told = Told()
    rules = Alarms([ProviderFailing("a", over=0.05, within=300, least=20)], to=[told])
    async with house("a", "b", alarms=rules) as home:
        home["a"].error_rate = 1.0
        for _ in range(60):
            await home.outcome("a", "b")
            await anyio.sleep(5)
        assert told.lines == ["provider_failing a fires"]
        assert home["a"].count < 20  # its circuit is proof enough
        home["a"].error_rate = 0.0
        for _ in range(200):
            await home.outcome("a")
            await anyio.sleep(5)
        assert told.lines == ["provider_failing a fires", "provider_failing a is over"]
        assert changes(home) == told.lines


async def test_an_open_circuit_fires_when_time_has_passed_and_nothing_else_happens() -> None:
    """No call is needed: the alarm comes within a second of its span, by the router's own task."""
    rules = [CircuitOpen("a", longer_than=60)]
    policy = BRITTLE.__class__(failures=1, open_duration=600.0, max_open_duration=600.0, growth=1.0)
    async with house("a", "b", circuit=policy, alarms=rules) as home:
        await home.fail("a")
        opened = anyio.current_time()
        await anyio.sleep(59)
        assert changes(home) == []
        await anyio.sleep(3)
        (fired,) = home.news.of("alarm_changed")
        assert fired.firing
        assert 60 < fired.at - opened <= 62
        home.router.hold("a", "closed")
        assert changes(home) == ["circuit_open a fires", "circuit_open a is over"]
        over = home.news.of("alarm_changed")[1]
        assert over.since == fired.at
        assert over.at == anyio.current_time()


async def test_all_open_fires_at_the_instant_and_outlives_failed_trials() -> None:
    """The last circuit that opens fires it; trials that fail neither clear nor fire it again."""
    async with house("a", "b", circuit=BRITTLE, alarms=[AllOpen()]) as home:
        await home.fail("a")
        assert changes(home) == []
        await home.fail("b")
        assert changes(home) == ["all_open  fires"]
        for _ in range(3):
            await anyio.sleep(10.5)
            await home.fail("a")
        assert changes(home) == ["all_open  fires"]
        await anyio.sleep(10.5)
        await home.outcome("a")
        assert changes(home) == ["all_open  fires", "all_open  is over"]


async def test_substitutes_fire() -> None:
    """A share of answers by `fallback=` is told by route."""
    rules = [FallbackShare(least=5)]
    async with house(play("a", error_rate=1.0), fallback="sorry", alarms=rules) as home:
        for _ in range(5):
            assert await home.call() == "sorry"
        await anyio.sleep(1.5)
        assert changes(home) == ["fallback_share default fires"]


async def test_the_hours_cost_is_the_routers_own() -> None:
    """Without `cost=` the rule adds up what the router knows of each call's cost."""
    a = play("a", price=Price(0.0, 0.0, per_request=0.5))
    async with house(a, alarms=[CostPerHour(2.0)]) as home:
        for _ in range(5):
            await home.call()
        await anyio.sleep(1.5)
        (news,) = home.news.of("alarm_changed")
        assert (news.alarm, news.value) == ("cost_per_hour", 2.5)
        await anyio.sleep(3700)
        assert changes(home) == ["cost_per_hour  fires", "cost_per_hour  is over"]


async def test_the_gap_between_over_and_under_keeps_an_alarm_as_it_is() -> None:
    """`between` changes nothing, whichever way the number came; a lost subject is over."""
    switch = Switch()
    async with house("a", alarms=Alarms([switch], every=0.1)) as home:
        for standing in ("between", "over", "between", "over", "under", "between", "under"):
            switch.standing["x"] = standing
            await anyio.sleep(1)
        assert changes(home) == ["switch x fires", "switch x is over"]
        switch.standing["x"] = "over"
        await anyio.sleep(1)
        switch.standing.clear()
        await anyio.sleep(1)
        assert changes(home)[2:] == ["switch x fires", "switch x is over"]


# ── who hears of it ─────────────────────────────────────────────────────────────────────────────


async def test_an_alarm_is_a_metric_a_log_event_news_and_a_call() -> None:
    """All four tell of its start and its end; the gauge counts subjects and begins at 0."""
    switch, heard = Switch(), []
    async with house("a", alarms=Alarms([switch], to=[heard.append])) as home:
        assert home.total("alarms_firing", alarm="switch") == 0
        assert [s.name for f in home.registry.collect() for s in f.samples].count(
            "multirouter_alarms_firing"
        ) == 1
        switch.standing = {"x": "over", "y": "over"}
        await anyio.sleep(1.5)
        assert home.total("alarms_firing", router="default", alarm="switch") == 2
        switch.standing = {"x": "under", "y": "over"}
        await anyio.sleep(2)
        assert home.total("alarms_firing") == 1
        expected = ["switch x fires", "switch y fires", "switch x is over"]
        assert [line(news) for news in heard] == changes(home) == expected
        assert [fields["subject"] for fields in home.logger.of("alarm fires")] == ["x", "y"]
        (over,) = home.logger.of("alarm is over")
        assert (over["alarm"], over["subject"], over["about"]) == ("switch", "x", "by hand")
        assert over["lasted"] == pytest.approx(2)
    assert home.total("alarms_firing") == 0  # a router that is gone keeps no alarm up


async def test_whoever_breaks_harms_nothing() -> None:
    """A target and a rule that raise are reported once each, by name; the others go on."""
    switch, heard = Switch(), []

    def breaks(news: AlarmChanged) -> None:
        raise RuntimeError("no pager")

    bad = Switch()
    bad.name, bad.broken = "bad", True
    alarms = Alarms([bad, switch], to=[breaks, heard.append])
    async with house("a", alarms=alarms) as home:
        for standing in ("over", "under", "over"):
            switch.standing["x"] = standing
            await anyio.sleep(1.5)
        assert len(heard) == 3
        assert await home.call() == "a: q"
        (listener,) = home.logger.of("listener broken")
        assert "breaks" in listener["listener"]
        (hook,) = home.logger.of("hook broken")
        assert hook["hook"] == "Switch.judge"


async def test_a_rule_that_listens_hears() -> None:
    """A rule of the user's that is a Listener too hears the news without being added again."""

    class Counts(Switch, Listener):
        heard = 0

        def call_ended(self, outcome: Any) -> None:
            self.heard += 1

    rule = Counts()
    async with house("a", alarms=[rule]) as home:
        await home.call()
        assert rule.heard == 1


# ── targets that take time ──────────────────────────────────────────────────────────────────────


async def test_a_slow_target_holds_up_nobody() -> None:
    """While it hangs calls are answered at once; it is given up after a while and asked again."""
    switch, told = Switch(), Told("hang")
    async with house("a", alarms=Alarms([switch], to=[told])) as home:
        switch.standing["x"] = "over"
        await anyio.sleep(2)
        assert len(told.asked) == 1
        before = anyio.current_time()
        assert (await home.outcome()).ok
        assert anyio.current_time() == before
        await anyio.sleep(60)
        assert told.lines == ["switch x fires"]


async def test_what_failed_is_sent_again_in_order() -> None:
    """Rests lie between the tries, and the next alarm waits for the one before it."""
    switch, told = Switch(), Told(*[OSError("down")] * 3)
    async with house("a", alarms=Alarms([switch], to=[told])) as home:
        for standing in ("over", "under"):
            switch.standing["x"] = standing
            await anyio.sleep(1.5)
        await anyio.sleep(120)
        assert told.lines == ["switch x fires", "switch x is over"]
        rests = [b - a for a, b in zip(told.asked[:4], told.asked[1:4], strict=False)]
        assert all(0 <= rest <= 2 * 2**number for number, rest in enumerate(rests))
        assert home.logger.of("background task broken") == []


@pytest.mark.parametrize(
    ("error", "tries"), [(OSError("down"), ATTEMPTS), (UsageError("wrong URL"), 1)]
)
async def test_an_alarm_is_given_up_in_the_end_and_that_is_told(error, tries) -> None:
    """After so many tries, at once when no other try can mend it; the next alarm goes out."""
    switch, told = Switch(), Told(*[error] * tries)
    async with house("a", alarms=Alarms([switch], to=[told])) as home:
        switch.standing["x"] = "over"
        await anyio.sleep(300)
        assert (len(told.asked), told.lines) == (tries, [])
        (report,) = home.logger.of("background task broken")
        assert report["error"] == type(error).__name__
        switch.standing["x"] = "under"
        await anyio.sleep(2)
        assert told.lines == ["switch x is over"]


async def test_the_queue_is_bounded() -> None:
    """While a target hangs the oldest alarms make room for the newest, and that is told."""
    switch, told = Switch(), Told("hang")
    async with house("a", alarms=Alarms([switch], to=[told])) as home:
        switch.standing["first"] = "over"
        await anyio.sleep(1.5)
        switch.standing |= {str(number): "over" for number in range(MOST_WAITING + 7)}
        await anyio.sleep(40)
        subjects = [news.subject for news in told.news]
        assert subjects == ["first", *(str(n) for n in range(7, MOST_WAITING + 7))]
        assert len(home.logger.of("background task broken")) == 7


async def test_the_last_alarms_go_out_when_the_router_closes() -> None:
    """What waits is sent before the tasks end, and a target that hangs delays the end a little."""
    switch, told = Switch(), Told(OSError("down"))
    async with house("a", alarms=Alarms([switch], to=[told])):
        switch.standing["x"] = "over"
        await anyio.sleep(0.1)
        assert (len(told.asked), told.news) == (1, [])
    assert told.lines == ["switch x fires"]
    switch, told = Switch(), Told("hang")
    async with house("a", alarms=Alarms([switch], to=[told])):
        switch.standing["x"] = "over"
        await anyio.sleep(1.5)
        before = anyio.current_time()
    assert anyio.current_time() - before == pytest.approx(FAREWELL)
    assert told.news == []


# ── life ────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.backends("asyncio", "uvloop")
def test_alarms_move_with_the_router(virtual_clock: VirtualClock) -> None:
    """In a new loop, whose time begins anew, a circuit goes on being open for as long as it is."""
    told, logger = Told(), Logger()
    policy = BRITTLE.__class__(
        failures=1, open_duration=9000.0, max_open_duration=9000.0, growth=1.0
    )
    router = MultiProviderRouter(
        [play("a", "error"), Provider("b", Told())],
        circuit=policy,
        alarms=Alarms([CircuitOpen(longer_than=100)], to=[told]),
        registry=CollectorRegistry(),
        logger=logger,
    )

    async def first() -> None:
        await router.call_outcome("q", route=["a"])
        await anyio.sleep(60)
        await router.call("q", route=["b"])  # the router knows the time by its calls

    async def second() -> None:
        await router.call("q", route=["b"])
        await anyio.sleep(30)
        assert told.news == []
        await anyio.sleep(20)
        assert told.lines == ["circuit_open a fires"]
        await router.aclose()

    virtual_clock.run(first)
    virtual_clock.run(second)


async def test_without_rules_nothing_runs() -> None:
    """A router without alarms has no task for them, and nobody hears more than before."""
    async with house("a", alarms=[]) as home:
        assert home.router._engine.residence.attendants == []
        assert "alarms" not in repr(home.router._engine.residence.asker.loop)


async def test_alarms_belong_to_one_router() -> None:
    """Rules remember, so a second router with the same ones is refused."""
    alarms = Alarms([AllOpen()])
    async with house("a", alarms=alarms):
        with pytest.raises(ConfigurationError, match="belong to the router 'default' already"):
            MultiProviderRouter(name="other", registry=CollectorRegistry(), alarms=alarms)


async def test_they_show_what_they_do() -> None:
    """The repr of each part tells its state in a line."""
    told = Told()
    alarms = Alarms([Switch()], to=[told])
    assert repr(alarms) == "<Alarms ['switch'] of None>"
    async with house("a", alarms=alarms) as home:
        (vigil,) = home.router._engine.residence.attendants
        assert repr(vigil._watch) == "<Watch over 'default' firing=[]>"
        assert repr(vigil._outboxes[0]) == f"<Outbox to {told!r} waiting=0 lost=0>"
