"""Messages in Gemini's format: turns of parts by user and model, and one system instruction."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.providers.arguments import arguments_object
from multirouter.providers.calls.names import ToolNames
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
        system: parts of the system and developer messages in front of the first turn. Later ones
            are part of the user's turns, so that earlier prompts remain a prefix.
        contents: user and model turns; adjacent messages of one role share a turn.

    Args:
        errors: makes the error for content that this format cannot express.
        names: the names of tools in this format.
        modern: whether the model is Gemini 3 or later: it rejects calls without a signature, so
            those of other models get `FOREIGN_SIGNATURE`, and takes media in results of tools.
    """

    def __init__(self, errors: ErrorFactory, names: ToolNames, *, modern: bool) -> None:
        self.system: list[Part] = []
        self.contents: list[dict[str, Any]] = []
        self._errors = errors
        self._tool_names = names
        self._modern = modern
        self._names: dict[str, str] = {}

    def add(self, message: Mapping[str, Any]) -> None:
        """Adds one message.

        Raises:
            ProviderError: of kind `unsupported`, for content that this format cannot express.
        """
        role = message.get("role")
        if role in {"system", "developer"}:
            parts = self._parts(message.get("content"))
            if self.contents:
                self._turn("user", parts)
            else:
                self.system.extend(parts)
        elif role == "user":
            self._turn("user", self._parts(message.get("content")))
        elif role == "assistant":
            self._turn("model", self._assistant(message))
        elif role == "tool":
            self._turn("user", self._tool_result(message))
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
        if calls and self._modern and "thoughtSignature" not in calls[0]:
            calls[0]["thoughtSignature"] = FOREIGN_SIGNATURE
        return parts + calls

    def _tool_call(self, call: Mapping[str, Any]) -> Part:
        function = call.get("function")
        if not function:
            raise self._errors.unsupported("tool_calls", "only function tools are supported")
        name = self._tool_names.sent(function["name"])
        self._names[call["id"]] = name
        args = arguments_object(function.get("arguments"))
        part: Part = {"functionCall": {"id": call["id"], "name": name, "args": args}}
        signature = signature_of(call)
        return {**part, "thoughtSignature": signature} if signature else part

    def _tool_result(self, message: Mapping[str, Any]) -> list[Part]:
        """A tool result. The API requires the function's name, which only the call has.

        Media are parts of the result, or stand behind it for older models.
        """
        call_id = message.get("tool_call_id")
        name = self._names.get(call_id) if isinstance(call_id, str) else None
        if name is None:
            raise self._errors.unsupported(
                "tool_call_id", f"{call_id!r} does not match an earlier tool call"
            )
        parts = self._parts(message.get("content"))
        output = "".join(part["text"] for part in parts if "text" in part)
        media = [part for part in parts if "text" not in part]
        response: Part = {"id": call_id, "name": name, "response": {"output": output}}
        if media and self._modern:
            return [{"functionResponse": {**response, "parts": media}}]
        return [{"functionResponse": response}, *media]

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
    messages: Iterable[Mapping[str, Any]], errors: ErrorFactory, names: ToolNames, *, modern: bool
) -> Conversation:
    """Translates a list of messages.

    Raises:
        ProviderError: of kind `unsupported`, for content that this format cannot express.
    """
    result = Conversation(errors, names, modern=modern)
    for message in messages:
        result.add(message)
    if not result.contents and result.system:  # the API requires a turn
        result.contents.append({"role": "user", "parts": result.system})
        result.system = []
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
