"""Repairs a request that a service rejected because of a parameter that its error names.

What the table of quirks does not know, the error of the service says: that a field is unknown, not
supported by the model, has another name, or is too large. The request is sent again without it. A
repair that helped is remembered for the model, and applied before the next request is sent.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

REPAIRABLE = frozenset({400, 422})
"""Statuses of errors about a request."""

_REJECTS = re.compile(
    r"unsupported|not (?:be )?(?:supported|permitted|allowed|available|recogni[sz]ed)|"
    r"(?:doesn't|does not|cannot|can't) (?:support|accept|be specified|find)|"
    r"unknown|unrecogni[sz]ed|extra (?:inputs|fields)|extra_forbidden|unexpected|deprecated|"
    r"no longer|only the default",
    re.IGNORECASE,
)
"""Words that say that a field, or its value, is not taken. Others mean that the value is wrong."""

_MEANING = frozenset(
    {
        "model",
        "messages",
        "contents",
        "input",
        "prompt",
        "system",
        "systeminstruction",
        "instructions",
        "tools",
        "toolchoice",
        "toolconfig",
        "stream",
        "responseformat",
        "text",
        "n",
        "modalities",
        "cachedcontent",
        "previousresponseid",
    }
)
"""Fields without which the request would be another one: they are never repaired."""

_STRUCTURE = frozenset(
    {
        "role",
        "content",
        "parts",
        "type",
        "text",
        "id",
        "name",
        "function",
        "toolcalls",
        "toolcallid",
        "tooluseid",
        "callid",
        "arguments",
        "source",
        "data",
        "functioncall",
        "functionresponse",
        "functiondeclarations",
        "imageurl",
        "inputaudio",
        "file",
        "inlinedata",
        "filedata",
        "url",
    }
)
"""Fields inside of messages and tools that are never dropped."""

_FREE = frozenset(
    {"parameters", "inputschema", "parametersjsonschema", "schema", "arguments", "input", "args"}
    | {"response", "responsejsonschema", "jsonschema"}
)
"""Fields whose contents are the user's own: no field of the API is in them."""

_QUOTED = re.compile(r"[`'\"“]([A-Za-z_][\w.\[\]]{0,79})[`'\"”]")
_LEADING = re.compile(r"^\s*([A-Za-z_][\w.]{0,79})\s*:")
_TRAILING = re.compile(r":\s*([A-Za-z_]\w{0,79})\.?\s*$")
_INSTEAD = re.compile(r"[Uu]se\s+(?:the\s+)?[`'\"]?([A-Za-z_]\w{0,79})[`'\"]?\s+(?:instead|param)")
_LIMITS = (
    re.compile(r"\d+\s*>\s*(\d{1,15})(?!\d)"),
    re.compile(r"(?:at most|up to|less than or equal to|<=)\s*(\d{1,15})(?!\d)"),
    re.compile(r"maximum\D{0,60}?(\d{1,15})(?!\d)"),
)
_EXCLUSIVE = re.compile(r"to\s+(\d{1,15})(?!\d)\s*\(exclusive\)")


@dataclass(frozen=True, slots=True)
class Repair:
    """One change of a request.

    Attributes:
        path: the field; inside of another one (`output_config.effort`), or anywhere in messages
            and tools (`*.cache_control`).
        new_name: its other name; "" to drop it.
        limit: the largest value; None to drop it.
        value: the only value that is changed; None for any.
    """

    path: tuple[str, ...]
    new_name: str = ""
    limit: int | None = None
    value: Any = None

    @property
    def parameter(self) -> str:
        """The field, for metrics and logs."""
        return ".".join(self.path)

    def apply(self, body: dict[str, Any]) -> bool:
        """Changes a body in place; whether it changed."""
        if self.path[0] == "*":
            return sum([_drop_everywhere(inner, self.path[1]) for inner in body.values()]) > 0
        holder: Any = body
        for name in self.path[:-1]:
            holder = holder.get(name)
            if not isinstance(holder, dict):
                return False
        name = self.path[-1]
        value = holder.get(name)
        if name not in holder or (self.value is not None and value != self.value):
            return False
        if self.limit is not None:
            if type(value) is not int or value <= self.limit:
                return False
            holder[name] = self.limit
            return True
        del holder[name]
        if self.new_name:
            holder.setdefault(self.new_name, value)
        return True


def find_repair(body: Mapping[str, Any], error: bytes) -> Repair | None:
    """The repair for a rejected request; None when the error names none that is safe.

    Args:
        body: the request.
        error: the body of the response.
    """
    message, words, given = complaint_of(error)
    text = f"{message} {words}"
    for name in _named(message, given):
        repair = _repair_of(body, name, text)
        if repair is not None:
            return repair
    return None


