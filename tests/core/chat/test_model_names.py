"""Model names: found in answers of every format, and compared without versions."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from multirouter.core.chat.model_names import (
    MAX_LENGTH,
    answered_model,
    same_model,
    unversioned,
)


class Broken:
    """An object whose attributes raise."""

    @property
    def model(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("answer", "model"),
    [
        ({"model": "gpt-5"}, "gpt-5"),
        ({"modelVersion": "gemini-2.5-flash"}, "gemini-2.5-flash"),
        ({"type": "message_start", "message": {"model": "claude-haiku-4-5"}}, "claude-haiku-4-5"),
        ({"type": "response.created", "response": {"model": "gpt-5"}}, "gpt-5"),
        (SimpleNamespace(model="gpt-5"), "gpt-5"),
        (SimpleNamespace(model_version="gemini-2.5-flash"), "gemini-2.5-flash"),
        (SimpleNamespace(message=SimpleNamespace(model="claude-haiku-4-5")), "claude-haiku-4-5"),
        ({"model": ""}, None),
        ({"model": 7}, None),
        ({"message": "text"}, None),
        ({}, None),
        ("text", None),
        (None, None),
        (Broken(), None),
        ({"model": "x" * 999}, "x" * MAX_LENGTH),
    ],
)
def test_the_model_that_an_answer_names(answer: Any, model: str | None) -> None:
    """In the formats of OpenAI, Anthropic and Gemini, as data and as objects; else None."""
    assert answered_model(answer) == model


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("gpt-5-2025-08-07", "gpt-5"),
        ("claude-haiku-4-5-20251001", "claude-haiku-4-5"),
        ("claude-opus-4-1", "claude-opus-4-1"),
        ("gemini-2.0-flash-001", "gemini-2.0-flash"),
        ("gemini-2.5-flash-preview-05-20", "gemini-2.5-flash-preview"),
        ("mistral-small-2506", "mistral-small"),
        ("mistral-small-latest", "mistral-small"),
        ("deepseek-r1:latest", "deepseek-r1"),
        ("gpt-4-32k", "gpt-4-32k"),
        ("llama-3.1-405b", "llama-3.1-405b"),
        ("glm-4.6", "glm-4.6"),
    ],
)
def test_a_version_is_removed(name: str, without: str) -> None:
    """Dates, numbers and `latest` at the end are versions; sizes and generations are not."""
    assert unversioned(name) == without


def test_the_same_model_under_two_names() -> None:
    """A version or the name of a vendor makes no difference."""
    assert same_model("gpt-5", "gpt-5")
    assert same_model("gpt-5", "gpt-5-2025-08-07")
    assert same_model("openai/gpt-5", "gpt-5")
    assert same_model("claude-3-5-sonnet-latest", "claude-3-5-sonnet-20241022")
    assert not same_model("gpt-5", "gpt-5-nano")
    assert not same_model("openrouter/auto", "openai/gpt-5")
