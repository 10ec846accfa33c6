"""API keys of the gateway: stored as hashes, checked in constant time."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

from multirouter.core import validation as check
from multirouter.core.cost.budget import Budget
from multirouter.errors import ConfigurationError, UsageError

PREFIX = "mr"
"""Prefix of every key, so that secret scanners find leaked keys."""

UNKNOWN_KEY_DIGEST = "0" * 64
"""Compared with keys of an unknown id, so that they take as long to check as known ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """Record of one key; the key itself is not stored.

    Attributes:
        name: name of the key's owner, for logs and metrics; unique.
        id: the public part of the key.
        digest: SHA-256 of the whole key, 64 hexadecimal digits. A key has 256 random bits, so a
            slow hash would add no security.
        routes: names or patterns of the routes it may use; empty for all.
        requests_per_minute: limit, > 0, or None for no limit.
        tokens_per_minute: limit, > 0, or None for no limit.
        concurrent: concurrent calls, >= 1, or None for no limit.
        budget: spending limit, or None.
        admin: whether the key grants access to the admin API, and to nothing else.
        created: time of creation, ISO 8601, UTC.
        revoked: time of revocation, ISO 8601, UTC, or None.
    """

    name: str
    id: str
    digest: str
    routes: tuple[str, ...] = ()
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    concurrent: int | None = None
    budget: Budget | None = None
    admin: bool = False
    created: str = ""
    revoked: str | None = None

    def __post_init__(self) -> None:
        check.name("KeyRecord.name", self.name)
        check.name("KeyRecord.id", self.id)
        check.flag("KeyRecord.admin", self.admin)
        for rate in ("requests_per_minute", "tokens_per_minute"):
            if getattr(self, rate) is not None:
                check.rate(f"KeyRecord.{rate}", getattr(self, rate))
        if self.concurrent is not None:
            check.count("KeyRecord.concurrent", self.concurrent)
        check.instance("KeyRecord.budget", self.budget, Budget)
        if self.revoked is not None:
            check.name("KeyRecord.revoked", self.revoked)
        for route in check.objects("KeyRecord.routes", self.routes, "names or patterns of routes"):
            check.name("KeyRecord.routes", route)
        if not re.fullmatch("[0-9a-f]{64}", str(self.digest)):
            raise ConfigurationError(
                "KeyRecord.digest", "must be 64 hexadecimal digits (the value is not shown)"
            )

    def may_use(self, route: str) -> bool:
        """Whether the key may use a route."""
        return not self.routes or any(fnmatchcase(route, pattern) for pattern in self.routes)


class KeyBook:
    """The keys of a gateway; immutable.

    Args:
        records: all keys, revoked ones too; names and ids are unique among active keys.
    """

    __slots__ = ("_by_id", "records")

    def __init__(self, records: Iterable[KeyRecord] = ()) -> None:
        self.records: tuple[KeyRecord, ...] = tuple(records)
        self._by_id = {record.id: record for record in self.records if record.revoked is None}

    @property
    def active(self) -> tuple[KeyRecord, ...]:
        """The keys that are not revoked."""
        return tuple(self._by_id.values())

    @property
    def revoked(self) -> frozenset[str]:
        """Ids of the keys that are revoked."""
        return frozenset(record.id for record in self.records if record.revoked is not None)

    @property
    def active_count(self) -> int:
        """Number of keys that are not revoked."""
        return len(self._by_id)

    def check(self, token: str) -> KeyRecord | None:
        """Returns the record of a key, or None if it is unknown, wrong or revoked.

        Takes constant time: every token is hashed and compared once, in full.
        """
        record = self._by_id.get(_id_of(token))
        expected = UNKNOWN_KEY_DIGEST if record is None else record.digest
        return record if hmac.compare_digest(digest_of(token), expected) else None

    def new(self, name: str, *, now: datetime | None = None, **limits: Any) -> tuple[KeyBook, str]:
        """Returns a book with one more key, and that key, which is not stored.

        Args:
            name: name of the key's owner.
            now: time of creation; None: now.
            **limits: further fields of `KeyRecord`.

        Raises:
            UsageError: there is an active key of this name.
            ConfigurationError: a limit is invalid.
        """
        if any(record.name == name for record in self._by_id.values()):
            raise UsageError(f"an active key named {name!r} exists; revoke it first")
        token = f"{PREFIX}-{secrets.token_hex(4)}-{secrets.token_urlsafe(32)}"
        created = _timestamp(now)
        record = KeyRecord(
            name=name, id=_id_of(token), digest=digest_of(token), created=created, **limits
        )
        return KeyBook([*self.records, record]), token

    def revoke(self, name: str, *, now: datetime | None = None) -> KeyBook:
        """Returns a book in which this key is revoked; its record stays.

        Args:
            name: the key's name or id.
            now: time of revocation; None: now.

        Raises:
            UsageError: no active key has this name or id.
        """
        found = [record for record in self._by_id.values() if name in {record.name, record.id}]
        if not found:
            names = [record.name for record in self._by_id.values()]
            raise UsageError(f"no active key named {check.suggestion(name, names)}")
        revoked = replace(found[0], revoked=_timestamp(now))
        return KeyBook(revoked if record is found[0] else record for record in self.records)

    def __repr__(self) -> str:
        return f"<KeyBook of {len(self._by_id)} keys>"


def digest_of(token: str) -> str:
    """The stored hash of a key."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _id_of(token: str) -> str:
    return token.removeprefix(f"{PREFIX}-").partition("-")[0]


def _timestamp(at: datetime | None) -> str:
    return (at or datetime.now(UTC)).isoformat(timespec="seconds")
