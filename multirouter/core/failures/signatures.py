"""Signatures of failures in HTTP answers and messages: codes, statuses and phrases.

One lookup function for each table returns a `Signature`, or None when nothing matches. The tables
of the services are in `wordings`. `exception_types` does the same for exceptions without an HTTP
answer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from multirouter.core.failures import general_wordings, wordings
from multirouter.model import FailureKind


class Signature(NamedTuple):
    """What one matching sign means.

    Attributes:
        kind: the kind of the failure.
        reason: the matching sign, a word of these tables.
        unsent: whether the request certainly never reached the provider.
        certain: whether one such answer proves the kind.
        wrapper: whether the exception only wraps another one, which is more exact.
    """

    kind: FailureKind
    reason: str
    unsent: bool = False
    certain: bool = True
    wrapper: bool = False


_STATUSES: dict[FailureKind, tuple[int, ...]] = {
    FailureKind.RATE_LIMIT: (429,),
    FailureKind.EXHAUSTED: (402,),
    FailureKind.OVERLOADED: (503, 529, 498),  # 498: Groq's flex tier is at capacity
    FailureKind.SERVER: (
        408,
        409,
        424,
        425,
        499,
    ),  # 424: Bedrock's model failed; 499: Gemini CANCELLED
    FailureKind.CREDENTIALS: (401, 403, 407),
    FailureKind.NOT_FOUND: (
        404,
        405,
        410,
        451,
    ),  # not the request's fault: this endpoint does not have it
}

_PHRASE_ORDER = (
    FailureKind.EXHAUSTED,
    FailureKind.CREDENTIALS,
    FailureKind.CONTENT_FILTER,
    FailureKind.UNSUPPORTED,
    FailureKind.CONTEXT_LENGTH,
    FailureKind.OVERLOADED,
    FailureKind.RATE_LIMIT,
)
"""The order in which the phrases of a message are looked for."""

HARMFUL: frozenset[FailureKind] = frozenset(
    {
        FailureKind.EXHAUSTED,
        FailureKind.CREDENTIALS,
        FailureKind.OVERLOADED,
        FailureKind.RATE_LIMIT,
    }
)
"""Kinds that keep other requests from the provider. A phrase of them must be the provider's own."""

Own = Callable[[str], bool]
"""Whether a phrase in a message is the provider's own, and no quotation of the request."""

_AMBIGUOUS = frozenset({200, 400, 402, 403, 413, 422})
_PHRASE_STATUSES: Mapping[FailureKind, frozenset[int]] = {
    FailureKind.EXHAUSTED: _AMBIGUOUS | {401, 412, 429},
    FailureKind.CREDENTIALS: _AMBIGUOUS,
    FailureKind.CONTENT_FILTER: _AMBIGUOUS,
    FailureKind.UNSUPPORTED: frozenset({200, 400, 422}),
    FailureKind.CONTEXT_LENGTH: _AMBIGUOUS,
    FailureKind.OVERLOADED: frozenset({200, 400, 429}),
}
"""The statuses that a phrase of each kind may overrule."""

_STATUS_IN_TEXT = re.compile(
    r"(?:\b(?:http|status|code|error)\b[^0-9\n]{0,12}|^\W*)(408|429|5[0-9]{2})\b"
    r"|\b(429|5[0-9]{2})\W{1,3}(?:too many|internal|bad gateway|service|gateway|server)"
    r"|\b(?:returned|received|got|responded with|answered with|replied with)(?: an?)? "
    r"(429|5[0-9]{2})(?= (?:from|for|on|by|after|while|error)\b|[.,;:)]|\s*$)"
)
_RATE_LIMIT_IN_TEXT = re.compile(r"rate[ _-]?limit|too many requests")
_OVERLOAD_IN_TEXT = re.compile(r"service unavailable|temporarily unavailable|\boverloaded\b")
_ABOUT_A_FIELD = frozenset({400, 422})
"""Statuses with which a service rejects a field of the request."""

