"""Redis, Valkey and the server in memory keep and send the same."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import RedisCluster

from multirouter import ConfigurationError
from multirouter.core.sharing.facts import Fact, Stamp
from multirouter.sharing.redis_sharing import RedisSharing
from multirouter.sharing.transport import (
    Demands,
    Identity,
    Report,
    SharingError,
    Spending,
    Transport,
)
from multirouter.testing.sharing import MemoryServer
from tests.sharing.servers import CLUSTERS, running

Make = Callable[[str], Transport]
NOTHING = Report("", -1, {}, 30.0)


def identity(origin: str, host: str = "h") -> Identity:
    return Identity(origin, "f {x}", host, {"pid": 1})


@pytest.fixture(params=["memory", "redis", "valkey"])
def on_each(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Runs a test with two connections of each kind."""

    def run(test: Callable[[Transport, Transport], Awaitable[None]]) -> None:
        async def main(sharing: Any) -> None:
            async with pair(sharing) as (a, b):
                await test(a, b)

        if request.param == "memory":
            asyncio.run(main(MemoryServer(latency=0.0).sharing()))
            return
        with running(request.param, tmp_path) as server:
            asyncio.run(main(RedisSharing(server.url)))

    return run


@asynccontextmanager
async def pair(sharing: Any) -> AsyncGenerator[tuple[Transport, Transport]]:
    transports = (sharing.transport(identity("p", "x")), sharing.transport(identity("q", "y")))
    for transport in transports:
        await transport.connect()
    try:
        yield transports
    finally:
        for transport in transports:
            await transport.close(leave=True)


def fact(clock: int, origin: str = "p", left: float = 10.0, subject: str = "a") -> Fact:
    return Fact("open", subject, Stamp(clock, origin), ["failures", 1, 3, True, "h"], left)


def test_facts_reach_all_and_are_kept(on_each: Any) -> None:
    """A published fact is sent to both, and a report gets it with what is left of it."""

    async def test(a: Transport, b: Transport) -> None:
        hold = Fact("hold", 'b"|\\ é', Stamp(2, "p"), "open")
        await a.publish([fact(1), hold])
        for transport in (a, b):
            message = await transport.receive()
            assert (message.version, list(message.facts)) == (1, [fact(1), hold])
        answer = await b.exchange(NOTHING)
        assert answer.facts is not None
        found = {found.subject: found for found in answer.facts}
        assert 9.0 < found["a"].left <= 10.0
        assert found['b"|\\ é'] == hold
        assert answer.facts != []
        assert answer.version == 1

    on_each(test)


def test_a_report_gets_only_what_it_does_not_know(on_each: Any) -> None:
    """With the current version there are no facts; with another epoch all of them."""

    async def test(a: Transport, b: Transport) -> None:
        first = await a.exchange(NOTHING)
        assert (first.facts, first.version) == ([], 0)
        again = await a.exchange(Report(first.epoch, 0, None, 30.0))
        assert again.facts is None
        await b.publish([fact(1, "q")])
        assert len((await a.exchange(Report(first.epoch, 0, None, 30.0))).facts or ()) == 1
        assert len((await a.exchange(Report("other", 1, None, 30.0))).facts or ()) == 1

    on_each(test)


def test_an_old_fact_changes_nothing(on_each: Any) -> None:
    """A fact that is not newer is neither kept nor sent, whichever order they come in."""

    async def test(a: Transport, b: Transport) -> None:
        await a.publish([fact(5)])
        await a.publish([fact(4), fact(5)])
        await a.publish([fact(5, "q", subject="b")])
        versions = [(await b.receive()).version for _ in range(2)]
        assert versions == [1, 2]
        hold = Fact("hold", "a", Stamp(7, "p"), "open")
        await a.publish([hold])
        await b.publish([Fact("hold", "a", Stamp(7, "o"), None)])
        answer = await b.exchange(NOTHING)
        kept = [found for found in answer.facts or () if found.kind == "hold"]
        assert kept == [hold]

    on_each(test)


