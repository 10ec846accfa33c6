"""Operations of an OpenAI-compatible service beside chat: requests and answers pass unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

from multirouter.core.settings.operation import Operation
from multirouter.providers.adapter import Adapter, encode
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.files.form_data import encode_form, has_files
from multirouter.providers.files.media_adapter import SpeechAdapter, TranscriptAdapter
from multirouter.providers.json_bytes import loads
from multirouter.providers.openai.wire import OpenAIAddress, by_index
from multirouter.providers.transport.http import PreparedRequest
from multirouter.providers.transport.sse import Event

PATHS: Mapping[str, str] = MappingProxyType(
    {
        "completions": "/completions",
        "embeddings": "/embeddings",
        "compact": "/responses/compact",
        "moderations": "/moderations",
        "images": "/images/generations",
        "image_edits": "/images/edits",
        "image_variations": "/images/variations",
        "speech": "/audio/speech",
        "transcriptions": "/audio/transcriptions",
        "translations": "/audio/translations",
        "rerank": "/rerank",
    }
)
"""The path of each operation, after the base URL. A service without one answers 404, and the next
provider is attempted."""

_ADAPTERS: Mapping[str, type[Adapter[Any, Any]]] = MappingProxyType(
    {
        "speech": SpeechAdapter,
        "transcriptions": TranscriptAdapter,
        "translations": TranscriptAdapter,
    }
)
"""The adapters of operations whose answers may be other than JSON."""

GENERATING = frozenset({"completions"})
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
        adapter = chat.sharing_connections(wire, _ADAPTERS.get(name))
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
        self._has_stream_field = path != PATHS["speech"]

    def prepare(self, request: Mapping[str, Any], *, stream: bool) -> PreparedRequest:
        """See `Wire.prepare`."""
        body = {**request, **self._options}
        if stream and self._has_stream_field:
            body["stream"] = True
        return self._prepared(body, encode_form if has_files(body) else encode)

    def read(self, body: dict[str, Any], request: Mapping[str, Any]) -> dict[str, Any]:
        """See `Wire.read`. Embeddings are sorted in the order of the inputs."""
        data = body.get("data")
        if body.get("object") == "list" and isinstance(data, list):
            with self._errors.reading_response():
                data.sort(key=by_index)
        return body

    def translator(self, request: Mapping[str, Any]) -> OperationTranslator:
        """See `Wire.translator`."""
        return OperationTranslator(self._errors.about(request), images=_count(request.get("n")))


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
        """The usage that the event reports."""
        return self.body.get("usage")

    @property
    def model(self) -> Any:
        """The model that the event names."""
        return self.body.get("model")


class OperationTranslator:
    """Passes events on, and detects an error or the end; see `adapter.Translator`.

    The end is `[DONE]`, a finish reason, or the event that ends an image, a speech or a transcript.

    Args:
        errors: makes the provider's errors.
        images: how many images were requested; each has an end of its own.
    """

    def __init__(self, errors: ErrorFactory, images: int = 1) -> None:
        self.complete: bool = False
        self.ended: bool = False
        self._errors = errors
        self._ends_missing = images

    def feed(self, event: Event) -> Iterable[Any]:
        """See `Translator.feed`."""
        if event.data.startswith(b"[DONE]"):
            self.complete = self.ended = True
            return (OperationEvent(event, {}),)
        try:
            body = loads(event.data)
        except (ValueError, RecursionError):
            raise self._errors.invalid_chunk(event.data) from None
        if not isinstance(body, dict):
            raise self._errors.invalid_chunk(event.data)
        kind = body.get("type") or event.name
        if body.get("error") or kind == "error":
            raise self._errors.reported(body, {})
        if _finishes(body):
            self.complete = True
        elif _ends_media(kind):
            self._ends_missing -= 1
            self.complete = self._ends_missing <= 0
        return (OperationEvent(event, body),)

    def finish(self) -> Iterable[Any]:
        """See `Translator.finish`."""
        return ()


def _ends_media(kind: Any) -> bool:
    """Whether an event is the last of an image, a speech or a transcript.

    Their names end so (`image_generation.completed`, `speech.audio.done`).
    """
    return isinstance(kind, str) and kind.endswith((".done", ".completed"))


def _count(value: Any) -> int:
    """A number of a request, which a form sends as text; 1 for anything else."""
    text = str(value)
    return int(text) if text.isdecimal() and len(text) < 4 else 1


def _finishes(body: Mapping[str, Any]) -> bool:
    choices = body.get("choices")
    if not isinstance(choices, list):
        return False
    return any(isinstance(choice, dict) and choice.get("finish_reason") for choice in choices)
