"""Whole answers in which the model refuses, as plain data and as objects of the SDKs."""

from __future__ import annotations

from typing import Any

import pytest
from anthropic.types import Message
from google.genai.types import GenerateContentResponse
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from multirouter.core.chat.refusals import SAFETY_FINISH_REASONS, refusal_in_chunk, refusal_of


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


def response(*parts: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
    """An answer of the Responses API with these parts in a message."""
    message = {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "status": "completed",
        "content": list(parts),
    }
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "output": [{"id": "rs_1", "type": "reasoning", "summary": []}, message],
        "incomplete_details": reason and {"reason": reason},
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
    }


REFUSAL = {"type": "refusal", "refusal": "No."}
TEXT = {"type": "output_text", "text": "Yes.", "annotations": []}
REFUSED, ANSWERED = {"content": None, "refusal": "No."}, {"content": "Yes.", "refusal": None}
BLOCKED = {"promptFeedback": {"blockReason": "SAFETY"}}

CASES = [
    (ChatCompletion, openai(REFUSED), "message.refusal"),
    (ChatCompletion, openai(REFUSED, REFUSED), "message.refusal"),
    (ChatCompletion, openai({"content": ""}, finish="content_filter"), "content_filter"),
    (Message, anthropic("refusal"), "refusal"),
    *[(GenerateContentResponse, gemini(reason), reason) for reason in SAFETY_FINISH_REASONS[:5]],
    (GenerateContentResponse, BLOCKED, "blocked prompt"),
    (Response, response(REFUSAL), "message.refusal"),
    (Response, response(TEXT, reason="content_filter"), "content_filter"),
    (Response, response(TEXT, REFUSAL), ""),
    (Response, response(TEXT, reason="max_output_tokens"), ""),
    (Response, response(), ""),
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
    ("native", "sign"), [("SPII", "SPII"), ("", "content_filter"), (7, "content_filter")]
)
def test_what_the_service_calls_it(native: Any, sign: str) -> None:
    """A translated answer has the sign of its own format."""
    choice = {"finish_reason": "content_filter", "native_finish_reason": native, "message": {}}
    assert refusal_of({"choices": [choice]}) == sign
    assert refusal_of({"choices": [{**choice, "finish_reason": "stop"}]}) == ""


@pytest.mark.parametrize(
    "answer",
    [
        "refusal",
        None,
        7,
        [],
        {},
        {"choices": "x"},
        {"choices": [None]},
        {"candidates": [{}]},
        {"output": [7]},
    ],
)
def test_other_answers_are_no_refusals(answer: object) -> None:
    """Whatever their shape."""
    assert refusal_of(answer) == ""


@pytest.mark.parametrize(
    ("choices", "sign"),
    [
        ([{"delta": {"refusal": "No"}}], "message.refusal"),
        ([{"delta": {}, "finish_reason": "content_filter"}], "content_filter"),
        ([{"finish_reason": "SAFETY"}], "SAFETY"),
        ([{"finish_reason": "content_filter", "native_finish_reason": "SPII"}], "SPII"),
        ([{"delta": {"refusal": "No"}, "native_finish_reason": "SPII"}], "SPII"),
        ([{"delta": {"refusal": "No"}, "native_finish_reason": 7}], "message.refusal"),
        ([{"delta": {"content": "x"}, "finish_reason": "content_filter"}], ""),
        ([{"delta": {}, "finish_reason": "stop"}], ""),
        ([{"delta": {"refusal": "No"}}, {"delta": {"content": "x"}}], ""),
        ([{"delta": {}, "finish_reason": 7}], ""),
        ([], ""),
        (None, ""),
    ],
)
def test_refusal_in_a_chunk(choices: Any, sign: str) -> None:
    """A chunk refuses when each of its choices does, and none has text."""
    assert refusal_in_chunk({"choices": choices}) == sign
