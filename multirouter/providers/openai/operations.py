"""Operations of an OpenAI-compatible service beside chat: requests and answers pass unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from multirouter.core.settings.operation import Operation
from multirouter.providers.adapter import Adapter, PreparedRequest
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.json_bytes import loads
from multirouter.providers.openai.wire import OpenAIAddress, by_index
from multirouter.providers.sse import Event

PATHS: Mapping[str, str] = MappingProxyType(
    {
        "completions": "/completions",
        "embeddings": "/embeddings",
        "responses": "/responses",
        "moderations": "/moderations",
        "images": "/images/generations",
        "rerank": "/rerank",
    }
)
"""The path of each operation, after the base URL. A service without one answers 404, and the next
provider is attempted."""

GENERATING = frozenset({"completions", "responses"})
"""Operations that generate text, so that the `options` of a provider, which are for chat, apply."""


def operations_of(chat: Adapter[Any, Any], settings: Mapping[str, Any]) -> dict[str, Operation]:
    """The operations of a service, by name.

    Args:
        chat: the adapter of its chat completions, whose connections they use.
        settings: the settings of its wire format.
    """
    operations = {}
    for name, path in PATHS.items():
        options = settings["options"]
        if name not in GENERATING:
            options = {key: value for key, value in options.items() if key == "model"}
        wire = OperationWire(path, **{**settings, "options": options})
        adapter = chat.sharing_connections(wire)
        operations[name] = Operation(adapter.call, stream=adapter.stream)
    return operations


class OperationWire(OpenAIAddress):
    """Wire format of one operation; see `adapter.Wire`.

    Args:
        path: the path after the base URL.
        settings: as for `OpenAIAddress`.
    """

    def __init__(self, path: str, **settings: Any) -> None:
        super().__init__(**settings)
        self._url += path

    def prepare(self, request: Mapping[str, Any], *, stream: bool) -> PreparedRequest:
        """See `Wire.prepare`."""
        body = {**request, **self._options}
        if stream:
            body["stream"] = True
        return self._prepared(body)

    def read(self, body: dict[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
        """See `Wire.read`. Embeddings are sorted in the order of the inputs."""
        data = body.get("data")
        if body.get("object") == "list" and isinstance(data, list):
            with self._errors.reading_response():
                data.sort(key=by_index)
        return body

    def translator(self, request: Mapping[str, Any]) -> OperationTranslator:
        """See `Wire.translator`."""
        return OperationTranslator(self._errors.about(request))


class OperationEvent:
    """One event of an operation's stream, as it arrived.

    Attributes:
        name: the event's name, or "".
        data: its data.
        body: the same, parsed; empty for an event that is no JSON object.
    """

    __slots__ = ("body", "data", "name")

    def __init__(self, event: Event, body: Mapping[str, Any]) -> None:
        self.name: str = event.name
        self.data: bytes = event.data
        self.body: Mapping[str, Any] = body

    # Read by `usage_of` and `answered_model`, as they read objects of an SDK.

    @property
    def usage(self) -> Any:
        """The usage that the event itself reports."""
        return self.body.get("usage")

    @property
    def model(self) -> Any:
        """The model that the event itself names."""
        return self.body.get("model")

    @property
    def response(self) -> Any:
        """The response that the event describes."""
        response = self.body.get("response")
        return Described(response) if isinstance(response, Mapping) else None


class Described:
    """The response that an event describes: its model and its usage."""

    __slots__ = ("model", "usage")

    def __init__(self, response: Mapping[str, Any]) -> None:
        self.model: Any = response.get("model")
        self.usage: Any = response.get("usage")


_ENDS = frozenset({"response.completed", "response.incomplete"})
_FAILS = frozenset({"response.failed", "error"})


class OperationTranslator:
    """Passes events on, and detects an error or the end; see `adapter.Translator`.

    The end is `[DONE]`, a finish reason, or the last event of a response. Events at the beginning
    that only describe the state of a response are held back until something follows them: until
    then another provider can still answer.
    """

    def __init__(self, errors: ErrorFactory) -> None:
        self.complete: bool = False
        self.ended: bool = False
        self._errors = errors
        self._held: list[OperationEvent] | None = []

    def feed(self, event: Event) -> Iterable[Any]:
        """See `Translator.feed`."""
        if event.data.startswith(b"[DONE]"):
            self.complete = self.ended = True
            return self._released(OperationEvent(event, {}))
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
        passed = OperationEvent(event, body)
        if self._held is not None and passed.response is not None and not self.complete:
            self._held.append(passed)
            return ()
        return self._released(passed)

    def finish(self) -> Iterable[Any]:
        """See `Translator.finish`."""
        return ()

    def _released(self, event: OperationEvent) -> Iterable[OperationEvent]:
        held, self._held = self._held, None
        return (*held, event) if held else (event,)


def _finishes(body: Mapping[str, Any]) -> bool:
    choices = body.get("choices")
    if not isinstance(choices, list):
        return False
    return any(isinstance(choice, dict) and choice.get("finish_reason") for choice in choices)
