"""Messages in Gemini's format: turns of parts by user and model, and one system instruction."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.providers.arguments import arguments_object
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.media import Media, from_data_url, from_file

Part = dict[str, Any]

FOREIGN_SIGNATURE = "skip_thought_signature_validator"
"""Replaces the thought signature of a call that another provider's model made.

Source: the FAQ on thought signatures in Google's Gemini API documentation.
"""

_GOOGLE_FILES = ("gs://", "https://generativelanguage.googleapis.com/")
_YOUTUBE = ("https://www.youtube.com/", "https://youtu.be/")
_AUDIO = {"wav": "audio/wav", "mp3": "audio/mp3"}


class Conversation:
    """Builds turns out of messages.

    Attributes:
        system: parts of all system and developer messages, in order.
        contents: user and model turns; adjacent messages of one role share a turn.

    Args:
        errors: makes the error for content that this format cannot express.
        sign_foreign: whether calls without a signature get `FOREIGN_SIGNATURE`. Models from
            Gemini 3 on reject such calls otherwise.
    """

    def __init__(self, errors: ErrorFactory, *, sign_foreign: bool) -> None:
        self.system: list[Part] = []
        self.contents: list[dict[str, Any]] = []
        self._errors = errors
        self._sign_foreign = sign_foreign
        self._names: dict[str, str] = {}

    def add(self, message: Mapping[str, Any]) -> None:
        """Adds one message.

        Raises:
            ProviderError: of kind `request`, for content that this format cannot express.
        """
        role = message.get("role")
        if role in {"system", "developer"}:
            self.system.extend(self._parts(message.get("content")))
        elif role == "user":
            self._turn("user", self._parts(message.get("content")))
        elif role == "assistant":
            self._turn("model", self._assistant(message))
        elif role == "tool":
            self._turn("user", [self._tool_result(message)])
        else:
            raise self._errors.unsupported(
                "messages.role", f"must be system, developer, user, assistant or tool, got {role!r}"
            )

    def _turn(self, role: str, parts: list[Part]) -> None:
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role:
            self.contents[-1]["parts"].extend(parts)
        else:
            self.contents.append({"role": role, "parts": parts})

    def _assistant(self, message: Mapping[str, Any]) -> list[Part]:
        """Text, then tool calls, each with the thought signature that came with it."""
        if message.get("audio"):
            raise self._errors.unsupported("messages.audio", "audio is not supported here")
        parts = self._parts(message.get("content"))
        if message.get("refusal"):
            parts.append({"text": message["refusal"]})
        signature = signature_of(message)
        if signature and parts:
            parts[-1]["thoughtSignature"] = signature
        calls = [self._tool_call(call) for call in message.get("tool_calls") or ()]
        if calls and self._sign_foreign and "thoughtSignature" not in calls[0]:
            calls[0]["thoughtSignature"] = FOREIGN_SIGNATURE
        return parts + calls

    def _tool_call(self, call: Mapping[str, Any]) -> Part:
        function = call.get("function")
        if not function:
            raise self._errors.unsupported("tool_calls", "only function tools are supported")
        name = function["name"]
        self._names[call["id"]] = name
        args = arguments_object(function.get("arguments"))
        part: Part = {"functionCall": {"id": call["id"], "name": name, "args": args}}
        signature = signature_of(call)
        return {**part, "thoughtSignature": signature} if signature else part

    def _tool_result(self, message: Mapping[str, Any]) -> Part:
        """A tool result. The API requires the function's name, which only the call has."""
        call_id = message.get("tool_call_id")
        name = self._names.get(call_id) if isinstance(call_id, str) else None
        if name is None:
            raise self._errors.unsupported(
                "tool_call_id", f"{call_id!r} does not match an earlier tool call"
            )
        content = message.get("content")
        if not isinstance(content, str):
            content = "".join(part.get("text", "") for part in self._text_parts(content))
        response = {"id": call_id, "name": name, "response": {"output": content}}
        return {"functionResponse": response}

    def _text_parts(self, content: Any) -> list[Part]:
        parts = self._parts(content)
        if any("text" not in part for part in parts):
            raise self._errors.unsupported("messages.content", "a tool's result must be text")
        return parts

    def _parts(self, content: Any) -> list[Part]:
        if content is None or content == "":
            return []
        if isinstance(content, str):
            return [{"text": content}]
        return [self._part(part) for part in content]

    def _part(self, part: Mapping[str, Any]) -> Part:
        kind = part.get("type")
        if kind == "text":
            return {"text": part.get("text") or ""}
        if kind == "refusal":
            return {"text": part.get("refusal") or ""}
        if kind == "image_url":
            return self._image(part["image_url"]["url"])
        if kind == "input_audio":
            audio = part["input_audio"]
            if audio["format"] not in _AUDIO:
                raise self._errors.unsupported("input_audio.format", "must be wav or mp3")
            return _inline(Media(_AUDIO[audio["format"]], audio["data"]))
        if kind == "file":
            return self._file(part["file"])
        raise self._errors.unsupported("messages.content", f"{kind!r} parts are not supported")

    def _image(self, url: str) -> Part:
        if url.startswith("data:"):
            return _inline(from_data_url(url, "image_url", self._errors))
        if url.startswith((*_GOOGLE_FILES, *_YOUTUBE)):
            return _file_data(url)
        raise self._errors.unsupported(
            "image_url", "must be a data: URL or a Google file; other URLs are not fetched"
        )

    def _file(self, file: dict[str, Any]) -> Part:
        file_id = file.get("file_id")
        if isinstance(file_id, str) and file_id.startswith(_GOOGLE_FILES):
            return _file_data(file_id)
        return _inline(from_file(file, self._errors))


def conversation(
    messages: Iterable[Mapping[str, Any]], errors: ErrorFactory, *, sign_foreign: bool
) -> Conversation:
    """Translates a list of messages.

    Raises:
        ProviderError: of kind `request`, for content that this format cannot express.
    """
    result = Conversation(errors, sign_foreign=sign_foreign)
    for message in messages:
        result.add(message)
    return result


def signature_of(item: Mapping[str, Any]) -> str | None:
    """Returns the thought signature of a message or a tool call; None when it has none.

    Args:
        item: a message or a tool call with the `extra_content` of `signature_extra`.
    """
    google = (item.get("extra_content") or {}).get("google") or {}
    signature: str | None = google.get("thought_signature")
    return signature


def signature_extra(signature: str) -> dict[str, Any]:
    """Returns the `extra_content` for a signature, as in Google's OpenAI-compatible endpoint."""
    return {"google": {"thought_signature": signature}}


def _inline(media: Media) -> Part:
    return {"inlineData": {"mimeType": media.mime, "data": media.data}}


def _file_data(uri: str) -> Part:
    mime, _ = mimetypes.guess_type(uri)
    data = {"fileUri": uri}
    return {"fileData": {**data, "mimeType": mime} if mime else data}