def test_what_has_expired_is_not_read(on_each: Any) -> None:
    """A fact whose time has passed is not part of the state."""

    async def test(a: Transport, b: Transport) -> None:
        await a.publish([fact(1, left=0.05), fact(2, subject="b")])
        await asyncio.sleep(0.2)
        answer = await b.exchange(NOTHING)
        assert [found.subject for found in answer.facts or ()] == ["b"]

    on_each(test)


def test_processes_and_hosts_are_counted(on_each: Any) -> None:
    """Those that report; one that leaves, or is silent too long, is not counted."""

    async def test(a: Transport, b: Transport) -> None:
        first = await a.exchange(Report("", -1, {"a": "open"}, 30.0))
        both = await b.exchange(Report("", -1, {}, 0.1))
        assert (first.processes, both.processes, both.hosts) == (1, 2, 2)
        found = {member.origin: member for member in await a.members()}
        assert found["p"] == ("p", "x", {"pid": 1}, {"a": "open"})
        assert found["q"].host == "y"
        await asyncio.sleep(0.3)
        later = await a.exchange(Report("", -1, None, 30.0))
        assert (later.processes, later.hosts) == (1, 1)
        assert [(m.origin, m.beliefs) for m in await a.members()] == [("p", {"a": "open"})]
        assert later.time >= both.time
        await a.close(leave=True)
        assert await b.members() == []

    on_each(test)


def test_shares_are_granted_as_the_core_computes_them(on_each: Any) -> None:
    """By demand, never again what another holds, and again when that has expired."""

    async def test(a: Transport, b: Transport) -> None:
        async def share(of: Transport, demand: float, kept: float = 30.0) -> Any:
            demands = Demands(of_name[of], {"provider x": demand, "provider y": 0.0}, kept=kept)
            return (await of.exchange(Report("", -1, None, 30.0, demands))).grants.shares

        of_name = {a: "p", b: "q"}
        first = await share(a, 30.0)
        assert first == {"provider x": pytest.approx(1.0), "provider y": pytest.approx(1.0)}
        assert (await share(b, 10.0))["provider x"] == pytest.approx(0.025)
        again = await share(a, 30.0, 0.05)
        assert again["provider x"] == pytest.approx(0.9 * 0.75 + 0.05)
        assert (await share(b, 10.0))["provider x"] == pytest.approx(0.275)
        await asyncio.sleep(0.2)
        assert (await share(b, 10.0))["provider x"] == pytest.approx(1.0)
        current = await b.exchange(NOTHING)
        demands = Demands("q", {"provider x": 1e-7})
        answer = await b.exchange(Report(current.epoch, current.version, None, 30.0, demands))
        assert answer.facts is None
        assert answer.grants.shares["provider x"] == pytest.approx(1.0)

    on_each(test)


def test_another_holder_has_shares_of_its_own(on_each: Any) -> None:
    """Whichever process reports its demands, its grants are replaced, and it is no process."""

    async def test(a: Transport, b: Transport) -> None:
        def demands(holder: str, demand: float, spent: float) -> Demands:
            budgets = {"budget of key k until 9": Spending(spent, 10.0, "budget of key k", 60.0)}
            return Demands(holder, {"key k": demand, "budget of key k": 0.0}, budgets)

        one = await a.renew_shares(demands("g", 1e-7, 2.0))
        assert one.shares == {"key k": pytest.approx(1.0), "budget of key k": pytest.approx(1.0)}
        assert one.budgets == {"budget of key k until 9": pytest.approx((10.0, 0.0))}
        assert await b.renew_shares(demands("g", 1e-7, 2.0)) == one
        two = await b.renew_shares(demands("h", 3e-7, 0.0))
        assert two.shares["key k"] == pytest.approx(0.025)
        assert two.budgets["budget of key k until 9"] == pytest.approx((0.0, 2.0))
        assert (await a.renew_shares(demands("g", 1e-7, 2.0))).shares["key k"] == pytest.approx(
            0.9 * 0.25 + 0.05
        )
        assert await a.members() == []

    on_each(test)


