"""One request from arrival to end: its state, response headers and log fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from multirouter.gateway.http import cors
from multirouter.gateway.http.active_streams import ActiveStreams
from multirouter.gateway.http.wire_format import OPENAI, WireFormat
from multirouter.gateway.short_wait import ShortWait
from multirouter.model import AttemptRecord
from multirouter.providers.json_bytes import dumps

MAX_TRAIL = 4096
"""Characters of the `X-Attempts` header; many clients reject headers beyond 8 KB."""

_MAX_NAME = 200

_escaped = json.JSONEncoder(separators=(",", ":")).encode


class Exchange:
    """State of one request, from its arrival to its end.

    Attributes:
        request: the request as it arrived.
        id: its id: the client's own if it is valid in a header, else a new one.
        clock: reads the loop's time, seconds. Kept, because before Python 3.12 finding the
            running loop is a system call, which costs more than reading its clock.
        started: loop time of its arrival, seconds.
        origins: web pages that may read the answer.
        active_streams: all streams under way in the gateway.
        short_wait: decides whether the request waits for a provider.
        wire_format: the format of its errors and streams.
        path: the path, as it is logged; "" if the request is not logged.
        key: the name of the gateway key, or None.
        requested_model: the model that the client named.
        route: the name of the route that was used.
        trail: the attempts, in the order in which they ended.
        provider: the provider that answered, or None.
        model: the model that answered, as its provider names it.
        tokens: tokens used, as far as the provider reported them.
        error_code: the code of its error; "" if there was none.
    """

    __slots__ = (
        "_trail_data",
        "active_streams",
        "clock",
        "error_code",
        "id",
        "key",
        "model",
        "origins",
        "path",
        "provider",
        "request",
        "requested_model",
        "route",
        "short_wait",
        "started",
        "tokens",
        "trail",
        "wire_format",
    )

    def __init__(
        self,
        request: web.BaseRequest,
        id_: str,
        clock: Callable[[], float],
        origins: Collection[str] = (),
        *,
        active_streams: ActiveStreams,
        short_wait: ShortWait,
    ) -> None:
        self.request: web.BaseRequest = request
        self.origins: Collection[str] = origins
        self.active_streams: ActiveStreams = active_streams
        self.short_wait: ShortWait = short_wait
        self.id: str = id_
        self.clock: Callable[[], float] = clock
        self.started: float = clock()
        self.wire_format: WireFormat = OPENAI
        self.path: str = ""
        self.key: str | None = None
        self.requested_model: str = ""
        self.route: str = ""
        self.trail: list[AttemptRecord] = []
        self.provider: str | None = None
        self.model: str = ""
        self.tokens: int = 0
        self.error_code: str = ""
        self._trail_data: list[Any] = []

    def headers(self, *, streaming: bool = False) -> CIMultiDict[str]:
        """The response headers: request id, provider, model, attempts, cost, overhead.

        Args:
            streaming: whether `provider` is serving a stream, so that its attempt is not in the
                trail yet.
        """
        headers: CIMultiDict[str] = CIMultiDict()
        headers["Server"] = "multirouter"
        headers["X-Request-Id"] = self.id
        if self.origins:
            cors.allow(self.request, headers, self.origins)
        if self.provider is not None:
            headers["X-Provider"] = _header_value(self.provider)
        if self.model:
            headers["X-Model"] = _header_value(self.model)
        cost = self.cost
        if cost > 0:
            headers["X-Cost-Usd"] = f"{cost:.8f}".rstrip("0")
        if self.trail or streaming:
            headers["X-Attempts"] = self._trail_header(streaming)
            headers["X-Router-Overhead-Ms"] = f"{self._overhead(streaming):.2f}"
        return headers

    def trail_data(self) -> list[Any]:
        """The trail as plain data; kept, since the trail only grows."""
        data = self._trail_data
        data.extend(_trail_entry(record) for record in self.trail[len(data) :])
        return data

    def summary(self, status: int, seconds: float) -> dict[str, Any]:
        """The request's log fields as plain data, without any content.

        Args:
            status: the HTTP status of the answer.
            seconds: from arrival to end.
        """
        return {
            "request_id": self.id,
            "path": self.path,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "key": self.key,
            "requested_model": self.requested_model,
            "route": self.route,
            "provider": self.provider,
            "model": self.model,
            "tokens": self.tokens,
            "cost_usd": round(self.cost, 8),
            "error_code": self.error_code,
        }

    def _trail_header(self, streaming: bool) -> str:  # noqa: FBT001 - handed on
        entries = self.trail_data().copy()
        if streaming:
            entries.append({"provider": self.provider, "verdict": "serving"})
        text = _ascii_json(entries)
        while len(text) > MAX_TRAIL and len(entries) > 1:
            del entries[0]
            text = _ascii_json(["…", *entries])
        return text if len(text) <= MAX_TRAIL else "[]"

    def _overhead(self, streaming: bool) -> float:  # noqa: FBT001 - handed on
        """Milliseconds in which no attempt was under way.

        The attempt that serves a stream has been under way since the last one ended. When no
        attempt has ended yet, the time before the first is not known, and the overhead is 0.
        """
        if streaming and not self.trail:
            return 0.0
        return max(0.0, self.clock() - self.started - attempt_seconds(self.trail)) * 1000

    @property
    def cost(self) -> float:
        """Cost of its attempts, USD, as far as prices are known; of a stream once it has ended."""
        cost = 0.0
        for record in self.trail:  # nearly always one: no generator for it
            cost += record.cost
        return cost

    def record_usage(self, usage: Any) -> None:
        """Records the tokens that a provider reported."""
        if isinstance(usage, dict):
            total = usage.get("total_tokens")
            if isinstance(total, int):
                self.tokens = total


def attempt_seconds(trail: Iterable[AttemptRecord]) -> float:
    """Seconds in which at least one of the attempts was under way."""
    spans = sorted((record.started, record.started + record.elapsed) for record in trail)
    seconds, reached = 0.0, float("-inf")
    for start, end in spans:
        if end > reached:
            seconds += end - max(start, reached)
            reached = end
    return seconds


def _trail_entry(record: AttemptRecord) -> dict[str, Any]:
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


def _ascii_json(value: list[Any]) -> str:
    """JSON in ASCII alone, as headers require."""
    text = dumps(value)
    return text.decode() if text.isascii() else _escaped(value)


def _header_value(text: str) -> str:
    """A valid header value, whatever a provider calls its model."""
    text = text[:_MAX_NAME]
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if " " <= c <= "~" else "?" for c in text)
