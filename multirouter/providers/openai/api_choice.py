"""One OpenAI-compatible service, called by chat completions or by responses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from multirouter.errors import ProviderError
from multirouter.providers.adapter import Adapter
from multirouter.providers.calls.names import OPENAI as OPENAI_NAMES
from multirouter.providers.calls.names import ToolNames
from multirouter.providers.canonical import ChatCompletion, ChatCompletionChunk, ChatRequest
from multirouter.providers.error_factory import ErrorFactory, names_id, says_no_such_path
from multirouter.providers.field_support import find_lacks, only_native
from multirouter.providers.native.client_request import native_request
from multirouter.providers.openai.responses.field_support import FIELDS
from multirouter.providers.openai.responses.request import to_responses
from multirouter.providers.openai.responses.wire import FORMAT, ResponsesWire
from multirouter.providers.quirks.model_quirks import QuirkTable

Api = Literal["auto", "chat", "responses"]
"""Which API of a service chats use; see `OpenAI`."""

APIS: tuple[Api, ...] = ("auto", "chat", "responses")

_MAX_MODELS = 1000
"""Models that are remembered; a client may name any number."""

_NEEDED = "v1/responses"
"""What an error mentions that wants the other API.

Source: errors of api.openai.com: "This model is only supported in v1/responses and not in
v1/chat/completions", "... use /v1/responses instead" for tools together with reasoning.
"""


_UNREADABLE = frozenset({"invalid_encrypted_content"})
"""Codes of errors about reasoning that another account encrypted.

Source: the error of api.openai.com, "The encrypted content ... could not be verified".
"""


@dataclass(frozen=True, slots=True)
class OpenAILacks:
    """Returns what of a request a service has no place for; see `Provider.lacks`.

    Fields of a chat pass unchanged: a service says itself what it does not have.

    Attributes:
        api: the API to use; see `OpenAI`.
        has_responses: whether the service may have responses.
    """

    api: Api
    has_responses: bool

    def __call__(self, request: Any) -> Mapping[str, str]:
        """See `find_lacks`."""
        if self.api == "responses":
            return find_lacks(request, FORMAT, FIELDS, self._translate)
        return only_native(FORMAT if self.api == "auto" and self.has_responses else "openai")

    @staticmethod
    def _translate(request: Any, errors: ErrorFactory) -> object:
        return to_responses(request, errors, ToolNames(OPENAI_NAMES, ()))


_Chat = Adapter[ChatRequest, ChatCompletion]


def needs_responses(quirks: QuirkTable, model: str | None) -> Callable[[ChatRequest], bool]:
    """Whether a request needs responses, by what is known of its model.

    Args:
        quirks: what the models take.
        model: the model of every request; None uses the request's.
    """

    def needs(request: ChatRequest) -> bool:
        given: Any = request  # a caller may pass anything
        has_tools = isinstance(given, Mapping) and bool(given.get("tools"))
        return has_tools and quirks.of(model or _model_of(request)).needs_responses

    return needs


class OpenAIService:
    """Calls one service. Its bound methods are the functions of a `Provider`.

    Args:
        chat: the adapter of chat completions.
        responses: the adapter of responses, with the same connections.
        api: the API to use; `auto` uses responses for requests of their format, and for models
            that turn out to need them.
        has_responses: whether the service may have responses at all.
        needs: whether a request is known to need responses.
    """

    def __init__(
        self,
        chat: _Chat,
        responses: _Chat,
        api: Api,
        *,
        has_responses: bool,
        needs: Callable[[ChatRequest], bool],
    ) -> None:
        self._needs = needs
        self._chat = chat
        self._responses = responses
        self._plain: _Chat = responses.sharing_connections(
            cast("ResponsesWire", responses._wire).without_reasoning()  # noqa: SLF001 - its own
        )
        self._api = api
        self._has_responses = has_responses
        self._needing: dict[str, None] = {}

    async def call(self, request: ChatRequest) -> ChatCompletion:
        """See `Adapter.call`."""
        first = self._adapter_for(request)
        try:
            return await first.call(request)
        except ProviderError as error:
            other = self._other_after(error, first, request)
            if other is None:
                raise
        return await other.call(request)

    async def stream(self, request: ChatRequest) -> AsyncIterator[ChatCompletionChunk]:
        """See `Adapter.stream`."""
        adapter: _Chat | None = self._adapter_for(request)
        while adapter is not None:
            used, adapter, begun = adapter, None, False
            try:
                async for chunk in used.stream(request):
                    begun = True
                    yield chunk
            except ProviderError as error:
                adapter = None if begun else self._other_after(error, used, request)
                if adapter is None:
                    raise

    async def aclose(self) -> None:
        """See `Adapter.aclose`; both adapters share their connections."""
        await self._chat.aclose()

    def _adapter_for(self, request: ChatRequest) -> _Chat:
        if self._api == "auto":
            own = self._has_responses and native_request(FORMAT) is not None
            needed = self._has_responses and self._needs(request)
            uses_responses = own or needed or _model_of(request) in self._needing
        else:
            uses_responses = self._api == "responses"
        return self._responses if uses_responses else self._chat

    def _other_after(self, error: ProviderError, used: _Chat, request: ChatRequest) -> _Chat | None:
        """The other adapter, when an error says that the service wants it; remembers that."""
        if used is self._responses and error.code in _UNREADABLE:
            return self._plain
        if self._api != "auto" or error.status not in {400, 404, 405}:
            return None
        if used is self._chat and _NEEDED in str(error):
            if len(self._needing) < _MAX_MODELS:
                self._needing[_model_of(request)] = None
            return self._responses
        if used is self._responses and says_no_such_path(error) and not _names_an_id(error):
            self._has_responses = False
            self._needing.clear()
            return self._chat
        return None


def _names_an_id(error: ProviderError) -> bool:
    """Whether a service lacks what the client's own request refers to, and not the path."""
    client = native_request(FORMAT)
    fields = {} if client is None else client.body
    ids = [value for field, value in fields.items() if field.endswith("_id") and value]
    return any(isinstance(id_, str) and names_id(error, id_) for id_ in ids)


def _model_of(request: Any) -> str:
    model = request.get("model") if isinstance(request, dict) else None
    return model if isinstance(model, str) else ""