def test_one_process_has_a_lease(on_each: Any) -> None:
    """The other learns how long it lasts; it is renewed, given back, and ends by itself."""

    async def test(a: Transport, b: Transport) -> None:
        assert await a.acquire_lease("a/ b", 5.0) == 0.0
        assert await a.acquire_lease("a/ b", 10.0) == 0.0
        assert 9.0 < await b.acquire_lease("a/ b", 5.0) <= 10.0
        assert await b.acquire_lease("other", 5.0) == 0.0
        await b.release_lease("a/ b")
        assert await b.acquire_lease("a/ b", 5.0) > 0.0
        await a.release_lease("a/ b")
        assert await b.acquire_lease("a/ b", 0.05) == 0.0
        await asyncio.sleep(0.2)
        assert await a.acquire_lease("a/ b", 5.0) == 0.0

    on_each(test)


@pytest.mark.parametrize("kind", ["memory", "redis", "valkey"])
def test_namespaces_and_fleets_are_apart(kind: str, tmp_path: Path) -> None:
    """Facts of one namespace are not those of another, nor are those of another router's name."""

    async def main(make: Callable[..., Any]) -> None:
        transports = [
            make(namespace="one").transport(identity("p")),
            make(namespace="two").transport(identity("q")),
            make(namespace="one").transport(identity("r")._replace(fleet="other")),
        ]
        for transport in transports:
            await transport.connect()
        await transports[0].publish([fact(1)])
        found = [await transport.exchange(NOTHING) for transport in transports]
        assert [(len(e.facts or ()), e.processes) for e in found] == [(1, 1), (0, 1), (0, 1)]
        for transport in transports:
            await transport.close(leave=True)

    if kind == "memory":
        asyncio.run(main(MemoryServer(latency=0.0).sharing))
        return
    with running(kind, tmp_path) as server:
        asyncio.run(main(lambda **settings: RedisSharing(server.url, **settings)))


def test_garbage_on_the_channel_is_dropped_and_counted(tmp_path: Path) -> None:
    """Messages of others, of a later format, or too long are no facts, and end nothing."""

    async def test(server: Any) -> None:
        async with pair(RedisSharing(server.url)) as (a, b):
            channel = "{multirouter:v1:f%20%7Bx%7D}:news"
            with server.client() as client:
                assert client.pubsub_channels() == [channel]
                for text in ("", "hello", "1 2 [", "1 x []", "1 2 5", "1 2 " + "[" * 100_000):
                    client.publish(channel, text)
                client.publish(channel, "1 2 " + " " * 2_000_000)
                client.publish(channel, '1 2 [["new", 1], ["open", "a", 1, "p", null, 5]]')
                client.hset("{multirouter:v1:f%20%7Bx%7D}:facts", "x", "0 nonsense")
            await a.publish([fact(1)])
            assert list((await b.receive()).facts) == []
            assert list((await b.receive()).facts) == [fact(1)]
            assert b.dropped == 9
            answer = await b.exchange(NOTHING)
            assert [found.left < math.inf for found in answer.facts or ()] == [True]

    with running("redis", tmp_path) as server:
        asyncio.run(test(server))


