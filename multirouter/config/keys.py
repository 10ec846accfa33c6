"""The gateway's own keys: kept as hashes in a file, checked in a time that tells nothing."""

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
from multirouter.core.cost.budgets import Budget
from multirouter.errors import ConfigurationError, UsageError

PREFIX = "mr"
"""What a key begins with, so that scanners find those that leaked."""

NOBODY = "0" * 64
"""What a key with an unknown id is compared with, so that it takes as long as any other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What is known of one key; the key itself is known to its owner alone.

    Attributes:
        name: whose it is, for logs and metrics; unique.
        id: the public part of the key.
        digest: SHA-256 of the whole key, in hexadecimal. A key holds 256 bits of chance, so
            that a slow hash would add nothing.
        routes: names or patterns of the routes it may use; empty for all.
        requests_per_minute: above 0, or None for no limit.
        tokens_per_minute: above 0, or None for no limit.
        concurrent: calls at one time, at least 1, or None for no limit.
        budget: what it may spend, or None.
        admin: whether it opens the admin API; such a key opens nothing else.
        created: when it was made, ISO 8601, UTC.
        revoked: when it was revoked, or None.
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
        for rate in ("requests_per_minute", "tokens_per_minute"):
            if getattr(self, rate) is not None:
                check.rate(f"KeyRecord.{rate}", getattr(self, rate))
        if self.concurrent is not None:
            check.count("KeyRecord.concurrent", self.concurrent)
        for route in self.routes:
            check.name("KeyRecord.routes", route)
        if not re.fullmatch("[0-9a-f]{64}", str(self.digest)):
            raise ConfigurationError("KeyRecord.digest", "must be 64 hexadecimal digits")

    def may_use(self, route: str) -> bool:
        """Whether this key opens a route."""
        return not self.routes or any(fnmatchcase(route, one) for one in self.routes)


class KeyBook:
    """The keys of a gateway.

    Args:
        records: every key there is or was, names and ids unique among those in force.
    """

    __slots__ = ("_by_id", "records")

    def __init__(self, records: Iterable[KeyRecord] = ()) -> None:
        self.records: tuple[KeyRecord, ...] = tuple(records)
        self._by_id = {record.id: record for record in self.records if record.revoked is None}

    @property
    def in_force(self) -> int:
        """How many keys open something."""
        return len(self._by_id)

    def check(self, token: str) -> KeyRecord | None:
        """The record of a key, or None for one that is unknown, wrong or revoked.

        The time it takes tells nothing: every token is hashed and compared once, in full.
        """
        record = self._by_id.get(_id_of(token))
        right = NOBODY if record is None else record.digest
        return record if hmac.compare_digest(digest_of(token), right) else None

    def new(self, name: str, *, now: datetime | None = None, **terms: Any) -> tuple[KeyBook, str]:
        """A book with one key more, and that key, which nobody will see again.

        Args:
            name: whose it is.
            now: when it is made; left out, now.
            **terms: as for `KeyRecord`.

        Raises:
            UsageError: when a key of this name is in force.
            ConfigurationError: for terms that are refused.
        """
        if any(record.name == name for record in self._by_id.values()):
            raise UsageError(f"there is a key of the name {name!r}: revoke it first")
        token = f"{PREFIX}-{secrets.token_hex(4)}-{secrets.token_urlsafe(32)}"
        created = _written(now)
        record = KeyRecord(
            name=name, id=_id_of(token), digest=digest_of(token), created=created, **terms
        )
        return KeyBook([*self.records, record]), token

    def revoke(self, name: str, *, now: datetime | None = None) -> KeyBook:
        """A book in which this key opens nothing any more; its record stays.

        Args:
            name: the key's name, or its id.
            now: when it is revoked; left out, now.

        Raises:
            UsageError: for a name that no key in force has.
        """
        found = [record for record in self._by_id.values() if name in {record.name, record.id}]
        if not found:
            names = [record.name for record in self._by_id.values()]
            raise UsageError(f"no key in force has the name {check.near(name, names)}")
        gone = replace(found[0], revoked=_written(now))
        return KeyBook(gone if record is found[0] else record for record in self.records)

    def __repr__(self) -> str:
        return f"<KeyBook of {len(self._by_id)} keys>"


def digest_of(token: str) -> str:
    """What is kept of a key."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def _id_of(token: str) -> str:
    return token.removeprefix(f"{PREFIX}-").partition("-")[0]


def _written(at: datetime | None) -> str:
    return (at or datetime.now(UTC)).isoformat(timespec="seconds")
