"""The canonical request, its builder, and what reads canonical answers."""

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
    """A prompt, perhaps a system prompt, and options; None is left out."""
    assert chat("Hello") == {"messages": [{"role": "user", "content": "Hello"}]}
    assert chat("Hello", system="s", temperature=0.0, seed=None) == {
        "messages": [{"role": "system", "content": "s"}, {"role": "user", "content": "Hello"}],
        "temperature": 0.0,
    }


def test_chat_takes_parts_and_messages() -> None:
    """Parts are one user message; messages are the conversation, after the system prompt."""
    parts = [{"type": "text", "text": "x"}]
    assert chat(parts)["messages"] == [{"role": "user", "content": parts}]
    talk: Any = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]
    assert chat(talk, system="s")["messages"] == [{"role": "system", "content": "s"}, *talk]
    assert talk == [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]


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
    """The first choice's text, wherever it may be missing."""
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
    """A role alone proves nothing; text, thoughts, refusals and calls do."""
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
def test_presets_find_their_key(preset: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each named service reads its own variable; only local ones need no key."""
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


def test_an_unknown_preset_is_refused_with_the_known_ones() -> None:
    """The message lists what there is."""
    with pytest.raises(ConfigurationError, match="deepseek"):
        OpenAI("a", preset="skynet")  # type: ignore[arg-type] # what is tested


@pytest.mark.parametrize("maker", [OpenAI, Anthropic, Gemini])
def test_settings_of_a_provider_pass_through(maker: Any) -> None:
    """What every provider may be told is told by the same keywords."""
    made = maker("a", model="m", api_key="sk-abcdefghij", weight=3, tags=("cheap",), domains=("x",))
    assert (made.weight, made.tags, made.domains) == (3.0, ("cheap",), ("x",))
    assert made.replace(weight=5).weight == 5.0
    with pytest.raises(ConfigurationError, match="model"):
        maker("a", model="", api_key="sk-abcdefghij")
    with pytest.raises(ConfigurationError, match="base_url"):
        maker("a", model="m", api_key="sk-abcdefghij", base_url="nowhere")


def test_a_key_does_not_travel_with_a_pickle() -> None:
    """Pickling a provider fails rather than write its key down."""
    with pytest.raises(Exception, match="pickle"):
        pickle.dumps(OpenAI("a", model="m", api_key="sk-abcdefghij"))


def test_importing_the_adapters_is_light() -> None:
    """Aiohttp is loaded when the first connection opens, not when providers are described."""
    script = (
        "import sys; from multirouter.providers import OpenAI;"
        "OpenAI('a', model='m', api_key='sk-abcdefghij'); print('aiohttp' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == ("False", "")
