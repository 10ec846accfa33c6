"""Wordings of services that are in no table: what any of them may call a limit of length or money.

They are looked for when no code and no known phrase has matched, and only under the statuses that a
phrase of their kind may overrule.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from multirouter.model import FailureKind

_MAX_TEXT = 1000
"""Characters of a message that are read: what follows may quote the request."""

_PER_MINUTE = re.compile(r"\bper[ -](?:second|minute|hour)\b|\b[rt]p[ms]\b")
"""A limit of this kind ends soon, whatever else the message says."""

_OUTPUT = re.compile(r"\bmax_?(?:completion_|output_)?tokens\b|\b(?:output|completion) tokens\b")
"""The request asks for too long an answer: a larger context window does not help."""

_FEW = r"(?:out of|no more|no|not enough|insufficient|exhausted|used up|depleted)"
_GONE = r"(?:exhausted|depleted|used up|insufficient|too low|empty|negative|has run out)"
_MONEY = r"(?:credits?|funds|balance|wallet)"
_LONG = r"(?:daily|weekly|monthly|yearly|annual|per[ -](?:day|week|month))"
_QUOTA = r"(?:quota|limit|cap|budget|allowance|spend|spending)"
_REACHED = r"(?:exceeded|exceeds|reached|hit|exhausted|used up|spent)"
_INPUT = r"(?:prompt|input|messages?|conversation|history|context)"
_OVER = r"(?:too (?:long|large)|exceed(?:s|ed)?|longer than|larger than|above|over|more than)"
_LENGTH = r"(?:tokens?|context|window|model|limit|maximum|max|length)"

PATTERNS: Mapping[FailureKind, re.Pattern[str]] = {
    FailureKind.EXHAUSTED: re.compile(
        rf"\b{_FEW}\b[^.\n]{{0,30}}\b{_MONEY}\b"
        rf"|\b{_MONEY}\b[^.\n]{{0,30}}\b{_GONE}\b"
        rf"|\b{_LONG}\b[^.\n]{{0,40}}\b{_QUOTA}\b[^.\n]{{0,30}}\b{_REACHED}\b"
        rf"|\b{_REACHED}\b[^.\n]{{0,40}}\b{_LONG}\b[^.\n]{{0,40}}\b{_QUOTA}\b"
        r"|\bbilling\b[^.\n]{0,30}\b(?:disabled|inactive|suspended|not (?:enabled|active|set up))\b"
        r"|\bpayment\b[^.\n]{0,30}\b(?:required|overdue|past due|failed)\b"
    ),
    FailureKind.CONTEXT_LENGTH: re.compile(
        rf"\b{_INPUT}\b[^.\n]{{0,60}}\b{_OVER}\b[^.\n]{{0,60}}\b{_LENGTH}\b"
        rf"|\btokens?\b[^.\n]{{0,60}}\b{_OVER}\b[^.\n]{{0,60}}\b(?:context|input|prompt)\b"
        r"|\btoo many (?:input|prompt|context) tokens\b"
    ),
}
"""What a lower-case message of each kind contains, in the order in which they are looked for."""


def kinds_of(text: str, own: Callable[[str], bool]) -> list[FailureKind]:
    """The kinds whose wording a message has.

    Args:
        text: the message, lower case.
        own: whether a phrase in it is the provider's own, and no quotation of the request.
    """
    text = text[:_MAX_TEXT]
    if _PER_MINUTE.search(text):
        return []
    found = []
    for kind, pattern in PATTERNS.items():
        match = pattern.search(text)
        about_output = kind is FailureKind.CONTEXT_LENGTH and _OUTPUT.search(text)
        if match is not None and not about_output and own(match[0]):
            found.append(kind)
    return found
