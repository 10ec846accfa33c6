"""Posts alarms to a URL; aiohttp is loaded when the first one is sent."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import anyio

from multirouter.core import validation as check
from multirouter.core.events import AlarmChanged
from multirouter.errors import ConfigurationError, UsageError

_COME_AGAIN = frozenset({408, 425, 429})
"""Refusals that time mends; other answers of the 400s come again and again."""


class Webhook:
    """Tells alarms to a URL, as JSON: `Alarms([...], to=[Webhook("https://example.com/hook")])`.

    The router sends it in the background, one alarm after the other, and repeats what failed.

    Args:
        url: where to POST. It may hold a secret, and is never logged.
        headers: what to send along, a key perhaps.
        timeout: seconds that one sending may take.
        body: makes the JSON value from the alarm (`lambda alarm: {"text": alarm.text}` for chat
            rooms); left out, an object with router, alarm, subject, state (`firing` or
            `cleared`), value, text, at (UTC) and lasted (seconds).
        wall: the clock behind `at`, seconds since 1970.

    Raises:
        ConfigurationError: for a URL that is not http or https.
    """

    def __init__(
        self,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        timeout: float = 10.0,
        body: Callable[[AlarmChanged], Any] | None = None,
        wall: Callable[[], float] = time.time,
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise ConfigurationError(
                "Webhook.url", "must begin with http:// or https://, and a host"
            )
        self._url = url
        self._host = parts.hostname
        self._headers = dict(headers or {})
        self._timeout = check.span("Webhook.timeout", timeout)
        self._body = body
        self._wall = wall

    def __repr__(self) -> str:
        return f"<Webhook {self._host}>"

    async def __call__(self, alarm: AlarmChanged) -> None:
        """Sends one alarm.

        Raises:
            UsageError: it was refused, and would be again: the URL or the body is wrong.
            ConnectionError: an answer that may be another one later.
            aiohttp.ClientError: and OSError, TimeoutError: no answer came.
        """
        value = self._as_usual(alarm) if self._body is None else self._body(alarm)
        body = json.dumps(value, allow_nan=False).encode()
        if _in_asyncio():
            status = await self._post(body)
        else:  # aiohttp knows asyncio only; alarms are rare enough for a thread each
            status = await anyio.to_thread.run_sync(
                lambda: asyncio.run(self._post(body)), abandon_on_cancel=True
            )
        if 400 <= status < 500 and status not in _COME_AGAIN:
            raise UsageError(f"the webhook at {self._host} refused an alarm with status {status}")
        if not 200 <= status < 300:
            raise ConnectionError(f"the webhook at {self._host} answered with status {status}")

    async def _post(self, body: bytes) -> int:
        import aiohttp

        headers = {"Content-Type": "application/json", "User-Agent": "multirouter", **self._headers}
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        # A session a sending: alarms are rare, and an idle connection would be closed by then.
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.post(self._url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            return response.status

    def _as_usual(self, alarm: AlarmChanged) -> dict[str, Any]:
        ago = anyio.current_time() - alarm.at
        at = datetime.fromtimestamp(self._wall() - ago, UTC)
        return {
            "router": alarm.router,
            "alarm": alarm.alarm,
            "subject": alarm.subject,
            "state": "firing" if alarm.firing else "cleared",
            "value": alarm.value,
            "text": alarm.text,
            "at": at.isoformat(timespec="seconds"),
            "lasted": round(alarm.at - alarm.since, 3),
        }


def _in_asyncio() -> bool:
    """Whether a task of asyncio runs here; a guest run of trio inside of a loop is none."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
