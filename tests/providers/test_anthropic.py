"""Translation of requests, responses and streams for Anthropic Messages."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from multirouter import ConfigurationError, ProviderError
from multirouter.model import FailureKind
from multirouter.providers import Anthropic, chat
from multirouter.providers.anthropic.content import tool_id
from multirouter.providers.anthropic.request import ModelSettings, to_anthropic
from multirouter.providers.anthropic.response import from_anthropic
from multirouter.providers.anthropic.stream import AnthropicTranslator
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.secret import Secret
from multirouter.providers.sse import Event

ERRORS = ErrorFactory("up", Secret("key", "sk-abcdefghijkl"))
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def translated(request: Any, **model_settings: Any) -> dict[str, Any]:
    return to_anthropic(request, ModelSettings(**model_settings), ERRORS, stream=False)


def call(call_id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}


def test_system_and_developer_messages_become_the_system_prompt() -> None:
    """System and developer messages at any position become the system prompt, in order."""
    body = translated(
        chat(
            [
                {"role": "system", "content": "a"},
                {"role": "user", "content": "x"},
                {"role": "developer", "content": [{"type": "text", "text": "b"}]},
            ]
        )
    )
    assert body["system"] == [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "x"}]}]


def test_max_tokens_is_always_sent() -> None:
    """The API requires a limit: the request's newer field, its older one, or the default."""
    assert translated(chat("x"))["max_tokens"] == 4096
    assert translated(chat("x"), max_tokens=9)["max_tokens"] == 9
    assert translated(chat("x", max_tokens=5))["max_tokens"] == 5
    assert translated(chat("x", max_tokens=5, max_completion_tokens=6))["max_tokens"] == 6


def test_tool_results_share_one_turn_before_text() -> None:
    """Tool results and the following user text share one user turn, results first."""
    body = translated(
        chat(
            [
                {"role": "user", "content": "x"},
                {"role": "assistant", "content": None, "tool_calls": [call("a"), call("b")]},
                {"role": "tool", "tool_call_id": "a", "content": "1"},
                {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}]},
                {"role": "user", "content": "and?"},
            ]
        )
    )
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "user"]
    assert [block["type"] for block in body["messages"][2]["content"]] == [
        "tool_result",
        "tool_result",
        "text",
    ]
    assert body["messages"][1]["content"][0] == {
        "type": "tool_use",
        "id": "a",
        "name": "f",
        "input": {},
    }


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ("", {}),
        ('{"a": 1}', {"a": 1}),
        ("{broken", {"arguments": "{broken"}),
        ("[1]", {"arguments": [1]}),
    ],
)
def test_arguments_become_an_object(arguments: str, value: Any) -> None:
    """Arguments that are not a JSON object, which models do write, are kept inside one."""
    body = translated(chat([{"role": "assistant", "tool_calls": [call("a", arguments)]}]))
    assert body["messages"][0]["content"][0]["input"] == value


@pytest.mark.parametrize("foreign", ["call.1", "functions.f:0", "ü", "", "a b", "x" * 80 + "!"])
def test_invalid_ids_are_rewritten_consistently(foreign: str) -> None:
    """An id that the API rejects becomes a valid one, the same for call and result."""
    made = tool_id(foreign)
    assert made == tool_id(foreign)
    assert made.replace("_", "").replace("-", "").isalnum()
    assert made.isascii()
    assert tool_id("a.b") != tool_id("a:b")
    assert tool_id("call_1-A") == "call_1-A"


def test_blank_text_is_left_out() -> None:
    """The API rejects empty text blocks, so there are no blank blocks and no empty turns."""
    body = translated(
        chat(
            [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": " "}, {"type": "text", "text": "x"}],
                },
                {"role": "assistant", "content": ""},
                {"role": "user", "content": "y"},
            ]
        )
    )
    (turn,) = body["messages"]
    assert [block["text"] for block in turn["content"]] == ["x", "y"]


def test_prefill_has_no_trailing_whitespace() -> None:
    """A last assistant message is sent as a prefill without trailing whitespace."""
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "So \n"}]
    assert translated(chat(messages))["messages"][-1]["content"][0]["text"] == "So"


