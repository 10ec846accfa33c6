"""Usage reported in each provider's format, and estimates from text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from multirouter.core.cost.usage import MAX_TOKENS, estimated_tokens, usage_of, validated_usage
from multirouter.model import Usage


def as_object(value: Any) -> Any:
    """Plain data as an SDK object: attributes instead of keys."""
    if isinstance(value, dict):
        return SimpleNamespace(**{key: as_object(inner) for key, inner in value.items()})
    return value


CHAT = {
    "choices": [],
    "usage": {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {"cached_tokens": 40, "cache_write_tokens": 10},
        "completion_tokens_details": {"reasoning_tokens": 30},
    },
}
RESPONSES = {
    "usage": {
        "input_tokens": 100,
        "output_tokens": 50,
        "input_tokens_details": {"cached_tokens": 40},
        "output_tokens_details": {"reasoning_tokens": 30},
    }
}
ANTHROPIC = {
    "usage": {
        "input_tokens": 50,
        "output_tokens": 50,
        "cache_read_input_tokens": 40,
        "cache_creation_input_tokens": 10,
        "output_tokens_details": {"thinking_tokens": 30},
    }
}
GEMINI = {
    "usageMetadata": {
        "promptTokenCount": 90,
        "toolUsePromptTokenCount": 10,
        "candidatesTokenCount": 20,
        "thoughtsTokenCount": 30,
        "cachedContentTokenCount": 40,
    }
}
GEMINI_SDK = {
    "usage_metadata": {
        "prompt_token_count": 90,
        "tool_use_prompt_token_count": 10,
        "candidates_token_count": 20,
        "thoughts_token_count": 30,
        "cached_content_token_count": 40,
    }
}
PLAIN = Usage(100, 50, cached=40, reasoning=30)
WRITTEN = PLAIN._replace(written=10)


@pytest.mark.parametrize(
    ("answer", "usage"),
    [
        (CHAT, WRITTEN),
        (RESPONSES, PLAIN),
        ({"type": "response.completed", "response": RESPONSES}, PLAIN),
        (ANTHROPIC, WRITTEN),
        (GEMINI, PLAIN),
        (GEMINI_SDK, PLAIN),
        ({"usage": {"prompt_tokens": 7, "total_tokens": 7}}, Usage(7)),
        ({"usage": {"input_tokens": 7, "output_tokens": 1}}, Usage(7, 1)),
        ({"usageMetadata": {"promptTokenCount": 7}}, Usage(7)),
        ({"usage": {"input_tokens": 7, "cache_read_input_tokens": 5}}, Usage(12, cached=5)),
        ({"usage": {"input_tokens": 7, "cache_creation_input_tokens": 5}}, Usage(12, written=5)),
    ],
)
@pytest.mark.parametrize("shape", [dict, as_object])
def test_every_format_is_read(answer: Any, usage: Usage, shape: Any) -> None:
    """In every format input includes cached tokens, and output includes reasoning."""
    assert usage_of(shape(answer)) == usage


def test_usage_of_an_anthropic_stream() -> None:
    """The first event reports the input, the last ones the running total of the output."""
    begun = usage_of({"type": "message_start", "message": ANTHROPIC | {"role": "assistant"}})
    ended = usage_of({"type": "message_delta", "usage": {"output_tokens": 80}})
    assert begun is not None
    assert ended is not None
    assert begun.merged(ended) == WRITTEN._replace(output=80)


@pytest.mark.parametrize(
    "answer",
    [
        "a text",
        None,
        7,
        {},
        {"usage": None},
        {"usage": {}},
        {"usage": {"cost": 3}},
        {"usageMetadata": {"totalTokenCount": 7}},
        {"message": "hello"},
        {"message": {"role": "assistant"}},
        {"response": {"usage": None}},
        SimpleNamespace(text="x"),
    ],
)
def test_answers_without_usage(answer: Any) -> None:
    """An answer that reports no usage has none, and nothing is raised."""
    assert usage_of(answer) is None


@pytest.mark.parametrize("count", [-5, "many", None, True, float("nan"), float("inf")])
def test_invalid_counts_are_0(count: Any) -> None:
    """A value that is no count of tokens counts as 0; a positive float is accepted."""
    answer = {"usage": {"prompt_tokens": 3.0, "completion_tokens": count}}
    assert usage_of(answer) == Usage(3, 0)


@pytest.mark.parametrize("count", [1, MAX_TOKENS])
@pytest.mark.parametrize("kind", [int, float])
def test_the_range_of_counts(count: int, kind: Any) -> None:
    """A count is from 1 to `MAX_TOKENS`; a larger one is no count."""
    assert usage_of({"usage": {"prompt_tokens": kind(count)}}) == Usage(count)
    assert usage_of({"usage": {"prompt_tokens": kind(MAX_TOKENS + 1)}}) == Usage(0)


def test_usage_of_a_function_of_the_user() -> None:
    """Its counts become integers from 0 to `MAX_TOKENS`; an estimate stays one."""
    assert validated_usage(Usage(3.0, MAX_TOKENS, estimated=True)) == Usage(  # type: ignore[arg-type] # a user's
        3, MAX_TOKENS, estimated=True
    )
    for wrong in (Usage(-1), Usage(MAX_TOKENS + 1)):
        with pytest.raises(ValueError, match="usage must be counts from 0 to "):
            validated_usage(wrong)


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("", 0),
        ("a", 1),
        ("abcd", 1),
        ("abcde", 2),
        ({"messages": [{"role": "user", "content": "x" * 36}]}, 10),
        ({"content": ({"text": "four"}, {"image_url": {"url": "data:" + "x" * 999}})}, 1),
        (SimpleNamespace(text="x"), 0),
    ],
)
def test_estimates(text: Any, tokens: int) -> None:
    """Four characters are a token, rounded up; media and objects count 0."""
    assert estimated_tokens(text) == tokens


def test_a_request_that_contains_itself_has_no_estimate() -> None:
    """It counts 0, and nothing is raised."""
    request: list[Any] = ["a text"]
    request.append(request)
    assert estimated_tokens(request) == 0
