"""Chat completions, models, fallbacks, health, draining and errors."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import anyio
import pytest

from multirouter.gateway.app import ServerLimits
from multirouter.gateway.formats.openai.normalize_answers import ChunkNormalizer, normalize_answer
from tests.gateway.harness import PROMPT, REPLY, running_gateway

pytestmark = [pytest.mark.backends("asyncio")]


@pytest.mark.parametrize("include_usage", [False, True])
async def test_usage_chunk_is_sent_on_request(include_usage: bool) -> None:
    """The usage chunk is the last, sent on request alone; all others have choices."""
    async with running_gateway() as harness:
        answer = await harness.send(stream=True, stream_options={"include_usage": include_usage})
    usages = [event for event in answer.events if event.get("usage")]
    assert len(usages) == include_usage
    assert all(event["choices"] for event in answer.events if event not in usages)
    if include_usage:
        assert answer.events[-1] is usages[-1] or answer.events[-1] == usages[-1]
        assert usages[0]["choices"] == []
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-cache"


async def test_models() -> None:
    """Exact names are listed and found; patterns are not listed, but match."""
    async with running_gateway(models={"big": "main", "gpt-*": "main"}) as harness:
        async with harness.http.get(f"{harness.url}/v1/models") as response:
            model_entry = await response.json()
        async with harness.http.get(f"{harness.url}/v1/models/big") as response:
            one = await response.json()
        async with harness.http.get(f"{harness.url}/v1/models/bgi") as response:
            missing = response.status, await response.json()
        served = await harness.send(model="gpt-77")
        unknown = await harness.send(model="claude")
    assert [model["id"] for model in model_entry["data"]] == ["big"]
    assert one.keys() == {"id", "object", "created", "owned_by"}
    assert missing[0] == 404
    assert "'big'" in missing[1]["error"]["message"]
    assert served.text == REPLY
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("fallback_models", "gpt"),
        ("fallback_models", ["m"] * 17),
        ("fallback_conditions", []),
        ("fallback_conditions", {"codes": []}),
        ("fallback_conditions", {"status_codes": ["500"]}),
        ("fallback_conditions", {"timeout_ms": 0}),
        ("timeout", -1),
        ("timeout", True),
        ("route", "nowhere"),
        ("route", ["main"]),
        ("model", 7),
        ("model", None),
        ("messages", []),
        ("messages", "hello"),
        ("messages", [{"content": "no role"}]),
        ("stream", "yes"),
    ],
)
async def test_invalid_fields_are_rejected(field: str, value: object) -> None:
    """An invalid field is a 400 with its name, and no provider is called."""
    async with running_gateway() as harness:
        answer = await harness.send(**{field: value})
    assert answer.status == 400
    assert answer.json["error"]["param"].startswith(field)
    assert not harness.fakes[0].requests


async def test_route_by_name() -> None:
    """`route` selects the route for any model."""
    async with running_gateway(models={"x": "main"}) as harness:
        answer = await harness.send(route="main", model="anything")
    assert answer.text == REPLY
    assert answer.headers["X-Model"] == "anything"


async def test_comments_while_waiting() -> None:
    """Comments keep a waiting stream alive; an error after them is an event."""
    async with running_gateway(limits=ServerLimits(comment_interval=1.0)) as harness:
        answer = await harness.send(model="slow-first-token-4500", stream=True)
        failed = await harness.send(model="stall", stream=True, timeout=3)
    assert answer.data.count(b": waiting\n\n") == 4
    assert answer.text == REPLY
    assert answer.done == 1
    assert failed.status == 200
    assert failed.broken
    assert failed.events[-1]["error"]["code"] == "timeout"


@pytest.mark.parametrize("stream", [False, True])
async def test_client_disconnect_cancels_the_provider(stream: bool) -> None:
    """A disconnect cancels the upstream request within a second, without failover."""
    async with running_gateway([], []) as harness:
        fault = "stall-2" if stream else "stall"
        request = asyncio.create_task(harness.send(model=fault, stream=stream))
        await anyio.sleep(0.5)
        assert harness.fakes[0].in_flight == 1
        request.cancel()
        await anyio.sleep(0.9)
        assert harness.fakes[0].in_flight == 0
        assert harness.gateway.in_flight == 0
        assert not harness.fakes[1].requests
    assert harness.log.events[-1][2]["status"] == 499


async def test_connection_is_reused_after_a_stream() -> None:
    """A connection stays open after a complete stream."""
    async with running_gateway() as harness:
        for _ in range(3):
            assert (await harness.send(stream=True)).done == 1
        assert len(harness.server._runner.server.connections) == 1


async def test_health_and_metrics() -> None:
    """`/healthz` is always 200, `/readyz` if a provider is available; `/metrics` is plain text."""
    async with running_gateway() as harness:
        await harness.send()

        async def get(path: str) -> tuple[int, str]:
            async with harness.http.get(harness.url + path) as response:
                return response.status, await response.text()

        assert (await get("/healthz"))[0] == 200
        assert (await get("/readyz"))[0] == 200
        status, text = await get("/metrics")
        assert status == 200
        labels = 'operation="chat",outcome="success",route="main",router="default"'
        assert f"multirouter_calls_total{{{labels}}} 1.0" in text
        harness.router.hold("first", "open")
        status, text = await get("/readyz")
        assert (status, json.loads(text)["providers"]) == (503, {"first": False})


async def test_draining() -> None:
    """A drain fails `/readyz` first, then closes the port; a stream still finishes."""
    async with running_gateway(drain=10.0) as harness:
        request = asyncio.create_task(harness.send(model="slow-first-token-3000", stream=True))
        await anyio.sleep(0.5)
        draining = asyncio.create_task(harness.server.drain())
        await anyio.sleep(0.5)
        async with harness.http.get(f"{harness.url}/readyz") as response:
            assert (response.status, (await response.json())["status"]) == (503, "draining")
        url = harness.url
        await anyio.sleep(1.0)
        with pytest.raises(OSError, match="Cannot connect"):
            await harness.http.get(f"{url}/readyz")
        assert (await request).done == 1
        await draining


@pytest.mark.parametrize(
    ("path", "expected"),
    [("/v1/chat/completions", '"code":"shutting_down"'), ("/v1/messages", "event: error\n")],
)
async def test_stream_beyond_the_drain_ends_with_an_error(path: str, expected: str) -> None:
    """A stream that exceeds the drain timeout ends with an error event and a dropped connection."""
    async with running_gateway(drain=2.0) as harness:
        sending = harness.send(path=path, model="stall-3", stream=True, max_tokens=9)
        request = asyncio.create_task(sending)
        await anyio.sleep(0.5)
        started = anyio.current_time()
        await harness.server.drain(lead=0.0)
        assert 2.0 <= anyio.current_time() - started < 3.0
        answer = await request
    assert answer.status == 200
    assert answer.broken
    assert answer.done == 0
    assert expected in answer.data.decode()
    assert harness.fakes[0].in_flight == 0


async def test_drain_is_bounded() -> None:
    """A stream without content does not delay the shutdown beyond the drain timeout."""
    async with running_gateway(drain=2.0) as harness:
        request = asyncio.create_task(harness.send(model="slow-first-token-9000", stream=True))
        await anyio.sleep(0.1)
        started = anyio.current_time()
        await harness.server.drain(lead=0.0)
        assert anyio.current_time() - started < 2.5
        with pytest.raises(aiohttp.ClientError):
            await request


async def test_retry_after_is_sent_to_the_client() -> None:
    """When all providers are rate limited the client gets 429 with Retry-After."""
    async with running_gateway(["429-retry-after-50"]) as harness:
        answer = await harness.send()
    assert answer.status == 429
    assert answer.json["error"]["type"] == "rate_limit_error"
    assert 45 <= int(answer.headers["Retry-After"]) <= 50


@pytest.mark.parametrize(
    ("fault", "status", "code"),
    [
        ("quota", 503, "providers_unavailable"),
        ("bad-key", 503, "providers_unavailable"),
        ("no-model", 404, "model_not_found"),
        ("fail-422", 422, "server_error"),
        ("stall", 504, "timeout"),
    ],
)
async def test_status_and_code_of_failures(fault: str, status: int, code: str) -> None:
    """A provider's 401 and quota are a 503, an unknown model a 404, and a 422 stays a 422."""
    async with running_gateway([fault]) as harness:
        answer = await harness.send(timeout=5)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    if code == "providers_unavailable":
        assert answer.headers["X-Should-Retry"] == "false"


