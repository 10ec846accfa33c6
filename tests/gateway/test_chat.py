"""The chat door, the models, and what every answer has in common."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import anyio
import pytest

from multirouter.gateway.app import Bounds
from multirouter.gateway.formats.openai.normalize import Tidy, whole
from tests.gateway.kit import PROMPT, SAID, standing

pytestmark = [pytest.mark.backends("asyncio")]


@pytest.mark.parametrize("asked", [False, True])
async def test_usage_only_when_asked(asked: bool) -> None:
    """The usage chunk comes last and only to who asked; all others have choices."""
    async with standing() as place:
        answer = await place.ask(stream=True, stream_options={"include_usage": asked})
    usages = [event for event in answer.events if event.get("usage")]
    assert len(usages) == asked
    assert all(event["choices"] for event in answer.events if event not in usages)
    if asked:
        assert answer.events[-1] is usages[-1] or answer.events[-1] == usages[-1]
        assert usages[0]["choices"] == []
    assert answer.headers["Content-Type"] == "text/event-stream"
    assert answer.headers["Cache-Control"] == "no-cache"


async def test_models() -> None:
    """Names are listed and looked up; patterns are not listed, but serve."""
    async with standing(models={"big": "main", "gpt-*": "main"}) as place:
        async with place.http.get(f"{place.url}/v1/models") as response:
            listed = await response.json()
        async with place.http.get(f"{place.url}/v1/models/big") as response:
            one = await response.json()
        async with place.http.get(f"{place.url}/v1/models/bgi") as response:
            missing = response.status, await response.json()
        served = await place.ask(model="gpt-77")
        unknown = await place.ask(model="claude")
    assert [model["id"] for model in listed["data"]] == ["big"]
    assert one.keys() == {"id", "object", "created", "owned_by"}
    assert missing[0] == 404
    assert "'big'" in missing[1]["error"]["message"]
    assert served.text == SAID
    assert (unknown.status, unknown.json["error"]["code"]) == (404, "model_not_found")


async def test_fallback_models() -> None:
    """The next model is asked when one fails, and the gateway's own fields go no further."""
    models = {"a": "first", "b": "second", "c": "third"}
    async with standing(["fail-500"], ["fail-503"], [], models=models) as place:
        answer = await place.ask(model="a", fallback_models=["b", "c"], metadata={"team": "x"})
    assert answer.text == SAID
    assert answer.headers["X-Model"] == "c"
    assert answer.trail[-1]["provider"] == "third"
    sent = place.fakes[2].requests[-1].body
    assert sent.keys() == {"model", "messages", "metadata"}


@pytest.mark.parametrize(("codes", "status"), [([503], 200), ([429], 503)])
async def test_fallback_conditions(codes: list[int], status: int) -> None:
    """Only the failures that are named lead to the next model."""
    async with standing(["fail-503"], [], models={"a": "first", "b": "second"}) as place:
        answer = await place.ask(
            model="a", fallback_models=["b"], fallback_conditions={"status_codes": codes}
        )
    assert answer.status == status


async def test_fallback_after_a_time() -> None:
    """A model that is not the last gets `timeout_ms`, and `timeout` bounds all of it."""
    async with standing() as place:
        began = anyio.current_time()
        answer = await place.ask(
            model="stall", fallback_models=["fine"], fallback_conditions={"timeout_ms": 1500}
        )
        assert 1.4 < anyio.current_time() - began < 3.0
        late = await place.ask(model="stall", fallback_models=["stall"], timeout=2)
    assert answer.text == SAID
    assert (late.status, late.json["error"]["code"]) == (504, "timeout")


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
async def test_what_makes_no_sense(field: str, value: object) -> None:
    """A field that makes no sense is refused by its name, before anybody is asked."""
    async with standing() as place:
        answer = await place.ask(**{field: value})
    assert answer.status == 400
    assert answer.json["error"]["param"].startswith(field)
    assert not place.fakes[0].requests


async def test_a_route_by_name() -> None:
    """`route` chooses the route, whatever the model."""
    async with standing(models={"x": "main"}) as place:
        answer = await place.ask(route="main", model="anything")
    assert answer.text == SAID
    assert answer.headers["X-Model"] == "anything"


async def test_comments_while_waiting() -> None:
    """Silence is filled with comments, no `data:` and no `id:`; an error after them is an event."""
    async with standing(bounds=Bounds(keepalive=1.0)) as place:
        answer = await place.ask(model="slow-first-token-4500", stream=True)
        failed = await place.ask(model="stall", stream=True, timeout=3)
    assert answer.data.count(b": waiting\n\n") == 4
    assert answer.text == SAID
    assert answer.done == 1
    assert failed.status == 200
    assert failed.broken
    assert failed.events[-1]["error"]["code"] == "timeout"


@pytest.mark.parametrize("stream", [False, True])
async def test_a_client_that_leaves(stream: bool) -> None:
    """Who hangs up has its upstream cancelled within a second, and nobody else is asked."""
    async with standing([], []) as place:
        fault = "stall-2" if stream else "stall"
        asking = asyncio.create_task(place.ask(model=fault, stream=stream))
        await anyio.sleep(0.5)
        assert place.fakes[0].open == 1
        asking.cancel()
        await anyio.sleep(0.9)
        assert place.fakes[0].open == 0
        assert place.gateway.in_flight == 0
        assert not place.fakes[1].requests
    assert place.log.told[-1][2]["status"] == 499


