"""Texts of the request that a provider quotes in its errors prove nothing about the provider."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.failures.quotations import may_quote
from multirouter.errors import ProviderError
from multirouter.model import FailureKind
from tests.core.classification import RecordingClassifier, with_fields

EXPIRED = "API key expired. Please renew the API key."
REQUEST = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "warmth": EXPIRED}


def kind_of(
    message: str, request: object, status: int | None = 400, **fields: Any
) -> FailureKind | str:
    body = {"error": {"message": message, **fields}}
    error = with_fields(status_code=status, body=body)
    return RecordingClassifier().classify_error(error, request).kind


@pytest.mark.parametrize("status", [400, 402, 403, 413, 422, None])
@pytest.mark.parametrize(
    "value",
    [
        EXPIRED,
        "Your credit balance is too low to access the API",
        "model is overloaded",
        "allocated quota exceeded, please increase your quota",
    ],
)
def test_a_quoted_phrase_counts_for_no_provider(value: str, status: int | None) -> None:
    """The same words are the provider's own if the request lacks them."""
    harmful = {
        FailureKind.CREDENTIALS,
        FailureKind.EXHAUSTED,
        FailureKind.OVERLOADED,
        FailureKind.RATE_LIMIT,
    }
    own = kind_of(value, {"prompt": "hello"}, status)
    quoted = kind_of(f"Invalid value: {value}!", {"warmth": value}, status)
    by_status = kind_of("No.", {}, status)
    assert quoted == by_status
    if status not in {402, 413, 422} and own != by_status:
        assert own in harmful


@pytest.mark.parametrize(
    "request_",
    [
        REQUEST,
        EXPIRED,
        ["a", (EXPIRED.lower(), 1)],
        {"API key expired": 1},
        {"a": "x' API   key-expired"},
        {"stop": ["API key ", "expired"]},
        {"image": "A" * 100_000 + EXPIRED},
    ],
    ids=["field", "text", "list", "name", "blanks", "joined", "long"],
)
def test_wherever_the_request_has_it(request_: object) -> None:
    """Values, names of fields, texts that are joined, other blanks and punctuation."""
    assert may_quote(request_, "api key expired")
    assert kind_of(EXPIRED, request_) is FailureKind.REQUEST


@pytest.mark.parametrize("request_", [None, 1, object(), {"prompt": "the key is expired"}, b"api"])
def test_other_requests_quote_nothing(request_: object) -> None:
    """A request of another type, or with some of the words only."""
    assert not may_quote(request_, "api key expired")
    assert kind_of(EXPIRED, request_) is FailureKind.CREDENTIALS


def test_quotations_in_wrapped_errors() -> None:
    """Wherever the error is: in a group, as a cause, of an adapter, beside the user's own kind."""
    quoting = with_fields(status_code=400, body={"error": {"message": EXPIRED}})
    adapters = ProviderError("x", provider="a", kind=FailureKind.INVALID)
    adapters.__cause__ = quoting
    wrapped = [
        ExceptionGroup("x", [quoting]),  # type: ignore[list-item]
        with_fields(RuntimeError("x"), __cause__=quoting),
        with_fields(RuntimeError("x"), __cause__=ExceptionGroup("x", [quoting])),  # type: ignore[list-item]
    ]
    for request, kind in ((REQUEST, FailureKind.REQUEST), ({}, FailureKind.CREDENTIALS)):
        for error in wrapped:
            assert RecordingClassifier().classify_error(error, request).kind is kind
        found = RecordingClassifier().classify_error(adapters, request)
        assert (found.kind, "status 400" in found.reason) == (
            FailureKind.INVALID,
            request is REQUEST,
        )


def test_an_error_about_a_field_is_the_requests() -> None:
    """A 400 that names the invalid field says nothing about the account."""
    assert kind_of("glow api key expired", {}, param="glow") is FailureKind.REQUEST
    assert kind_of("glow api key expired", {}, param=None) is FailureKind.CREDENTIALS
    assert kind_of("api key expired", {}, code="invalid_value") is FailureKind.REQUEST
    by_path = {"detail": [{"loc": ["body", "glow"], "message": EXPIRED}]}
    error = with_fields(status_code=422, body=by_path)
    assert RecordingClassifier().classify_error(error).kind is FailureKind.REQUEST
    as_attribute = with_fields(status_code=400, param="glow", body=EXPIRED)
    assert RecordingClassifier().classify_error(as_attribute).kind is FailureKind.REQUEST


def test_moderation_is_the_requests() -> None:
    """A 403 of a moderation is neutral, whichever service words it."""
    for text in ("This needs moderation.", "Your prompt was flagged.", "Violates content policy"):
        assert kind_of(text, {}, 403) is FailureKind.CONTENT_FILTER


def test_a_long_text_is_searched_too() -> None:
    """Prompts of a megabyte are searched for the phrase as it is."""
    filler = "word " * 200_000
    assert may_quote(
        {"messages": [{"content": f"{filler}API key expired{filler}"}]}, "api key expired"
    )
    assert not may_quote({"messages": [{"content": filler}]}, "api key expired")
