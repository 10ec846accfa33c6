"""Endpoints that pass requests through unchanged, with failover among the providers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from aiohttp import web

from multirouter.config.provider_builder import configured_provider
from multirouter.core.routes.chain import Target
from multirouter.core.settings.provider import Provider
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.gateway.endpoints.chat import json_response, pop_flag
from multirouter.gateway.http.exchange import Exchange
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.routing import router_calls
from multirouter.gateway.routing.request_options import RequestOptions
from multirouter.gateway.streams.stream_relay import relay
from multirouter.providers.json_bytes import dumps
from multirouter.providers.openai.passthrough import passthrough_provider
from multirouter.providers.sse import Event
from multirouter.router import MultiProviderRouter

PATHS = ("/completions", "/embeddings", "/responses")
"""Paths that are passed through, behind `/v1`."""

AnyProvider = Provider[Any, Any, Any]


class Passthrough:
    """One path, in front of those providers of the chat router that support it.

    It has a router of its own, named after the path: whether a provider is healthy for chat says
    little about its embeddings. Providers are tried in the order of the chat route, tier by tier.

    Args:
        chat: the chat router; its providers, routes and order apply here too.
        path: the path behind `/v1`.
        registry: the Prometheus registry of its metrics; None is the default one.
    """

    def __init__(self, chat: router_calls.Router, path: str, registry: Any) -> None:
        self._chat = chat
        self._path = path
        self._made: dict[str, tuple[AnyProvider, AnyProvider | None]] = {}
        self._router: router_calls.Router = MultiProviderRouter[Any, Any, Any](
            name=path.removeprefix("/"), stream=StreamPolicy(content=_is_content), registry=registry
        )

    async def answer(
        self, options: RequestOptions, exchange: Exchange, *, comment_interval: float
    ) -> web.StreamResponse:
        """Answers one request, whole or streamed.

        Raises:
            Exception: see `http_error_from`.
        """
        await self._refresh()
        options = replace(options, targets=tuple(map(self._own_target, options.targets)))
        if pop_flag(options.body, "stream"):
            return await relay(
                exchange,
                lambda: router_calls.open_stream(self._router, options, exchange),
                _Events(options.targets[0].model),
                comment_interval,
            )
        answer = await router_calls.call(self._router, options, exchange)
        exchange.model = str(answer.get("model") or "")
        exchange.record_usage(answer.get("usage"))
        return json_response(exchange, answer)

    async def aclose(self) -> None:
        """Closes the router."""
        await self._router.aclose()

    async def _refresh(self) -> None:
        """Applies changes of the chat router's providers; without any it only compares them."""
        current = {provider.name: provider for provider in self._chat.providers}
        changed = [n for n, (source, _) in self._made.items() if current.get(n) is not source]
        removed = [made for made in (self._made.pop(n)[1] for n in changed) if made is not None]
        for provider in removed:
            self._router.remove(provider.name)
        for name, provider in current.items():
            if name not in self._made:
                made = _passthrough(provider, self._path)
                self._made[name] = (provider, made)
                if made is not None:
                    self._router.add(made)
        for provider in removed:  # last, since other requests may run meanwhile
            if provider.aclose is not None:
                await provider.aclose()

    def _own_target(self, target: Target) -> Target:
        """The target here: the providers of the chat route that support the path, in order.

        Raises:
            HTTPError: 404 if there is none.
        """
        tiers = self._chat.explain(target.route).tiers
        names = [member.provider for tier in tiers for member in tier]
        supporting = tuple(name for name in names if self._made[name][1] is not None)
        if not supporting:
            model = f"the model {target.model!r}" if target.model else f"route {target.route!r}"
            message = f"no provider of {model} supports /v1{self._path}"
            raise HTTPError(404, message, code="path_not_found")
        return Target(supporting, target.model)


class _Events:
    """Passes events on unchanged; see `stream_relay.Translator`."""

    def __init__(self, model: str) -> None:
        self.model = model
        self.usage: Any = None

    def feed(self, event: Event) -> bytes:
        """See `Translator`."""
        name = f"event: {event.name}\n".encode() if event.name else b""
        lines = b"".join(b"data: %s\n" % line for line in _valid_json(event.data).split(b"\n"))
        return name + lines + b"\n"

    def end(self) -> bytes:
        """See `Translator`: the provider's own last event was passed on."""
        return b""


def _valid_json(data: bytes) -> bytes:
    """The same without NaN and Infinity, which only Python's clients parse."""
    if b"NaN" not in data and b"Infinity" not in data:
        return data
    try:
        return dumps(json.loads(data, parse_constant=lambda _: None))
    except ValueError:
        return data


def _is_content(event: Any) -> bool:
    """Whether an event holds a part of the answer, or is the end of a stream."""
    return b"delta" in event.data or b'"choices"' in event.data or event.data.startswith(b"[DONE]")


def _passthrough(provider: AnyProvider, path: str) -> AnyProvider | None:
    """The provider for a path; a configured one maps model names there as it does for chat."""
    configured = configured_provider(provider)
    if configured is None:
        return passthrough_provider(provider, path)
    adapter = configured._adapter  # noqa: SLF001 - the configuration wraps it
    made = passthrough_provider(adapter, path)
    if made is None:
        return None
    prefix = f"{provider.name}/"

    def with_model(request: Mapping[str, Any]) -> Mapping[str, Any]:
        requested = str(request.get("model") or "")
        if requested.startswith(prefix):
            return {**request, "model": requested.removeprefix(prefix)}
        model = configured.model_for(requested)
        return request if model is None else {**request, "model": model}

    return made.replace(call=_after(with_model, made.call), stream=_after(with_model, made.stream))


def _after(transform: Callable[[Any], Any], call: Any) -> Callable[[Any], Any]:
    """A call with a transformed request."""
    return lambda request: call(transform(request))


def passthrough_endpoints(chat: router_calls.Router, registry: Any) -> dict[str, Passthrough]:
    """The passthrough of each path."""
    return {f"/v1{path}": Passthrough(chat, path, registry) for path in PATHS}
