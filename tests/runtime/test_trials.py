"""Attempts that nobody awaits: copies of calls as trials, and the user's own `health_check=`."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import anyio
import pytest
from prometheus_client import CollectorRegistry

from multirouter import (
    CircuitPolicy,
    FailureKind,
    MultiProviderRouter,
    Provider,
    ProviderError,
    RetryPolicy,
    Route,
)
from multirouter.runtime.trials import MOST
from multirouter.testing import Fault, StatusError, VirtualClock
from tests.scenarios.kit import BRITTLE, FAULTY, House, Logger, house, play

# ── copies ──────────────────────────────────────────────────────────────────────────────────────


async def test_no_caller_waits_for_a_recovering_provider() -> None:
    """A half-open provider that hangs gets copies; every call is answered at once by the others."""
    async with house("a", "b", circuit=BRITTLE, attempt_timeout=5) as home:
        await home.half_open("a")
        home["a"].then(*["hang"] * 100)
        asked = home["a"].count
        for _ in range(40):
            outcome = await home.outcome()
            assert (outcome.provider, outcome.elapsed) == ("b", 0)
            await anyio.sleep(1)
        trials = home["a"].count - asked
        assert 2 <= trials <= 4  # each hangs for 5 s and opens it for 10 s
        assert {r.role for r in home.records("a")[1:]} == {"trial"}
        assert all("trial of a half-open circuit" in r.why for r in home.records("a")[1:])


async def test_no_caller_of_a_chain_waits_for_a_recovering_primary() -> None:
    """The same when it is the first tier of a chain that recovers."""
    async with house("a", "b", circuit=BRITTLE, attempt_timeout=5) as home:
        await home.half_open("a")
        home["a"].then("hang")
        outcome = await home.outcome("a", "b")
        assert (outcome.provider, outcome.elapsed) == ("b", 0)
        await anyio.sleep(1)
        assert home["a"].in_flight == 1


async def test_what_is_not_idempotent_is_not_copied() -> None:
    """`idempotent=False`: the call itself is the trial, once, and nothing runs beside it."""
    async with house("a", "b", circuit=BRITTLE) as home:
        await home.half_open("a")
        outcome = await home.outcome(idempotent=False)
        assert outcome.provider == "a"
        assert (home["a"].count, home["b"].count) == (2, 0)
        assert home.state("a") == "closed"


async def test_a_copys_verdict_is_the_trials() -> None:
    """A copy that fails opens the circuit again, and its caller never hears of it."""
    async with house("a", "b", circuit=BRITTLE) as home:
        await home.half_open("a")
        home["a"].then("error")
        outcome = await home.outcome()
        await anyio.sleep(0.1)
        assert outcome.ok
        assert [r.provider for r in outcome.attempts] == ["b"]
        assert home.state("a") == "open"


async def test_copies_are_paid_for() -> None:
    """Without budget there is no copy, and calls go on as before."""
    retry = RetryPolicy(budget=0.0, budget_floor=0)
    async with house("a", "b", circuit=BRITTLE, retry=retry) as home:
        await home.half_open("a")
        for _ in range(20):
            assert (await home.outcome()).provider == "b"
        assert home["a"].count == 1


async def test_a_copy_outlives_its_call() -> None:
    """Its deadline is the attempt's own, not that of a call with little time."""
    async with house("a", "b", circuit=BRITTLE) as home:
        await home.half_open("a")
        home["a"].then(Fault("slow", after=8.0))
        await home.call(timeout=1)
        await anyio.sleep(8.5)
        assert home.state("a") == "closed"


async def test_copies_have_a_bound() -> None:
    """When as many hang as are allowed, a further copy gives its permit back."""
    policy = CircuitPolicy(
        failures=1, open_duration=10.0, growth=1.0, half_open_max_calls=MOST + 20
    )
    retry = RetryPolicy(budget_floor=10_000)
    async with house("a", "b", circuit=policy, retry=retry) as home:
        await home.half_open("a")
        home["a"].then(*["hang"] * 500)
        callers = [home.begin() for _ in range(MOST + 10)]
        assert all([(await caller.end()).ok for caller in callers])
        await anyio.sleep(1)
        assert home["a"].in_flight == home.router.in_flight("a") == MOST


