"""Messages in Anthropic's format: alternating turns of content blocks, and one system prompt."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.providers.arguments import arguments_object
from multirouter.providers.calls.names import ToolNames
from multirouter.providers.calls.unique_ids import UniqueIds
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.media import decode_text, from_data_url, from_file
from multirouter.providers.openai.responses.reasoning_state import is_openai_block

Block = dict[str, Any]

_INVALID_ID_CHARACTER = re.compile(r"[^a-zA-Z0-9_-]")
_TTLS = frozenset({"5m", "1h"})
THINKING = frozenset({"thinking", "redacted_thinking"})
"""Types of blocks of thinking."""


class Conversation:
    """Builds turns out of messages.

    Attributes:
        system: text blocks of the system and developer messages in front of the first turn. Later
            ones are part of the user's turns, so that earlier prompts remain a prefix.
        turns: alternating user and assistant turns; adjacent messages of one role share a turn.

    Args:
        errors: makes the error for content that this format cannot express.
        names: the names of tools in this format.
    """

    def __init__(self, errors: ErrorFactory, names: ToolNames) -> None:
        self.system: list[Block] = []
        self.turns: list[dict[str, Any]] = []
        self._errors = errors
        self._names = names
        self._ids = UniqueIds(tool_id)

    def add(self, message: Mapping[str, Any]) -> None:
        """Adds one message.

        Raises:
            ProviderError: of kind `unsupported`, for content that this format cannot express.
        """
        role = message.get("role")
        if role in {"system", "developer"}:
            blocks = self._blocks(message.get("content"))
            if self.turns:
                self._turn("user", blocks)
            else:
                self.system.extend(blocks)
        elif role == "user":
            self._turn("user", self._blocks(message.get("content")))
        elif role == "assistant":
            self._turn("assistant", self._assistant(message))
        elif role == "tool":
            self._turn("user", [self._tool_result(message)])
        else:
            raise self._errors.unsupported(
                "messages.role", f"must be system, developer, user, assistant or tool, got {role!r}"
            )

    def finish(self) -> None:
        """Puts the turns in the form that the API requires.

        System messages without any turn become the user's; results of tools come first in a turn;
        a last assistant turn has no trailing whitespace.
        """
        if not self.turns and self.system:
            self._turn("user", self.system)
            self.system = []
        for turn in self.turns:
            if turn["role"] == "user":
                turn["content"].sort(key=_behind_results)
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

    def _assistant(self, message: Mapping[str, Any]) -> list[Block]:
        if message.get("audio"):
            raise self._errors.unsupported("messages.audio", "audio is not supported")
        blocks = [dict(b) for b in message.get("thinking_blocks") or () if is_signed(b)]
        blocks.extend(self._blocks(message.get("content")))
        if message.get("refusal"):
            blocks.append({"type": "text", "text": message["refusal"]})
        blocks.extend(self._tool_use(call) for call in message.get("tool_calls") or ())
        return blocks

    def _tool_use(self, call: Mapping[str, Any]) -> Block:
        function = call.get("function")
        if not function:
            raise self._errors.unsupported("tool_calls", "only function tools are supported")
        return {
            "type": "tool_use",
            "id": self._ids.of_call(call.get("id") or ""),
            "name": self._names.sent(function.get("name")),
            "input": arguments_object(function.get("arguments")),
        }

    def _tool_result(self, message: Mapping[str, Any]) -> Block:
        content = message.get("content")
        blocks: Any = content if isinstance(content, str) else self._blocks(content)
        call_id = self._ids.of_result(message.get("tool_call_id") or "")
        result = {"type": "tool_result", "tool_use_id": call_id}
        return {**result, "content": blocks, **_cache_control(message)} if blocks else result

    def _blocks(self, content: Any) -> list[Block]:
        """Returns content as blocks. Blank text is left out, because the API rejects it."""
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
        raise self._errors.unsupported("messages.content", f"{kind!r} parts are not supported")

    def _image(self, url: str) -> Block:
        if url.startswith("data:"):
            media = from_data_url(url, "image_url", self._errors)
            return {"type": "base64", "media_type": media.mime, "data": media.data}
        if url.startswith(("https://", "http://")):
            return {"type": "url", "url": url}
        raise self._errors.unsupported("image_url", "must be an http(s) or data: URL")

    def _document(self, file: dict[str, Any]) -> Block:
        title = {"title": file["filename"]} if file.get("filename") else {}
        file_id = file.get("file_id")
        if isinstance(file_id, str) and file_id.startswith("file_"):
            return {"type": "document", "source": {"type": "file", "file_id": file_id}, **title}
        media = from_file(file, self._errors)
        if media.mime == "application/pdf":
            source = {"type": "base64", "media_type": media.mime, "data": media.data}
        elif media.mime.startswith("text/"):
            text = decode_text(media, "file.file_data", self._errors)
            source = {"type": "text", "media_type": "text/plain", "data": text}
        else:
            raise self._errors.unsupported("file", f"must be PDF or text, got {media.mime}")
        return {"type": "document", "source": source, **title}


def conversation(
    messages: Iterable[Mapping[str, Any]], errors: ErrorFactory, names: ToolNames
) -> Conversation:
    """Translates a list of messages.

    Raises:
        ProviderError: of kind `unsupported`, for content that this format cannot express.
    """
    result = Conversation(errors, names)
    for message in messages:
        result.add(message)
    result.finish()
    return result


def is_signed(block: Mapping[str, Any]) -> bool:
    """Whether a block of thinking is one that the API takes back: other models' are not signed."""
    signature = "data" if block.get("type") == "redacted_thinking" else "signature"
    return bool(block.get(signature)) and not is_openai_block(block)


def thinking_allowed(body: Mapping[str, Any]) -> bool:
    """Whether the API takes a thinking budget with these turns.

    It does not when the last turn answers calls of a model that did not think, or whose thinking
    is not signed: such a turn must begin with signed thinking.
    """
    turns = [turn for turn in body.get("messages") or () if isinstance(turn, Mapping)]
    if len(turns) < 2 or "tool_result" not in _types(turns[-1]):
        return True
    answered = _types(next((t for t in reversed(turns) if t.get("role") == "assistant"), {}))
    return "tool_use" not in answered or answered[0] in THINKING


def _types(turn: Mapping[str, Any]) -> list[Any]:
    content = turn.get("content")
    if not isinstance(content, list):
        return []
    return [block.get("type") for block in content if isinstance(block, Mapping)]


def _behind_results(block: Block) -> bool:
    return bool(block["type"] != "tool_result")


def tool_id(call_id: str) -> str:
    """Returns an id that the API accepts. Equal ids stay equal, so calls and results still match.

    Source: `^[a-zA-Z0-9_-]+$` in the API's validation errors.
    """
    if call_id and not _INVALID_ID_CHARACTER.search(call_id):
        return call_id
    digest = hashlib.sha256(call_id.encode()).hexdigest()[:12]
    return f"{_INVALID_ID_CHARACTER.sub('_', call_id)[:40]}_{digest}"


def _cache_control(part: Mapping[str, Any]) -> dict[str, Any]:
    """Returns `cache_control` unchanged, or translated from OpenAI's `prompt_cache_breakpoint`."""
    if part.get("cache_control"):
        return {"cache_control": part["cache_control"]}
    breakpoint_ = part.get("prompt_cache_breakpoint")
    if not breakpoint_:
        return {}
    ttl = breakpoint_.get("ttl")
    return {"cache_control": {"type": "ephemeral", **({"ttl": ttl} if ttl in _TTLS else {})}}