async def test_a_connection_serves_again_after_a_stream() -> None:
    """Keep-alive holds after a stream that ended well."""
    async with standing() as place:
        for _ in range(3):
            assert (await place.ask(stream=True)).done == 1
        assert len(place.server._runner.server.connections) == 1


async def test_health_and_metrics() -> None:
    """Alive always; ready while somebody can be asked; the metrics in Prometheus' format."""
    async with standing() as place:
        await place.ask()

        async def get(path: str) -> tuple[int, str]:
            async with place.http.get(place.url + path) as response:
                return response.status, await response.text()

        assert (await get("/healthz"))[0] == 200
        assert (await get("/readyz"))[0] == 200
        status, text = await get("/metrics")
        assert status == 200
        assert (
            'multirouter_calls_total{outcome="success",route="main",router="default"} 1.0' in text
        )
        place.router.hold("first", "open")
        status, text = await get("/readyz")
        assert (status, json.loads(text)["providers"]) == (503, {"first": False})


async def test_draining() -> None:
    """When it stops, `/readyz` fails first, a stream still finishes, and then nobody is taken."""
    async with standing(drain=10.0) as place:
        asking = asyncio.create_task(place.ask(model="slow-first-token-3000", stream=True))
        await anyio.sleep(0.5)
        draining = asyncio.create_task(place.server.drain())
        await anyio.sleep(0.5)
        async with place.http.get(f"{place.url}/readyz") as response:
            assert (response.status, (await response.json())["status"]) == (503, "draining")
        url = place.url
        await anyio.sleep(1.0)
        with pytest.raises(OSError, match="Cannot connect"):
            await place.http.get(f"{url}/readyz")
        assert (await asking).done == 1
        await draining


@pytest.mark.parametrize(
    ("path", "told"),
    [("/v1/chat/completions", '"code":"shutting_down"'), ("/v1/messages", "event: error\n")],
)
async def test_a_stream_that_outlasts_the_drain_is_told(path: str, told: str) -> None:
    """What may not finish ends with an error event of its door, and never as if it were whole."""
    async with standing(drain=2.0) as place:
        ask = place.ask(path=path, model="stall-3", stream=True, max_tokens=9)
        asking = asyncio.create_task(ask)
        await anyio.sleep(0.5)
        began = anyio.current_time()
        await place.server.drain(lead=0.0)
        assert 2.0 <= anyio.current_time() - began < 3.0
        answer = await asking
    assert answer.status == 200
    assert answer.broken
    assert answer.done == 0
    assert told in answer.data.decode()
    assert place.fakes[0].open == 0


async def test_a_drain_has_a_bound() -> None:
    """A stream that never ends does not hold the process beyond the bound."""
    async with standing(drain=2.0) as place:
        asking = asyncio.create_task(place.ask(model="slow-first-token-9000", stream=True))
        await anyio.sleep(0.1)
        began = anyio.current_time()
        await place.server.drain(lead=0.0)
        assert anyio.current_time() - began < 2.5
        with pytest.raises(aiohttp.ClientError):
            await asking


async def test_retry_after_reaches_the_client() -> None:
    """When all are rate limited the client gets 429 and when to come again."""
    async with standing(["429-retry-after-50"]) as place:
        answer = await place.ask()
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
async def test_what_failures_are_called(fault: str, status: int, code: str) -> None:
    """An upstream's 401 is not the caller's, a used-up quota no rate limit, a 422 stays one."""
    async with standing([fault]) as place:
        answer = await place.ask(timeout=5)
    assert (answer.status, answer.json["error"]["code"]) == (status, code)
    if code == "providers_unavailable":
        assert answer.headers["X-Should-Retry"] == "false"


def test_a_whole_answer_is_made_complete() -> None:
    """Missing ids, keys and arguments are filled in; empty lists of calls go."""
    bare = {
        "choices": [
            {"message": {"tool_calls": [{"function": {"name": "f", "arguments": ""}}]}},
            {"message": {"content": "x", "tool_calls": []}},
        ]
    }
    answer = whole(bare, "req_1", lambda: 5.0)
    first, second = answer["choices"]
    assert (answer["id"], answer["created"], answer["model"]) == ("chatcmpl-req_1", 5, "")
    assert first["finish_reason"] == "tool_calls"
    assert first["message"]["content"] is None
    assert first["message"]["tool_calls"][0]["function"]["arguments"] == "{}"
    assert first["message"]["tool_calls"][0]["id"]
    assert (second["index"], second["finish_reason"]) == (1, "stop")
    assert "tool_calls" not in second["message"]


def test_tool_calls_in_pieces_are_made_complete() -> None:
    """Each call has an index, an id and a type at its start, and arguments that parse."""
    tidy = Tidy("req_1", usage_asked=False, wall=lambda: 5.0)
    call = {"function": {"name": "f"}}
    (opening,) = tidy.feed({"choices": [{"delta": {"tool_calls": [call]}}]})
    (ending,) = tidy.feed({"choices": [{"delta": {}, "finish_reason": "tool_calls"}]})
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
    assert list(tidy.feed({"choices": [{"delta": {"content": PROMPT}}]})) == []
