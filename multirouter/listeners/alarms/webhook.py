"""Webhook target of alarms; aiohttp is imported when the first alarm is sent."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import anyio

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.events import AlarmChanged
from multirouter.errors import ConfigurationError, UsageError

_TRANSIENT_STATUSES = frozenset({408, 425, 429})
"""4xx statuses that may succeed later; the others would be the same again."""


class Webhook:
    """Posts alarms to a URL, as JSON: `Alarms([...], to=[Webhook("https://example.com/hook")])`.

    The router sends alarms in the background, one after the other, and repeats failed requests.

    Args:
        url: where to POST. It may contain a secret, and is never logged.
        headers: additional request headers, such as an API key.
        timeout: seconds of one request, > 0.
        body: returns the JSON value for an alarm (`lambda alarm: {"text": alarm.text}` for a chat
            channel). Default: an object with router, alarm, subject, state (`firing` or `cleared`),
            value, text, at (UTC) and duration (seconds).
        wall: wall clock for `at`, seconds since 1970.

    Raises:
        ConfigurationError: the URL is not an http or https URL with a host.
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
            why = "must be an http:// or https:// URL with a host (the value is not shown)"
            raise ConfigurationError("Webhook.url", why)
        self._url = url
        self._host = parts.hostname
        self._headers = dict(headers or {})
        self._timeout = check.duration("Webhook.timeout", timeout)
        self._body: Callable[[AlarmChanged], Any] | None = hooks.plain_function(
            "Webhook.body", body, "alarm"
        )
        self._wall = wall

    def __repr__(self) -> str:
        return f"<Webhook {self._host}>"

    async def __call__(self, alarm: AlarmChanged) -> None:
        """Sends one alarm.

        Raises:
            UsageError: a status that would be the same again: the URL or the body is wrong.
            ConnectionError: a status that may be another one later.
            aiohttp.ClientError: and OSError, TimeoutError: there was no response.
        """
        value = self._default_body(alarm) if self._body is None else self._body(alarm)
        body = json.dumps(value, allow_nan=False).encode()
        if _in_asyncio_task():
            status = await self._post(body)
        else:  # aiohttp needs asyncio; alarms are rare enough for a thread each
            status = await anyio.to_thread.run_sync(
                lambda: asyncio.run(self._post(body)), abandon_on_cancel=True
            )
        if 400 <= status < 500 and status not in _TRANSIENT_STATUSES:
            raise UsageError(f"the webhook at {self._host} rejected an alarm with status {status}")
        if not 200 <= status < 300:
            raise ConnectionError(f"the webhook at {self._host} responded with status {status}")

    async def _post(self, body: bytes) -> int:
        import aiohttp

        headers = {"Content-Type": "application/json", "User-Agent": "multirouter", **self._headers}
        timeout = aiohttp.ClientTimeout(total=self._timeout)
        # One session a request: alarms are rare, and an idle connection would be closed by then.
        async with (
            aiohttp.ClientSession(timeout=timeout, trust_env=True) as session,
            session.post(self._url, data=body, headers=headers, allow_redirects=False) as response,
        ):
            return response.status

    def _default_body(self, alarm: AlarmChanged) -> dict[str, Any]:
        age = anyio.current_time() - alarm.at
        at = datetime.fromtimestamp(self._wall() - age, UTC)
        return {
            "router": alarm.router,
            "alarm": alarm.alarm,
            "subject": alarm.subject,
            "state": "firing" if alarm.firing else "cleared",
            "value": alarm.value,
            "text": alarm.text,
            "at": at.isoformat(timespec="seconds"),
            "duration": round(alarm.at - alarm.since, 3),
        }


def _in_asyncio_task() -> bool:
    """Whether an asyncio task is running; a trio guest run inside an asyncio loop is not one."""
    try:
        return asyncio.current_task() is not None
    except RuntimeError:
        return False