@pytest.mark.backends("asyncio", "uvloop")
def test_a_copy_that_never_began_gives_its_permit_back(virtual_clock: VirtualClock) -> None:
    """A run that ends before the copy's first step leaves no trial out in the next run."""

    async def instant(request: object) -> str:
        return "at once"

    settings: dict[str, Any] = {"registry": CollectorRegistry(), "logger": Logger()}
    providers = [play("a", "error"), Provider("b", instant)]
    router = MultiProviderRouter(providers, circuit=BRITTLE, **settings)

    async def first() -> None:
        await router.call_outcome("q", route=["a"])
        await anyio.sleep(10.1)
        assert await router.call("q") == "at once"
        assert not router.available("a")

    async def second() -> None:
        assert await router.call("q") in {"at once", "a: q"}
        await anyio.sleep(0.1)
        assert (router.circuit_state("a"), router.in_flight("a")) == ("closed", 0)
        await router.aclose()

    virtual_clock.run(first)
    virtual_clock.run(second)


# ── the user's own probe ────────────────────────────────────────────────────────────────────────


class Prober:
    """A `health_check=` that plays a script and notes when it was asked."""

    def __init__(self, *script: Any, hangs: bool = False) -> None:
        self.script = list(script)
        self.hangs = hangs
        self.asked: list[float] = []

    async def __call__(self) -> None:
        self.asked.append(anyio.current_time())
        if self.hangs:
            await anyio.sleep_forever()
        if self.script:
            step = self.script.pop(0)
            if step is not None:
                raise step


def error(status: int) -> StatusError:
    return StatusError("trial", status=status, headers={})


async def until_reset(home: House) -> None:
    """Opens `a` and waits until just after its reset."""
    await home.fail("a")
    await anyio.sleep(10.1)


async def test_a_probe_closes_the_circuit_without_any_call() -> None:
    """At the reset time the probe is the trial; one success and the provider is back."""
    prober = Prober()
    async with house(play("a", health_check=prober), "b", circuit=BRITTLE) as home:
        start = anyio.current_time()
        await until_reset(home)
        assert home.state("a") == "closed"
        assert prober.asked == [pytest.approx(start + 10, abs=0.01)]
        record = home.records("a")[-1]
        assert (record.role, record.why, record.ok) == (
            "trial",
            "the provider's health_check=",
            True,
        )


async def test_a_probe_is_asked_as_often_as_the_circuit_wants() -> None:
    """With three trials it takes three successes."""
    prober = Prober()
    policy = CircuitPolicy(failures=1, open_duration=10.0, growth=1.0, half_open_max_calls=3)
    async with house(play("a", health_check=prober), "b", circuit=policy) as home:
        await until_reset(home)
        assert (home.state("a"), len(prober.asked)) == ("closed", 3)


async def test_calls_are_no_trials_where_there_is_a_probe() -> None:
    """While the probe has not yet answered, no call and no copy of one tests the provider."""
    prober = Prober(hangs=True)
    async with house(
        play("a", health_check=prober), "b", circuit=BRITTLE, attempt_timeout=5
    ) as home:
        await until_reset(home)
        assert home.state("a") == "half_open"
        for _ in range(5):
            assert (await home.outcome()).provider == "b"
        assert home["a"].count == 1


async def test_a_probe_that_hangs_is_cut_off() -> None:
    """After the attempt's timeout it has failed, and the circuit is open again."""
    prober = Prober(hangs=True)
    async with house(
        play("a", health_check=prober), "b", circuit=BRITTLE, attempt_timeout=5
    ) as home:
        await until_reset(home)
        await anyio.sleep(5)
        assert home.state("a") == "open"
        assert str(home.records("a")[-1].verdict.kind) == "timeout"
        await anyio.sleep(10.1)
        assert len(prober.asked) == 2


async def test_a_probe_that_hangs_does_not_keep_the_next_one_waiting() -> None:
    """Where attempts may take minutes, one probe begins within 30 s of the last all the same."""
    prober = Prober(hangs=True)
    policy = CircuitPolicy(failures=1)
    async with house(
        play("a", health_check=prober), "b", circuit=policy, attempt_timeout=120
    ) as home:
        await home.fail("a")
        await anyio.sleep(300)
        gaps = [later - sooner for sooner, later in pairwise(prober.asked)]
        assert len(gaps) >= 10
        assert max(gaps) < 30