def test_refusal_becomes_text() -> None:
    """A refusal in an assistant message, as a field or a part, becomes text."""
    for turn in (
        {"role": "assistant", "content": None, "refusal": "no"},
        {"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]},
    ):
        assert translated(chat([turn]))["messages"][0]["content"] == [
            {"type": "text", "text": "no"}
        ]


def test_thinking_blocks_come_first() -> None:
    """Signed thinking blocks come before text and tool calls."""
    block = {"type": "thinking", "thinking": "hm", "signature": "s"}
    turn = {
        "role": "assistant",
        "content": "a",
        "thinking_blocks": [block],
        "tool_calls": [call("c")],
    }
    content = translated(chat([turn]))["messages"][0]["content"]
    assert [part["type"] for part in content] == ["thinking", "text", "tool_use"]
    assert content[0] == block


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            {"file_data": "data:application/pdf;base64,AAAA"},
            {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
        ),
        (
            {"file_data": "AAAA", "filename": "x.pdf"},
            {"type": "base64", "media_type": "application/pdf", "data": "AAAA"},
        ),
        (
            {"file_data": "data:text/plain;base64," + base64.b64encode(b"hi").decode()},
            {"type": "text", "media_type": "text/plain", "data": "hi"},
        ),
        (
            {"file_data": "data:text/csv,a%2Cb"},
            {"type": "text", "media_type": "text/plain", "data": "a,b"},
        ),
        ({"file_id": "file_011"}, {"type": "file", "file_id": "file_011"}),
    ],
)
def test_documents_are_translated(file: Any, source: Any) -> None:
    """PDF becomes base64, text becomes text, and the API's own file ids are unchanged."""
    body = translated(chat([{"type": "file", "file": file}]))
    (block,) = body["messages"][0]["content"]
    assert block["source"] == source
    assert block.get("title") == file.get("filename")


@pytest.mark.parametrize(
    "file",
    [
        {"file_data": "data:application/zip;base64,AAAA"},
        {"file_data": "data:text/plain;base64,/w=="},
        {"file_data": "AAAA", "filename": "x.unknown-type"},
    ],
)
def test_other_documents_are_rejected(file: Any) -> None:
    """Only PDF and text are supported."""
    with pytest.raises(ProviderError) as caught:
        translated(chat([{"type": "file", "file": file}]))
    assert caught.value.kind is FailureKind.REQUEST


def test_image_url_is_passed_on() -> None:
    """An http(s) image is fetched by the provider."""
    part = {"type": "image_url", "image_url": {"url": "https://x.org/a.png"}}
    (block,) = translated(chat([part]))["messages"][0]["content"]
    assert block == {"type": "image", "source": {"type": "url", "url": "https://x.org/a.png"}}


@pytest.mark.parametrize(
    ("mark", "control"),
    [
        ({"cache_control": {"type": "ephemeral"}}, {"type": "ephemeral"}),
        ({"prompt_cache_breakpoint": {"mode": "explicit"}}, {"type": "ephemeral"}),
        ({"prompt_cache_breakpoint": {"ttl": "1h"}}, {"type": "ephemeral", "ttl": "1h"}),
        ({"prompt_cache_breakpoint": {"ttl": "9d"}}, {"type": "ephemeral"}),
    ],
)
def test_cache_control_is_kept(mark: Any, control: Any) -> None:
    """Cache marks of either format are kept on parts and tool results."""
    body = translated(
        chat(
            [
                {"role": "user", "content": [{"type": "text", "text": "x", **mark}]},
                {"role": "assistant", "tool_calls": [call("c")]},
                {"role": "tool", "tool_call_id": "c", "content": "r", **mark},
            ]
        )
    )
    assert body["messages"][0]["content"][0]["cache_control"] == control
    assert body["messages"][2]["content"][0]["cache_control"] == control


