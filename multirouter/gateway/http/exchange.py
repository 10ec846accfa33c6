"""One request from arrival to end: its state, response headers and log fields."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import lru_cache
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from multirouter.console.trail import entry_of
from multirouter.gateway.http import cors
from multirouter.gateway.http.active_streams import ActiveStreams
from multirouter.gateway.http.event_socket import EventSocket
from multirouter.gateway.http.http_error import plain_reason
from multirouter.gateway.http.wire_format import OPENAI, WireFormat
from multirouter.gateway.short_wait import ShortWait
from multirouter.model import SUCCESS, AttemptRecord
from multirouter.providers.json_bytes import dumps
from multirouter.providers.native.client_request import ClientRequest

MAX_TRAIL = 4096
"""Characters of the `X-Attempts` header; many clients reject headers beyond 8 KB."""

MAX_DROPPED = 1024
"""Characters of the `X-Dropped-Fields` header."""

_MAX_NAME = 200

_CUT = json.dumps("…")
"""Stands for the first attempts, when not all fit."""

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
        operation: the operation that was asked for, such as `embeddings`; "" for a chat.
        route: the name of the route that was used.
        trail: the attempts, in the order in which they ended.
        provider: the provider that answered, or None.
        dropped: fields of the request that this provider was not sent.
        model: the model that answered, as its provider names it.
        tokens: tokens used, as far as the provider reported them; for a key with a limit of tokens
            else an estimate.
        counts_tokens: whether the key has such a limit.
        delivered: characters of a streamed answer, if they are counted.
        error_code: the code of its error; "" if there was none.
        client_request: the request in the client's own format, once it was read.
        native_request_id: the provider's id of an answer that is passed on as it is; "" before.
        socket: where the events of a response over a WebSocket go; None for an HTTP response.
    """

    __slots__ = (
        "active_streams",
        "client_request",
        "clock",
        "counts_tokens",
        "delivered",
        "dropped",
        "error_code",
        "id",
        "key",
        "model",
        "native_request_id",
        "operation",
        "origins",
        "path",
        "provider",
        "request",
        "requested_model",
        "route",
        "short_wait",
        "socket",
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
        self.operation: str = ""
        self.route: str = ""
        self.trail: list[AttemptRecord] = []
        self.provider: str | None = None
        self.dropped: tuple[str, ...] = ()
        self.model: str = ""
        self.tokens: int = 0
        self.counts_tokens: bool = False
        self.delivered: int = 0
        self.error_code: str = ""
        self.client_request: ClientRequest | None = None
        self.native_request_id: str = ""
        self.socket: EventSocket | None = None

    def headers(self, *, streaming: bool = False) -> CIMultiDict[str]:
        """The response headers: request id, provider, dropped fields, model, attempts, cost ...

        Args:
            streaming: whether `provider` is serving a stream, so that its attempt is not in the
                trail yet.
        """
        headers: CIMultiDict[str] = CIMultiDict()
        headers["Server"] = "multirouter"
        headers["X-Request-Id"] = self.id
        if self.wire_format.request_id_header:
            id_ = _header_value(self.native_request_id or self.id)
            headers[self.wire_format.request_id_header] = id_
        if self.origins:
            cors.allow(self.request, headers, self.origins)
        if self.provider is not None:
            headers["X-Provider"] = _header_name(self.provider)
            dropped = self.dropped
            if self.client_request is not None:
                dropped = (*dropped, *self.client_request.dropped_by(self.provider))
            if dropped:
                headers["X-Dropped-Fields"] = _listed(dict.fromkeys(dropped))
        if self.model:
            headers["X-Model"] = _header_name(self.model)
        cost = self.cost
        if cost > 0:
            headers["X-Cost-Usd"] = f"{cost:.8f}".rstrip("0")
        if self.trail or streaming:
            headers["X-Attempts"] = self._trail_header(streaming)
            headers["X-Router-Overhead-Ms"] = f"{self._overhead(streaming):.2f}"
        return headers

    def summary(self, status: int, seconds: float) -> dict[str, Any]:
        """The request's log fields as plain data, without any content.

        Args:
            status: the HTTP status of the answer.
            seconds: from arrival to end.
        """
        return {
            "request_id": self.id,
            "method": self.request.method,
            "path": self.path,
            "client": self.request.remote,
            "status": status,
            "ms": round(seconds * 1000, 1),
            "key": self.key,
            "operation": self.operation,
            "requested_model": self.requested_model,
            "route": self.route,
            "provider": self.provider,
            "model": self.model,
            "tokens": self.tokens,
            "cost_usd": round(self.cost, 8),
            "error_code": self.error_code,
        }

    def release(self) -> None:
        """Lets go of the attempts and the client's request, once nothing is read any more.

        The tracebacks of errors in the trail hold frames that refer to this object, and through
        them the request; without that cycle it is released at once.
        """
        self.trail = []
        self.client_request = None

    def _trail_header(self, streaming: bool) -> str:  # noqa: FBT001 - handed on
        entries = [_entry(record) for record in self.trail]
        if streaming:
            entries.append(_ascii_json({"provider": self.provider, "verdict": "serving"}))
        text = f"[{','.join(entries)}]"
        while len(text) > MAX_TRAIL and len(entries) > 1:
            del entries[0]
            text = f"[{_CUT},{','.join(entries)}]"
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


def attempt_seconds(trail: Sequence[AttemptRecord]) -> float:
    """Seconds in which at least one of the attempts was under way."""
    if len(trail) == 1:
        return trail[0].elapsed
    spans = sorted((record.started, record.started + record.elapsed) for record in trail)
    seconds, reached = 0.0, float("-inf")
    for start, end in spans:
        if end > reached:
            seconds += end - max(start, reached)
            reached = end
    return seconds


def _entry(record: AttemptRecord) -> str:
    """An attempt as JSON, without a reason that may have words of a provider."""
    if record.verdict is SUCCESS and record.role == "call":
        before, behind = _answered_entry(record.provider, record.why)
        return f"{before}{record.elapsed * 1000:.1f}{behind}"
    entry = entry_of(record)
    if not plain_reason(entry.get("reason") or "-"):
        del entry["reason"]
    return _ascii_json(entry)


@lru_cache(256)
def _answered_entry(provider: str, why: str) -> tuple[str, str]:
    """The entry of an attempt that was answered, before and behind its milliseconds."""
    record = AttemptRecord(provider, "", "call", SUCCESS, None, 0.0, 0.0, why)
    before, _, behind = _ascii_json(entry_of(record)).partition('"ms":0.0')
    return f'{before}"ms":', behind


def _listed(names: Iterable[str]) -> str:
    """Names separated by commas, as many as fit into `MAX_DROPPED`."""
    return _header_value(", ".join(names), MAX_DROPPED)


def _ascii_json(value: dict[str, Any]) -> str:
    """JSON in ASCII alone, as headers require."""
    text = dumps(value)
    return text.decode() if text.isascii() else _escaped(value)


def _header_value(text: str, limit: int = _MAX_NAME) -> str:
    """A valid header value, whatever a provider calls its model."""
    text = text[:limit]
    if text.isascii() and text.isprintable():
        return text
    return "".join(c if " " <= c <= "~" else "?" for c in text)


_header_name = lru_cache(256)(_header_value)
"""The same for names of providers and models, of which there are few."""
