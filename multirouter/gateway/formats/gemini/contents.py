"""Gemini's contents as messages: one turn may hold what is several messages elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from multirouter.gateway.formats.gemini import fields
from multirouter.gateway.formats.gemini.fields import choice, items, read, text, wrong
from multirouter.providers.arguments import arguments_text
from multirouter.providers.gemini.content import signed

Message = dict[str, Any]

_SOUNDS = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/mp3": "mp3",
    "audio/mpeg": "mp3",
}
_ROLES = ("user", "model", "function")
_SAID_ALONE = ("output", "result")
"""Keys of a tool's result that only wrap a text, as Google's clients make them."""


class Conversation:
    """Reads contents one by one.

    Attributes:
        messages: the canonical messages so far.
    """

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._unanswered: list[tuple[str, str]] = []
        self._minted = 0

    def instruct(self, content: Any) -> None:
        """Takes the system instruction: a content, or a text alone.

        Raises:
            Refusal: 400, for anything but text.
        """
        where = "systemInstruction"
        if isinstance(content, str):
            content = {"parts": [{"text": content}]}
        given = items(read(content, where, fields.CONTENT).get("parts"), f"{where}.parts")
        parts = [read(part, path, fields.PART) for part, path in given]
        if any(not isinstance(part.get("text"), str) for part in parts):
            raise wrong(where, "must be text")
        self.messages.append({"role": "system", "content": _joined(p["text"] for p in parts)})

    def add(self, content: Any, where: str) -> None:
        """Takes a turn.

        Raises:
            Refusal: 400, for what is malformed or cannot be said.
        """
        turn = read(content, where, fields.CONTENT)
        given = items(turn.get("parts"), f"{where}.parts")
        parts = [(read(part, path, fields.PART), path) for part, path in given]
        role = choice(turn.get("role") or "user", f"{where}.role", _ROLES)
        if role == "model":
            self._model(parts)
        else:
            self._user(parts)

    def _user(self, parts: list[tuple[Message, str]]) -> None:
        """Results of tools are messages of their own, and come first."""
        said = []
        for part, where in parts:
            if "functionResponse" in part:
                self.messages.append(self._result(part["functionResponse"], where))
            else:
                said.append(_part(part, where))
        if said:
            self.messages.append({"role": "user", "content": said})

    def _model(self, parts: list[tuple[Message, str]]) -> None:
        """Text and calls; thoughts are left out, and their signatures kept."""
        message: Message = {"role": "assistant", "content": None}
        said, calls = [], []
        for part, where in parts:
            signature = part.get("thoughtSignature")
            kept = {"extra_content": signed(signature)} if signature else {}
            if "functionCall" in part:
                calls.append({**self._call(part["functionCall"], where), **kept})
                continue
            message.update(kept)
            if not part.get("thought"):
                said.append(_text(part, where))
        if said:
            message["content"] = _joined(said)
        if calls:
            message["tool_calls"] = calls
        if said or calls:
            self.messages.append(message)

    def _call(self, call: Any, where: str) -> dict[str, Any]:
        asked = read(call, f"{where}.functionCall", fields.CALL)
        name = text(asked.get("name"), f"{where}.functionCall.name")
        self._minted += 1
        id_ = str(asked.get("id") or f"call_{self._minted}")
        self._unanswered.append((id_, name))
        function = {"name": name, "arguments": arguments_text(asked.get("args"))}
        return {"id": id_, "type": "function", "function": function}

    def _result(self, result: Any, where: str) -> Message:
        where = f"{where}.functionResponse"
        told = read(result, where, fields.RESPONSE)
        response = told.get("response", {})
        if not isinstance(response, Mapping):
            raise wrong(f"{where}.response", "must be an object")
        id_ = self._answered(told.get("id"), told.get("name"), where)
        return {"role": "tool", "tool_call_id": id_, "content": _content(response)}

    def _answered(self, id_: Any, name: Any, where: str) -> str:
        """The call that a result answers: by its id, else the first of its name."""
        for place, (call, called) in enumerate(self._unanswered):
            if call == id_ or (not id_ and called == name):
                del self._unanswered[place]
                return call
        raise wrong(where, f"answers no call of {name!r}")


def _content(response: Mapping[str, Any]) -> str:
    if len(response) == 1:
        key, value = next(iter(response.items()))
        if key in _SAID_ALONE and isinstance(value, str):
            return value
    return json.dumps(response, ensure_ascii=False)


def _part(part: Mapping[str, Any], where: str) -> dict[str, Any]:
    if "inlineData" in part:
        where = f"{where}.inlineData"
        media = read(part["inlineData"], where, fields.MEDIA)
        mime = text(media.get("mimeType"), f"{where}.mimeType").lower()
        return _inline(mime, text(media.get("data"), f"{where}.data"))
    if "fileData" in part:
        where = f"{where}.fileData"
        media = read(part["fileData"], where, fields.MEDIA)
        return _by_address(
            text(media.get("fileUri"), f"{where}.fileUri"), str(media.get("mimeType") or "")
        )
    return {"type": "text", "text": _text(part, where)}


def _text(part: Mapping[str, Any], where: str) -> str:
    said = part.get("text")
    if not isinstance(said, str):
        raise wrong(where, f"{', '.join(part) or 'nothing'}: has no place in this turn")
    return said


def _inline(mime: str, data: str) -> dict[str, Any]:
    url = f"data:{mime};base64,{data}"
    if mime.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    if mime in _SOUNDS:
        return {"type": "input_audio", "input_audio": {"data": data, "format": _SOUNDS[mime]}}
    name = f"file.{mime.rpartition('/')[2]}"
    return {"type": "file", "file": {"file_data": url, "filename": name}}


def _by_address(uri: str, mime: str) -> dict[str, Any]:
    if mime.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": uri}}
    return {"type": "file", "file": {"file_id": uri}}


def _joined(texts: Any) -> str:
    return "".join(texts)
