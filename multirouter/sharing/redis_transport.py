"""Connection of one router to the state of its fleet in Redis or Valkey."""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Generator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote

from redis.exceptions import RedisError

from multirouter.core.sharing.facts import Fact, fact_from_data
from multirouter.sharing import redis_scripts as scripts
from multirouter.sharing.transport import (
    Demands,
    Exchange,
    FleetMember,
    Grants,
    Identity,
    Message,
    Report,
    SharingError,
)

SCHEMA = "v1"
"""Version of the keys and values; another one has keys of its own."""

MAX_MESSAGE = 1_000_000
"""Characters of a message; a longer one is dropped, and the whole state is read instead."""

SILENCE = 2.0
"""Seconds without a message after which the subscription is checked by a PING; after as many more
without an answer it counts as lost."""


class RedisTransport:
    """One router's connection; see `Transport`.

    Args:
        make_client: makes a client of redis-py's asyncio API that decodes its answers.
        identity: the process.
        namespace: prefix of all keys.
    """

    def __init__(self, make_client: Callable[[], Any], identity: Identity, namespace: str) -> None:
        self._make_client = make_client
        self._identity = identity
        tag = f"{{{namespace}:{SCHEMA}:{quote(identity.fleet, safe='')}}}"
        names = ("meta", "facts", "alive", "hosts", "members")
        self._keys = [f"{tag}:{name}" for name in names]
        self._lease_prefix = f"{tag}:lease:"
        self._share_prefix = f"{tag}:shares:"
        self._budget_prefix = f"{tag}:budget:"
        self._channel = f"{tag}:news"
        self._client: Any = None
        self._subscription: Any = None
        self._asked = False
        self.dropped: int = 0

    async def connect(self) -> None:
        """Connects and subscribes; see `Transport`."""
        await self._disconnect()
        with _errors():
            self._client = self._make_client()
            await self._client.initialize()  # a cluster's client learns its nodes
            register = self._client.register_script
            self._exchange = register(scripts.EXCHANGE)
            self._renew_shares = register(scripts.RENEW_SHARES)
            self._publish = register(scripts.PUBLISH)
            self._acquire = register(scripts.ACQUIRE)
            self._release = register(scripts.RELEASE)
            self._members = register(scripts.MEMBERS)
            self._leave = register(scripts.LEAVE)
            self._subscription = self._client.pubsub()
            await self._subscription.subscribe(self._channel)
        self._asked = False

    async def exchange(self, report: Report) -> Exchange:
        """Reports and reads; see `Transport`."""
        identity, beliefs = self._identity, ""
        if report.beliefs is not None:
            beliefs = json.dumps([identity.host, dict(identity.info), dict(report.beliefs)])
        ttl = round(report.ttl * 1000)
        version = str(report.version)
        arguments: list[Any] = [identity.origin, identity.host, ttl, report.epoch, version, beliefs]
        keys, demands = self._demands(report.demands)
        answer = await self._run(self._exchange, [*self._keys, *keys], arguments + demands)
        now, epoch, version, processes, hosts, stored, shares, budgets = answer
        facts = self._stored_facts(stored) if isinstance(stored, list) else None
        grants = _grants(report.demands, shares, budgets)
        return Exchange(int(now) / 1000, epoch, int(version), processes, hosts, facts, grants)

    async def renew_shares(self, demands: Demands) -> Grants:
        """Renews the shares of another holder; see `Transport`."""
        return _grants(demands, *await self._run(self._renew_shares, *self._demands(demands)))

    async def publish(self, facts: Sequence[Fact]) -> None:
        """Writes and sends facts; see `Transport`."""
        arguments: list[Any] = [self._identity.origin, self._channel]
        for fact in facts:
            left = "" if fact.left == math.inf else max(1, round(fact.left * 1000))
            arguments += [json.dumps(fact.slot), left, json.dumps(fact.as_data())]
        await self._run(self._publish, self._keys[:2], arguments)

    async def receive(self) -> Message:
        """Waits for a message; see `Transport`."""
        while True:
            with _errors():
                found = await self._subscription.get_message(timeout=SILENCE)
            if found is None:
                if self._asked:
                    raise SharingError("the subscription does not answer")
                with _errors():
                    await self._subscription.ping()
                self._asked = True
                continue
            self._asked = False
            if found["type"] == "message":
                message = self._read(found["data"])
                if message is not None:
                    return message

    async def acquire_lease(self, name: str, seconds: float) -> float:
        """Acquires or renews a lease; see `Transport`."""
        key, lasts = self._lease_prefix + name, round(seconds * 1000)
        left: int = await self._run(self._acquire, [key], [self._identity.origin, lasts])
        return max(0, left) / 1000

    async def release_lease(self, name: str) -> None:
        """Gives a lease back; see `Transport`."""
        await self._run(self._release, [self._lease_prefix + name], [self._identity.origin])

    async def members(self) -> list[FleetMember]:
        """The connected processes; see `Transport`."""
        keys = [self._keys[2], self._keys[4]]
        _, alive, stored = await self._run(self._members, keys, [])
        reports = dict(zip(stored[::2], stored[1::2], strict=True))
        found = []
        for origin in alive[::2]:
            try:
                host, info, beliefs = json.loads(reports.get(origin, ""))
            except ValueError:
                continue  # of another version, or about to report
            found.append(FleetMember(origin, host, info, beliefs))
        return found

    async def close(self, *, leave: bool) -> None:
        """Disconnects; see `Transport`."""
        try:
            if leave and self._client is not None:
                keys = [self._keys[2], self._keys[4]]
                await self._run(self._leave, keys, [self._identity.origin])
        finally:
            await self._disconnect()

    def _demands(self, demands: Demands) -> tuple[list[str], list[Any]]:
        """The keys and arguments of demands; see `redis_scripts.SHARES`."""
        keys = [self._share_prefix + name for name in demands.limits]
        keys += [self._budget_prefix + name for name in demands.budgets]
        arguments: list[Any] = [demands.holder, round(demands.kept * 1000), len(demands.limits)]
        arguments += demands.limits.values()
        places = {name: place for place, name in enumerate(demands.limits, 1)}
        for spent, usd, limit, left in demands.budgets.values():
            arguments += [spent, usd, places[limit], max(1, round(left * 1000))]
        return keys, arguments

    async def _run(self, script: Any, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        with _errors():
            return await script(keys=keys, args=arguments)

    async def _disconnect(self) -> None:
        client, subscription = self._client, self._subscription
        self._client = self._subscription = None
        pool = getattr(client, "connection_pool", None)
        manager = getattr(pool, "sentinel_manager", None)  # its clients are closed by nothing else
        for part in (subscription, client, *getattr(manager, "sentinels", ())):
            if part is not None:
                try:
                    await _closed(part.aclose())
                except SharingError:
                    continue  # it is gone

    def _stored_facts(self, stored: Sequence[str]) -> list[Fact]:
        """The facts of an exchange: pairs of the milliseconds that are left, or "", and JSON."""
        facts = []
        for left, raw in zip(stored[::2], stored[1::2], strict=True):
            fact = _fact(raw)
            if fact is None:
                self.dropped += 1
            else:
                facts.append(fact._replace(left=int(left) / 1000 if left else math.inf))
        return facts

    def _read(self, text: str) -> Message | None:
        """Reads `TIME VERSION [FACT, ...]`; what cannot be read is counted and dropped."""
        if len(text) > MAX_MESSAGE:
            self.dropped += 1
            return None
        try:
            now, version, raw = text.split(" ", 2)
            time, number, data = int(now) / 1000, int(version), json.loads(raw)
            facts = [fact_from_data(item) for item in data]
        except (ValueError, TypeError, RecursionError):
            self.dropped += 1
            return None
        self.dropped += facts.count(None)
        return Message(time, number, [fact for fact in facts if fact is not None])


def _grants(demands: Demands, shares: Sequence[str], budgets: Sequence[str]) -> Grants:
    """The answer of the scripts: a share of each limit, and two amounts of each budget."""
    amounts = list(map(float, budgets))
    pairs = zip(amounts[::2], amounts[1::2], strict=True)
    return Grants(
        dict(zip(demands.limits, map(float, shares), strict=True)),
        dict(zip(demands.budgets, pairs, strict=True)),
    )


def _fact(raw: str) -> Fact | None:
    try:
        return fact_from_data(json.loads(raw))
    except (ValueError, RecursionError):
        return None


async def _closed(closing: Awaitable[object]) -> None:
    with _errors():
        await closing


@contextmanager
def _errors() -> Generator[None]:
    """Maps the errors of redis-py to SharingError."""
    try:
        yield
    except (RedisError, OSError, TimeoutError, RuntimeError) as error:
        raise SharingError(f"{type(error).__name__}: {error}") from None