def test_a_server_that_is_gone_is_an_error_of_sharing(tmp_path: Path) -> None:
    """Refused, read-only, and stopped servers raise SharingError, which names the cause."""

    async def test(server: Any) -> None:
        transport = RedisSharing(server.url, timeout=0.5).transport(identity("p"))
        await transport.connect()
        with server.client() as client:
            client.replicaof("127.0.0.1", 1)
        with pytest.raises(SharingError, match="ReadOnly"):
            await transport.publish([fact(1)])
        server.stop()
        with pytest.raises(SharingError):
            await transport.exchange(NOTHING)
        with pytest.raises(SharingError):
            await transport.receive()
        with pytest.raises(SharingError, match=r"refused|connect"):
            await transport.connect()
        with pytest.raises(SharingError):
            await transport.close(leave=True)

    with running("redis", tmp_path) as server:
        asyncio.run(test(server))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"url": 5}, "must be a string"),
        ({"url": "localhost:6379"}, "no scheme"),
        ({"url": "http://x"}, "got 'http'"),
        ({"url": "redis://x:y"}, "url"),
        ({"url": "redis+sentinel://x:1"}, "must name the service"),
        ({"namespace": ""}, "namespace"),
        ({"namespace": "{x}"}, "namespace"),
        ({"quorum": 2}, "quorum"),
        ({"interval": 0}, "interval"),
        ({"start_timeout": -1}, "start_timeout"),
        ({"timeout": 0}, "timeout"),
        ({"host": ""}, "host"),
        ({"client": 5}, "client"),
    ],
)
def test_invalid_settings(settings: dict[str, Any], message: str) -> None:
    """Each is named at construction."""
    with pytest.raises(ConfigurationError, match=message):
        RedisSharing(**settings)


def test_no_message_shows_a_password() -> None:
    """Neither text of the object shows what is before the host."""
    sharing = RedisSharing("rediss://me:s3cret@cache.example:6380/2")
    assert str(sharing) == "rediss://cache.example:6380/2"
    assert "s3cret" not in repr(sharing)


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:p%40ss@h:1/3",
        "rediss://h",
        "unix:///run/r.sock?db=2",
        "redis+sentinel://u:p@h1:1,h2/main/1",
        "rediss+sentinel://h1/main",
        pytest.param("redis+cluster://h:1", marks=CLUSTERS),
        pytest.param("rediss+cluster://u:p@h:1", marks=CLUSTERS),
    ],
)
def test_urls(url: str) -> None:
    """Every scheme makes a client without connecting."""
    assert RedisSharing(url).transport(identity("p")) is not None


def test_a_cluster_needs_a_client_that_subscribes(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a redis-py that cannot, the constructor says so, and no connection fails later."""
    monkeypatch.delattr(RedisCluster, "pubsub", raising=False)
    with pytest.raises(ConfigurationError, match=r"with a cluster requires redis-py 8\.0 or later"):
        RedisSharing("redis+cluster://h:1")


def test_budgets_are_reserved_as_the_core_computes_it(on_each: Any) -> None:
    """Allowances of all stay within the budget; that of a process that is gone is free."""

    def report(holder: str, spent: float, last: float = 60.0) -> Report:
        spending = Spending(spent, 100.0, "l", 60.0)
        budgets = {"b until 1": spending, "c until 2": spending._replace(usd=10.0, limit="k")}
        demands = Demands(holder, {"k": 1.0, "l": 1.0}, budgets, last)
        return Report("", -1, {}, 30.0, demands)

    async def test(a: Transport, b: Transport) -> None:
        first = (await a.exchange(report("p", 1.0))).grants.budgets
        assert first == {"b until 1": (100.0, 0.0), "c until 2": (10.0, 0.0)}
        second = (await b.exchange(report("q", 0.0))).grants.budgets
        assert second == {"b until 1": (0.0, 1.0), "c until 2": (0.0, 1.0)}
        again = await a.exchange(report("p", 2.0))
        expected = 2.0 + again.grants.shares["l"] * 98.0
        assert again.grants.budgets["b until 1"] == (pytest.approx(expected, abs=1e-3), 0.0)
        after = await b.exchange(report("q", 3.0, last=0.05))
        assert after.grants.budgets["b until 1"][0] == pytest.approx(
            3.0 + min(after.grants.shares["l"] * 95.0, 97.0 - expected), abs=1e-3
        )
        await asyncio.sleep(0.1)  # real time: Redis counts it
        free = await a.exchange(report("p", 2.0))
        assert free.grants.budgets["b until 1"] == (
            pytest.approx(2.0 + 95.0 * free.grants.shares["l"]),
            3.0,
        )
        none = Report("", -1, {}, 30.0)
        assert (await a.exchange(none)).grants.budgets == {}

    on_each(test)
