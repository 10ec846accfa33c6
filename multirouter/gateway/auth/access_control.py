"""Who may come in: keys, what each may do, and on a gateway without keys only this machine."""

from __future__ import annotations

import ipaddress
import math
import time
from collections.abc import Collection, Iterable, Mapping
from typing import Protocol

from multirouter.core.cost.budgets import Account, Budget, budgets
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.limits.rate_limits import TokenBucket
from multirouter.gateway.http.error_responses import Refusal
from multirouter.gateway.routing.model_catalogue import Target

BURST = 1.0
"""Minutes' worth of a key's rate that may be used at once."""


class Key(Protocol):
    """What a gateway key may do; None is no limit.

    Attributes:
        name: stands in the log in its place.
        admin: whether it opens the admin API; such a key opens nothing else.
        requests_per_minute: more are refused with 429.
        tokens_per_minute: as the providers count them, prompt and answer together.
        concurrent: requests under way at once.
        budget: what it may spend, as far as prices are known.
    """

    @property
    def name(self) -> str: ...  # noqa: D102 - see above
    @property
    def admin(self) -> bool: ...  # noqa: D102 - see above
    @property
    def requests_per_minute(self) -> float | None: ...  # noqa: D102 - see above
    @property
    def tokens_per_minute(self) -> float | None: ...  # noqa: D102 - see above
    @property
    def concurrent(self) -> int | None: ...  # noqa: D102 - see above

    @property
    def budget(self) -> Budget | None: ...  # noqa: D102 - see above

    def may_use(self, route: str, /) -> bool:
        """Whether it opens a route."""
        ...


class Keys(Protocol):
    """All keys; compares in constant time."""

    def check(self, token: str, /) -> Key | None:
        """The key that `token` is, or None."""
        ...


class _Load:
    """What one key has used."""

    __slots__ = ("_key", "_rates", "account", "concurrent", "requests", "tokens")

    def __init__(self, name: str) -> None:
        self.account = Account("gateway", f"key {name}", time.time, EventDispatcher((), _unheard))
        self.concurrent = 0
        self.requests: TokenBucket | None = None
        self.tokens: TokenBucket | None = None
        self._rates: tuple[float | None, float | None] = (None, None)
        self._key: Key | None = None

    def fit(self, key: Key) -> None:
        """Takes over the key's limits where a reload has changed them."""
        if key is self._key:
            return
        self._key = key
        self.account.adopt(budgets(f"key {key.name!r}", key.budget))
        rates = (key.requests_per_minute, key.tokens_per_minute)
        if rates != self._rates:
            self._rates = rates
            self.requests, self.tokens = (
                _bucket(old, rate)
                for old, rate in zip((self.requests, self.tokens), rates, strict=True)
            )


