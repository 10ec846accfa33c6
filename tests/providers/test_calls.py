"""Names and ids of tool calls, and messages, in the form that a service accepts."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.providers import PRESETS, Anthropic, Gemini, OpenAI
from multirouter.providers.calls.ids import MISTRAL, valid_id
from multirouter.providers.calls.ids import OPENAI as OPENAI_IDS
from multirouter.providers.calls.names import ANTHROPIC, GEMINI, OPENAI, ToolNames, restore_names
from multirouter.providers.openai.messages import NO_REASONING

RULES = {"openai": OPENAI, "anthropic": ANTHROPIC, "gemini": GEMINI}


def tool(name: str) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}


@pytest.mark.parametrize("rule", RULES.values(), ids=list(RULES))
@given(names=st.lists(st.text(min_size=1, max_size=200), max_size=4, unique=True))
def test_any_name_becomes_valid_and_comes_back(rule: Any, names: list[str]) -> None:
    """Property: each name is sent in a valid form of its own, and received as it was."""
    tools = ToolNames(rule, [tool(name) for name in names])
    sent = [tools.sent(name) for name in names]
    assert all(rule.pattern.fullmatch(name) for name in sent)
    assert len(set(sent)) == len(names)
    assert [tools.received(name) for name in sent] == names


@pytest.mark.parametrize("rule", [OPENAI_IDS, MISTRAL], ids=["openai", "mistral"])
@given(ids=st.lists(st.text(min_size=1, max_size=90), max_size=4, unique=True))
def test_any_id_becomes_valid(rule: Any, ids: list[str]) -> None:
    """Property: different ids stay different, and each is valid and stays what it became."""
    made = [valid_id(one, rule) for one in ids]
    assert all(rule.pattern.fullmatch(one) for one in made)
    assert len(set(made)) == len(ids)
    assert [valid_id(one, rule) for one in made] == made


def test_valid_names_are_left_alone() -> None:
    """A request with valid names costs no translation of its answers."""
    names = ToolNames(OPENAI, [tool("Read"), {"type": "web_search"}, "x"])
    assert not names
    answer = {"choices": [{"message": {"tool_calls": [{"function": {"name": "Read"}}]}}]}
    restore_names(answer, names)
    assert names.sent(None) is None


LONG = "mcp__files__" + "x" * 70
CALL = {"id": "toolu_01ABC", "type": "function", "function": {"name": LONG, "arguments": "{}"}}
CONVERSATION: list[dict[str, Any]] = [
    {"role": "system", "content": [{"type": "text", "text": "s", "cache_control": {}}]},
    {"role": "user", "content": "q"},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [CALL, {**CALL, "id": "b" * 60}],
        "reasoning_content": "hm",
        "thinking_blocks": [{"type": "thinking", "thinking": "hm", "signature": "s"}],
    },
    {
        "role": "tool",
        "tool_call_id": "toolu_01ABC",
        "content": [{"type": "image_url", "image_url": {"url": "data:x"}}],
        "cache_control": {},
    },
    {"role": "tool", "tool_call_id": "b" * 60, "content": "ok"},
    {"role": "system", "content": "late"},
    {"role": "assistant", "content": None, "reasoning_content": "only thoughts"},
    {"role": "user", "content": [{"type": "text", "text": "go", "cache_control": {}}]},
]


def sent(preset: str, **fields: Any) -> dict[str, Any]:
    service: Any = OpenAI("up", preset=preset, model="m", api_key="k").call  # type: ignore[arg-type]
    wire = service.__self__._chat._wire
    request = {"messages": CONVERSATION, "tools": [{**tool(LONG), "cache_control": {}}], **fields}
    before = json.dumps(request)
    body = json.loads(wire.prepare(request, stream=False).body)
    assert json.dumps(request) == before
    return dict(body)


@pytest.mark.parametrize("preset", PRESETS)
def test_conversation_of_several_providers(preset: Any) -> None:
    """Each service gets roles, ids, names, reasoning and media as it takes them, and no more."""
    service, body = PRESETS[preset], sent(preset)
    messages = body["messages"]
    called, picture, done = messages[2:5]
    ids = [call["id"] for call in called["tool_calls"]]
    assert all(service.ids.pattern.fullmatch(one) for one in ids)
    assert [picture["tool_call_id"], done["tool_call_id"]] == ids
    assert isinstance(picture["content"], str)
    assert messages[5]["role"] == "user"
    assert [part["type"] for part in messages[5]["content"]] == ["text", "image_url"]
    late = next(message for message in messages if message["content"] == "late")
    assert late["role"] == ("system" if service.late_system else "user")
    reasoning = {"openai": None, "mistral": None, "groq": None, "openrouter": "reasoning"}
    field = reasoning.get(preset, "reasoning_content")
    found = {key for key in called if "reasoning" in key or "thinking" in key}
    assert found == ({field} if field else set())
    assert ("cache_control" in json.dumps(body)) is service.cache_marks
    name = body["tools"][0]["function"]["name"]
    assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", name)
    assert called["tool_calls"][0]["function"]["name"] == name
    assert not any(m["role"] == "assistant" and not (m.keys() - {"role"}) for m in messages)
    if service.needs_reasoning:
        bare = [{"role": "assistant", "content": None, "tool_calls": [CALL]}]
        assert sent(preset, messages=bare)["messages"][0]["reasoning_content"] == NO_REASONING


def test_choice_of_a_renamed_tool() -> None:
    """The choice among tools has the names that the tools have."""
    choice = {"type": "function", "function": {"name": LONG}}
    allowed = {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [tool(LONG)]}}
    name = sent("openai")["tools"][0]["function"]["name"]
    assert sent("openai", tool_choice=choice)["tool_choice"]["function"]["name"] == name
    tools = sent("openai", tool_choice=allowed)["tool_choice"]["allowed_tools"]["tools"]
    assert tools[0]["function"]["name"] == name


def test_long_user_is_hashed() -> None:
    """An id of a user beyond the service's length keeps its identity."""
    long = sent("openai", user="u" * 203)["user"]
    assert len(long) == 64
    assert long == sent("vllm", user="u" * 203)["user"] != sent("openai", user="u" * 204)["user"]
    assert sent("openrouter", user="u" * 100)["user"] == "u" * 100


@pytest.mark.parametrize("maker", [Anthropic, Gemini])
def test_other_formats_rename_too(maker: Any) -> None:
    """Anthropic's and Gemini's rules differ: dots are valid for one, 128 characters for the other.

    Names in tools, choices and earlier calls agree.
    """
    wire = maker("up", model="m", api_key="k").call.__self__._wire
    name = "fs.read" if maker is Anthropic else LONG
    call = {**CALL, "function": {"name": name, "arguments": "{}"}}
    request = {
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": CALL["id"], "content": "r"},
        ],
        "tools": [tool(name)],
        "tool_choice": {"type": "function", "function": {"name": name}},
    }
    text = wire.prepare(request, stream=False).body.decode()
    assert json.dumps(name) not in text
    rule = ANTHROPIC if maker is Anthropic else GEMINI
    renamed = ToolNames(rule, []).sent(name)
    assert text.count(json.dumps(renamed)) == (3 if maker is Anthropic else 4)