async def test_a_probe_that_fails_opens_it_again() -> None:
    """The next one comes after the next open time."""
    prober = Prober(error(503), error(503))
    async with house(play("a", health_check=prober), "b", circuit=BRITTLE) as home:
        start = anyio.current_time()
        await until_reset(home)
        assert home.state("a") == "open"
        await anyio.sleep(20)
        assert home.state("a") == "closed"
        assert [round(at - start) for at in prober.asked] == [10, 20, 30]


@pytest.mark.parametrize("neutral", [error(400), error(404), error(429)], ids=str)
async def test_a_neutral_probe_is_repeated_after_a_rest(neutral: Exception) -> None:
    """What says nothing about health neither closes nor opens it, nor is it asked without pause."""
    prober = Prober(neutral)
    async with house(play("a", health_check=prober), "b", circuit=BRITTLE) as home:
        await until_reset(home)
        assert (home.state("a"), len(prober.asked)) == ("half_open", 1)
        await anyio.sleep(15)
        assert (home.state("a"), len(prober.asked)) == ("closed", 2)


@pytest.mark.backends("asyncio", "uvloop")
async def test_a_probe_that_cancels_itself_has_failed() -> None:
    """A CancelledError nobody asked for is the probe's failure, and no loop without end."""
    prober = Prober(asyncio.CancelledError())
    async with house(play("a", health_check=prober), "b", circuit=BRITTLE) as home:
        await until_reset(home)
        assert (home.state("a"), len(prober.asked)) == ("open", 1)


async def test_a_released_provider_is_probed() -> None:
    """One that was held open is tested by its probe as soon as it is released."""
    prober = Prober()
    async with house(play("a", health_check=prober), "b", circuit=BRITTLE) as home:
        home.router.hold("a", "open")
        await anyio.sleep(1)
        home.router.unhold("a")
        await home.call()
        await anyio.sleep(1)
        assert (home.state("a"), len(prober.asked)) == ("closed", 1)


async def test_a_probe_ends_with_its_router() -> None:
    """Closing cancels a probe under way; it counts for nothing."""
    prober = Prober(hangs=True)
    async with house(play("a", health_check=prober), "b", circuit=BRITTLE) as home:
        await until_reset(home)
        await home.router.aclose()
        assert home.records("a")[-1].outcome == "cancelled"


async def test_a_probe_serves_who_waits() -> None:
    """A call that waits for the only provider is let in when its probe has passed."""
    async with house(play("a", health_check=Prober()), circuit=BRITTLE) as home:
        await home.fail("a")
        outcome = await home.outcome(wait=60)
        assert outcome.elapsed == pytest.approx(10, abs=0.1)


async def test_a_probe_of_a_provider_that_is_on_named_routes_only() -> None:
    """It is found though the `default` route does not have it."""
    prober = Prober()
    routes = [Route("default", ["b"]), Route("other", ["a"])]
    async with house(play("a", health_check=prober), "b", circuit=BRITTLE, routes=routes) as home:
        await until_reset(home)
        assert (home.state("a"), len(prober.asked)) == ("closed", 1)


async def test_a_broken_copy_is_told_and_harms_none() -> None:
    """A copy whose provider cannot be awaited is logged; the trial's permit is back."""

    def plain(request: object) -> Any:
        return "not awaitable"

    async with house("a", "b", circuit=BRITTLE) as home:
        await home.half_open("a")
        home.router.update("a", call=plain)
        assert await home.call() == "b: q"
        await anyio.sleep(0.1)
        assert home.logger.of("background task broken")
        assert home.router.in_flight("a") == 0
        assert home.router.available("a")


async def test_probes_read_the_kind_of_an_adapters_error() -> None:
    """Bad credentials found by a probe keep it open for as long as such things take."""
    bad = ProviderError("401", provider="a", kind=FailureKind.CREDENTIALS, status=401)
    async with house(play("a", health_check=Prober(bad)), "b", circuit=BRITTLE) as home:
        await until_reset(home)
        assert home.seen("a")["reset_in"] == pytest.approx(300, abs=0.2)
        assert home.news.of("circuit_changed")[-1].reason == "credentials"


async def test_calls_are_the_trial_when_nobody_else_is_left() -> None:
    """With the probe's neutral answer and nobody healthy, a call may be the trial itself."""
    prober = Prober(error(400))
    async with house(play("a", health_check=prober), circuit=BRITTLE) as home:
        await until_reset(home)
        assert home.state("a") == "half_open"
        home["a"].then(FAULTY)
        assert not (await home.outcome()).ok
        assert await home.call() == "a: q"
        assert home.state("a") == "closed"