def test_tools_and_tool_choice() -> None:
    """`strict` and `cache_control` are kept, allowed_tools filters, parallel calls can be off."""
    tools = [
        {
            "type": "function",
            "function": {"name": "f", "strict": True, "description": "d"},
            "cache_control": {"type": "ephemeral"},
        },
        {"type": "function", "function": {"name": "g"}},
    ]
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "g"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    body = translated(chat("x", tools=tools, tool_choice=choice, parallel_tool_calls=False))
    assert [made["name"] for made in body["tools"]] == ["g"]
    assert body["tool_choice"] == {"type": "any", "disable_parallel_tool_use": True}
    assert translated(chat("x", tools=tools))["tools"][0] == {
        "name": "f",
        "input_schema": {"type": "object", "properties": {}},
        "description": "d",
        "strict": True,
        "cache_control": {"type": "ephemeral"},
    }
    quiet = translated(chat("x", tools=tools, parallel_tool_calls=False))
    assert quiet["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    off = translated(chat("x", tools=tools, parallel_tool_calls=False, tool_choice="none"))
    assert off["tool_choice"] == {"type": "none"}
    with pytest.raises(ProviderError, match="tool_choice"):
        translated(chat("x", tools=tools, tool_choice={"type": "custom", "custom": {"name": "c"}}))


def test_reasoning_effort_becomes_adaptive_thinking_or_budget() -> None:
    """A budget is added to `max_tokens`, and thinking drops `temperature` and `top_p`."""
    adaptive = translated(chat("x", reasoning_effort="minimal", temperature=0.2, top_p=0.5))
    assert adaptive["thinking"] == {"type": "adaptive"}
    assert adaptive["output_config"] == {"effort": "low"}
    assert not {"temperature", "top_p"} & set(adaptive)
    budget = translated(chat("x", reasoning_effort="low", max_tokens=100), thinking="budget")
    assert budget["thinking"] == {"type": "enabled", "budget_tokens": 2048}
    assert budget["max_tokens"] == 2148
    off = translated(chat("x", reasoning_effort="none", temperature=1.5))
    assert off["thinking"] == {"type": "disabled"}
    assert off["temperature"] == 1


def test_no_thinking_with_forced_tool() -> None:
    """The API does not allow thinking with a forced tool."""
    body = translated(chat("x", reasoning_effort="high", tools=[TOOL], tool_choice="required"))
    assert "thinking" not in body


def test_no_budget_in_unsigned_tool_turn() -> None:
    """Tool calls of another model have no signed thinking, which a budget requires."""
    foreign = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [call("c")]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]
    assert "thinking" not in translated(chat(foreign, reasoning_effort="high"), thinking="budget")
    assert "thinking" in translated(chat(foreign, reasoning_effort="high"))
    later = [*foreign, {"role": "assistant", "content": "a"}, {"role": "user", "content": "y"}]
    assert "thinking" in translated(chat(later, reasoning_effort="high"), thinking="budget")


def test_schema_and_effort_share_output_config() -> None:
    """A schema and an effort are both in `output_config`."""
    form = {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "object"}}}
    body = translated(chat("x", response_format=form, reasoning_effort="max"))
    assert body["output_config"] == {
        "effort": "max",
        "format": {"type": "json_schema", "schema": {"type": "object"}},
    }


def test_user_id_and_service_tier() -> None:
    """`safety_identifier` overrides `user`; tiers have other names."""
    body = translated(chat("x", user="u", safety_identifier="s", service_tier="default"))
    assert body["metadata"] == {"user_id": "s"}
    assert body["service_tier"] == "standard_only"
    assert translated(chat("x", user="u"))["metadata"] == {"user_id": "u"}
    assert "service_tier" not in translated(chat("x", service_tier="flex"))


def test_drops_leaves_fields_out() -> None:
    """`drops` leaves fields out, even those that the format would reject."""
    body = translated(chat("x", temperature=0.5, n=3), drops=frozenset({"temperature", "n"}))
    assert set(body) == {"max_tokens", "messages"}


@pytest.mark.parametrize("setting", [{"max_tokens": 0}, {"thinking": "hard"}])
def test_invalid_settings_are_rejected(setting: Any) -> None:
    """An invalid `max_tokens` or `thinking` raises at construction."""
    with pytest.raises(ConfigurationError, match="Anthropic"):
        Anthropic("a", model="m", api_key="sk-abcdefghij", **setting)


# ── answers ─────────────────────────────────────────────────────────────────────────────────────


