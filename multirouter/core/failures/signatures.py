"""Signatures of failures in HTTP answers: tables of codes, statuses and phrases.

One lookup function for each table returns a `Signature`, or None when nothing matches.
`exception_types` does the same for exceptions without an HTTP answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

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


# Codes that have one meaning under every status: the same 429 is a limit for some seconds or an
# unpaid bill, the same 400 the caller's mistake or a bad key.
# Source: error types of openai 3.52, anthropic 2.11 and google-genai 3.4; AWS's common errors and
# botocore's list of throttling codes; Azure OpenAI's content filter.
_CODES: dict[FailureKind, tuple[str, ...]] = {
    FailureKind.EXHAUSTED: (
        "insufficient_quota",
        "billing_error",
        "billing_hard_limit_reached",
        "billing_not_active",
        "linked_organization_billing_unavailable",
    ),
    FailureKind.CREDENTIALS: (
        "invalid_api_key",
        "api_key_invalid",
        "organization_on_hold",
        "cmek_key_disabled",
        "cmek_key_network_blocked",
        "expiredtoken",
        "expiredtokenexception",
        "invalidclienttokenid",
        "invalidsignatureexception",
        "signaturedoesnotmatch",
        "unrecognizedclientexception",
    ),
    FailureKind.CONTEXT_LENGTH: (
        "context_length_exceeded",
        "request_too_large",
        "request_body_too_large_after_decoding",
    ),
    FailureKind.CONTENT_FILTER: (
        "content_policy_violation",
        "content_filter",
        "responsibleaipolicyviolation",
    ),
    FailureKind.REQUEST: ("string_above_max_length",),
    FailureKind.NOT_FOUND: ("model_not_found", "deploymentnotfound"),
    FailureKind.RATE_LIMIT: (
        "rate_limit_exceeded",
        "ramp_limit_exceeded",
        "throttling",
        "throttlingexception",
        "throttledexception",
        "requestthrottledexception",
        "toomanyrequestsexception",
        "requestlimitexceeded",
        "servicequotaexceededexception",
        "limitexceededexception",
        "slowdown",
    ),
    FailureKind.OVERLOADED: (
        "overloaded_error",
        "modelnotreadyexception",
        "serviceunavailableexception",
    ),
    FailureKind.SERVER: (
        "modelerrorexception",
        "modelstreamerrorexception",
        "modeltimeoutexception",
    ),
}

# Codes that only name a status; they count when there is no failing status, as in a stream that
# breaks after its 200.
_STATUS_WORDS: dict[FailureKind, tuple[str, ...]] = {
    FailureKind.RATE_LIMIT: ("rate_limit_error", "resource_exhausted"),
    FailureKind.OVERLOADED: ("unavailable", "overloaded"),
    FailureKind.SERVER: (
        "server_error",
        "api_error",
        "timeout_error",
        "conflict_error",
        "internal",
        "internal_server_error",
        "internalserverexception",
        "deadline_exceeded",
        "aborted",
    ),
    FailureKind.CREDENTIALS: ("authentication_error", "unauthenticated"),
    FailureKind.NOT_FOUND: ("not_found_error", "not_found", "resourcenotfoundexception"),
    FailureKind.REQUEST: (
        "invalid_request_error",
        "invalid_argument",
        "failed_precondition",
        "validationexception",
    ),
}
_UNCERTAIN_STATUS_WORDS = ("permission_error", "permission_denied", "accessdeniedexception")

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

# Phrases, lower case. Those of the second table are too common to count in an exception without an
# HTTP status.
_NOT_CONTEXT = ("max_tokens is too large",)
_PHRASES: dict[FailureKind, tuple[str, ...]] = {
    FailureKind.EXHAUSTED: ("credit balance is too low",),
    FailureKind.CREDENTIALS: ("api key not valid", "api key expired"),
    FailureKind.CONTENT_FILTER: (
        "blocked by content filtering policy",
        "content management policy",
    ),
    FailureKind.CONTEXT_LENGTH: (
        "maximum context length",
        "exceeds the context window",
        "exceed context window",
        "exceed context limit",
        "input tokens exceed the configured limit",
        "prompt is too long",
        "exceeds the maximum number of tokens allowed",
        "request payload size exceeds the limit",
        "exceeds the available context size",
    ),
}
_WEAK_PHRASES: dict[FailureKind, tuple[str, ...]] = {
    FailureKind.CONTEXT_LENGTH: ("input is too long", "context window", "too many tokens"),
}
_PHRASE_STATUSES = frozenset({200, 400, 402, 403, 413, 422})
"""The statuses that a phrase may overrule."""


def signatures_of(table: Mapping[FailureKind, Iterable[str]]) -> dict[str, Signature]:
    """Inverts a table of signs by kind: a signature by sign."""
    return {sign: Signature(kind, sign) for kind, signs in table.items() for sign in signs}


_BY_CODE = signatures_of(_CODES)
_BY_STATUS_WORD = signatures_of(_STATUS_WORDS) | {
    word: Signature(FailureKind.CREDENTIALS, word, certain=False)
    for word in _UNCERTAIN_STATUS_WORDS
}
_KIND_BY_STATUS = {status: kind for kind, statuses in _STATUSES.items() for status in statuses}


def by_code(words: Iterable[str]) -> Signature | None:
    """The signature of the first word that has one meaning under every status.

    Per-day quotas and spend limits are recognized by a part of their name.

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
    return None


def by_status_word(words: Iterable[str]) -> Signature | None:
    """The signature of the first word that names a status.

    Args:
        words: codes, types and reasons, lower case.
    """
    return next((_BY_STATUS_WORD[word] for word in words if word in _BY_STATUS_WORD), None)


def by_phrase(status: int | None, text: str) -> Signature | None:
    """The signature of a phrase in a message, if the status allows one.

    Args:
        status: the HTTP status, or None.
        text: the message, lower case.
    """
    if status is None:
        return _phrase(_PHRASES, text)
    if status not in _PHRASE_STATUSES:
        return None
    return _phrase(_PHRASES, text) or _phrase(_WEAK_PHRASES, text)


def _phrase(table: Mapping[FailureKind, Iterable[str]], text: str) -> Signature | None:
    for kind, phrases in table.items():
        if kind is FailureKind.CONTEXT_LENGTH and any(phrase in text for phrase in _NOT_CONTEXT):
            continue
        for phrase in phrases:
            if phrase in text:
                return Signature(kind, phrase)
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
