"""The canonical request, `chat()`, and the functions that read canonical responses."""

from __future__ import annotations

import pickle
import subprocess
import sys
from typing import Any

import pytest

from multirouter import ConfigurationError
from multirouter.providers import (
    PRESETS,
    Anthropic,
    Gemini,
    OpenAI,
    chat,
    has_content,
    has_tool_calls,
    is_finished,
    text_of,
)


def test_chat_builds_a_request() -> None:
    """A prompt, an optional system prompt, and options; None is left out."""
    assert chat("Hello") == {"messages": [{"role": "user", "content": "Hello"}]}
    assert chat("Hello", system="s", temperature=0.0, seed=None) == {
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "Hello"}],
        "temperature": 0.0,
    }


def test_chat_accepts_parts_and_messages() -> None:
    """Parts become one user message; messages follow the system prompt."""
    parts = [{"type": "text", "text": "x"}]
    assert chat(parts)["messages"] == [{"role": "user", "content": parts}]
    messages: Any = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert chat(messages, system="s")["messages"] == [{"role": "system", "content": "s"}, *messages]
    assert messages == [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        ({"choices": [{"index": 0, "message": {"content": "a"}}]}, "a"),
        ({"choices": [{"index": 0, "delta": {"content": "a"}}]}, "a"),
        ({"choices": [{"index": 1, "delta": {"content": "b"}}]}, ""),
        ({"choices": [{"delta": {"content": None}}]}, ""),
        ({"choices": []}, ""),
        ({}, ""),
    ],
)
def test_text_of(answer: Any, text: str) -> None:
    """The text of the first choice; "" when any part of it is missing."""
    assert text_of(answer) == text


@pytest.mark.parametrize(
    ("delta", "content"),
    [
        ({"role": "assistant", "content": ""}, False),
        ({"role": "assistant", "content": None, "refusal": None}, False),
        ({}, False),
        ({"content": " "}, True),
        ({"reasoning_content": "hm"}, True),
        ({"reasoning": "hm"}, True),
        ({"refusal": "no"}, True),
        ({"tool_calls": [{"index": 0}]}, True),
    ],
)
def test_has_content(delta: Any, content: bool) -> None:
    """A role alone is no content; text, reasoning, refusals and tool calls are."""
    chunk = {"choices": [{"index": 0, "delta": delta}]}
    assert has_content(chunk) is content
    assert has_tool_calls(chunk) is ("tool_calls" in delta)
    assert not has_content({"choices": []})


def test_is_finished() -> None:
    """A finish reason ends a choice."""
    assert is_finished({"choices": [{"finish_reason": "stop"}]})
    assert not is_finished({"choices": [{"finish_reason": None}]})


# ── the factories ───────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("preset", PRESETS)
def test_preset_reads_its_key(preset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each preset reads its own environment variable; only local ones need no key."""
    known = PRESETS[preset]
    monkeypatch.setenv(known.variable, "sk-abcdefghij")
    assert OpenAI("a", preset=preset).name == "a"
    monkeypatch.delenv(known.variable)
    if known.needs_key:
        with pytest.raises(ConfigurationError, match=known.variable):
            OpenAI("a", preset=preset)
        assert known.base_url.startswith("https://")
    else:
        assert OpenAI("a", preset=preset).name == "a"
        assert known.base_url.startswith("http://localhost")


def test_unknown_preset_lists_the_known_ones() -> None:
    """The message lists the presets."""
    with pytest.raises(ConfigurationError, match="deepseek"):
        OpenAI("a", preset="skynet")  # type: ignore[arg-type] # what is tested


@pytest.mark.parametrize("maker", [OpenAI, Anthropic, Gemini])
def test_provider_settings_are_passed_on(maker: Any) -> None:
    """Every setting of `Provider` is accepted by the factories."""
    made = maker("a", model="m", api_key="sk-abcdefghij", weight=3, tags=("cheap",), domains=("x",))
    assert (made.weight, made.tags, made.model) == (3.0, ("cheap",), "m")
    assert (len(made.domains), made.domains[1]) == (2, "x")
    assert made.replace(weight=5).weight == 5.0
    with pytest.raises(ConfigurationError, match="model"):
        maker("a", model="", api_key="sk-abcdefghij")
    with pytest.raises(ConfigurationError, match="base_url"):
        maker("a", model="m", api_key="sk-abcdefghij", base_url="nowhere")


def test_provider_with_key_cannot_be_pickled() -> None:
    """Pickling a provider raises, so its key is not written anywhere."""
    with pytest.raises(Exception, match=r"pickle|local object"):
        pickle.dumps(OpenAI("a", model="m", api_key="sk-abcdefghij"))


def test_import_does_not_load_aiohttp() -> None:
    """Aiohttp is loaded with the first router, not when providers are constructed."""
    script = (
        "import sys; from multirouter.providers import OpenAI;"
        "OpenAI('a', model='m', api_key='sk-abcdefghij'); print('aiohttp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
