"""Translation of requests for Anthropic Messages."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from multirouter import ConfigurationError, ProviderError
from multirouter.model import FailureKind
from multirouter.providers import Anthropic, chat
from multirouter.providers.anthropic.conversation import tool_id
from multirouter.providers.anthropic.request import ModelSettings, to_anthropic
from multirouter.providers.anthropic.schema import adapted_schema
from multirouter.providers.api_keys.secret import Secret
from multirouter.providers.error_factory import ErrorFactory

ERRORS = ErrorFactory("up", Secret("key", "sk-abcdefghijkl"))
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


def translated(request: Any, **model_settings: Any) -> dict[str, Any]:
    return to_anthropic(request, ModelSettings(**model_settings), ERRORS, stream=False)


def call(call_id: str, arguments: str = "{}") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": "f", "arguments": arguments}}


def test_system_and_developer_messages_become_the_system_prompt() -> None:
    """Those in front become the system prompt; later ones stay where they are, as the user's."""
    body = translated(
        chat(
            [
                {"role": "system", "content": "a"},
                {"role": "developer", "content": [{"type": "text", "text": "b"}]},
                {"role": "user", "content": "x"},
                {"role": "developer", "content": "c"},
            ]
        )
    )
    text_of = [{"type": "text", "text": letter} for letter in "abxc"]
    assert body["system"] == text_of[:2]
    assert body["messages"] == [{"role": "user", "content": text_of[2:]}]


def test_system_messages_alone_are_a_turn() -> None:
    """The API requires a turn: system messages alone become one of the user."""
    body = translated(chat([{"role": "system", "content": "Say hi"}]))
    assert "system" not in body
    assert body["messages"] == [{"role": "user", "content": [{"type": "text", "text": "Say hi"}]}]


def test_results_of_tools_come_first_in_their_turn() -> None:
    """The API requires the results right behind the calls, whatever stands between them."""
    body = translated(
        chat(
            [
                {"role": "user", "content": "x"},
                {
                    "role": "assistant",
                    "tool_calls": [{"id": "t", "function": {"name": "f", "arguments": "{}"}}],
                    "thinking_blocks": [
                        {"type": "thinking", "thinking": "a", "signature": ""},
                        {"type": "redacted_thinking", "data": ""},
                    ],
                },
                {"role": "system", "content": "s"},
                {"role": "tool", "tool_call_id": "t", "content": "r"},
            ]
        )
    )
    assert [block["type"] for block in body["messages"][1]["content"]] == ["tool_use"]
    assert [block["type"] for block in body["messages"][2]["content"]] == ["tool_result", "text"]


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
    assert caught.value.kind is FailureKind.UNSUPPORTED


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
        "format": {
            "type": "json_schema",
            "schema": {"type": "object", "additionalProperties": False},
        },
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


def test_schema_is_adapted_to_the_accepted_subset() -> None:
    """Objects are closed at every depth; constraints move to the description; names are kept."""
    schema = {
        "type": "object",
        "properties": {
            "minimum": {"type": "integer", "minimum": 0, "description": "A count."},
            "items": {"type": "array", "minItems": 3, "items": {"type": "object"}},
            "tags": {"type": "array", "minItems": 1},
        },
        "$defs": {"a": {"anyOf": [{"type": "object"}, {"type": "string", "maxLength": 3}]}},
        "additionalProperties": True,
    }
    assert adapted_schema(schema) == {
        "type": "object",
        "properties": {
            "minimum": {"type": "integer", "description": 'A count. {"minimum": 0}'},
            "items": {
                "type": "array",
                "items": {"type": "object", "additionalProperties": False},
                "description": '{"minItems": 3}',
            },
            "tags": {"type": "array", "minItems": 1},
        },
        "$defs": {
            "a": {
                "anyOf": [
                    {"type": "object", "additionalProperties": False},
                    {"type": "string", "description": '{"maxLength": 3}'},
                ]
            }
        },
        "additionalProperties": False,
    }
