"""Conversations as Anthropic has them: alternating turns of blocks, and one system prompt."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.providers.arguments import arguments_object
from multirouter.providers.failures import Failures
from multirouter.providers.media import from_data_url, from_file, text_in

Block = dict[str, Any]

_FOREIGN = re.compile(r"[^a-zA-Z0-9_-]")
_TTLS = frozenset({"5m", "1h"})


class Conversation:
    """Messages become turns, one by one.

    Attributes:
        system: text blocks of all system and developer messages, in order.
        turns: user and assistant turns in turn; neighbours of one role are one.

    Args:
        failures: makes the error for what cannot be said.
    """

    def __init__(self, failures: Failures) -> None:
        self.system: list[Block] = []
        self.turns: list[dict[str, Any]] = []
        self._failures = failures

    def add(self, message: Mapping[str, Any]) -> None:
        """Adds one message.

        Raises:
            ProviderError: of kind `request`, for content that has no place here.
        """
        role = message.get("role")
        if role in {"system", "developer"}:
            self.system.extend(self._blocks(message.get("content")))
        elif role == "user":
            self._turn("user", self._blocks(message.get("content")))
        elif role == "assistant":
            self._turn("assistant", self._said(message))
        elif role == "tool":
            self._turn("user", [self._result(message)])
        else:
            raise self._failures.inexpressible("messages.role", f"{role!r} is no role here")

    def finish(self) -> None:
        """A last assistant turn is a prefill, which must not end in blanks."""
        if self.turns and self.turns[-1]["role"] == "assistant":
            last = self.turns[-1]["content"][-1]
            if last["type"] == "text":
                last["text"] = last["text"].rstrip()

    def _turn(self, role: str, blocks: list[Block]) -> None:
        if not blocks:
            return
        if self.turns and self.turns[-1]["role"] == role:
            self.turns[-1]["content"].extend(blocks)
        else:
            self.turns.append({"role": role, "content": blocks})

    def _said(self, message: Mapping[str, Any]) -> list[Block]:
        if message.get("audio"):
            raise self._failures.inexpressible("messages.audio", "there is no audio")
        blocks = [dict(block) for block in message.get("thinking_blocks") or ()]
        blocks.extend(self._blocks(message.get("content")))
        if message.get("refusal"):
            blocks.append({"type": "text", "text": message["refusal"]})
        blocks.extend(self._use(call) for call in message.get("tool_calls") or ())
        return blocks

    def _use(self, call: Mapping[str, Any]) -> Block:
        function = call.get("function")
        if not function:
            raise self._failures.inexpressible("tool_calls", "only function tools exist here")
        return {
            "type": "tool_use",
            "id": tool_id(call.get("id") or ""),
            "name": function.get("name"),
            "input": arguments_object(function.get("arguments")),
        }

    def _result(self, message: Mapping[str, Any]) -> Block:
        content = message.get("content")
        blocks: Any = content if isinstance(content, str) else self._blocks(content)
        result = {"type": "tool_result", "tool_use_id": tool_id(message.get("tool_call_id") or "")}
        return {**result, "content": blocks, **_cache_control(message)} if blocks else result

    def _blocks(self, content: Any) -> list[Block]:
        """Text of blanks alone is left out: the API refuses it."""
        if content is None:
            return []
        if isinstance(content, str):
            return [{"type": "text", "text": content}] if content.strip() else []
        blocks = (self._block(part) for part in content)
        return [block for block in blocks if block.get("text", "x").strip()]

    def _block(self, part: Mapping[str, Any]) -> Block:
        kind = part.get("type")
        extra = _cache_control(part)
        if kind == "text":
            return {"type": "text", "text": part.get("text") or "", **extra}
        if kind == "refusal":
            return {"type": "text", "text": part.get("refusal") or "", **extra}
        if kind == "image_url":
            return {"type": "image", "source": self._image(part["image_url"]["url"]), **extra}
        if kind == "file":
            return {**self._document(part["file"]), **extra}
        raise self._failures.inexpressible("messages.content", f"there is no {kind!r} part here")

    def _image(self, url: str) -> Block:
        if url.startswith("data:"):
            media = from_data_url(url, "image_url", self._failures)
            return {"type": "base64", "media_type": media.mime, "data": media.data}
        if url.startswith(("https://", "http://")):
            return {"type": "url", "url": url}
        raise self._failures.inexpressible("image_url", "must be an http(s) or data: URL")

    def _document(self, file: dict[str, Any]) -> Block:
        title = {"title": file["filename"]} if file.get("filename") else {}
        file_id = file.get("file_id")
        if isinstance(file_id, str) and file_id.startswith("file_"):
            return {"type": "document", "source": {"type": "file", "file_id": file_id}, **title}
        media = from_file(file, self._failures)
        if media.mime == "application/pdf":
            source = {"type": "base64", "media_type": media.mime, "data": media.data}
        elif media.mime.startswith("text/"):
            text = text_in(media, "file.file_data", self._failures)
            source = {"type": "text", "media_type": "text/plain", "data": text}
        else:
            raise self._failures.inexpressible("file", f"{media.mime} is neither PDF nor text")
        return {"type": "document", "source": source, **title}


def conversation(messages: Iterable[Mapping[str, Any]], failures: Failures) -> Conversation:
    """Translates whole messages.

    Raises:
        ProviderError: of kind `request`, for content that has no place here.
    """
    made = Conversation(failures)
    for message in messages:
        made.add(message)
    made.finish()
    return made


def tool_id(foreign: str) -> str:
    """An id the API takes, the same for the same foreign id, so that pairs stay pairs.

    Source: `^[a-zA-Z0-9_-]+$` in the API's validation errors.
    """
    if foreign and not _FOREIGN.search(foreign):
        return foreign
    mark = hashlib.sha256(foreign.encode()).hexdigest()[:12]
    return f"{_FOREIGN.sub('_', foreign)[:40]}_{mark}"


def _cache_control(part: Mapping[str, Any]) -> dict[str, Any]:
    """`cache_control` as it is, or what OpenAI's own breakpoint says."""
    if part.get("cache_control"):
        return {"cache_control": part["cache_control"]}
    breakpoint_ = part.get("prompt_cache_breakpoint")
    if not breakpoint_:
        return {}
    ttl = breakpoint_.get("ttl")
    return {"cache_control": {"type": "ephemeral", **({"ttl": ttl} if ttl in _TTLS else {})}}
