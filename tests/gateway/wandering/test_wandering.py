"""Property: a conversation may be answered by another service in each turn, in any order.

The fakes reject what the services reject. The client sends back what it received, as it received
it: thinking, parallel calls, and results of tools with pictures and documents.
"""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter import Provider, Route
from multirouter.providers import Anthropic, Gemini, OpenAI
from multirouter.testing.fakes import Answer, FakeProvider, ParsedRequest, ToolCall
from multirouter.testing.fakes.conversations import media_in, tool_results
from tests.gateway.harness import SECRET, Harness, running_gateway
from tests.gateway.wandering.clients import CLIENTS, Client, Result
from tests.properties.property_settings import property_settings

pytestmark = [pytest.mark.backends("asyncio")]

LONG = "mcp__server__" + "read_" * 15
NAMES = [LONG, LONG + "2", "fs.read", "fs_read", "lire/élan", "9lives"]
"""Names that no service, one service, and all services take; some differ in one character."""


def services(url: str) -> list[Provider[Any, Any, Any]]:
    chat = {"base_url": f"{url}/v1", "api_key": SECRET}
    own = {"base_url": url, "api_key": SECRET}
    return [
        OpenAI("gpt", model="gpt-5", api="chat", **chat),
        OpenAI("old", model="gpt-4.1", api="chat", **chat),
        OpenAI("new", model="gpt-6", api="responses", **chat),
        OpenAI("deepseek", preset="deepseek", model="deepseek-v4", **chat),
        OpenAI("mistral", preset="mistral", model="mistral-large", **chat),
        Anthropic("opus", model="claude-opus-5", **own),
        Anthropic("haiku", model="claude-haiku-4-5", **own),
        Gemini("pro", model="gemini-3-pro", **own),
        Gemini("flash", model="gemini-2.5-flash", **own),
    ]


MODELS = [provider.name for provider in services("http://x")]


@dataclass(frozen=True)
class Step:
    """One turn: who answers, how, and what the client says to it."""

    model: str
    stream: bool
    text: list[str]
    calls: list[tuple[int, dict[str, Any]]]
    ids: str
    results: list[tuple[str, ...]]
    remark: bool
    finish: str


IDS = (
    "call_{turn}_{place}",
    "functions.read:{turn}{place}",
    "tool call/é {turn} {place}",
    "call_{place}",
)
"""Ids as services make them; not all take those of others."""

ARGUMENTS = st.sampled_from([{}, {"path": "x"}, {"path": 'é"\n', "deep": {"a": [1, None]}}])


def steps() -> st.SearchStrategy[Step]:
    calls = st.lists(st.tuples(st.integers(0, len(NAMES) - 1), ARGUMENTS), max_size=3)
    media = st.lists(st.sampled_from(["image", "pdf"]), max_size=2).map(tuple)
    return st.builds(
        Step,
        model=st.sampled_from(MODELS),
        stream=st.booleans(),
        text=st.sampled_from([[], ["One. "], ["It ", "says", " so."]]),
        calls=calls,
        ids=st.sampled_from(IDS),
        results=st.lists(media, min_size=3, max_size=3),
        remark=st.booleans(),
        finish=st.sampled_from(["stop", "stop", "length", "refusal"]),
    )


class Model:
    """The fake model of all services. It answers as the steps say.

    Attributes:
        seen: what it has got, one by one.
    """

    def __init__(self, script: list[Step]) -> None:
        self._script = script
        self.seen: list[ParsedRequest] = []

    def __call__(self, parsed: ParsedRequest) -> Answer:
        step, turn = self._script[len(self.seen)], len(self.seen)
        self.seen.append(parsed)
        thinks = parsed.thinking_enabled or "deepseek" in parsed.model
        calls = [
            ToolCall(step.ids.format(turn=turn, place=place), parsed.tools[tool].name, arguments)
            for place, (tool, arguments) in enumerate(step.calls)
        ]
        pieces = step.text if calls or step.text else ["Done."]
        return Answer(["Let me ", "think."] if thinks else [], pieces, calls, finish_of(step))


