"""Translates content blocks of Anthropic's messages to canonical messages and parts.

A block without a counterpart is replaced by its text if it has any, else left out and recorded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from multirouter.gateway.http.http_error import invalid_field, shown
from multirouter.providers.arguments import arguments_text
from multirouter.providers.native.client_request import Losses

Message = dict[str, Any]
Part = dict[str, Any]

_CONTENT = (str, list)

_MAX_DEPTH = 16
"""Levels of blocks inside of blocks that are translated."""


class Blocks:
    """Translates the blocks of one request.

    Args:
        losses: records what is left out.
    """

    def __init__(self, losses: Losses) -> None:
        self._losses = losses

    def system(self, system: Any) -> Iterator[Message]:
        """The system prompt, a string or blocks, as a message."""
        if isinstance(system, str):
            yield {"role": "system", "content": system}
        elif system:
            yield {"role": "system", "content": self._parts(system)}

    def turns(self, messages: Any) -> Iterator[Message]:
        """The turns as messages.

        Raises:
            HTTPError: 400, if they are malformed.
        """
        if not isinstance(messages, list) or not messages:
            raise invalid_field("messages", "must be a list of at least one message")
        for position, message in enumerate(messages):
            role, content = message["role"], message["content"]
            if not isinstance(content, _CONTENT):
                problem = f"must be a string or a list of blocks, got {shown(content)}"
                raise invalid_field(f"messages[{position}].content", problem)
            if role == "assistant":
                yield from self._assistant(content)
            elif role == "system":
                yield from self.system(content)
            elif isinstance(role, str):
                if role != "user":
                    self._losses.add(f"messages.role.{role}")
                yield from self._user(content)
            else:
                raise invalid_field(f"messages[{position}].role", f"must be a string, got {role!r}")

    def _user(self, content: Any) -> Iterator[Message]:
        """A user's turn; tool results in it are messages of their own, and come first."""
        if isinstance(content, str):
            yield {"role": "user", "content": content}
            return
        others = [block for block in content if block["type"] != "tool_result"]
        for block in content:
            if block["type"] == "tool_result":
                yield self._tool_result(block)
        parts = self._parts(others)
        if others and not parts:  # a turn without content is invalid everywhere
            parts = [_text(f"[omitted: {block['type']}]") for block in others[:1]]
        if parts:
            yield {"role": "user", "content": parts}

    def _tool_result(self, block: Mapping[str, Any]) -> Message:
        content: Any = block.get("content") or ""
        if not isinstance(content, str):
            content = self._parts(content)
            if all(part["type"] == "text" for part in content):
                content = "".join(part["text"] for part in content)
        if block.get("is_error"):
            error = "error: "
            if isinstance(content, str):
                content = error + content
            else:
                content = [{"type": "text", "text": error}, *content]
        message = {"role": "tool", "tool_call_id": block["tool_use_id"], "content": content}
        return {**message, **_cache_mark(block)}

    def _assistant(self, content: Any) -> Iterator[Message]:
        if isinstance(content, str):
            yield {"role": "assistant", "content": content}
            return
        message: Message = {"role": "assistant", "content": None}
        calls, thinking, rest = [], [], []
        for block in content:
            kind = block["type"]
            if kind == "tool_use":
                calls.append(_tool_call(block))
            elif kind in {"thinking", "redacted_thinking"}:
                thinking.append(dict(block))
            else:
                rest.append(block)
        texts = [part for part in self._parts(rest) if part["type"] == "text"]
        if texts:
            plain = len(texts) == 1 and texts[0].keys() == {"type", "text"}
            message["content"] = texts[0]["text"] if plain else texts
        if calls:
            message["tool_calls"] = calls
        if thinking:
            message["thinking_blocks"] = thinking
            reasoning = "".join(str(block.get("thinking") or "") for block in thinking)
            if reasoning:
                message["reasoning_content"] = reasoning
        if texts or calls or thinking:
            yield message

    def _parts(self, blocks: Any, depth: int = 0) -> list[Part]:
        """Blocks as parts. One block may become several, or none."""
        if isinstance(blocks, str):
            return [{"type": "text", "text": blocks}]
        parts: list[Part] = []
        for block in blocks:
            if block["type"] == "text":
                parts.append({**_text(block["text"]), **_cache_mark(block)})
                continue
            made = [dict(part) for part in self._block(block, depth)]
            if made:
                made[-1].update(_cache_mark(block))
            parts.extend(made)
        return parts

    def _block(self, block: Mapping[str, Any], depth: int) -> list[Part]:
        kind = block["type"]
        if kind == "image":
            return [self._image(block["source"])]
        if kind == "document":
            return self._document(block, depth)
        return self._other(kind, block, depth)

    def _image(self, source: Mapping[str, Any]) -> Part:
        if source["type"] == "file":
            return {"type": "file", "file": {"file_id": source["file_id"]}}
        return {"type": "image_url", "image_url": {"url": _url(source)}}

    def _document(self, block: Mapping[str, Any], depth: int) -> list[Part]:
        source = block["source"]
        kind = source["type"]
        title = str(block.get("title") or "")
        head = [_text(text + "\n") for text in (title, block.get("context")) if text]
        if (block.get("citations") or {}).get("enabled"):
            self._losses.add("messages.content.document.citations")
        if kind == "file":
            return [{"type": "file", "file": {"file_id": source["file_id"]}}]
        if kind == "base64":
            return [
                {
                    "type": "file",
                    "file": {"file_data": _url(source), "filename": title or "document.pdf"},
                }
            ]
        if kind == "text":
            return [*head, _text(source["data"])]
        if kind == "content" and depth < _MAX_DEPTH:
            return [*head, *self._parts(source["content"], depth + 1)]
        self._losses.add(f"messages.content.document.source.{kind}")
        return [*head, _text(f"[document: {source['url']}]")] if kind == "url" else head

    def _other(self, kind: Any, block: Mapping[str, Any], depth: int) -> list[Part]:
        """A block of any other type: the text in it, however deep."""
        if not isinstance(kind, str):
            raise invalid_field("messages", f"has a content block of type {shown(kind)}")
        if kind == "tool_reference":
            return [_text(f"Tool: {block['tool_name']}")]
        self._losses.add(f"messages.content.{kind}")
        texts = [
            block[name] for name in ("title", "source", "text") if isinstance(block.get(name), str)
        ]
        inner = block.get("content")
        if isinstance(inner, list) and depth < _MAX_DEPTH:
            known = [item for item in inner if isinstance(item, Mapping) and "type" in item]
            return [*(_text(text + "\n") for text in texts), *self._parts(known, depth + 1)]
        return [_text(text) for text in texts]


def _text(text: Any) -> Part:
    return {"type": "text", "text": text}


def _cache_mark(block: Mapping[str, Any]) -> dict[str, Any]:
    mark = block.get("cache_control")
    return {"cache_control": mark} if mark else {}


def _tool_call(block: Mapping[str, Any]) -> dict[str, Any]:
    arguments = arguments_text(block.get("input"))
    return {
        "id": block["id"],
        "type": "function",
        "function": {"name": block["name"], "arguments": arguments},
    }


def _url(source: Mapping[str, Any]) -> str:
    kind = source["type"]
    if kind == "base64":
        return f"data:{source['media_type']};base64,{source['data']}"
    if kind == "url":
        return str(source["url"])
    raise invalid_field("messages", f"has an image source of type {kind!r}; allowed: base64, url")