def complaint_of(error: bytes) -> tuple[str, str, list[str]]:
    """The message of an error, its codes, and the fields that it names in places of their own.

    Args:
        error: the body of the response.
    """
    try:
        value = json.loads(error)
    except (ValueError, RecursionError):
        text = error[:2000].decode("utf-8", "replace")
        return ("" if text.lstrip()[:1] == "<" else text), "", []
    if isinstance(value, list):
        value = value[0] if value else None
    if not isinstance(value, Mapping):
        return "", "", []
    inner = value.get("error", value)
    inner = inner if isinstance(inner, Mapping) else {"message": inner}
    given = [inner["param"]] if isinstance(inner.get("param"), str) else []
    details = inner.get("detail", value.get("detail"))
    for detail in details if isinstance(details, list) else ():
        place = detail.get("loc") if isinstance(detail, Mapping) else None
        if isinstance(place, list) and place:
            given.append(str(place[-1]))
    message, *words = (inner.get("message"), inner.get("code"), inner.get("type"), details)
    return _text(message), " ".join(map(_text, words)), given


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value) if value else ""


def _named(text: str, given: Iterable[str]) -> Iterator[str]:
    """The names of fields in an error, the most certain first."""
    yield from given
    instead = _INSTEAD.search(text)
    for found in (*_QUOTED.finditer(text), *_LEADING.finditer(text), *_TRAILING.finditer(text)):
        if instead is None or found[1] != instead[1]:
            yield found[1]


def _repair_of(body: Mapping[str, Any], name: str, text: str) -> Repair | None:
    path = _path(body, name)
    if path is None:
        return _nested_repair(body, name, text)
    value: Any = body
    for step in path:
        value = value[step]
    if any(_plain(step) in _MEANING for step in path):
        return None
    if type(value) is int:
        limit = _limit(text, value)
        if limit is not None:
            return Repair(path, limit=limit)
    if not _REJECTS.search(text):
        return None
    instead = _INSTEAD.search(text)
    if instead is not None and len(path) == 1 and instead[1] not in body:
        return Repair(path, new_name=instead[1])
    quoted = isinstance(value, str) and re.search(rf"[`'\"]{re.escape(value)}[`'\"]", text)
    return Repair(path, value=value if quoted else None)


def _path(body: Mapping[str, Any], name: str) -> tuple[str, ...] | None:
    """Where a field is, which an error may write in another case; None if there is none.

    Of `thinking.type` the whole `thinking` is meant: without its type it would be invalid.
    """
    holder: Any = body
    path: list[str] = []
    for step in name.split("."):
        found = _key(holder, step) if isinstance(holder, Mapping) else None
        if found is None:
            break
        path.append(found)
        holder = holder[found]
    while len(path) > 1 and _plain(path[-1]) in _STRUCTURE:
        path.pop()
    return tuple(path) or None


def _key(holder: Mapping[str, Any], name: str) -> str | None:
    if name in holder:
        return name
    return next((key for key in holder if _plain(key) == _plain(name)), None)


def _nested_repair(body: Mapping[str, Any], name: str, text: str) -> Repair | None:
    """Drops a field from all messages, parts and tools, or from a group of settings."""
    name = name.rpartition(".")[2]
    if not _REJECTS.search(text) or _plain(name) in _STRUCTURE | _MEANING:
        return None
    for group, value in body.items():
        if isinstance(value, Mapping) and _plain(group) not in _FREE:
            key = _key(value, name)
            if key is not None:
                return Repair((group, key))
    lists = [value for value in body.values() if isinstance(value, list)]
    return Repair(("*", name)) if any(_has(value, name) for value in lists) else None


def _limit(text: str, value: int) -> int | None:
    """The largest value that an error names, if it is smaller than the one that was sent."""
    found = _EXCLUSIVE.search(text)
    if found is not None and 1 < int(found[1]) <= value:
        return int(found[1]) - 1
    for pattern in _LIMITS:
        for match in pattern.finditer(text):
            if 0 < int(match[1]) < value:
                return int(match[1])
    return None


def _has(value: Any, name: str) -> bool:
    if isinstance(value, list):
        return any(_has(inner, name) for inner in value)
    if not isinstance(value, Mapping):
        return False
    return (name in value and value.get("type") != name) or any(
        _has(inner, name) for key, inner in value.items() if _plain(key) not in _FREE
    )


def _drop_everywhere(value: Any, name: str) -> bool:
    if isinstance(value, list):
        return sum([_drop_everywhere(inner, name) for inner in value]) > 0
    if not isinstance(value, dict):
        return False
    # A part of this type is content, which is never dropped.
    changed = name in value and value.get("type") != name
    if changed:
        del value[name]
    for key, inner in value.items():
        if _plain(key) not in _FREE:
            changed = _drop_everywhere(inner, name) or changed
    return changed


def _plain(name: str) -> str:
    """A name without case and underscores: `max_tokens` and `maxTokens` are one."""
    return name.replace("_", "").lower()
