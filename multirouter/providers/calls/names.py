"""Names of tools in the form that a service accepts, and back.

A name that is too long or has other characters is replaced by its beginning and a hash. The same
name is always replaced by the same one, so prompts stay equal from turn to turn.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self

from multirouter.providers.json_bytes import dumps
from multirouter.providers.value_types import is_mapping

_HASH = 8


class NameRule(NamedTuple):
    """What names a service accepts.

    Attributes:
        pattern: matches a valid name.
        length: the longest valid name.
        invalid: matches each character that is replaced.
        first: what a name must begin with, when its first character is not valid there; "" for
            services where every character is.
    """

    pattern: re.Pattern[str]
    length: int
    invalid: re.Pattern[str]
    first: str = ""


_WORD = re.compile(r"[^a-zA-Z0-9_-]")
OPENAI = NameRule(re.compile(r"[a-zA-Z0-9_-]{1,64}"), 64, _WORD)
"""Source: OpenAI's API reference, `tools.function.name`."""

ANTHROPIC = NameRule(re.compile(r"[a-zA-Z0-9_-]{1,128}"), 128, _WORD)
"""Source: the validation errors of Anthropic's API, `tools.0.custom.name`."""

GEMINI = NameRule(
    re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}"), 64, re.compile(r"[^a-zA-Z0-9_.:-]"), first="_"
)
"""Source: Gemini's API reference, FunctionDeclaration, and its validation errors."""


class ToolNames:
    """The names of one request's tools at one service.

    Args:
        rule: the names that the service accepts.
        tools: the canonical tools of the request.
    """

    __slots__ = ("_original", "_rule")

    def __init__(self, rule: NameRule, tools: Iterable[Any] | None) -> None:
        self._rule = rule
        self._original: dict[str, str] = {}
        for tool in tools or ():
            function = _nested(tool) if is_mapping(tool) else None
            if is_mapping(function):
                self._add(function.get("name"))

    @classmethod
    def of(cls, rule: NameRule, names: Iterable[Any]) -> Self:
        """The same of a request that is not canonical: the names of its tools."""
        made = cls(rule, None)
        for name in names:
            made._add(name)
        return made

    def sent(self, name: Any) -> Any:
        """The name as the service gets it. Anything but a string is returned as it is."""
        rule = self._rule
        if not isinstance(name, str) or not name or rule.pattern.fullmatch(name):
            return name
        digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH]
        plain = rule.invalid.sub("_", name)
        if rule.first and not rule.pattern.fullmatch(plain[:1]):
            plain = rule.first + plain
        return f"{plain[: rule.length - _HASH - 1]}_{digest}"

    def renamed(self, item: Any) -> Any:
        """An object with its `name` as the service gets it; the same one if that is valid."""
        name = item.get("name") if is_mapping(item) else None
        sent = self.sent(name)
        return item if sent is name else {**item, "name": sent}

    def received(self, name: Any) -> Any:
        """The client's own name for one that the service has called."""
        return self._original.get(name, name) if isinstance(name, str) else name

    def restored(self, value: Any) -> Any:
        """A parsed answer of any format with the client's names; the same one if all are valid."""
        return self._restored(value) if self._original else value

    def restored_event(self, data: bytes) -> bytes:
        """The data of an event with the client's names.

        A name that replaces another is a whole JSON string nowhere but in the place of a name: it
        ends with a hash, and in the text of a string the quotes around it are escaped.
        """
        for sent, original in self._original.items():
            data = data.replace(b'"%s"' % sent.encode(), dumps(original))
        return data

    def _add(self, name: Any) -> None:
        if isinstance(name, str) and name and not self._rule.pattern.fullmatch(name):
            self._original[self.sent(name)] = name

    def _restored(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {key: self._restored(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [self._restored(inner) for inner in value]
        return self.received(value)

    def __bool__(self) -> bool:
        """Whether any tool has another name at the service."""
        return bool(self._original)


def restore_names(answer: Mapping[str, Any], names: ToolNames) -> None:
    """Gives the calls in a canonical answer or chunk the client's names, in place."""
    if not names:
        return
    for choice in answer.get("choices") or ():
        part = choice.get("message") or choice.get("delta") or {}
        for call in part.get("tool_calls") or ():
            function = _nested(call)
            if isinstance(function, dict) and "name" in function:
                function["name"] = names.received(function["name"])


def with_sent_name(tool: Any, names: ToolNames) -> Any:
    """A canonical tool, choice or call with its name as the service gets it."""
    for kind in ("function", "custom") if is_mapping(tool) else ():
        inner = tool.get(kind)
        renamed = None if inner is None else names.renamed(inner)
        if renamed is not inner:
            return {**tool, kind: renamed}
    return tool


def _nested(tool: Mapping[str, Any]) -> Any:
    """What has the name in a canonical tool or call."""
    return tool.get("function") or tool.get("custom")