_FIELD = (
    r"(?:parameter|field|argument|propert(?:y|ies)|option|key|keyword|setting|attribute|name"
    r"|feature|type|value|variant|part|block|modality|modalities|format|tool)s?"
)
_UNKNOWN_FIELD = re.compile(
    rf"\b(?:un(?:known|supported|recogni[sz]ed|expected|implemented)|extra|additional)\W{{1,3}}"
    rf"(?:\w+\W{{1,3}}){{0,2}}?{_FIELD}\b"
    rf"|\bextra inputs\b"
    rf"|\b{_FIELD}\b.{{0,80}}?\b(?:is|are) (?:currently |yet )?not (?:\w+ )?"
    rf"(?:allowed|available|enabled)\b"
    r"|\b(?:is|are) (?:currently )?(?:not (?:yet |currently )?"
    r"(?:supported|recogni[sz]ed|permitted|implemented)|un(?:supported|recogni[sz]ed|known))\b"
    r"|\bdo(?:es)?(?: not|n.t) (?:currently |yet )?(?:support|accept|recogni[sz]e)\b"
    r"|\bdoes not match any of the expected\b"
)
"""What services say of a field, a value or a part that they do not have, whatever its name."""

_UNKNOWN_FIELD_CODES = ("unsupported_", "unknown_param", "unknown_field", "unrecognized_")
_PYDANTIC_CODES = frozenset({"extra_forbidden", "union_tag_invalid", "union_tag_not_found"})
"""Source: the types of errors of pydantic 2, which FastAPI answers with."""

_MAX_PLAIN_TEXT = 500
"""Characters of a plain exception's text that are read: what follows may quote the request."""


def signatures_of(table: Mapping[FailureKind, Iterable[str]]) -> dict[str, Signature]:
    """Inverts a table of signs by kind: a signature by sign."""
    return {sign: Signature(kind, sign) for kind, signs in table.items() for sign in signs}


def _in_order(
    *tables: Mapping[FailureKind, Iterable[str]],
) -> tuple[tuple[FailureKind, tuple[str, ...]], ...]:
    """The phrases of several tables by kind, in the order in which they are looked for."""
    return tuple(
        (kind, phrases)
        for kind in _PHRASE_ORDER
        if (phrases := tuple(p for table in tables for p in table.get(kind, ())))
    )


_BY_CODE = {
    code: signature
    for table in wordings.CODES.values()
    for code, signature in signatures_of(table).items()
}
_BY_STATUS_WORD = signatures_of(wordings.STATUS_WORDS) | {
    word: Signature(FailureKind.CREDENTIALS, word, certain=False)
    for word in wordings.UNCERTAIN_STATUS_WORDS
}
_OVERRULING = _in_order(*wordings.OVERRULING.values())
_PHRASES = _in_order(*wordings.PHRASES.values())
_COMMON_PHRASES = _in_order(wordings.COMMON_PHRASES)
_KIND_BY_STATUS = {status: kind for kind, statuses in _STATUSES.items() for status in statuses}


def by_code(words: Iterable[str]) -> Signature | None:
    """The signature of the first word that has one meaning under every status.

    Per-day quotas, spend limits and throttling are recognized by a part of their name.

    Args:
        words: codes, types and reasons, lower case.
    """
    for word in words:
        if "perday" in word.replace("_", ""):
            return Signature(FailureKind.EXHAUSTED, "per-day quota")
        if word.endswith("_spend_limit_reached"):
            return Signature(FailureKind.EXHAUSTED, "spend limit")
        if word in _BY_CODE:
            return _BY_CODE[word]
        if word.startswith("throttling."):  # codes of Alibaba Cloud
            return Signature(FailureKind.RATE_LIMIT, "throttling")
    return None