def finish_of(step: Step) -> Any:
    return "calls" if step.calls else step.finish


WHOLE = {"chat": "stop", "messages": "end_turn", "responses": "completed", "gemini": "STOP"}
"""The stop reason of an answer that is whole; `STOPS` has the others."""

PROMPTS = ("messages", "input", "contents")
STOPS = {
    "chat": {"calls": "tool_calls", "length": "length", "refusal": "content_filter"},
    "messages": {"calls": "tool_use", "length": "max_tokens", "refusal": "refusal"},
    "responses": {"length": "incomplete", "refusal": ""},
    "gemini": {"length": "MAX_TOKENS", "refusal": "SAFETY"},
}


def prompt_of(body: Any) -> list[str]:
    """The serialized prompt of a request, turn by turn, as a service caches it."""
    head = [body.get(name) for name in ("system", "systemInstruction", "instructions", "tools")]
    turns = next(body[name] for name in PROMPTS if name in body)
    return [json.dumps(one, sort_keys=True) for one in (head, *turns)]


async def converse(kind: str, script: list[Step], *, keeps: bool, invents: bool) -> None:
    model = Model(script)
    client: Client = CLIENTS[kind](NAMES, "", keeps=keeps, invents=invents)
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(FakeProvider(answers=model))
        harness = await stack.enter_async_context(running_gateway())
        routes = [Route(name, [name], unsupported="drop") for name in MODELS]
        harness.router.reconfigure(services(fake.url), routes)
        harness.gateway.apply(
            models={name: name for name in MODELS},
            keys=None,
            short_wait=harness.gateway.short_wait,
        )
        await converse_with(harness, client, script, model)


async def converse_with(harness: Harness, client: Any, script: list[Step], model: Model) -> None:
    prompts: dict[str, list[str]] = {}
    results: list[str] = []
    media = 0
    for number, step in enumerate(script):
        client.model = step.model
        path, body = client.request(stream=step.stream)
        answer = await harness.post(path, json.dumps(body).encode())
        assert answer.status == 200, (step.model, answer.data)
        assert len(model.seen) == number + 1
        parsed = model.seen[-1]
        prompt = prompt_of(parsed.body)
        earlier = prompts.get(step.model, [])
        assert prompt[: len(earlier)] == earlier
        prompts[step.model] = prompt
        got = tool_results(parsed.body)
        assert len(got) == len(results)
        assert all(text in one for text, one in zip(results, got, strict=True))
        assert len(media_in(parsed.body)) == media
        turn = client.receive(answer, stream=step.stream)
        if client.kind == "chat" and step.stream:
            assert answer.events[-1]["usage"]["total_tokens"]
        assert turn.calls == [(NAMES[tool], arguments) for tool, arguments in step.calls]
        finish = finish_of(step)
        if finish != "refusal":  # whose text may be an explanation of the service
            assert turn.text == "".join(step.text or ([] if step.calls else ["Done."]))
        stop = STOPS[client.kind].get(finish, WHOLE[client.kind])
        assert turn.stop == stop or not stop
        more = [
            Result(f"result {number}.{place}.", kinds)
            for place, kinds in enumerate(step.results[: len(step.calls)])
        ]
        results += [result.text for result in more]
        media += sum(len(result.media) for result in more)
        client.reply(more, "And now?" if step.remark or not more else "")


@pytest.mark.parametrize("kind", CLIENTS)
@property_settings(8)
@given(script=st.lists(steps(), min_size=3, max_size=8), keeps=st.booleans(), invents=st.booleans())
def test_any_order_of_services(
    virtual_clock: Any, kind: str, script: list[Step], keeps: bool, invents: bool
) -> None:
    """No service rejects what others have left; nothing is lost, doubled or renamed."""

    async def main() -> None:
        await converse(kind, script, keeps=keeps, invents=invents)

    virtual_clock.run(main)
