"""Answers as real clients want them, whatever a provider left out or said twice.

Each rule stands for a client that fails without it: accumulators join tool calls by `index`,
SDKs parse `arguments`, frameworks read `choices[0]` of every chunk.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from multirouter.core.chat import completions as chat
from multirouter.gateway.formats.openai.content_parts import flatten
from multirouter.providers.arguments import arguments_text

Chunk = dict[str, Any]


def whole(answer: Any, request_id: str, wall: Callable[[], float] = time.time) -> dict[str, Any]:
    """A whole answer with every key that clients read.

    Args:
        answer: a canonical response.
        request_id: what ids are made of where a provider gave none.
        wall: seconds since 1970.
    """
    answer["object"] = "chat.completion"
    answer["id"] = _text(answer.get("id")) or f"chatcmpl-{request_id}"
    answer["created"] = answer.get("created") or int(wall())
    answer["model"] = _text(answer.get("model"))
    if not isinstance(answer.get("usage", {}), dict):
        del answer["usage"]
    for place, choice in enumerate(answer["choices"]):
        if choice.get("index") is None:
            choice["index"] = place
        message = choice.get("message") or {}
        choice["message"] = message
        message["role"] = "assistant"
        if isinstance(message.setdefault("content", None), list):
            flatten(message)
        calls = message.get("tool_calls")
        if calls:
            for number, call in enumerate(calls):
                _complete(call, f"call_{request_id}_{place}_{number}")
        elif "tool_calls" in message:
            del message["tool_calls"]
        if not choice.get("finish_reason"):
            choice["finish_reason"] = "tool_calls" if calls else "stop"
    return answer  # type: ignore[no-any-return] # canonical answers are dicts


def _complete(call: dict[str, Any], id_: str) -> None:
    call["id"] = call.get("id") or id_
    call.setdefault("type", "function")
    function = call.get("function")
    if isinstance(function, dict):
        function["arguments"] = _arguments(function) or "{}"


def _arguments(function: Mapping[str, Any]) -> str:
    """Arguments as the text they should have come as."""
    given = function.get("arguments") or ""
    return given if isinstance(given, str) else arguments_text(given)


def _text(given: Any) -> str:
    """A name that goes into headers and logs; "" for what is none."""
    return given if isinstance(given, str) else ""


class Tidy:
    """Makes one clean stream out of the chunks of whoever served, one after the other.

    Args:
        request_id: what ids are made of where a provider gave none.
        usage_asked: whether the client wants the chunk with the usage.
        wall: seconds since 1970.

    Attributes:
        id: the id of all chunks, once the first has come.
        model: the model of all chunks: that of the first.
        usage: what the provider counted, once it did.
        finished: the choices that have their finish reason.
    """

    def __init__(
        self, request_id: str, *, usage_asked: bool, wall: Callable[[], float] = time.time
    ) -> None:
        self.id: str = ""
        self.model: str = ""
        self.usage: Any = None
        self.finished: set[int] = set()
        self._request_id = request_id
        self._usage_asked = usage_asked
        self._wall = wall
        self._created = 0
        self._spoken: set[int] = set()
        self._calls: dict[tuple[int, int], bool] = {}

    def feed(self, chunk: Any) -> Iterable[Chunk]:
        """The clean chunks that come of one; usage is kept for `end`."""
        if not self.id:
            self.id = _text(chunk.get("id")) or f"chatcmpl-{self._request_id}"
            self.model = _text(chunk.get("model"))
            self._created = chunk.get("created") or int(self._wall())
        usage = chunk.pop("usage", None)
        if usage and isinstance(usage, dict):
            self.usage = usage
        choices = chunk.get("choices")
        if not choices:
            return ()
        kept = [choice for choice in choices if self._tidied(choice)]
        return (self._stamped(chunk, kept),) if kept else ()

    def end(self) -> Iterable[Chunk]:
        """The last chunk: the usage, for who asked for it."""
        if not self._usage_asked or self.usage is None:
            return ()
        last = self._stamped({}, [])
        last["usage"] = self.usage
        return (last,)

    def _stamped(self, chunk: Chunk, choices: list[Any]) -> Chunk:
        chunk["id"] = self.id
        chunk["object"] = "chat.completion.chunk"
        chunk["created"] = self._created
        chunk["model"] = self.model
        chunk["choices"] = choices
        if self._usage_asked:
            chunk["usage"] = None
        return chunk

    def _tidied(self, choice: dict[str, Any]) -> bool:
        """Tidies one choice of a chunk; whether anything is left of it."""
        index = choice["index"] = choice.get("index") or 0
        delta = choice.get("delta")
        if not isinstance(delta, dict):
            delta = choice["delta"] = {}
        elif isinstance(delta.get("content"), list):
            flatten(delta)
        reason = choice["finish_reason"] = choice.get("finish_reason") or None
        if index in self.finished:
            return False
        first = index not in self._spoken
        if first:
            self._spoken.add(index)
            delta["role"] = "assistant"
            delta.setdefault("content", None if delta.get("tool_calls") else "")
        elif "role" in delta:
            del delta["role"]
        if "tool_calls" in delta:
            self._tidy_calls(index, delta)
        if reason:
            self.finished.add(index)
            self._complete_calls(index, delta)
        return first or reason is not None or not _is_empty(delta)

    def _tidy_calls(self, index: int, delta: dict[str, Any]) -> None:
        calls = delta["tool_calls"] or []
        if not calls:
            del delta["tool_calls"]
        for place, call in enumerate(calls):
            number = call.get("index")
            if not isinstance(number, int):
                number = call["index"] = place
            known = self._calls.get((index, number))
            function = call.get("function")
            said = bool(function and function.get("arguments"))
            if known is None:
                call["id"] = call.get("id") or f"call_{self._request_id}_{index}_{number}"
                call.setdefault("type", "function")
            if function and (known is None or said):
                function["arguments"] = _arguments(function)
            self._calls[index, number] = bool(known) or said

    def _complete_calls(self, index: int, delta: dict[str, Any]) -> None:
        """A call that ends without arguments has none: `{}`, which parses."""
        bare = [n for (at, n), said in self._calls.items() if at == index and not said]
        if bare:
            ends = [{"index": number, "function": {"arguments": "{}"}} for number in bare]
            delta["tool_calls"] = [*(delta.get("tool_calls") or ()), *ends]


class Tidied:
    """What each door's translator knows of its stream; see `relaying.Translator`.

    Args:
        request_id: what ids are made of where a provider gave none.
        usage_asked: whether the client wants a chunk with the usage.
    """

    def __init__(self, request_id: str, *, usage_asked: bool = False) -> None:
        self._tidy = Tidy(request_id, usage_asked=usage_asked)

    @property
    def model(self) -> str:
        """See `Translator`."""
        return self._tidy.model

    @property
    def usage(self) -> Any:
        """See `Translator`."""
        return self._tidy.usage


def _is_empty(delta: dict[str, Any]) -> bool:
    """Whether a delta after the first brings nothing: an opening that a successor said again."""
    return not any(delta.get(name) for name in chat.CONTENT_FIELDS) and not (
        delta.keys() - set(chat.CONTENT_FIELDS)
    )
