"""Fields of exceptions as each client library names them."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from multirouter.core.failures.exception_details import location_of
from tests.core.classification import details


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"status_code": 503}, 503),
        ({"status": 503}, 503),
        ({"code": 503}, 503),
        ({"status_code": "503"}, 503),
        ({"status": 429, "code": 503}, 429),
        ({"status": "failed", "code": 503}, 503),
        ({"response": SimpleNamespace(status=502)}, 502),
        ({"response": SimpleNamespace(status_code=502)}, 502),
        ({"status": "failed"}, None),
        ({}, None),
    ],
)
def test_where_the_status_is(fields: dict[str, object], status: int | None) -> None:
    """Of the exception before that of its response."""
    assert details(**fields).status == status


@pytest.mark.parametrize(
    ("fields", "retried"),
    [
        ({"response": {"ResponseMetadata": {"RetryAttempts": 1}}}, True),
        ({"response": {"ResponseMetadata": {"RetryAttempts": 0}}}, False),
        ({"response": {"ResponseMetadata": {"HTTPStatusCode": 500}}}, False),
        ({"request": SimpleNamespace(headers={"x-stainless-retry-count": "1"})}, True),
        ({"request": SimpleNamespace(headers={"x-stainless-retry-count": "0"})}, False),
        ({"request": SimpleNamespace(headers={"x-other": "1"})}, False),
        ({"request": SimpleNamespace(headers=[("x-stainless-retry-count", "1")])}, False),
        ({"already_retried": True}, True),
        ({}, False),
    ],
)
def test_whether_the_library_has_retried(fields: dict[str, object], retried: bool) -> None:
    """As openai, anthropic and botocore report it."""
    assert details(**fields).retried is retried


@pytest.mark.parametrize(
    "body",
    [
        '{"error": {"message": "quota reached"}}',
        b'{"error": {"message": "quota reached"}}',
        '[{"error": {"message": "quota reached"}}]',
        b'[{"error": {"message": "quota reached"}}]',
        " " * 63 + '{"error": {"message": "quota reached"}}',
    ],
)
def test_bodies_of_json(body: str | bytes) -> None:
    """As text or as bytes, of one error or of a list; blanks before it are few."""
    assert "quota reached" in details(body=body).text
    assert "error" not in details(body=body).text


def test_json_after_many_blanks_is_text() -> None:
    """Only the beginning is looked at."""
    assert '"error"' in details(body=" " * 64 + '{"error": {"message": "quota reached"}}').text


def test_the_place_of_an_exception_has_no_folder() -> None:
    """Also on a machine whose paths have backslashes."""
    place: dict[str, object] = {}
    exec(compile("def slip():\n    raise ValueError(1)", "C:\\work\\slips.py", "exec"), place)
    with pytest.raises(ValueError, match="1") as caught:
        place["slip"]()  # type: ignore[operator]
    assert location_of(caught.value) == "slips.py:2 in slip"
    assert location_of(ValueError()) == ""
