"""Translates Gemini's contents to messages; one turn may become several messages."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.gateway.formats.gemini import fields
from multirouter.gateway.formats.gemini.fields import (
    read_choice,
    read_fields,
    read_list,
    read_string,
)
from multirouter.gateway.http.http_error import invalid_field, shown
from multirouter.providers.arguments import arguments_text
from multirouter.providers.gemini.conversation import signature_extra
from multirouter.providers.native.client_request import Losses

Message = dict[str, Any]

_AUDIO_FORMATS = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
}
_ROLES = ("user", "model", "function")
_TEXT_KEYS = ("output", "result")
"""Keys of a tool's result that only wrap a text, as Google's clients make them."""


class Conversation:
    """Translates contents one by one.

    Args:
        losses: records what has no counterpart and is left out.

    Attributes:
        messages: the canonical messages so far.
    """

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self.messages: list[Message] = []
        self._pending_calls: list[tuple[str, str]] = []
        self._call_count = 0

    def add_system_instruction(self, content: Any) -> None:
        """Adds the system instruction: a content, or a string.

        Raises:
            HTTPError: 400, for anything but text.
        """
        path = "systemInstruction"
        if isinstance(content, str):
            content = {"parts": [{"text": content}]}
        parts = self._parts(read_fields(content, path, fields.CONTENT, self._losses), path)
        if any(not isinstance(part.get("text"), str) for part, _ in parts):
            raise invalid_field(path, "must have parts with `text` only")
        text = "".join(part["text"] for part, _ in parts)
        self.messages.append({"role": "system", "content": text})

    def add_content(self, content: Any, path: str) -> None:
        """Adds a turn.

        Args:
            content: the turn.
            path: its path in the request, for errors.

        Raises:
            HTTPError: 400, for what is malformed or has no counterpart.
        """
        turn = read_fields(content, path, fields.CONTENT, self._losses)
        parts = self._parts(turn, path)
        role = read_choice(turn.get("role") or "user", f"{path}.role", _ROLES)
        if role == "model":
            self._add_model_turn(parts)
        else:
            self._add_user_turn(parts)

    def _parts(self, turn: Mapping[str, Any], path: str) -> list[tuple[Message, str]]:
        """The parts and their paths, without those of which nothing can be translated."""
        parts = []
        for part, at in read_list(turn.get("parts"), f"{path}.parts"):
            given = read_fields(part, at, fields.PART, self._losses)
            if given or not part:
                parts.append((given, at))
        return parts

    def _add_user_turn(self, parts: list[tuple[Message, str]]) -> None:
        """Tool results are messages of their own, and come first."""
        content = []
        for part, path in parts:
            if "functionResponse" in part:
                self.messages.append(self._tool_result(part["functionResponse"], path))
            else:
                content.append(self._part(part, path))
        if content:
            self.messages.append({"role": "user", "content": content})

    def _add_model_turn(self, parts: list[tuple[Message, str]]) -> None:
        """Text, calls and thoughts, each with its signature."""
        message: Message = {"role": "assistant", "content": None}
        texts: list[str] = []
        thoughts: list[str] = []
        calls = []
        for part, path in parts:
            signature = part.get("thoughtSignature")
            extra = {"extra_content": signature_extra(signature)} if signature else {}
            if "functionCall" in part:
                calls.append({**self._tool_call(part["functionCall"], path), **extra})
                continue
            message.update(extra)
            (thoughts if part.get("thought") else texts).append(_text(part, path))
        if texts:
            message["content"] = "".join(texts)
        if calls:
            message["tool_calls"] = calls
        if any(thoughts):
            message["reasoning_content"] = "".join(thoughts)
        if texts or calls:
            self.messages.append(message)

    def _tool_call(self, call: Any, path: str) -> dict[str, Any]:
        path = f"{path}.functionCall"
        given = read_fields(call, path, fields.CALL, self._losses)
        name = read_string(given.get("name"), f"{path}.name")
        self._call_count += 1
        id_ = str(given.get("id") or f"call_{self._call_count}")
        self._pending_calls.append((id_, name))
        function = {"name": name, "arguments": arguments_text(given.get("args"))}
        return {"id": id_, "type": "function", "function": function}

    def _tool_result(self, result: Any, path: str) -> Message:
        path = f"{path}.functionResponse"
        given = read_fields(result, path, fields.RESPONSE, self._losses)
        response = given.get("response", {})
        if not isinstance(response, Mapping):
            raise invalid_field(f"{path}.response", f"must be an object, got {shown(response)}")
        id_ = self._take_call(given.get("id"), given.get("name"), path)
        content: Any = _result_text(response)
        media = read_list(given.get("parts") or [], f"{path}.parts")
        parts = [
            self._part(read_fields(part, at, fields.PART, self._losses), at) for part, at in media
        ]
        if parts:
            content = [{"type": "text", "text": content}, *parts]
        return {"role": "tool", "tool_call_id": id_, "content": content}

    def _take_call(self, id_: Any, name: Any, path: str) -> str:
        """The id of the call that a result belongs to: by its id, else the first of its name."""
        for position, (call_id, call_name) in enumerate(self._pending_calls):
            if call_id == id_ or (not id_ and call_name == name):
                del self._pending_calls[position]
                return call_id
        raise invalid_field(
            path, f"matches no earlier `functionCall`: id {shown(id_)}, name {shown(name)}"
        )

    def _part(self, part: Mapping[str, Any], path: str) -> dict[str, Any]:
        if "inlineData" in part:
            path = f"{path}.inlineData"
            media = read_fields(part["inlineData"], path, fields.MEDIA, self._losses)
            mime = read_string(media.get("mimeType"), f"{path}.mimeType").lower()
            return _inline_media(mime, read_string(media.get("data"), f"{path}.data"))
        if "fileData" in part:
            path = f"{path}.fileData"
            media = read_fields(part["fileData"], path, fields.MEDIA, self._losses)
            uri = read_string(media.get("fileUri"), f"{path}.fileUri")
            return _linked_media(uri, str(media.get("mimeType") or ""))
        return {"type": "text", "text": _text(part, path)}


def _result_text(response: Mapping[str, Any]) -> str:
    if len(response) == 1:
        key, value = next(iter(response.items()))
        if key in _TEXT_KEYS and isinstance(value, str):
            return value
    return json.dumps(response, ensure_ascii=False)


def _text(part: Mapping[str, Any], path: str) -> str:
    text = part.get("text")
    if not isinstance(text, str):
        if "text" in part:
            raise invalid_field(f"{path}.text", f"must be a string, got {shown(text)}")
        raise invalid_field(path, f"must have `text` in this turn, got {_names(part)}")
    return text


def _names(part: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in part) or "no field"


def _inline_media(mime: str, data: str) -> dict[str, Any]:
    url = f"data:{mime};base64,{data}"
    if mime.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    if mime in _AUDIO_FORMATS:
        audio = {"data": data, "format": _AUDIO_FORMATS[mime]}
        return {"type": "input_audio", "input_audio": audio}
    name = f"file.{mime.rpartition('/')[2]}"
    return {"type": "file", "file": {"file_data": url, "filename": name}}


def _linked_media(uri: str, mime: str) -> dict[str, Any]:
    if mime.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": uri}}
    return {"type": "file", "file": {"file_id": uri}}
