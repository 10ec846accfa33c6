"""Ids of tool calls in the form that a service accepts.

A conversation may have ids of several services. The same id is always replaced by the same one, so
calls and results still match, and prompts stay equal from turn to turn.
"""

from __future__ import annotations

import hashlib
import re
from typing import NamedTuple


class IdRule(NamedTuple):
    """What ids a service accepts.

    Attributes:
        pattern: matches a valid id.
        length: characters of an id that replaces another.
        prefix: what such an id begins with.
    """

    pattern: re.Pattern[str]
    length: int
    prefix: str = ""


OPENAI = IdRule(re.compile(r".{1,40}", re.DOTALL), 24, "call_")
"""Source: the validation errors of OpenAI's API, `tool_calls[0].id`: at most 40 characters."""

MISTRAL = IdRule(re.compile(r"[a-zA-Z0-9]{9}"), 9)
"""Source: the validation errors of Mistral's API: letters and digits, exactly nine."""

RESPONSES = IdRule(re.compile(r".{1,64}", re.DOTALL), 24, "call_")
"""Source: the validation errors of OpenAI's API, `input[0].call_id`: at most 64 characters."""


def valid_id(call_id: str, rule: IdRule) -> str:
    """The id itself if it is valid, else the one that replaces it."""
    if rule.pattern.fullmatch(call_id):
        return call_id
    digest = hashlib.sha256(call_id.encode("utf-8", "surrogatepass")).hexdigest()
    return (rule.prefix + digest)[: rule.length]