def by_status_word(words: Iterable[str]) -> Signature | None:
    """The signature of the first word that names a status.

    Args:
        words: codes, types and reasons, lower case.
    """
    return next((_BY_STATUS_WORD[word] for word in words if word in _BY_STATUS_WORD), None)


def by_overruling_phrase(status: int | None, text: str, own: Own) -> Signature | None:
    """The signature of a phrase that is more exact than the code beside it.

    Args:
        status: the HTTP status, or None.
        text: the message, lower case.
        own: called with each phrase of a harmful kind that matches.
    """
    if status is not None and status >= 500:
        return None
    return next(_matches(_OVERRULING, text, own), None)


def by_phrase(status: int | None, text: str, own: Own) -> Signature | None:
    """The signature of a phrase in a message, if the status allows one.

    Args:
        status: the HTTP status, or None.
        text: the message, lower case.
        own: called with each phrase of a harmful kind that matches.
    """
    if status is None:
        return next(_matches(_PHRASES, text, own), None)
    for table in (_PHRASES, _COMMON_PHRASES):
        for signature in _matches(table, text, own):
            if status in _PHRASE_STATUSES[signature.kind]:
                return signature
    if status in _AMBIGUOUS or status == 429:
        for kind in general_wordings.kinds_of(text, own):
            if status in _PHRASE_STATUSES[kind]:
                return Signature(kind, "wording of the message")
    return None


def by_field(status: int | None, words: Iterable[str], text: str) -> Signature | None:
    """The signature of an error about a field, a value or a thing that the service does not have.

    Another service may have it. Where a text that quotes the request misleads, the request is
    sent to another provider in vain, and no circuit changes.

    Args:
        status: the HTTP status, or None.
        words: codes, types and reasons, lower case.
        text: the message, lower case.
    """
    if status not in _ABOUT_A_FIELD:
        return None
    for word in words:
        if word in _PYDANTIC_CODES or word.startswith(_UNKNOWN_FIELD_CODES):
            return Signature(FailureKind.UNSUPPORTED, "unsupported field")
        if word.endswith("_not_found"):  # what an account has made, of which another knows nothing
            return Signature(FailureKind.UNSUPPORTED, "not found")
    found = _UNKNOWN_FIELD.search(text)
    return None if found is None else Signature(FailureKind.UNSUPPORTED, "unsupported field")


def _matches(
    table: Iterable[tuple[FailureKind, tuple[str, ...]]], text: str, own: Own
) -> Iterator[Signature]:
    for kind, phrases in table:
        for phrase in phrases:
            if phrase in text and (kind not in HARMFUL or own(phrase)):
                yield Signature(kind, phrase)


def by_plain_text(text: str, own: Own) -> Signature | None:
    """The signature of a plain exception's text that names a transient status or a limit.

    Used when an exception has nothing else that tells its kind: `RuntimeError("HTTP 503")`. Other
    statuses are not read from text, since a wrong guess would end a call or trip a circuit.

    Args:
        text: the message, lower case.
        own: called with each phrase of a harmful kind that matches.
    """
    start = text[:_MAX_PLAIN_TEXT]
    found = _STATUS_IN_TEXT.search(start)
    if found is not None:
        return by_status(int(found[1] or found[2] or found[3]))
    found = _RATE_LIMIT_IN_TEXT.search(start)
    if found is not None and own(found[0]):
        return Signature(FailureKind.RATE_LIMIT, "rate limit")
    found = _OVERLOAD_IN_TEXT.search(start)
    if found is not None and own(found[0]):
        return Signature(FailureKind.OVERLOADED, "overloaded")
    return None


def by_status(status: int) -> Signature:
    """The signature of a status alone.

    An exception raised on a status below 400 means that the answer could not be read.
    """
    other = (
        FailureKind.TRANSPORT
        if status < 400
        else FailureKind.REQUEST
        if status < 500
        else FailureKind.SERVER
    )
    kind = _KIND_BY_STATUS.get(status, other)
    return Signature(kind, f"status {status}", certain=status != 403)
