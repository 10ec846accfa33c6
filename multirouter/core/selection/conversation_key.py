"""Key of a conversation: what its requests have in common."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from hashlib import blake2b
from typing import Any

from multirouter.core.context_name import ContextName

_HEAD, _TAIL = 4096, 1024
"""Characters at the beginning and the end of a message that tell conversations apart. Agents send
messages of 100,000 characters; to hash them whole would cost more than the choice."""

_MESSAGE_LISTS = ("messages", "contents", "input")
"""Fields with the messages of a request: Chat Completions and Anthropic, Gemini, Responses."""

_current: ContextVar[str] = ContextVar("multirouter_conversation", default="")


def conversation(key: str) -> AbstractContextManager[None]:
    """Names the conversation of the calls that are made inside the `with` block.

    `Sticky` without a `key=` of its own then keeps them at one provider. The name holds in the
    current context (see `contextvars`), and in tasks that are started inside.

    Args:
        key: the name; "" for none.

    Raises:
        UsageError: it is no string.
    """
    return ContextName(_current, key, "conversation")


def conversation_key(request: Any) -> str | None:
    """The key of a request's conversation; None when it shows none.

    The first of these: the name that `conversation()` has set, `prompt_cache_key`,
    `metadata.user_id` (Anthropic's clients put their session there), and the first message of the
    user, which all later requests of the conversation repeat. The system prompt does not count:
    it is the same for many conversations, and some agents change a line of it with each request.

    Args:
        request: a request body of Chat Completions, Anthropic, Gemini or Responses as a mapping,
            or a string.
    """
    current = _current.get()
    if current:
        return current
    if isinstance(request, str):
        return _digest(request) if request else None
    if not isinstance(request, Mapping):
        return None
    named = request.get("prompt_cache_key")
    if not named:
        metadata = request.get("metadata")
        named = metadata.get("user_id") if isinstance(metadata, Mapping) else None
    if named and isinstance(named, str):
        return named
    for field in _MESSAGE_LISTS:
        messages = request.get(field)
        if messages:
            return _first_message_key(messages)
    return None


def _first_message_key(messages: Any) -> str | None:
    """The digest of the user's first message; None for messages of an unknown form."""
    if isinstance(messages, str):
        return _digest(messages)
    if not isinstance(messages, list | tuple):
        return None
    for message in messages:
        if isinstance(message, Mapping) and message.get("role", "user") == "user":
            text = "".join(_texts(message.get("content") or message.get("parts"), 0))
            return _digest(text) if text else None
    return None


def _texts(content: Any, depth: int) -> Iterator[str]:
    """The texts of a message's content; of media there is nothing."""
    if isinstance(content, str):
        yield content
    elif isinstance(content, Mapping):
        text = content.get("text")
        if isinstance(text, str):
            yield text
    elif isinstance(content, list | tuple) and depth == 0:
        for part in content:
            yield from _texts(part, 1)


def _digest(text: str) -> str:
    if len(text) > _HEAD + _TAIL:
        text = f"{text[:_HEAD]}{len(text)}{text[-_TAIL:]}"
    # A lone surrogate, as some clients send, is no reason to fail.
    return blake2b(text.encode(errors="surrogatepass"), digest_size=16).hexdigest()
