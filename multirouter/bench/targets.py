"""What `multirouter bench` sends requests to: a router of this process, or a gateway."""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import anyio

from multirouter.bench.load import Sent
from multirouter.errors import ConfigurationError
from multirouter.model import AttemptRecord
from multirouter.router import MultiProviderRouter

if TYPE_CHECKING:
    import aiohttp

ANSWERED = frozenset({"success", "fallback"})
"""Results of calls that have an answer."""

MESSAGE_BYTES = 500
"""How much of a gateway's error is kept."""

_MODULE_AND_NAME = re.compile(r"\w+(\.\w+)*:\w+(\.\w+)*")


class RouterTarget:
    """A router of this process.

    Args:
        router: the router.
        route: the route of the calls; None for the default.
    """

    def __init__(
        self, router: MultiProviderRouter[Any, Any, Any], route: str | None = None
    ) -> None:
        self._router = router
        self._route = route

    async def send(self, request: Any, *, stream: bool) -> Sent:
        """Makes one call, or reads one stream to its end."""
        if stream:
            return await self._stream(request)
        outcome = await self._router.call_outcome(request, route=self._route)
        return Sent(
            "" if outcome.result in ANSWERED else type(outcome.error).__name__,
            message="" if outcome.result in ANSWERED else str(outcome.error),
            provider=outcome.provider or "",
            at_providers=busy(outcome.attempts),
            failovers=outcome.failovers,
        )

    async def _stream(self, request: Any) -> Sent:
        began, first, error, message = anyio.current_time(), None, "", ""
        stream = self._router.stream(request, route=self._route)
        try:
            async with stream:
                async for _ in stream:
                    if first is None:
                        first = anyio.current_time() - began
        except Exception as raised:  # noqa: BLE001 - any error is a figure of the run
            error, message = type(raised).__name__, str(raised)
        outcome = stream.outcome
        if outcome is None:
            return Sent(error, first, message=message)
        used = busy(outcome.attempts)
        return Sent(error, first, outcome.provider or "", used, outcome.failovers, message)


class GatewayTarget:
    """A gateway that runs elsewhere, by its OpenAI endpoint.

    Args:
        url: its address, such as `http://127.0.0.1:8080`.
        session: the client session.
        key: the client key; None for a gateway without keys.
    """

    def __init__(self, url: str, session: aiohttp.ClientSession, key: str | None) -> None:
        self._url = url.rstrip("/") + "/v1/chat/completions"
        self._session = session
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}

    async def send(self, request: Any, *, stream: bool) -> Sent:
        """Makes one request and reads its whole answer."""
        began, first = anyio.current_time(), None
        body = {**request, "stream": True} if stream else request
        try:
            async with self._session.post(self._url, json=body, headers=self._headers) as response:
                start = b""
                async for part in response.content.iter_any():
                    start = start or part
                    if stream and first is None:
                        first = anyio.current_time() - began
                status, headers = response.status, response.headers
        except Exception as raised:  # noqa: BLE001 - any error is a figure of the run
            return Sent(type(raised).__name__, first, message=str(raised))
        overhead = headers.get("X-Router-Overhead-Ms")
        used = None
        if overhead is not None:
            used = anyio.current_time() - began - float(overhead) / 1e3
        provider = headers.get("X-Provider", "")
        if status == 200:
            return Sent("", first, provider, used, _failovers(headers.get("X-Attempts", "[]")))
        message = start[:MESSAGE_BYTES].decode(errors="replace")
        return Sent(f"status {status}", first, provider, used, message=message)


def _failovers(trail: str) -> int:
    """How often the provider changes in the trail of a gateway's header."""
    attempts = [each for each in json.loads(trail) if isinstance(each, dict)]
    providers = [each.get("provider") for each in attempts if each.get("role", "call") == "call"]
    return sum(before != after for before, after in pairwise(providers))


def busy(attempts: Iterable[AttemptRecord]) -> float:
    """Seconds during which at least one of the attempts was under way."""
    total, until = 0.0, float("-inf")
    for started, ended in sorted((a.started, a.started + a.elapsed) for a in attempts):
        total += max(0.0, ended - max(started, until))
        until = max(until, ended)
    return total


def imported_router(target: str) -> MultiProviderRouter[Any, Any, Any]:
    """The router that `module:name` names; a function is called without arguments.

    Raises:
        ConfigurationError: there is no such module or name, or it is no router.
    """
    if not _MODULE_AND_NAME.fullmatch(target):
        why = f"must be module:router, a file (.yaml, .yml or .toml) or a URL, got {target!r}"
        raise ConfigurationError("TARGET", why)
    module, _, name = target.partition(":")
    if "" not in sys.path:
        sys.path.insert(0, "")  # the current folder, as for `python -m`
    try:
        found: Any = importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(target, f"must name a router as module:name, {error}") from error
    router = found
    if callable(found) and not isinstance(found, MultiProviderRouter):
        if inspect.iscoroutinefunction(found) or not _takes_no_arguments(found):
            why = f"must be a router, or a def that needs no arguments, got {found!r}"
            raise ConfigurationError(target, why)
        router = found()
    if not isinstance(router, MultiProviderRouter):
        raise ConfigurationError(target, f"must be a MultiProviderRouter, got {router!r}")
    return router


def _takes_no_arguments(function: Any) -> bool:
    try:
        inspect.signature(function).bind()
    except (TypeError, ValueError):
        return False
    return True


def read_requests(content: bytes, source: str) -> list[Any]:
    """The requests of a file with one JSON value per line, in UTF-8.

    Raises:
        ConfigurationError: a line is not JSON, or there is no line.
    """
    found = []
    for number, line in enumerate(content.splitlines(), 1):
        if line.strip():
            try:
                found.append(json.loads(line.decode()))
            except ValueError as error:
                text = line[:80].decode(errors="replace")
                raise ConfigurationError(
                    f"{source}, line {number}", f"must be JSON ({error}), got {text!r}"
                ) from None
    if not found:
        raise ConfigurationError(source, "must have at least one request, got an empty file")
    return found
