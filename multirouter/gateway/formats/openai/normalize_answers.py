"""Normalizes answers and chunks: adds what a provider left out, drops what it repeated.

Each rule exists for a client that fails without it: accumulators join tool calls by `index`, SDKs
parse `arguments`, frameworks read `choices[0]` of every chunk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from multirouter.core.chat import completions as chat
from multirouter.gateway.formats.openai.call_pieces import CallPieces
from multirouter.gateway.formats.openai.content_parts import flatten
from multirouter.gateway.http.http_error import HTTPError
from multirouter.providers.arguments import arguments_text

Chunk = dict[str, Any]


def normalize_answer(
    answer: Any, request_id: str, wall: Callable[[], float] = time.time
) -> dict[str, Any]:
    """Adds every key that clients read to a whole answer.

    Args:
        answer: a canonical response; changed in place.
        request_id: the base of ids where a provider gave none.
        wall: seconds since 1970.
    """
    answer["object"] = "chat.completion"
    answer["id"] = _string(answer.get("id")) or f"chatcmpl-{request_id}"
    answer["created"] = answer.get("created") or int(wall())
    answer["model"] = _string(answer.get("model"))
    if not isinstance(answer.get("usage", {}), dict):
        del answer["usage"]
    for position, choice in enumerate(answer["choices"]):
        if choice.get("index") is None:
            choice["index"] = position
        message = choice.get("message") or {}
        choice["message"] = message
        message["role"] = "assistant"
        if isinstance(message.setdefault("content", None), list):
            flatten(message)
        calls = message.get("tool_calls")
        if calls:
            for number, call in enumerate(calls):
                _complete_call(call, f"call_{request_id}_{position}_{number}")
        elif "tool_calls" in message:
            del message["tool_calls"]
        if not choice.get("finish_reason"):
            choice["finish_reason"] = "tool_calls" if calls else "stop"
    return answer  # type: ignore[no-any-return] # canonical answers are dicts


def reasoning_text(message: Mapping[str, Any]) -> str:
    """The reasoning of a message or a delta; services name the field differently."""
    return _string(message.get("reasoning_content")) or _string(message.get("reasoning"))


def _complete_call(call: dict[str, Any], id_: str) -> None:
    call["id"] = call.get("id") or id_
    call.setdefault("type", "function")
    function = call.get("function")
    if isinstance(function, dict):
        function["arguments"] = _arguments(function) or "{}"


def _arguments(function: Mapping[str, Any]) -> str:
    """The arguments as a string, also where a provider sent an object."""
    arguments = function.get("arguments") or ""
    return arguments if isinstance(arguments, str) else arguments_text(arguments)


def _string(value: Any) -> str:
    """A value for headers and logs; "" for anything but a string."""
    return value if isinstance(value, str) else ""


class ChunkNormalizer:
    """Makes one consistent stream of the chunks of one or more providers.

    Args:
        request_id: the base of ids where a provider gave none.
        include_usage: whether the client wants the chunk with the usage.
        wall: seconds since 1970.

    Attributes:
        id: the id of all chunks, once the first has come.
        model: the model of all chunks: that of the first.
        usage: the usage that the provider reported, or None.
        finished: the indexes of choices that have their finish reason.
    """

    def __init__(
        self, request_id: str, *, include_usage: bool, wall: Callable[[], float] = time.time
    ) -> None:
        self.id: str = ""
        self.model: str = ""
        self.usage: Any = None
        self.finished: set[int] = set()
        self._request_id = request_id
        self._include_usage = include_usage
        self._wall = wall
        self._created = 0
        self._started: set[int] = set()
        self._calls: dict[int, CallPieces] = {}

    def feed(self, chunk: Any) -> Iterable[Chunk]:
        """The normalized chunks of one chunk; its usage is kept for `end`."""
        if not self.id:
            self.id = _string(chunk.get("id")) or f"chatcmpl-{self._request_id}"
            self.model = _string(chunk.get("model"))
            self._created = chunk.get("created") or int(self._wall())
        usage = chunk.pop("usage", None)
        if usage and isinstance(usage, dict):
            self.usage = usage
        choices = chunk.get("choices")
        if not choices:
            return ()
        kept = [choice for choice in choices if self._normalize(choice)]
        return (self._with_header(chunk, kept),) if kept else ()

    def end(self) -> Iterable[Chunk]:
        """The last chunk: the usage, if the client wants it."""
        if not self._include_usage or self.usage is None:
            return ()
        last = self._with_header({}, [])
        last["usage"] = self.usage
        return (last,)

    def _with_header(self, chunk: Chunk, choices: list[Any]) -> Chunk:
        chunk["id"] = self.id
        chunk["object"] = "chat.completion.chunk"
        chunk["created"] = self._created
        chunk["model"] = self.model
        chunk["choices"] = choices
        if self._include_usage:
            chunk["usage"] = None
        return chunk

    def _normalize(self, choice: dict[str, Any]) -> bool:
        """Normalizes one choice of a chunk in place; False if nothing of it is to be sent."""
        index = choice["index"] = choice.get("index") or 0
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice["delta"] = {}
        elif isinstance(delta.get("content"), list):
            flatten(delta)
        delta.pop("other_content", None)
        reason = choice["finish_reason"] = choice.get("finish_reason") or None
        if index in self.finished:
            return False
        first = index not in self._started
        if first:
            self._started.add(index)
            delta["role"] = "assistant"
            delta.setdefault("content", None if delta.get("tool_calls") else "")
        elif "role" in delta:
            del delta["role"]
        if "tool_calls" in delta:
            self._normalize_calls(index, delta)
        if reason:
            self.finished.add(index)
            self._complete_calls(index, delta)
        return first or reason is not None or not _is_empty(delta)

    def _normalize_calls(self, index: int, delta: dict[str, Any]) -> None:
        calls = delta["tool_calls"] or []
        if not calls:
            del delta["tool_calls"]
            return
        pieces = self._calls.get(index)
        if pieces is None:
            base = f"call_{self._request_id}_{index}"

            def call_id(number: int) -> str:
                return f"{base}_{number}"

            pieces = self._calls[index] = CallPieces(call_id)
        for call in calls:
            pieces.normalize(call)
            function = call.get("function")
            if function and ("id" in call or function.get("arguments")):
                function["arguments"] = _arguments(function)

    def _complete_calls(self, index: int, delta: dict[str, Any]) -> None:
        """Gives calls that end without arguments `{}`, which clients can parse."""
        bare = self._calls[index].without_arguments if index in self._calls else []
        if bare:
            ends = [{"index": number, "function": {"arguments": "{}"}} for number in bare]
            delta["tool_calls"] = [*(delta.get("tool_calls") or ()), *ends]


class ChunkTranslator:
    """Base of the translators from normalized chunks; see `stream_relay.Translator`.

    Args:
        request_id: the base of ids where a provider gave none.
        include_usage: whether the client wants a chunk with the usage.
    """

    def __init__(self, request_id: str, *, include_usage: bool = False) -> None:
        self._normalizer = ChunkNormalizer(request_id, include_usage=include_usage)

    @property
    def model(self) -> str:
        """See `Translator`."""
        return self._normalizer.model

    @property
    def usage(self) -> Any:
        """See `Translator`."""
        return self._normalizer.usage

    @property
    def holds(self) -> Callable[[Any], bool] | None:
        """See `Translator`."""
        return None

    def error(self, error: HTTPError) -> bytes | None:
        """See `Translator`."""
        return None


def _is_empty(delta: dict[str, Any]) -> bool:
    """Whether a delta after the first has no content, as the opening of a continuation has."""
    if delta.get("content"):  # as nearly every one has
        return False
    return not any(delta.get(name) for name in chat.CONTENT_FIELDS) and not (
        delta.keys() - set(chat.CONTENT_FIELDS)
    )
