"""Checks of answers by data: not empty, in the format that the client asked for, of a schema."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from multirouter.errors import ConfigurationError
from multirouter.schema_validation import content_of, json_schema

MAX_SCHEMA = 100_000
"""Characters of a client's schema up to which answers are compared with it."""

MAX_SCHEMAS = 64
"""Checks of clients' schemas that are kept: clients repeat theirs."""

_EXPENSIVE = frozenset({"pattern", "patternProperties", "format", "$ref", "$dynamicRef"})
"""Keywords of a client's schema that are not checked: a pattern may take for ever, and a reference
may lead in a circle."""

Check = Callable[[Any], object]
_ANY: Check = lambda _: True  # noqa: E731 - a constant function


class AnswerCheck:
    """Judges an answer to a request, for `accept=`; see `AnswerSection`.

    Args:
        non_empty: whether an answer needs text or a tool call.
        response_format: whether it must meet the request's `response_format`.
        schema: a JSON Schema for the content of every answer, or None.

    Raises:
        ConfigurationError: the schema is invalid, or the extra `schema` is not installed.
    """

    def __init__(
        self,
        *,
        non_empty: bool = False,
        response_format: bool = False,
        schema: Mapping[str, Any] | None = None,
    ) -> None:
        self._non_empty = non_empty
        self._response_format = response_format
        self._check = _ANY if schema is None else json_schema(schema)
        self._kept: OrderedDict[str, Check] = OrderedDict()
        if response_format:
            json_schema({})  # raises when the extra is not installed

    def __call__(self, answer: Any, request: Any) -> object:
        """True, or what is wrong with the answer, as text."""
        asked = self._asked_for(request) if self._response_format else _ANY
        for choice in _choices(answer):
            content = content_of(choice)
            if self._non_empty and content is not None and not str(content).strip():
                return "the answer is empty"
            for check in (asked, self._check):
                result = check(choice)
                if result is not True:
                    return result
        return True

    def _asked_for(self, request: Any) -> Check:
        """The check of the format that a request asks for."""
        asked = request.get("response_format") if isinstance(request, Mapping) else None
        if not isinstance(asked, Mapping):
            return _ANY
        if asked.get("type") == "json_object":
            return json_schema({"type": "object"})
        described = asked.get("json_schema")
        schema = described.get("schema") if isinstance(described, Mapping) else None
        if asked.get("type") != "json_schema" or not isinstance(schema, Mapping):
            return _ANY
        try:
            key = json.dumps(schema, sort_keys=True)
        except (TypeError, ValueError, RecursionError):
            return _ANY
        if len(key) > MAX_SCHEMA:
            return _ANY
        if key not in self._kept:
            self._kept[key] = _schema_check(schema)
            if len(self._kept) > MAX_SCHEMAS:
                self._kept.popitem(last=False)
        return self._kept[key]


def make_answer_check(section: Any) -> AnswerCheck | None:
    """The check of an `AnswerSection`; None without one.

    Raises:
        ConfigurationError: see `AnswerCheck`.
    """
    if section is None:
        return None
    return AnswerCheck(
        non_empty=section.non_empty,
        response_format=section.response_format,
        schema=section.json_schema,
    )


def _schema_check(schema: Mapping[str, Any]) -> Check:
    """The check of a client's schema; an invalid schema accepts all: that is the client's fault."""
    try:
        return json_schema(_without_expensive(schema))
    except ConfigurationError:
        return _ANY


def _without_expensive(shape: Any) -> Any:
    if isinstance(shape, list):
        return [_without_expensive(inner) for inner in shape]
    if not isinstance(shape, Mapping):
        return shape
    kept = {}
    for name, value in shape.items():
        if name in {"properties", "$defs", "definitions"} and isinstance(value, Mapping):
            kept[name] = {key: _without_expensive(inner) for key, inner in value.items()}
        elif name not in _EXPENSIVE:
            kept[name] = value if name in {"enum", "const"} else _without_expensive(value)
    return kept


def _choices(answer: Any) -> Iterable[Any]:
    """Each choice of an answer, as an answer of its own."""
    choices = answer.get("choices") if isinstance(answer, Mapping) else None
    if not isinstance(choices, list) or len(choices) < 2:
        return (answer,)
    return ({**answer, "choices": [choice]} for choice in choices)