def answer(**fields: Any) -> Any:
    message = {"id": "msg_1", "model": "m", "content": [], "stop_reason": "end_turn", **fields}
    return from_anthropic(message, 1, ERRORS)


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("pause_turn", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_stop_reason_becomes_finish_reason(reason: str, finish: str) -> None:
    """Every stop reason has a finish reason; an unknown one becomes `stop`."""
    assert answer(stop_reason=reason)["choices"][0]["finish_reason"] == finish


def test_prompt_tokens_include_the_cache() -> None:
    """OpenAI's prompt tokens include what the cache read and wrote."""
    usage = answer(
        usage={
            "input_tokens": 10,
            "cache_read_input_tokens": 5,
            "cache_creation_input_tokens": 3,
            "output_tokens": 7,
            "output_tokens_details": {"thinking_tokens": 2},
        }
    )["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (
        18,
        7,
        25,
    )
    assert usage["prompt_tokens_details"] == {"cached_tokens": 5, "cache_write_tokens": 3}
    assert usage["completion_tokens_details"] == {"reasoning_tokens": 2}


def test_content_without_text() -> None:
    """Content is "" without any output, and None when there are only tool calls."""
    assert answer()["choices"][0]["message"]["content"] == ""
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {}}
    message = answer(content=[block], stop_reason="tool_use")["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][0]["function"]["arguments"] == "{}"


def test_refusal_has_its_explanation() -> None:
    """The explanation of a refusal is the message's `refusal`."""
    details = {"type": "refusal", "category": "cyber", "explanation": "Not that."}
    message = answer(stop_reason="refusal", stop_details=details)["choices"][0]["message"]
    assert message["refusal"] == "Not that."


@pytest.mark.parametrize("body", [{}, {"content": []}, {"content": "x", "stop_reason": "end_turn"}])
def test_body_without_message_is_a_transport_failure(body: Any) -> None:
    """A 200 without a message is a failure of the provider."""
    with pytest.raises(ProviderError) as caught:
        from_anthropic(body, 1, ERRORS)
    assert caught.value.kind is FailureKind.TRANSPORT


# ── streams ─────────────────────────────────────────────────────────────────────────────────────


def read(*events: Any, include_usage: bool = False) -> tuple[list[Any], AnthropicTranslator]:
    translator = AnthropicTranslator(ERRORS, 1, include_usage=include_usage)
    chunks = [
        chunk
        for event in events
        for chunk in translator.feed(Event(event.get("type", ""), json.dumps(event).encode()))
    ]
    return chunks, translator


def test_unknown_events_blocks_and_deltas_are_skipped() -> None:
    """Additions of a newer API version are ignored."""
    chunks, translator = read(
        {"type": "message_start", "message": {"id": "m", "model": "x"}},
        {"type": "something_new", "x": 1},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "server_tool_use"}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": "{"},
        },
        {"type": "content_block_delta", "index": 0, "delta": {"type": "new_delta"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "ping"},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
    )
    assert len(chunks) == 1
    assert translator.complete
    assert not translator.ended
    (last,) = translator.finish()
    assert last["choices"][0]["finish_reason"] == "stop"
    assert "usage" not in last


def test_call_without_deltas_has_arguments() -> None:
    """Input in the block's start, or no input at all, becomes a JSON text."""
    for given, arguments in (({"a": 1}, '{"a": 1}'), ({}, "{}")):
        block = {"type": "tool_use", "id": "t", "name": "f", "input": given}
        chunks, _ = read(
            {"type": "content_block_start", "index": 0, "content_block": block},
            {
                "type": "content_block_delta",
                "index": 0,
                "delta": {"type": "input_json_delta", "partial_json": ""},
            },
            {"type": "content_block_stop", "index": 0},
        )
        calls = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks]
        assert calls[0]["id"] == "t"
        assert "".join(call["function"]["arguments"] for call in calls) == arguments


def test_redacted_thinking_is_kept() -> None:
    """A redacted block has no text and is kept for the next turn."""
    block = {"type": "redacted_thinking", "data": "xyz"}
    chunks, _ = read(
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_stop", "index": 0},
    )
    assert chunks[0]["choices"][0]["delta"] == {"thinking_blocks": [block]}


def test_text_in_block_start_is_emitted() -> None:
    """A text block may start with text."""
    chunks, _ = read(
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "a"}}
    )
    assert chunks[0]["choices"][0]["delta"] == {"content": "a"}


@pytest.mark.parametrize(
    "event",
    [
        {"type": "message_start"},
        {"type": "content_block_delta", "index": 5, "delta": {"type": "input_json_delta"}},
        {"type": "content_block_stop", "index": 5},
        [],
    ],
)
def test_malformed_events_are_invalid_chunks(event: Any) -> None:
    """An event without its documented shape is a failure of the provider."""
    translator = AnthropicTranslator(ERRORS, 1, include_usage=False)
    with pytest.raises(ProviderError, match="invalid chunk"):
        translator.feed(Event("", json.dumps(event).encode()))