def test_incomplete_answer_is_completed() -> None:
    """Missing ids, keys and arguments are added; empty lists of calls are removed."""
    bare = {
        "choices": [
            {"message": {"tool_calls": [{"function": {"name": "f", "arguments": ""}}]}},
            {"message": {"content": "x", "tool_calls": []}},
        ]
    }
    answer = normalize_answer(bare, "req_1", lambda: 5.0)
    first, second = answer["choices"]
    assert (answer["id"], answer["created"], answer["model"]) == ("chatcmpl-req_1", 5, "")
    assert first["finish_reason"] == "tool_calls"
    assert first["message"]["content"] is None
    assert first["message"]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert first["message"]["tool_calls"][0]["id"]
    assert (second["index"], second["finish_reason"]) == (1, "stop")
    assert "tool_calls" not in second["message"]


def test_incomplete_streamed_tool_calls_are_completed() -> None:
    """Each call starts with an index, an id and a type, and its arguments are valid JSON."""
    normalizer = ChunkNormalizer("req_1", include_usage=False, wall=lambda: 5.0)
    call = {"function": {"name": "f"}}
    (opening,) = normalizer.feed({"choices": [{"delta": {"tool_calls": [call]}}]})
    (ending,) = normalizer.feed({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})
    delta = opening["choices"][0]["delta"]
    assert (delta["role"], delta["content"]) == ("assistant", None)
    assert delta["tool_calls"][0] == {
        "index": 0,
        "id": "call_req_1_0_0",
        "type": "function",
        "function": {"name": "f", "arguments": ""},
    }
    assert ending["choices"][0]["delta"]["tool_calls"] == [
        {"index": 0, "function": {"arguments": "{}"}}
    ]
    assert list(normalizer.feed({"choices": [{"delta": {"content": PROMPT}}]})) == []
