"""The functions of a configured provider: they set the model, then call the service's adapter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from fnmatch import fnmatchcase
from typing import Any

from multirouter.core.settings.operation import Operation
from multirouter.core.settings.provider import Provider
from multirouter.providers import ChatCompletion, ChatCompletionChunk, ChatRequest, Http


class ConfiguredProvider:
    """Callable of a configured provider: sets the model, then delegates to the adapter.

    Args:
        name: the provider's name.
        inputs: everything it is made from; providers with equal inputs are interchangeable.
        adapter: sends requests to the service.
        model: the model of requests whose model is not one of `models`, or None.
        models: models that clients may request by name; `*` is a wildcard.
        http: the shared connections.
    """

    __slots__ = ("_adapter", "_model", "_models", "_prefix", "http", "inputs")

    def __init__(
        self,
        name: str,
        inputs: object,
        adapter: Any,
        model: str | None,
        models: tuple[str, ...],
        http: Http,
    ) -> None:
        self._prefix = f"{name}/"
        self._adapter = adapter
        self._model = model
        self._models = models
        self.inputs: object = inputs
        self.http: Http = http

    def call(self, request: ChatRequest) -> Awaitable[ChatCompletion]:
        """Sends a request and returns the complete answer."""
        answer: Awaitable[ChatCompletion] = self._adapter.call(self._with_model(request))
        return answer

    def stream(self, request: ChatRequest) -> AsyncIterator[ChatCompletionChunk]:
        """Sends a request and streams the answer."""
        chunks: AsyncIterator[ChatCompletionChunk] = self._adapter.stream(self._with_model(request))
        return chunks

    @property
    def operations(self) -> dict[str, Operation]:
        """The operations of the service, with model names as for chat."""
        return {
            name: Operation(
                _of_model(self._with_model, operation.call),
                stream=_of_model(self._with_model, operation.stream),
                lacks=operation.lacks,
            )
            for name, operation in getattr(self._adapter, "operations", {}).items()
        }

    def _with_model(self, request: ChatRequest) -> ChatRequest:
        """The request with the model name to send to the service."""
        requested = request.get("model")
        model = self.model_for(requested)
        return request if model is None or model == requested else {**request, "model": model}

    def model_for(self, requested: str | None) -> str | None:
        """The model name to send for the requested one; None if neither side names a model."""
        if not self._models and self._model is not None:
            return self._model
        requested = requested.removeprefix(self._prefix) if requested else None
        known = requested and any(fnmatchcase(requested, model) for model in self._models)
        return requested if known or self._model is None else self._model

    def model_of(self, request: ChatRequest) -> str | None:
        """The model name of a request, as it is sent."""
        return self.model_for(request.get("model"))

    def __repr__(self) -> str:
        return f"<ConfiguredProvider {self._prefix[:-1]}>"


def _of_model(
    with_model: Callable[[Any], Any], function: Callable[[Any], Any] | None
) -> Callable[[Any], Any] | None:
    """A function of a service, called with the request that names the service's model."""
    return None if function is None else lambda request: function(with_model(request))


def configured_provider(provider: Provider[Any, Any, Any]) -> ConfiguredProvider | None:
    """The `ConfiguredProvider` of a provider, or None if it comes from elsewhere."""
    owner = getattr(provider.call, "__self__", None)
    return owner if isinstance(owner, ConfiguredProvider) else None
