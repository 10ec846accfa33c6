"""Tests of the adapters against aimock, a third-party mock, to find mistakes in our own fakes.

They run when `npm install @copilotkit/aimock` has put its command `llmock` into the path (tested
with 1.43), or when AIMOCK names it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from multirouter import MultiProviderRouter, StreamInterrupted, StreamPolicy
from multirouter.model import FailureKind
from multirouter.providers import Anthropic, Gemini, Http, OpenAI, chat, text_of

MOCK = os.environ.get("AIMOCK") or shutil.which("llmock")

pytestmark = [
    pytest.mark.real_io,
    pytest.mark.backends("asyncio"),
    pytest.mark.skipif(MOCK is None, reason="aimock is not installed (npm)"),
]

ANSWER = "A longer answer than one piece of a stream can hold, and then some."
ARGUMENTS = '{"city": "Paris"}'
TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def fixture(prompt: str, model: str = "", **answer: Any) -> dict[str, Any]:
    return {"match": {"userMessage": prompt} | ({"model": model} if model else {}), **answer}


OVERLOADED = {"error": {"message": "overloaded", "type": "server_error"}, "status": 503}
FIXTURES = [
    fixture("hello", response={"content": ANSWER}),
    fixture("tool", response={"toolCalls": [{"name": "get_weather", "arguments": ARGUMENTS}]}),
    fixture("busy", response=OVERLOADED),
    fixture("half", "first", response={"content": ANSWER}, truncateAfterChunks=4, latency=10),
    fixture("half", response={"content": ANSWER}),
]


@pytest.fixture(scope="module")
def mock(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a running aimock."""
    fixtures = tmp_path_factory.mktemp("aimock") / "fixtures.json"
    fixtures.write_text(json.dumps({"fixtures": FIXTURES}))
    command = [str(MOCK), "--port", "0", "--fixtures", str(fixtures), "--log-level", "info"]
    if Path(str(MOCK)).suffix == ".js":
        command.insert(0, "node")
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        lines = iter(process.stdout.readline, "")
        yield next(line.split()[-1] for line in lines if "http://" in line)
        process.terminate()


def providers(url: str, first: str = "") -> list[Any]:
    """Returns one provider of each format; `first` is the model of the first one."""
    http = Http()
    return [
        OpenAI("openai", model=first or "gpt-5", api_key="k", base_url=f"{url}/v1", http=http),
        Anthropic("anthropic", model="claude-opus-5", api_key="k", base_url=url, http=http),
        Gemini("gemini", model="gemini-3-pro", api_key="k", base_url=url, http=http),
    ]


def router(made: list[Any], **settings: Any) -> MultiProviderRouter[Any, Any, Any]:
    return MultiProviderRouter(made, registry=CollectorRegistry(), **settings)


NAMES = ("openai", "anthropic", "gemini")


@pytest.mark.parametrize("name", NAMES)
async def test_text_called_and_streamed(mock: str, name: str) -> None:
    """A call and a stream return the mock's text with the finish reason `stop`."""
    async with router(providers(mock)) as client:
        answer = await client.call(chat("hello"), route=[name])
        assert text_of(answer) == ANSWER
        assert answer["choices"][0]["finish_reason"] == "stop"
        async with client.stream(chat("hello"), route=[name]) as stream:
            chunks = [chunk async for chunk in stream]
        assert "".join(map(text_of, chunks)) == ANSWER
        assert chunks[-1]["choices"][0]["finish_reason"] == "stop"


@pytest.mark.parametrize("name", NAMES)
async def test_tool_calls_called_and_streamed(mock: str, name: str) -> None:
    """A tool call is the same in every format."""
    async with router(providers(mock)) as client:
        answer = await client.call(chat("tool", tools=[TOOL]), route=[name])
        (call,) = answer["choices"][0]["message"]["tool_calls"]
        assert json.loads(call["function"]["arguments"]) == json.loads(ARGUMENTS)
        async with client.stream(chat("tool", tools=[TOOL]), route=[name]) as stream:
            deltas = [chunk["choices"][0]["delta"] async for chunk in stream if chunk["choices"]]
    pieces = [piece["function"] for delta in deltas for piece in delta.get("tool_calls") or ()]
    assert "".join(piece.get("name") or "" for piece in pieces) == "get_weather"
    assert json.loads("".join(p.get("arguments") or "" for p in pieces)) == json.loads(ARGUMENTS)


@pytest.mark.parametrize("name", NAMES)
async def test_503_is_overloaded(mock: str, name: str) -> None:
    """A 503 in each format's error body has the kind `overloaded`, which fails over."""
    async with router(providers(mock)) as client:
        outcome = await client.call_outcome(chat("busy"), route=[name])
    assert outcome.attempts[0].verdict.kind is FailureKind.OVERLOADED


async def test_truncated_stream_is_interrupted_or_continued(mock: str) -> None:
    """A truncated stream raises, or is continued by a provider of another format."""
    names = ["openai", "gemini"]
    async with router(providers(mock, "first")) as client:
        with pytest.raises(StreamInterrupted) as caught:
            async with client.stream(chat("half"), route=names) as stream:
                async for chunk in stream:
                    assert text_of(chunk) in ANSWER
        assert caught.value.chunks > 0
    policy = StreamPolicy(on_interrupt="continue")
    async with router(providers(mock, "first"), stream=policy) as client:
        async with client.stream(chat("half"), route=names) as stream:
            chunks = [chunk async for chunk in stream]
            assert stream.provider == "gemini"
        assert "".join(map(text_of, chunks)) == ANSWER
