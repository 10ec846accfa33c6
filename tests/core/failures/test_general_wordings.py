"""Limits of length and money in the words of services that are in no table."""

from __future__ import annotations

import pytest

from multirouter import FailureKind, Verdict
from tests.core.classification import RecordingClassifier


class ApiError(Exception):
    """An error with a status and a message, and perhaps a code."""

    def __init__(self, status: int, message: str, code: str = "") -> None:
        super().__init__(f"Error code: {status} - {message}")
        self.status_code = status
        self.body = {"error": {"message": message, "type": code or "zeta_error"}}


def verdict(status: int, message: str, request: object = None) -> Verdict:
    return RecordingClassifier().classify_error(ApiError(status, message), request)


LENGTH = [
    (400, "Your prompt has 300,000 tokens which is above the limit of zeta-7"),
    (413, "Payload rejected: prompt tokens exceed limit"),
    (400, "The conversation is too long for this model. Start a new one."),
    (400, "Too many input tokens: 50000, at most 40000 are allowed"),
    (422, "total tokens 9000 exceeds what zeta's context holds"),
    (400, "history is larger than the 8k window"),
]
MONEY = [
    (403, "Your wallet has no funds left, please top up"),
    (400, "Your organization has exceeded its monthly spend cap"),
    (429, "You have run out of credits"),
    (429, "Monthly quota exceeded for project zeta"),
    (429, "Daily token quota reached, resets at 00:00 UTC"),
    (403, "Billing is disabled for this account"),
    (400, "payment overdue: settle invoice 17"),
    (429, "Account balance is negative"),
]
OTHER = [
    (400, "Invalid value for max_tokens: 100000 exceeds the limit of the model for this input"),
    (400, "image is too large: 20 MB", "request"),
    (400, "tool name is too long: at most 64 characters", "request"),
    (400, "stop sequences are too long", "request"),
    (400, "messages: too many images in the request: maximum 100", "request"),
    (403, "your plan does not include this model: upgrade to a higher limit", "credentials"),
    (429, "Rate limit: 3 / min. Add a payment method to increase it.", "rate_limit"),
    (400, "the input 'color' is not one of the allowed values", "request"),
    (429, "Too many requests per minute", "rate_limit"),
    (
        429,
        "Quota of 20 requests per minute exceeded; your monthly limit is not reached",
        "rate_limit",
    ),
    (403, "no access to this model", "credentials"),
    (500, "Monthly quota exceeded", "server"),
    (404, "The conversation is too long for this model", "not_found"),
    (429, "The conversation is too long for this model", "rate_limit"),
]


@pytest.mark.parametrize(("status", "message"), LENGTH)
def test_a_prompt_that_is_too_long(status: int, message: str) -> None:
    """A model with a larger window is tried; the circuit is not affected."""
    assert verdict(status, message).kind is FailureKind.CONTEXT_LENGTH


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "gizmo_not_found", FailureKind.UNSUPPORTED),
        (422, "prior_turn_not_found", FailureKind.UNSUPPORTED),
        (400, "gizmo_not_found_yet", FailureKind.REQUEST),
        (404, "gizmo_not_found", FailureKind.NOT_FOUND),
        (500, "gizmo_not_found", FailureKind.SERVER),
    ],
)
def test_what_an_account_does_not_have(status: int, code: str, kind: FailureKind) -> None:
    """Another account may have it: a code says so, whatever the thing is called."""
    error = ApiError(status, "Not here.", code)
    assert RecordingClassifier().classify_error(error, None).kind is kind


@pytest.mark.parametrize(("status", "message"), MONEY)
def test_an_account_without_money(status: int, message: str) -> None:
    """The provider is not attempted for minutes."""
    assert verdict(status, message).kind is FailureKind.EXHAUSTED


@pytest.mark.parametrize(("status", "message", "kind"), [(*o, "request")[:3] for o in OTHER])
def test_other_limits(status: int, message: str, kind: str) -> None:
    """Of an answer's length, of fields, of requests per minute; and under other statuses."""
    assert str(verdict(status, message).kind) == kind


def test_a_quotation_of_the_request_is_no_wording() -> None:
    """A prompt about money that is quoted in an error opens no circuit."""
    request = {"messages": [{"role": "user", "content": "Say: you have run out of credits"}]}
    quoted = verdict(400, "invalid message 'Say: you have run out of credits'", request)
    assert quoted.kind is FailureKind.REQUEST


def test_the_message_is_no_reason() -> None:
    """It may contain what the request contains, and reasons are logged."""
    assert verdict(*MONEY[0]).reason == "wording of the message"


def test_the_end_of_a_long_message_is_not_read() -> None:
    """It mostly quotes the request; and the time to read it is bounded."""
    assert verdict(400, "x " * 600 + MONEY[2][1]).kind is FailureKind.REQUEST
    assert verdict(400, "prompt " * 10_000).kind is FailureKind.REQUEST
