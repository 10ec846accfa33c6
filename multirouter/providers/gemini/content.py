"""Conversations as Gemini has them: turns of parts by user and model, and one instruction."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.providers.arguments import arguments_object
from multirouter.providers.failures import Failures
from multirouter.providers.media import Media, from_data_url, from_file

Part = dict[str, Any]

FOREIGN_SIGNATURE = "skip_thought_signature_validator"
"""Stands in for the signature of a call that another provider's model made.

Source: the FAQ on thought signatures in Google's Gemini API documentation.
"""

_GOOGLE_FILES = ("gs://", "https://generativelanguage.googleapis.com/")
_YOUTUBE = ("https://www.youtube.com/", "https://youtu.be/")
_AUDIO = {"wav": "audio/wav", "mp3": "audio/mp3"}


class Conversation:
    """Messages become turns, one by one.

    Attributes:
        system: parts of all system and developer messages, in order.
        contents: user and model turns; neighbours of one role are one.

    Args:
        failures: makes the error for what cannot be said.
        sign_foreign: whether calls without a signature get `FOREIGN_SIGNATURE`; models from
            Gemini 3 on refuse such calls otherwise.
    """

    def __init__(self, failures: Failures, *, sign_foreign: bool) -> None:
        self.system: list[Part] = []
        self.contents: list[dict[str, Any]] = []
        self._failures = failures
        self._sign_foreign = sign_foreign
        self._names: dict[str, str] = {}

    def add(self, message: Mapping[str, Any]) -> None:
        """Adds one message.

        Raises:
            ProviderError: of kind `request`, for content that has no place here.
        """
        role = message.get("role")
        if role in {"system", "developer"}:
            self.system.extend(self._parts(message.get("content")))
        elif role == "user":
            self._turn("user", self._parts(message.get("content")))
        elif role == "assistant":
            self._turn("model", self._said(message))
        elif role == "tool":
            self._turn("user", [self._result(message)])
        else:
            raise self._failures.inexpressible("messages.role", f"{role!r} is no role here")

    def _turn(self, role: str, parts: list[Part]) -> None:
        if not parts:
            return
        if self.contents and self.contents[-1]["role"] == role:
            self.contents[-1]["parts"].extend(parts)
        else:
            self.contents.append({"role": role, "parts": parts})

    def _said(self, message: Mapping[str, Any]) -> list[Part]:
        """Text, then calls; what Gemini signed goes back signed."""
        if message.get("audio"):
            raise self._failures.inexpressible("messages.audio", "there is no such audio here")
        parts = self._parts(message.get("content"))
        if message.get("refusal"):
            parts.append({"text": message["refusal"]})
        signature = signature_of(message)
        if signature and parts:
            parts[-1]["thoughtSignature"] = signature
        calls = [self._call(call) for call in message.get("tool_calls") or ()]
        if calls and self._sign_foreign and "thoughtSignature" not in calls[0]:
            calls[0]["thoughtSignature"] = FOREIGN_SIGNATURE
        return parts + calls

    def _call(self, call: Mapping[str, Any]) -> Part:
        function = call.get("function")
        if not function:
            raise self._failures.inexpressible("tool_calls", "only function tools exist here")
        name = function["name"]
        self._names[call["id"]] = name
        args = arguments_object(function.get("arguments"))
        part: Part = {"functionCall": {"id": call["id"], "name": name, "args": args}}
        signature = signature_of(call)
        return {**part, "thoughtSignature": signature} if signature else part

    def _result(self, message: Mapping[str, Any]) -> Part:
        """A result needs the function's name, which only the call knows."""
        call_id = message.get("tool_call_id")
        name = self._names.get(call_id) if isinstance(call_id, str) else None
        if name is None:
            raise self._failures.inexpressible("tool_call_id", f"{call_id!r} answers no call")
        content = message.get("content")
        if not isinstance(content, str):
            content = "".join(part.get("text", "") for part in self._texts(content))
        response = {"id": call_id, "name": name, "response": {"output": content}}
        return {"functionResponse": response}

    def _texts(self, content: Any) -> list[Part]:
        parts = self._parts(content)
        if any("text" not in part for part in parts):
            raise self._failures.inexpressible("messages.content", "a tool's result must be text")
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
            sound = part["input_audio"]
            if sound["format"] not in _AUDIO:
                raise self._failures.inexpressible("input_audio.format", "must be wav or mp3")
            return _inline(Media(_AUDIO[sound["format"]], sound["data"]))
        if kind == "file":
            return self._file(part["file"])
        raise self._failures.inexpressible("messages.content", f"there is no {kind!r} part here")

    def _image(self, url: str) -> Part:
        if url.startswith("data:"):
            return _inline(from_data_url(url, "image_url", self._failures))
        if url.startswith((*_GOOGLE_FILES, *_YOUTUBE)):
            return _by_address(url)
        raise self._failures.inexpressible(
            "image_url", "must be a data: URL or a Google file; other addresses are not fetched"
        )

    def _file(self, file: dict[str, Any]) -> Part:
        file_id = file.get("file_id")
        if isinstance(file_id, str) and file_id.startswith(_GOOGLE_FILES):
            return _by_address(file_id)
        return _inline(from_file(file, self._failures))


def conversation(
    messages: Iterable[Mapping[str, Any]], failures: Failures, *, sign_foreign: bool
) -> Conversation:
    """Translates whole messages.

    Raises:
        ProviderError: of kind `request`, for content that has no place here.
    """
    made = Conversation(failures, sign_foreign=sign_foreign)
    for message in messages:
        made.add(message)
    return made


def signature_of(thing: Mapping[str, Any]) -> str | None:
    """The thought signature in a message or a tool call, where `signed` put it."""
    google = (thing.get("extra_content") or {}).get("google") or {}
    signature: str | None = google.get("thought_signature")
    return signature


def signed(signature: str) -> dict[str, Any]:
    """The `extra_content` that keeps a signature, as Google's OpenAI-compatible endpoint has it."""
    return {"google": {"thought_signature": signature}}


def _inline(media: Media) -> Part:
    return {"inlineData": {"mimeType": media.mime, "data": media.data}}


def _by_address(uri: str) -> Part:
    mime, _ = mimetypes.guess_type(uri)
    data = {"fileUri": uri}
    return {"fileData": {**data, "mimeType": mime} if mime else data}
