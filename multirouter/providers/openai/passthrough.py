"""Passes other endpoints of an OpenAI-compatible service through, with a provider's key and URL."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from multirouter.core.settings.provider import Provider
from multirouter.providers.adapter import Adapter, PreparedRequest, encode
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.json_bytes import loads
from multirouter.providers.openai.wire import OpenAIWire, by_index
from multirouter.providers.sse import Event

PassthroughProvider: TypeAlias = Provider[Mapping[str, Any], dict[str, Any], Event]


def passthrough_provider(
    provider: Provider[Any, Any, Any], path: str
) -> PassthroughProvider | None:
    """Returns a provider for another endpoint of the same service.

    Args:
        provider: a chat provider, as `OpenAI` makes it.
        path: the path after the base URL (`/embeddings`).

    Returns:
        A provider of the same name that sends requests unchanged, with that provider's key,
        headers and connections; None for a provider of another format.
    """
    adapter = getattr(provider.call, "__self__", None)
    if not isinstance(adapter, Adapter) or not isinstance(adapter._wire, OpenAIWire):  # noqa: SLF001 - same package
        return None
    wire = PassthroughWire(adapter._wire, path)  # noqa: SLF001 - see above
    passthrough = Adapter(wire, adapter._errors, adapter._http)  # noqa: SLF001 - see above
    return Provider(
        provider.name,
        passthrough.call,
        stream=passthrough.stream,  # type: ignore[arg-type] # its chunks are those of `PassthroughTranslator`
        weight=provider.weight,
        attempt_timeout=provider.attempt_timeout,
        circuit=provider.circuit,
        aclose=passthrough.aclose,
    )


class PassthroughWire:
    """Wire format of any endpoint of an OpenAI-compatible service; see `adapter.Wire`."""

    def __init__(self, chat: OpenAIWire, path: str) -> None:
        self._url = chat._url.removesuffix(chat.path) + path  # noqa: SLF001 - see `passthrough_provider`
        self._key = chat._key  # noqa: SLF001 - see `passthrough_provider`
        self._headers = chat._headers  # noqa: SLF001 - see `passthrough_provider`
        self._errors = chat._errors  # noqa: SLF001 - see `passthrough_provider`

    def prepare(self, request: Mapping[str, Any], *, stream: bool) -> PreparedRequest:
        """See `Wire.prepare`."""
        body = {**request, "stream": True} if stream else request
        headers = dict(self._headers)
        key = self._key.reveal()
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return PreparedRequest(self._url, headers, self._errors.encode_body(encode, dict(body)))

    def read(self, body: dict[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
        """See `Wire.read`. Embeddings are sorted in the order of the inputs."""
        data = body.get("data")
        if body.get("object") == "list" and isinstance(data, list):
            with self._errors.reading_response():
                data.sort(key=by_index)
        return body

    def translator(self, request: Mapping[str, Any]) -> PassthroughTranslator:
        """See `Wire.translator`."""
        return PassthroughTranslator(self._errors)


_ENDS = frozenset({"response.completed", "response.incomplete"})
_FAILS = frozenset({"response.failed", "error"})


class PassthroughTranslator:
    """Passes events on, and detects an error or the end; see `adapter.Translator`.

    The end is `[DONE]`, a finish reason, or the last event of a response.
    """

    def __init__(self, errors: ErrorFactory) -> None:
        self.complete: bool = False
        self.ended: bool = False
        self._errors = errors

    def feed(self, event: Event) -> Iterable[Any]:
        """See `Translator.feed`."""
        if event.data.startswith(b"[DONE]"):
            self.complete = self.ended = True
            return (event,)
        try:
            body = loads(event.data)
        except (ValueError, RecursionError):
            raise self._errors.invalid_chunk(event.data) from None
        if not isinstance(body, dict):
            raise self._errors.invalid_chunk(event.data)
        kind = body.get("type") or event.name
        if body.get("error") or kind in _FAILS:
            raise self._errors.reported(body.get("response") or body, {})
        if kind in _ENDS or _finishes(body):
            self.complete = True
            self.ended = kind in _ENDS
        return (event,)

    def finish(self) -> Iterable[Any]:
        """See `Translator.finish`."""
        return ()


def _finishes(body: Mapping[str, Any]) -> bool:
    choices = body.get("choices")
    if not isinstance(choices, list):
        return False
    return any(isinstance(choice, dict) and choice.get("finish_reason") for choice in choices)
