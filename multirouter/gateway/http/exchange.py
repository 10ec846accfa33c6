"""One request from its arrival to its end: what its headers show and what the log tells of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from multirouter.gateway.http import cors
from multirouter.gateway.http.active_streams import Relays
from multirouter.gateway.http.error_bodies import OPENAI, Shape
from multirouter.gateway.short_wait import Patience
from multirouter.model import AttemptRecord
from multirouter.providers.json_bytes import dumps

LONGEST_TRAIL = 4096
"""Characters of the header with the trail; many clients refuse headers beyond 8 KB."""

_LONGEST_NAME = 200

_escaped = json.JSONEncoder(separators=(",", ":")).encode


class Exchange:
    """One request, from its arrival to its end.

    Attributes:
        request: as it came in.
        id: its id, the client's own where that is fit for a header.
        clock: tells loop time, seconds. Kept, because to look for the running loop is a system
            call where Python is older than 3.12, and costs more than the look at its clock.
        began: loop time of its arrival, seconds.
        origins: web pages that may read the answer.
        relays: the streams under way beside it.
        patience: who may wait for room.
        shape: how errors are told.
        door: the path of its door, or "" where there is none.
        key: the name of the gateway key, or None.
        asked: the model it names.
        route: the route it went by.
        trail: the attempts, in the order in which they ended.
        provider: who answered, or None.
        model: the model that answered, as its provider names it.
        tokens: tokens used, as far as the provider told.
        why: why it failed, in a word; "" when it did not.
    """

    __slots__ = (
        "_told",
        "asked",
        "began",
        "clock",
        "door",
        "id",
        "key",
        "model",
        "origins",
        "patience",
        "provider",
        "relays",
        "request",
        "route",
        "shape",
        "tokens",
        "trail",
        "why",
    )

    def __init__(
        self,
        request: web.BaseRequest,
        id_: str,
        clock: Callable[[], float],
        origins: Collection[str] = (),
        *,
        relays: Relays,
        patience: Patience,
    ) -> None:
        self.request: web.BaseRequest = request
        self.origins: Collection[str] = origins
        self.relays: Relays = relays
        self.patience: Patience = patience
        self.id: str = id_
        self.clock: Callable[[], float] = clock
        self.began: float = clock()
        self.shape: Shape = OPENAI
        self.door: str = ""
        self.key: str | None = None
        self.asked: str = ""
        self.route: str = ""
        self.trail: list[AttemptRecord] = []
        self.provider: str | None = None
        self.model: str = ""
        self.tokens: int = 0
        self.why: str = ""
        self._told: list[Any] = []

    def headers(self, *, serving: bool = False) -> CIMultiDict[str]:
        """The headers that say who answered, and how it came to that.

        Args:
            serving: whether `provider` serves a stream, and so is not in the trail yet.
        """
        headers: CIMultiDict[str] = CIMultiDict()
        headers["Server"] = "multirouter"
        headers["X-Request-Id"] = self.id
        if self.origins:
            cors.allow(self.request, headers, self.origins)
        if self.provider is not None:
            headers["X-Provider"] = _fit(self.provider)
        if self.model:
            headers["X-Model"] = _fit(self.model)
        cost = self.cost
        if cost > 0:
            headers["X-Cost-Usd"] = f"{cost:.8f}".rstrip("0")
        if self.trail or serving:
            headers["X-Attempts"] = self._shown(serving)
            headers["X-Router-Overhead-Ms"] = f"{self._overhead(serving):.2f}"
        return headers

    def told(self) -> list[Any]:
        """The trail as plain data; it only grows, so that what was told once stays told."""
        told = self._told
        told.extend(_entry(record) for record in self.trail[len(told) :])
        return told

    def summary(self, status: int, seconds: float) -> dict[str, Any]:
        """Who asked for what, and how it went, as plain data; never what was said.

        Args:
            status: how it was answered.
            seconds: what it took.
        """
        return {
            "request_id": self.id,
            "door": self.door,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "key": self.key,
            "asked": self.asked,
            "route": self.route,
            "provider": self.provider,
            "model": self.model,
            "tokens": self.tokens,
            "cost_usd": round(self.cost, 8),
            "why": self.why,
        }

    def _shown(self, serving: bool) -> str:  # noqa: FBT001 - handed on
        told = self.told().copy()
        if serving:
            told.append({"provider": self.provider, "verdict": "serving"})
        text = _ascii(told)
        while len(text) > LONGEST_TRAIL and len(told) > 1:
            del told[0]
            text = _ascii(["…", *told])
        return text if len(text) <= LONGEST_TRAIL else "[]"

    def _overhead(self, serving: bool) -> float:  # noqa: FBT001 - handed on
        """Milliseconds in which no provider was waited for.

        A stream that serves is waited for since the last attempt's end; only what came before
        its first attempt can be told of it.
        """
        if serving and not self.trail:
            return 0.0
        return max(0.0, self.clock() - self.began - awaited(self.trail)) * 1000

    @property
    def cost(self) -> float:
        """What its attempts cost, USD, as far as prices are known; a stream's once it has ended."""
        cost = 0.0
        for record in self.trail:  # nearly always one: no generator for it
            cost += record.cost
        return cost

    def usage(self, usage: Any) -> None:
        """Notes the tokens that a provider counted."""
        if isinstance(usage, dict):
            total = usage.get("total_tokens")
            if isinstance(total, int):
                self.tokens = total


def awaited(trail: Iterable[AttemptRecord]) -> float:
    """Seconds in which at least one of the attempts was under way."""
    spans = sorted((record.started, record.started + record.elapsed) for record in trail)
    seconds, reached = 0.0, float("-inf")
    for start, end in spans:
        if end > reached:
            seconds += end - max(start, reached)
            reached = end
    return seconds


def _entry(record: AttemptRecord) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "provider": record.provider,
        "verdict": record.verdict.kind.value,
        "ms": round(record.elapsed * 1000, 1),
        "why": record.why,
    }
    if record.verdict.reason:
        entry["reason"] = record.verdict.reason[:80]
    if record.role != "call":
        entry["role"] = record.role
    return entry


def _ascii(told: list[Any]) -> str:
    """JSON as headers want it: ASCII alone."""
    text = dumps(told)
    return text.decode() if text.isascii() else _escaped(told)


def _fit(text: str) -> str:
    """A value that no header can break out of, whatever a provider calls its model."""
    text = text[:_LONGEST_NAME]
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if " " <= c <= "~" else "?" for c in text)
