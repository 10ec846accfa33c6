"""Signatures: which sign of an answer decides, and under which name it is reported."""

from __future__ import annotations

import pytest

from multirouter.core.failures.signatures import (
    Signature,
    by_code,
    by_field,
    by_overruling_phrase,
    by_phrase,
    by_plain_text,
    by_status,
    by_status_word,
)
from multirouter.model import FailureKind

EXHAUSTED, RATE_LIMIT = FailureKind.EXHAUSTED, FailureKind.RATE_LIMIT
UNSUPPORTED = FailureKind.UNSUPPORTED


def own(_: str) -> bool:
    """Every phrase is the provider's own."""
    return True


def quoted(_: str) -> bool:
    """Every phrase quotes the request."""
    return False


@pytest.mark.parametrize(
    ("words", "signature"),
    [
        (["zeta_requests_per_day"], Signature(EXHAUSTED, "per-day quota")),
        (["zetarequestsperday"], Signature(EXHAUSTED, "per-day quota")),
        (["zeta_spend_limit_reached"], Signature(EXHAUSTED, "spend limit")),
        (["throttling.zeta"], Signature(RATE_LIMIT, "throttling")),
        (["insufficient_quota"], Signature(EXHAUSTED, "insufficient_quota")),
        (["zeta", "throttling.user", "insufficient_quota"], Signature(RATE_LIMIT, "throttling")),
        (["zeta"], None),
        ([], None),
    ],
)
def test_codes(words: list[str], signature: Signature | None) -> None:
    """The first word with a meaning decides; its reason is the word, or what was recognized."""
    assert by_code(words) == signature


def test_words_of_a_status() -> None:
    """The first word that names a status decides; one that two kinds share proves nothing."""
    uncertain = Signature(FailureKind.CREDENTIALS, "permission_denied", certain=False)
    assert by_status_word(["zeta", "permission_denied", "not_found"]) == uncertain
    assert by_status_word(["zeta"]) is None


@pytest.mark.parametrize(
    ("status", "words", "text", "reason"),
    [
        (400, ["unknown_parameter"], "", "unsupported field"),
        (422, ["extra_forbidden"], "", "unsupported field"),
        (400, ["zeta_not_found"], "", "not found"),
        (400, ["zeta"], "unknown field `zeta`", "unsupported field"),
        (400, ["zeta"], "the zeta is wrong", None),
        (404, ["unknown_parameter"], "unknown field `zeta`", None),
        (None, ["unknown_parameter"], "", None),
    ],
)
def test_fields(status: int | None, words: list[str], text: str, reason: str | None) -> None:
    """What a service does not have is read from a code or a message of a 400 or a 422 only."""
    found = by_field(status, words, text)
    assert found == (None if reason is None else Signature(UNSUPPORTED, reason))


@pytest.mark.parametrize(
    ("text", "signature"),
    [
        ("http 503", by_status(503)),
        ("429 too many zetas", by_status(429)),
        ("the zeta returned a 502 after a while", by_status(502)),
        ("zeta hit a rate-limit", Signature(RATE_LIMIT, "rate limit")),
        ("the zeta is overloaded", Signature(FailureKind.OVERLOADED, "overloaded")),
        ("zeta " * 120 + "http 503", None),
        ("a zeta of 503 pages", None),
    ],
)
def test_plain_text(text: str, signature: Signature | None) -> None:
    """Transient statuses and limits are read from the beginning of a text, other numbers not."""
    assert by_plain_text(text, own) == signature
    if text.startswith(("zeta hit", "the zeta is")):
        assert by_plain_text(text, quoted) is None


def test_phrases() -> None:
    """A phrase is the reason. Under a status that it cannot overrule it means nothing."""
    text = "zeta: your credit balance is too low for it"
    found = by_phrase(400, text, own)
    assert found is not None
    assert found.kind is EXHAUSTED
    assert found.reason in text
    assert by_phrase(None, text, own) == found
    assert by_phrase(500, text, own) is None
    assert by_phrase(400, text, quoted) is None
    general = "your zeta credits are depleted"
    assert by_phrase(400, general, own) == Signature(EXHAUSTED, "wording of the message")
    assert by_phrase(404, general, own) is None
    assert by_phrase(400, general, quoted) is None


def test_an_error_of_the_server_has_no_overruling_phrase() -> None:
    """Its message may be of a service behind it."""
    text = "zeta: supported values are: a, b"
    for status in (None, 400, 499):
        assert by_overruling_phrase(status, text, own) is not None
    assert by_overruling_phrase(500, text, own) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (200, FailureKind.TRANSPORT),
        (399, FailureKind.TRANSPORT),
        (400, FailureKind.REQUEST),
        (418, FailureKind.REQUEST),
        (498, FailureKind.OVERLOADED),
        (500, FailureKind.SERVER),
        (599, FailureKind.SERVER),
    ],
)
def test_statuses(status: int, kind: FailureKind) -> None:
    """A status that no table has counts by its class; below 400 the answer was not readable."""
    assert by_status(status) == Signature(kind, f"status {status}")


def test_a_403_alone_proves_nothing() -> None:
    """It may be about this request only."""
    assert by_status(403) == Signature(FailureKind.CREDENTIALS, "status 403", certain=False)
    assert by_status(401).certain
