"""Validation of answers against a JSON Schema: `accept=` with a schema instead of a function."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from multirouter.errors import ConfigurationError

MAX_REASON_LENGTH = 160
"""Maximum characters of a validation error in the trail."""

_FENCED = re.compile(r"(```|~~~)[A-Za-z0-9_+-]*[ \t]*\r?\n(.*?)\n?[ \t]*\1", re.DOTALL)
"""A fenced code block of Markdown, as models put around JSON."""


def json_schema(schema: Mapping[str, Any]) -> Callable[[Any], object]:
    """Builds an `accept=` function: the content of an answer must be JSON that matches the schema.

    The content is the text of an answer in the format of OpenAI (Chat Completions, Responses),
    Anthropic or Gemini, or a string;
    any other value is validated as it is. JSON in a fenced code block is read from the block. An
    answer that calls tools is accepted: its content comes after the tools' results. The draft is
    the one that `$schema` names, else 2020-12. Remote references are not fetched.

    Where jsonschema-rs is installed, as with the extra `schema`, it checks the texts: it takes a
    hundredth of the time, in which the event loop does nothing else. Only what it does not find
    valid is left to jsonschema, which decides, and names the error.

    Args:
        schema: the JSON Schema, as a mapping.

    Returns:
        A function for `accept=` that returns True, or a string: the JSON path and the error.

    Raises:
        ConfigurationError: for an invalid schema, or when the extra `schema` is not installed.
    """
    try:
        from jsonschema import Draft202012Validator, SchemaError, validators
        from jsonschema.exceptions import best_match
    except ImportError:
        raise ConfigurationError(
            "accept", "a JSON Schema requires jsonschema: install multirouter[schema]"
        ) from None
    kind: Any = validators.validator_for(schema, default=Draft202012Validator)
    try:
        kind.check_schema(schema)
    except SchemaError as error:
        raise ConfigurationError("accept", f"invalid JSON Schema: {error.message}") from None
    validator = kind(schema)
    surely_valid = _fast_check(schema)

    def matches_schema(answer: Any) -> object:
        content = content_of(answer)
        if content is None:
            return True
        if isinstance(content, str | bytes):
            try:
                content = _json_in(content)
            except ValueError as error:
                return f"invalid JSON: {error}"
            if surely_valid(content):
                return True
        problem = best_match(validator.iter_errors(content))
        return problem is None or f"{problem.json_path}: {problem.message}"[:MAX_REASON_LENGTH]

    return matches_schema


def _fast_check(schema: Mapping[str, Any]) -> Callable[[Any], bool]:
    """A function that is True only for valid JSON: by jsonschema-rs, or without it, never."""
    try:
        from jsonschema_rs import validator_for

        # As jsonschema does, it checks no formats and fetches nothing.
        check = validator_for(
            dict(schema), validate_formats=False, retriever=_fetch_nothing
        ).is_valid
    except (ImportError, TypeError, ValueError):  # a dialect or a pattern that only jsonschema has
        return lambda _content: False

    def surely_valid(content: Any) -> bool:
        try:
            return check(content)
        except Exception:  # noqa: BLE001 - a number or a depth that it cannot have
            return False

    return surely_valid


def _fetch_nothing(uri: str) -> Any:
    raise ValueError(f"remote references are not fetched: {uri}")


def content_of(answer: Any) -> Any:
    """The content of an answer: the text of a known format, else the answer itself.

    None when the answer calls tools instead.
    """
    if callable(dump := getattr(answer, "model_dump", None)):
        answer = dump()
    if not isinstance(answer, Mapping):
        return answer
    if isinstance(choices := answer.get("choices"), list) and choices:
        message = choices[0].get("message") or {}
        calls = message.get("tool_calls") or message.get("function_call")
        return None if calls else _text(message.get("content"))
    if isinstance(candidates := answer.get("candidates"), list) and candidates:
        return _text((candidates[0].get("content") or {}).get("parts"))
    if answer.get("type") == "message" and isinstance(answer.get("content"), list):
        return _text(answer["content"])
    if answer.get("object") == "response" and isinstance(output := answer.get("output"), list):
        return _text_of_items([item for item in output if isinstance(item, Mapping)])
    return answer


def _text_of_items(items: list[Mapping[str, Any]]) -> str | None:
    """The text of the items of a Responses answer; None when the client has to answer a call.

    Calls that the service makes itself, such as a web search, have no `call_id`.
    """
    if any("call_id" in item for item in items):
        return None
    messages = [_text(item.get("content")) for item in items if item.get("type") == "message"]
    return "".join(text or "" for text in messages)


def _text(content: Any) -> Any:
    """A text as it is, or the joined text of a list of parts; None for parts that call a tool."""
    if not isinstance(content, list):
        return content or ""
    parts = [part for part in content if isinstance(part, Mapping)]
    if any(_calls_tool(part) for part in parts):
        return None
    return "".join(part.get("text") or "" for part in parts)


def _calls_tool(part: Mapping[str, Any]) -> bool:
    """Whether a part is a tool call, of Anthropic or of Gemini (as JSON or as its SDK dumps it)."""
    calls = part.get("functionCall") or part.get("function_call")
    return part.get("type") == "tool_use" or bool(calls)


def _json_in(text: str | bytes) -> Any:
    """The JSON of a text; that of its only fenced block when the text itself is not JSON.

    Raises:
        ValueError: there is no valid JSON.
    """
    text = text.removeprefix("\ufeff") if isinstance(text, str) else text
    try:
        return json.loads(text)
    except ValueError:
        blocks = _FENCED.findall(text.decode() if isinstance(text, bytes) else text)
        if len(blocks) != 1:
            raise
        return json.loads(blocks[0][1])
