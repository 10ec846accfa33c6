"""Quirks of models: the table, the user's own, and requests in the form that a model takes."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import ConfigurationError
from multirouter.providers import OpenAI, chat
from multirouter.providers.anthropic.native_body import for_other_model
from multirouter.providers.quirks.model_quirks import NO_QUIRKS, Quirks, QuirkTable
from multirouter.providers.quirks.table import TABLE

REASONING = ("gpt-5", "gpt-5-mini-2025-08-07", "o3", "o4-mini", "gpt-6-turbo", "gpt-5.2")


def openai(model: str) -> Quirks:
    return QuirkTable("x", "openai").of(model)


def anthropic(model: str) -> Quirks:
    return QuirkTable("x", "anthropic").of(model)


def test_every_row_has_a_source_and_a_date() -> None:
    """Each row says where it comes from, and its attributes are those of `Quirks`."""
    for row in TABLE:
        assert row.source
        assert row.date.startswith("20")
        assert Quirks(**row.settings)


@pytest.mark.parametrize("model", REASONING)
def test_reasoning_models(model: str) -> None:
    """They take no sampling, and the newer name of the limit; other fields are unchanged."""
    request = {"messages": [], "max_tokens": 5, "temperature": 0.3, "top_p": 1, "novelty": 1}
    assert openai(model).apply(request) == {
        "messages": [],
        "max_completion_tokens": 5,
        "novelty": 1,
    }
    assert request["max_tokens"] == 5


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-4o-mini", "my-own-model", "gpt-5-chat-latest"])
def test_other_models_take_sampling(model: str) -> None:
    """Temperature is no matter of the vendor, but of the model."""
    assert openai(model).apply({"temperature": 0.3})["temperature"] == 0.3


@pytest.mark.parametrize(
    ("model", "wanted", "sent"),
    [
        ("gpt-4.1", "high", None),
        ("gpt-5", "none", "minimal"),
        ("gpt-5", "max", "high"),
        ("gpt-5.1", "minimal", "none"),
        ("gpt-5.2", "max", "xhigh"),
        ("gpt-5.2", "none", "none"),
        ("o3", "minimal", "low"),
        ("o3", "medium", "medium"),
        ("unknown", "max", "max"),
    ],
)
def test_efforts(model: str, wanted: str, sent: str | None) -> None:
    """An effort that the model does not take becomes the nearest lower, or the lowest."""
    request = openai(model).apply({"reasoning_effort": wanted})
    assert request.get("reasoning_effort") == sent


def test_tools_with_reasoning() -> None:
    """Models that reason with tools in Responses alone are marked so."""
    assert openai("gpt-5.6").needs_responses
    assert openai("gpt-6-mini").needs_responses
    assert not openai("gpt-5.2").needs_responses


@pytest.mark.parametrize(
    ("model", "thinking", "sampling", "prefill"),
    [
        ("claude-opus-4-8", "adaptive", False, False),
        ("claude-opus-5", "adaptive", False, False),
        ("claude-sonnet-4-6", "adaptive", True, False),
        ("claude-haiku-4-5-20251001", "budget", True, True),
        ("claude-opus-4-20250514", "budget", True, True),
        ("claude-3-5-sonnet-latest", "budget", True, True),
        ("anthropic/claude-opus-5", "adaptive", False, False),
        ("another", None, True, True),
    ],
)
def test_claude(model: str, thinking: str | None, sampling: bool, prefill: bool) -> None:
    """Thinking, sampling and prefill depend on the version, with or without a date."""
    quirks = anthropic(model)
    assert (quirks.thinking, quirks.prefill) == (thinking, prefill)
    assert ("temperature" not in quirks.drops) is sampling


def test_limits_are_clamped_to_the_longest_output() -> None:
    """A larger limit becomes the largest that the model takes; smaller ones stay."""
    quirks = openai("gpt-4o")
    assert quirks.apply({"max_tokens": 128_000})["max_tokens"] == 16_384
    assert quirks.apply({"max_tokens": 5})["max_tokens"] == 5


def test_of_exclusive_fields_the_first_is_sent() -> None:
    """Claude 4.5 takes temperature or top_p."""
    assert anthropic("claude-haiku-4-5").apply({"temperature": 1, "top_p": 1}) == {"temperature": 1}


def test_overrides_win() -> None:
    """The user's rows come last, by name or pattern, also for unknown models."""
    rows: Any = {
        "mine-*": {"drops": ["novelty"], "renames": {"a": "b"}, "efforts": ["high"]},
        "gpt-5": {"drops": [], "efforts": None},
    }
    table = QuirkTable("x", "openai", rows)
    request = {"novelty": 1, "a": 2, "reasoning_effort": "low"}
    assert table.of("mine-1").apply(request) == {"b": 2, "reasoning_effort": "high"}
    assert table.of("other").apply(request) is request
    assert table.of("gpt-5").apply({"temperature": 0, "reasoning_effort": "max"}) == {
        "temperature": 0,
        "reasoning_effort": "max",
    }
    assert table.of(None) is NO_QUIRKS


def test_cache_of_model_names_is_bounded() -> None:
    """Names that clients invent do not fill the memory."""
    table = QuirkTable("x", "openai")
    for number in range(1000):
        table.of(f"m{number}")
    assert len(table._cache) <= 256


@pytest.mark.parametrize(
    ("rows", "named"),
    [
        ({"m": {"dorps": []}}, "drops"),
        ({"m": {"drops": "temperature"}}, "must be a list"),
        ({"m": {"renames": ["a"]}}, "must be a mapping"),
        ({"m": {"efforts": ["huge"]}}, "efforts"),
        ({"m": {"thinking": "deep"}}, "thinking"),
        ({"m": {"max_output": 0}}, "max_output"),
        ({"m": 7}, "must be a mapping"),
    ],
)
def test_invalid_overrides(rows: Any, named: str) -> None:
    """An unknown quirk or an invalid value is an error at construction that names it."""
    with pytest.raises(ConfigurationError, match=named):
        OpenAI("up", api_key="k", quirks=rows)


def test_own_body_for_another_model() -> None:
    """A client's body for a model that it did not name: thinking, effort, limits and sampling."""
    body = {
        "model": "a",
        "max_tokens": 100_000,
        "temperature": 1,
        "thinking": {"type": "adaptive", "display": "omitted"},
        "output_config": {"effort": "low", "format": 1},
    }
    old = for_other_model(body, anthropic("claude-haiku-4-5"))
    assert old["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert (old["output_config"], old["max_tokens"]) == ({"format": 1}, 64_000)
    budget = {**body, "thinking": {"type": "enabled", "budget_tokens": 8000}, "output_config": {}}
    new = for_other_model(budget, anthropic("claude-opus-5"))
    assert (new["thinking"], new["output_config"]) == ({"type": "adaptive"}, {"effort": "medium"})
    assert "temperature" not in new
    small = for_other_model({**body, "max_tokens": 500}, anthropic("claude-haiku-4-5"))
    assert "thinking" not in small
    middle = for_other_model({**body, "max_tokens": 2000}, anthropic("claude-haiku-4-5"))
    assert middle["thinking"] == {"type": "enabled", "budget_tokens": 1024}


def test_request_without_quirks_is_not_copied() -> None:
    """A feature that is off costs nothing."""
    request = chat("x")
    assert NO_QUIRKS.apply(request) is request
