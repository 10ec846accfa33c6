"""Whole answers in which the model refuses, as plain data and as objects of the SDKs."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import Message
from google.genai.types import GenerateContentResponse
from openai.types.chat import ChatCompletion

from multirouter.core.chat.refusals import SAFETY_FINISH_REASONS, refusal_of


def openai(*messages: dict[str, Any], finish: str = "stop") -> dict[str, Any]:
    """A chat completion with these messages."""
    choices = [
        {"index": n, "message": {"role": "assistant", **message}, "finish_reason": finish}
        for n, message in enumerate(messages)
    ]
    return {
        "id": "1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": choices,
    }


def anthropic(stop_reason: str) -> dict[str, Any]:
    """A message that ends for this reason."""
    return {
        "id": "1",
        "type": "message",
        "role": "assistant",
        "model": "m",
        "content": [],
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": {"input_tokens": 1, "output_tokens": 1},
    }


def gemini(finish: str) -> dict[str, Any]:
    """A response with one candidate that ends for this reason."""
    return {"candidates": [{"content": {"parts": []}, "finishReason": finish}]}


REFUSED, ANSWERED = {"content": None, "refusal": "No."}, {"content": "Yes.", "refusal": None}
BLOCKED = {"promptFeedback": {"blockReason": "SAFETY"}}

CASES = [
    (ChatCompletion, openai(REFUSED), "message.refusal"),
    (ChatCompletion, openai(REFUSED, REFUSED), "message.refusal"),
    (ChatCompletion, openai({"content": ""}, finish="content_filter"), "content_filter"),
    (Message, anthropic("refusal"), "stop_reason refusal"),
    *[(GenerateContentResponse, gemini(reason), reason) for reason in SAFETY_FINISH_REASONS[:5]],
    (GenerateContentResponse, BLOCKED, "blocked prompt"),
    (ChatCompletion, openai(ANSWERED), ""),
    (ChatCompletion, openai(REFUSED, ANSWERED), ""),
    (ChatCompletion, openai(), ""),
    (Message, anthropic("end_turn"), ""),
    (GenerateContentResponse, gemini("STOP"), ""),
]


@pytest.mark.parametrize(("sdk", "answer", "sign"), CASES)
def test_refusals_of_each_format(sdk: Any, answer: dict[str, Any], sign: str) -> None:
    """The decoded response and the SDK's object are read alike."""
    assert refusal_of(answer) == sign
    assert refusal_of(sdk.model_validate(answer)) == sign


@pytest.mark.parametrize(
    "answer",
    ["refusal", None, 7, [], {}, {"choices": "x"}, {"choices": [None]}, {"candidates": [{}]}],
)
def test_other_answers_are_no_refusals(answer: object) -> None:
    """Whatever their shape."""
    assert refusal_of(answer) == ""
