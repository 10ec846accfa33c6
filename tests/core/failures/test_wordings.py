"""Wordings of services: each error body that a service sends gets its kind."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.failures import wordings
from multirouter.model import FailureKind
from multirouter.providers.openai.presets import PRESETS
from tests.core.classification import verdict, with_fields
from tests.core.failures.service_errors import ERRORS, ServiceError

NEEDED = {FailureKind.CONTEXT_LENGTH, FailureKind.EXHAUSTED, FailureKind.CREDENTIALS}


@pytest.mark.parametrize("row", ERRORS, ids=lambda row: f"{row.service}-{row.status}-{row.kind}")
def test_error_body_gets_its_kind(row: ServiceError) -> None:
    """By status and body, as an adapter or an SDK passes them on."""
    found = verdict(with_fields(status_code=row.status, body=row.body))
    assert (found.kind, found.status) == (row.kind, row.status)


@pytest.mark.parametrize("service", [*PRESETS, "anthropic", "gemini"])
def test_every_preset_has_its_wordings(service: str) -> None:
    """Too long, out of money and bad key: the table has all three for each preset."""
    kinds = {row.kind for row in ERRORS if row.service == service}
    needed = NEEDED - {FailureKind.EXHAUSTED} if service == "vllm" else NEEDED  # it has no quota
    assert kinds >= needed


def test_every_wording_has_a_source() -> None:
    """Each service of the tables is in the list of sources."""
    tables: list[Any] = [wordings.CODES, wordings.PHRASES, wordings.OVERRULING]
    assert set(wordings.SOURCES) >= {service for table in tables for service in table}
    assert set(wordings.SOURCES) == {row.service for row in ERRORS}


def test_wordings_are_lower_case_and_codes_have_one_kind() -> None:
    """Texts are compared in lower case, and a code that two services share means one thing."""
    kinds: dict[str, FailureKind] = {}
    for table in wordings.CODES.values():
        for kind, codes in table.items():
            assert all(kinds.setdefault(code, kind) is kind for code in codes)
    phrases = [
        phrase
        for table in (*wordings.PHRASES.values(), *wordings.OVERRULING.values())
        for phrases in table.values()
        for phrase in phrases
    ]
    assert all(sign == sign.lower() for sign in (*kinds, *phrases))
