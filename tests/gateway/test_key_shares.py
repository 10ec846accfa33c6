"""Limits of keys over several gateways: shares by demand, and bounded overshoot."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from multirouter import Budget
from multirouter.config.client_keys.hashed_keys import KeyRecord
from multirouter.gateway.auth.authentication import AccessControl
from multirouter.gateway.auth.key_limits import KeyLimits
from multirouter.gateway.auth.key_shares import KeyShares
from multirouter.gateway.workers.key_counter import KeyCounter
from multirouter.gateway.workers.messages import (
    Acquire,
    Answer,
    ApplyGrants,
    ReadDemands,
    ReadUsage,
    Release,
    RenewShares,
)
from multirouter.sharing.transport import Grants
from multirouter.testing import virtual_clock
from tests.sharing.fleet import Fleet

PER_MINUTE = 600.0


def key_of(name: str = "a", **limits: Any) -> KeyRecord:
    return KeyRecord(name=name, id="0" * 8, digest="0" * 64, **limits)


@dataclass
class Gateways:
    """What the gateways of a fleet count, each on a machine of its own."""

    fleet: Fleet
    access: list[AccessControl]
    started: list[int] = field(default_factory=list)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    def hammer(self, number: int, key: KeyRecord, pause: float, **used: Any) -> None:
        """Sends requests of a key to one gateway; rejected ones are rejected at once."""
        self.tasks.append(asyncio.create_task(self._hammer(number, key, pause, **used)))

    async def _hammer(
        self, number: int, key: KeyRecord, pause: float, tokens: int = 0, usd: float = 0.0
    ) -> None:
        limits, loop = self.access[number].limits, asyncio.get_running_loop()
        while True:
            await asyncio.sleep(pause)
            try:
                await limits.acquire(key, loop.time())
            except Exception:
                continue
            self.started[number] += 1
            await asyncio.sleep(0.01)
            limits.release(key, tokens, usd, loop.time())


def run(machines: int, test: Callable[[Gateways], Awaitable[Any]], **server: Any) -> Any:
    """Runs a test with gateways that know of each other."""

    async def main() -> Any:
        fleet = Fleet(**server)
        routers = await fleet.start(*(f"h{n}" for n in range(machines)))
        await fleet.settle(5.0)
        access = [AccessControl(None, membership=router.membership) for router in routers]
        await fleet.settle(5.0)
        gateways = Gateways(fleet, access, [0] * machines)
        found = await test(gateways)
        for task in gateways.tasks:
            task.cancel()
        await fleet.aclose()
        return found

    return virtual_clock.run(main)


@pytest.mark.parametrize("machines", [1, 4, 20])
@pytest.mark.parametrize("limit", ["requests_per_minute", "tokens_per_minute"])
def test_gateways_keep_to_the_rate_of_a_key(machines: int, limit: str) -> None:
    """Where all want everything: no more than at one gateway, and nearly all of it is used."""

    async def test(gateways: Gateways) -> tuple[int, int]:
        key = key_of(**{limit: PER_MINUTE})
        for number in range(machines):
            gateways.hammer(number, key, 0.01 if machines == 1 else 0.1, tokens=1)
        await asyncio.sleep(60.0)
        first = sum(gateways.started)
        await asyncio.sleep(60.0)
        return first, sum(gateways.started) - first

    first, second = run(machines, test)
    assert first <= 1.1 * 2 * PER_MINUTE  # a full bucket, and what a minute adds
    assert 0.85 * PER_MINUTE <= second <= 1.02 * PER_MINUTE


def test_one_gateway_has_the_whole_limit_at_once() -> None:
    """A fleet of one machine rejects nothing that a gateway alone admits."""

    async def test(gateways: Gateways) -> list[bool]:
        key, now = key_of(concurrent=10), asyncio.get_running_loop().time()
        counted: Any = gateways.access[0].limits
        return [counted.admit(key, now) is None for _ in range(11)]

    assert run(1, test) == [True] * 10 + [False]


def test_a_key_that_comes_into_use_elsewhere_takes_little_too_much() -> None:
    """An equal part until it is reported, within a second; then the shares follow the demand."""

    async def test(gateways: Gateways) -> tuple[int, int, list[int]]:
        key = key_of(requests_per_minute=PER_MINUTE)
        gateways.hammer(0, key, 0.01)
        await asyncio.sleep(120.0)
        before = sum(gateways.started)
        gateways.hammer(1, key, 0.01)
        await asyncio.sleep(60.0)
        first = sum(gateways.started) - before
        parts = list(gateways.started)
        await asyncio.sleep(60.0)
        both = [after - then for after, then in zip(gateways.started, parts, strict=True)]
        return first, sum(both), both

    first, second, both = run(2, test)
    assert first <= 1.2 * PER_MINUTE
    assert second <= 1.02 * PER_MINUTE
    assert min(both) >= 0.35 * PER_MINUTE


def test_concurrent_requests_of_a_key() -> None:
    """In the first second at most twice the limit, then one too many of each gateway."""

    async def test(gateways: Gateways) -> tuple[int, int, list[int]]:
        key, loop = key_of(concurrent=20), asyncio.get_running_loop()
        counted: list[Any] = [access.limits for access in gateways.access]
        first = most = 0
        for turn in range(300):
            for limits in counted:
                while limits.admit(key, loop.time()) is None:
                    pass
            under_way = [limits.read()["a"]["under_way"] for limits in counted]
            if turn < 10:
                first = max(first, sum(under_way))
            else:
                most = max(most, sum(under_way))
            await asyncio.sleep(0.1)
            for limits, count in zip(counted, under_way, strict=True):
                for _ in range(count):
                    limits.release(key, 0, 0.0, loop.time())
        return first, most, under_way

    first, most, under_way = run(4, test)
    assert first <= 40
    assert most <= 24
    assert sum(under_way) >= 16
    assert min(under_way) >= 3


@pytest.mark.parametrize("machines", [1, 4, 20])
def test_gateways_spend_the_budget_of_a_key_and_no_more(machines: int) -> None:
    """The excess is at most two requests of each gateway; then each says that it is used up."""

    async def test(gateways: Gateways) -> tuple[int, set[str], set[str], list[Any]]:
        key = key_of(budget=Budget(10.0, "month"))
        for number in range(machines):
            gateways.hammer(number, key, 0.1, usd=0.01)
        counted: list[Any] = [access.limits for access in gateways.access]
        codes = set()
        for _ in range(4000 // machines):
            await asyncio.sleep(1.0)
            found = [limits.admit(key, 0.0) for limits in counted]
            for limits, rejection in zip(counted, found, strict=True):
                if rejection is None:
                    limits.release(key, 0, 0.0, 0.0)
                else:
                    codes.add(rejection.code)
        last = {limits.admit(key, 0.0).message for limits in counted}
        budgets = (await gateways.access[0].limits.usage())["a"]["budgets"]
        return sum(gateways.started), codes, last, budgets

    started, codes, last, (budget,) = run(machines, test)
    assert 1000 <= started <= 1000 + 2 * machines
    assert last == {"the budget of this key is used up: budget of 10 USD per month"}
    assert codes <= {"insufficient_quota", "rate_limit_exceeded"}
    assert budget["shared"] is True
    assert budget["spent"] == pytest.approx(started * 0.01)


def test_without_the_server_each_gateway_keeps_its_last_share() -> None:
    """The limit is neither lifted nor closed, however long the server is away."""

    async def test(gateways: Gateways) -> int:
        key = key_of(requests_per_minute=PER_MINUTE)
        for number in range(4):
            gateways.hammer(number, key, 0.05)
        await asyncio.sleep(60.0)
        gateways.fleet.server.down = True
        gateways.fleet.server.disconnect_all()
        await asyncio.sleep(600.0)
        before = sum(gateways.started)
        await asyncio.sleep(60.0)
        return sum(gateways.started) - before

    assert 0.85 * PER_MINUTE <= run(4, test) <= 1.02 * PER_MINUTE


def test_only_keys_in_use_are_reported_and_in_parts() -> None:
    """Ten intervals after its last request a key has no share; one command has 200 limits."""

    async def test(gateways: Gateways) -> None:
        server, loop = gateways.fleet.server, asyncio.get_running_loop()
        counted: Any = gateways.access[0].limits
        assert server.commands["renew shares"] == 0
        for number in range(300):
            key = key_of(f"k{number}", concurrent=1)
            assert counted.admit(key, loop.time()) is None
            counted.release(key, 0, 0.0, loop.time())
        await asyncio.sleep(1.0)
        assert server.commands["renew shares"] == 2
        assert {limits.share for _, limits in counted.shares.shared_limits()} == {1.0}
        await asyncio.sleep(40.0)
        before = server.commands["renew shares"]
        await asyncio.sleep(10.0)
        assert server.commands["renew shares"] == before
        assert list(counted.shares.shared_limits()) == []

    run(1, test)


def test_a_key_that_comes_back_after_an_hour_has_its_demand_at_once() -> None:
    """The time in which no key was used does not count as time without demand."""
    shares = KeyShares(lambda: None)
    limits, key, now, found = KeyLimits(shares), key_of(requests_per_minute=PER_MINUTE), 0.0, []
    for _ in range(2):
        for _ in range(15):
            assert limits.admit(key, now) is None
            limits.release(key, 0, 0.0, now)
            now += 0.2
        demands = shares.report(3.0, now)
        assert demands is not None
        found += demands.limits.values()
        now += 3600.0
        assert shares.report(3.0, now) is None
    first, again = found
    assert first > 1.0
    assert again == pytest.approx(first, rel=0.2)


def test_keys_without_limits_are_not_reported() -> None:
    """And what is rejected by a share says so."""

    async def test(gateways: Gateways) -> str:
        limits, now = gateways.access[0].limits, asyncio.get_running_loop().time()
        assert limits.admit(key_of("free"), now) is None
        assert list(limits.shares.shared_limits()) == []
        key = key_of(concurrent=4)
        for _ in range(4):
            rejection = limits.admit(key, now)
        return rejection.message

    assert run(2, test) == (
        "the limit of this key is reached: the share of this gateway in 4 concurrent requests"
    )


class _Worker:
    """Records the keys of its requests."""

    def __init__(self) -> None:
        self.keys: list[KeyRecord] = []

    def key_acquired(self, key: KeyRecord) -> None:
        self.keys.append(key)

    def key_released(self, key: KeyRecord) -> None:
        self.keys.remove(key)

    def keys_under_way(self) -> list[KeyRecord]:
        return self.keys


def test_the_workers_of_a_gateway_report_for_their_supervisor() -> None:
    """A key that comes into use is reported at once, else one of the workers reports."""
    counter, key = KeyCounter(shared=True), key_of(concurrent=10)
    one, two = _Worker(), _Worker()
    workers: list[Any] = [one, two]
    counter.handle(workers[0], ApplyGrants(Grants({}, {}), 2))
    answers = counter.handle(workers[0], Acquire(1, key))
    assert answers == [Answer(1, None), RenewShares()]
    assert counter.handle(workers[1], Acquire(2, key)) == [Answer(2, None)]
    (answer,) = counter.handle(workers[1], ReadDemands(3, 3.0))
    assert isinstance(answer, Answer)
    assert set(answer.value.limits) == {"key a"}
    assert counter.handle(workers[0], ReadDemands(4, 3.0)) == [Answer(4, None)]
    for id_ in range(3):
        counter.handle(workers[0], Acquire(id_, key))
    (answer,) = counter.handle(workers[0], Acquire(5, key))
    assert "10 concurrent requests" in answer.value.message
    assert counter.handle(workers[0], ApplyGrants(Grants({"key a": 1.0}, {}), 2)) == []
    assert counter.handle(workers[0], Acquire(6, key)) == [Answer(6, None)]
    assert counter.handle(workers[0], Release(key, 0, 0.0)) == []
    counter.worker_ended(workers[1])
    (answer,) = counter.handle(workers[0], ReadUsage(7))
    assert isinstance(answer, Answer)
    assert answer.value["a"]["under_way"] == len(one.keys) == 4


def test_a_gateway_that_shares_nothing_reports_nothing() -> None:
    """Its supervisor has no demands, whatever its keys use."""
    counter, worker = KeyCounter(shared=False), _Worker()
    one: Any = worker
    assert counter.handle(one, Acquire(1, key_of(concurrent=1))) == [Answer(1, None)]
    assert counter.handle(one, ReadDemands(2, 3.0)) == [Answer(2, None)]
    assert counter.handle(one, ApplyGrants(Grants({}, {}), 1)) == []
