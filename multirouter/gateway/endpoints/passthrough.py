"""The doors whose requests pass through as they are, to whoever has that path, with failover."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from multirouter.config.provider_builder import provider_of
from multirouter.core.settings.provider import Provider
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.gateway.endpoints.chat import flag, json_response
from multirouter.gateway.http.error_responses import Refusal
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.routing import router_calls as asking
from multirouter.gateway.routing.model_catalogue import Target
from multirouter.gateway.routing.request_options import Wanted
from multirouter.gateway.streams.stream_relay import relay
from multirouter.providers.json_bytes import dumps
from multirouter.providers.openai.passthrough import beside
from multirouter.providers.sse import Event
from multirouter.router import MultiProviderRouter

PATHS = ("/completions", "/embeddings", "/responses")
"""What is passed through, behind `/v1`."""


class Passing:
    """One path, in front of the providers of a router that have it.

    They are asked by a router of their own, of the path's name: that somebody's chat is ill says
    little of their embeddings. The order is that of the chat route, tier by tier.

    Args:
        chat: the router whose providers, routes and order hold here too.
        path: the path behind `/v1`.
        registry: the Prometheus registry of its metrics; None is the default one.
    """

    def __init__(self, chat: asking.Router, path: str, registry: Any) -> None:
        self._chat = chat
        self._path = path
        self._made: dict[str, tuple[Provider[Any, Any, Any], Provider[Any, Any, Any] | None]] = {}
        self._router: asking.Router = MultiProviderRouter[Any, Any, Any](
            name=path.removeprefix("/"), stream=StreamPolicy(content=_is_content), registry=registry
        )

    async def answer(
        self, wanted: Wanted, exchange: Exchange, *, keepalive: float
    ) -> web.StreamResponse:
        """Answers one request, whole or streamed.

        Raises:
            Exception: what `refusal_of` knows to tell.
        """
        await self._refresh()
        wanted = replace(wanted, targets=tuple(map(self._aimed, wanted.targets)))
        if flag(wanted.body, "stream"):
            return await relay(
                exchange,
                lambda: asking.open_stream(self._router, wanted, exchange),
                _Events(wanted.targets[0].model),
                keepalive,
            )
        answer = await asking.call(self._router, wanted, exchange)
        exchange.model = str(answer.get("model") or "")
        exchange.usage(answer.get("usage"))
        return json_response(exchange, answer)

    async def aclose(self) -> None:
        """Closes the router."""
        await self._router.aclose()

    async def _refresh(self) -> None:
        """Follows the chat router's providers; a look at each, when nothing has changed."""
        current = {provider.name: provider for provider in self._chat.providers}
        changed = [n for n, (made_of, _) in self._made.items() if current.get(n) is not made_of]
        gone = [made for made in (self._made.pop(name)[1] for name in changed) if made is not None]
        for provider in gone:
            self._router.remove(provider.name)
        for name, provider in current.items():
            if name not in self._made:
                made = _beside(provider, self._path)
                self._made[name] = (provider, made)
                if made is not None:
                    self._router.add(made)
        for provider in gone:  # last, for others may look meanwhile
            if provider.aclose is not None:
                await provider.aclose()

    def _aimed(self, target: Target) -> Target:
        """The target here: of the chat route those who have the path, in its order."""
        tiers = self._chat.explain(target.route).tiers
        names = [seat.provider for tier in tiers for seat in tier]
        able = tuple(name for name in names if self._made[name][1] is not None)
        if not able:
            raise Refusal(404, f"no provider of this model has {self._path}", code="path_not_found")
        return Target(able, target.model)


class _Events:
    """Events as they came; see `relaying.Translator`."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.usage: Any = None

    def feed(self, event: Event) -> bytes:
        """See `Translator`."""
        name = f"event: {event.name}\n".encode() if event.name else b""
        lines = b"".join(b"data: %s\n" % line for line in _strict(event.data).split(b"\n"))
        return name + lines + b"\n"

    def end(self) -> bytes:
        """See `Translator`: the end came as an event."""
        return b""


def _strict(data: bytes) -> bytes:
    """The same without numbers that JSON has not, at which clients other than Python's fail."""
    if b"NaN" not in data and b"Infinity" not in data:
        return data
    try:
        return dumps(json.loads(data, parse_constant=lambda _: None))
    except ValueError:
        return data


def _is_content(event: Any) -> bool:
    """Whether an event brings something of the answer, or is all that comes."""
    return b"delta" in event.data or b'"choices"' in event.data or event.data.startswith(b"[DONE]")


def _beside(provider: Provider[Any, Any, Any], path: str) -> Provider[Any, Any, Any] | None:
    """The provider of that path; one that was configured asks for its own models there too."""
    upstream = provider_of(provider)
    if upstream is None:
        return beside(provider, path)
    made = beside(upstream._inner, path)  # noqa: SLF001 - what the configuration made it of
    if made is None:
        return None
    prefix = f"{provider.name}/"

    def addressed(request: Mapping[str, Any]) -> Mapping[str, Any]:
        asked = str(request.get("model") or "")
        if asked.startswith(prefix):
            return {**request, "model": asked.removeprefix(prefix)}
        model = upstream.model_for(asked)
        return request if model is None else {**request, "model": model}

    return made.replace(call=_then(addressed, made.call), stream=_then(addressed, made.stream))


def _then(addressed: Callable[[Any], Any], ask: Any) -> Callable[[Any], Any]:
    """What asks with the request as it is addressed."""
    return lambda request: ask(addressed(request))


def passing_doors(chat: asking.Router, registry: Any) -> Iterable[tuple[str, Passing]]:
    """Every path with its door."""
    return [(f"/v1{path}", Passing(chat, path, registry)) for path in PATHS]
