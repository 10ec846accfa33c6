"""OpenAI's other paths, passed through as they are, with a provider's key and address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from multirouter.core.settings.provider import Provider
from multirouter.providers.adapter import Adapter, Prepared, encode
from multirouter.providers.failures import Failures
from multirouter.providers.json_bytes import loads
from multirouter.providers.openai.wire import OpenAIWire
from multirouter.providers.sse import Event

PassingProvider: TypeAlias = Provider[Mapping[str, Any], dict[str, Any], Event]


def beside(provider: Provider[Any, Any, Any], path: str) -> PassingProvider | None:
    """A provider for another path of the same service.

    Args:
        provider: a chat provider, as `OpenAI` makes it.
        path: what follows the base URL (`/embeddings`).

    Returns:
        A provider of the same name that sends requests as they are, with that provider's key,
        headers and connections; None when it speaks another format.
    """
    adapter = getattr(provider.call, "__self__", None)
    if not isinstance(adapter, Adapter) or not isinstance(adapter._wire, OpenAIWire):  # noqa: SLF001 - its own room
        return None
    wire = PassingWire(adapter._wire, path)  # noqa: SLF001 - see above
    passing = Adapter(wire, adapter._failures, adapter._http)  # noqa: SLF001 - see above
    return Provider(
        provider.name,
        passing.call,
        stream=passing.stream,  # type: ignore[arg-type] # its chunks are those of `PassingTranslator`
        weight=provider.weight,
        attempt_timeout=provider.attempt_timeout,
        circuit=provider.circuit,
        aclose=passing.aclose,
    )


class PassingWire:
    """Any path of a service that speaks OpenAI's format; see `adapter.Wire`."""

    def __init__(self, chat: OpenAIWire, path: str) -> None:
        self._url = chat._url.removesuffix(chat.path) + path  # noqa: SLF001 - see `beside`
        self._key = chat._key  # noqa: SLF001 - see `beside`
        self._headers = chat._headers  # noqa: SLF001 - see `beside`
        self._failures = chat._failures  # noqa: SLF001 - see `beside`

    def prepare(self, request: Mapping[str, Any], *, stream: bool) -> Prepared:
        """See `Wire.prepare`."""
        body = {**request, "stream": True} if stream else request
        headers = dict(self._headers)
        key = self._key.reveal()
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        return Prepared(self._url, headers, self._failures.encoded(encode, dict(body)))

    def read(self, body: dict[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
        """See `Wire.read`; vectors come in the order of the inputs."""
        data = body.get("data")
        if body.get("object") == "list" and isinstance(data, list):
            with self._failures.unreadable():
                data.sort(key=_place)
        return body

    def translator(self, request: Mapping[str, Any]) -> PassingTranslator:
        """See `Wire.translator`."""
        return PassingTranslator(self._failures)


_ENDS = frozenset({"response.completed", "response.incomplete"})
_FAILS = frozenset({"response.failed", "error"})


class PassingTranslator:
    """Passes events on, and notices an error or the end among them; see `adapter.Translator`.

    The end is `[DONE]`, a finish reason, or the last event of a response.
    """

    def __init__(self, failures: Failures) -> None:
        self.complete: bool = False
        self.ended: bool = False
        self._failures = failures

    def feed(self, event: Event) -> Iterable[Any]:
        """See `Translator.feed`."""
        if event.data.startswith(b"[DONE]"):
            self.complete = self.ended = True
            return (event,)
        try:
            told = loads(event.data)
        except (ValueError, RecursionError):
            raise self._failures.broken_chunk(event.data) from None
        if not isinstance(told, dict):
            raise self._failures.broken_chunk(event.data)
        kind = told.get("type") or event.name
        if told.get("error") or kind in _FAILS:
            raise self._failures.told(told.get("response") or told, {})
        if kind in _ENDS or _finishes(told):
            self.complete = True
            self.ended = kind in _ENDS
        return (event,)

    def finish(self) -> Iterable[Any]:
        """See `Translator.finish`."""
        return ()


def _place(item: Mapping[str, Any]) -> int:
    place: int = item.get("index", 0)
    return place


def _finishes(told: Mapping[str, Any]) -> bool:
    choices = told.get("choices")
    if not isinstance(choices, list):
        return False
    return any(isinstance(choice, dict) and choice.get("finish_reason") for choice in choices)