class Guard:
    """Lets requests in by their keys, and counts what each key uses.

    Args:
        keys: all keys; None lets in whoever comes from this machine. A reload may set others:
            what keys of the same name have used stays counted.
        origins: web pages that may use a gateway without keys.
        anyone: whether a gateway without keys serves other machines too.
    """

    def __init__(
        self,
        keys: Keys | None,
        *,
        origins: Collection[str] = (),
        anyone: bool = False,
    ) -> None:
        self.keys = keys
        self._origins = origins
        self._anyone = anyone
        self._loads: dict[str, _Load] = {}

    def key_of(self, headers: Mapping[str, str], in_address: str | None = None) -> Key | None:
        """Whose request it is; None on a gateway without keys.

        Args:
            headers: the request's.
            in_address: a key that came in the address, where the door's format has it there.

        Raises:
            Refusal: 401 without a valid key, 403 for a web page or a host name that is not ours.
        """
        if self.keys is None:
            self._check_neighbour(headers)
            return None
        token = token_in(headers) or in_address
        if not token:
            raise Refusal(401, "an API key is required", code="invalid_api_key")
        key = self.keys.check(token)
        if key is None or key.admin:
            raise Refusal(401, "the API key is not valid here", code="invalid_api_key")
        return key

    def admin_of(self, headers: Mapping[str, str]) -> Key:
        """The admin key of a request.

        Raises:
            Refusal: 401; 404 on a gateway without keys, which has no admin API.
        """
        if self.keys is None:
            raise Refusal(404, "without keys there is no admin API", code="not_found")
        key = self.keys.check(token_in(headers) or "")
        if key is None or not key.admin:
            raise Refusal(401, "an admin key is required", code="invalid_api_key")
        return key

    def enter(self, key: Key, now: float) -> None:
        """Counts a request in.

        Raises:
            Refusal: 429 with a time to come again.
        """
        load = self._load(key)
        if key.concurrent is not None and load.concurrent >= key.concurrent:
            raise _limit(f"{key.concurrent} requests at once", None)
        if load.account.refuses():
            told = f"this key's budget is used up: {key.budget}"
            rest = load.account.ready_in()
            raise Refusal(429, told, code="insufficient_quota", retry_after=rest, retry=False)
        if load.requests is not None and not load.requests.has(1, now):
            wait = load.requests.ready_in(1, now)
            raise _limit(f"{key.requests_per_minute:g} requests a minute", wait)
        if load.tokens is not None and not load.tokens.has(1, now):
            wait = load.tokens.ready_in(1, now)
            raise _limit(f"{key.tokens_per_minute:g} tokens a minute", wait)
        if load.requests is not None:
            load.requests.take(1, now)
        load.concurrent += 1

    def leave(self, key: Key, tokens: int, usd: float, now: float) -> None:
        """Counts a request out, with the tokens it has used and what it cost."""
        load = self._load(key)
        load.concurrent -= 1
        if usd > 0:
            load.account.book(usd)
        if load.tokens is not None and tokens:
            load.tokens.take(tokens, now)

    def _load(self, key: Key) -> _Load:
        load = self._loads.get(key.name)
        if load is None:
            load = self._loads[key.name] = _Load(key.name)
        load.fit(key)
        return load

    def _check_neighbour(self, headers: Mapping[str, str]) -> None:
        """A web page in a browser of this machine is no neighbour: it acts for a stranger."""
        origin = headers.get("Origin")
        if origin is not None and origin not in self._origins and "*" not in self._origins:
            raise Refusal(403, "web pages may not use this gateway", code="forbidden_origin")
        if not self._anyone and not is_loopback(host_in(headers.get("Host", ""))):
            raise Refusal(403, "without keys, only this machine is served", code="forbidden_host")


def token_in(headers: Mapping[str, str]) -> str | None:
    """The key of a request, as OpenAI's, Anthropic's and Google's clients send it."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key") or headers.get("x-goog-api-key") or None


def host_in(header: str) -> str:
    """The host of a `Host` header, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0]


def is_loopback(host: str) -> bool:
    """Whether an address or name means this machine alone."""
    if host.lower() in {"localhost", ""} or host.lower().endswith(".localhost"):
        return bool(host)
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_route(key: Key | None, targets: Iterable[Target]) -> None:
    """Refuses routes that a key may not use.

    Raises:
        Refusal: 403.
    """
    if key is not None and not all(key.may_use(str(target.route)) for target in targets):
        raise Refusal(403, "this key may not use that model", code="forbidden_model")


def _bucket(old: TokenBucket | None, per_minute: float | None) -> TokenBucket | None:
    if per_minute is None or math.isinf(per_minute):
        return None
    if old is None:
        return TokenBucket(per_minute, BURST)
    old.adopt(per_minute, BURST)
    return old


def _limit(what: str, wait: float | None) -> Refusal:
    rest = 1.0 if wait is None else max(wait, 0.001)
    told = f"this key's limit of {what} is reached"
    return Refusal(429, told, code="rate_limit_exceeded", retry_after=rest)


def _unheard(*_: object) -> None:
    """Nobody listens to the news of a key's budget: its refusals stand in the log."""
