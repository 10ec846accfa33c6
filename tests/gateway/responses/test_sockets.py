"""`GET /v1/responses` as a WebSocket: each message is a request like any other."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import anyio
import pytest
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from multirouter.config import KeyBook
from multirouter.gateway.http.server_limits import ServerLimits
from multirouter.gateway.sockets import response_sockets
from multirouter.gateway.sockets.lanes import Lanes
from multirouter.gateway.sockets.response_sockets import MAX_MESSAGES
from tests.gateway.harness import Harness, running_gateway
from tests.gateway.upstream import gateway_before, sse

from .parsing import response_of
from .test_endpoint import RESPONSE, WHOLE

pytestmark = [pytest.mark.backends("asyncio")]

_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


async def ask(socket: Any, **body: Any) -> list[dict[str, Any]]:
    """Sends one message; returns the events up to the last of its response."""
    request = {"type": "response.create", "model": "m", "input": "hi", "store": False, **body}
    await socket.send_str(json.dumps(request))
    events = []
    while True:
        message = await socket.receive(timeout=20)
        assert message.type is aiohttp.WSMsgType.TEXT, message
        events.append(json.loads(message.data))
        if events[-1]["type"] in {"response.completed", "response.incomplete", "error"}:
            return events


def connect(harness: Harness, **settings: Any) -> Any:
    return harness.http.ws_connect(harness.url + "/v1/responses", **settings)


def texts_sent(harness: Harness) -> list[str]:
    """The texts of the conversation that the provider got last."""
    contents = [item["content"] for item in harness.fakes[0].requests[-1].body["input"]]
    return [one if isinstance(one, str) else one[0]["text"] for one in contents]


async def test_messages_are_answered_one_after_the_other() -> None:
    """The events are those of the stream, numbered anew; each message is logged."""
    async with running_gateway() as harness, connect(harness) as socket:
        for text in ("one", "two"):
            events = await ask(socket, input=text)
            assert [event["sequence_number"] for event in events] == list(range(len(events)))
            for event in events:
                _EVENT.validate_python(event)
            assert response_of(events[-1]["response"]).output_text == f"You said: {text}"
        await socket.close()
        await anyio.sleep(2)
        logged = [fields for _, event, fields in harness.log.events if event == "request"]
        assert [fields.get("provider") for fields in logged] == ["first", "first", None]
        assert [fields["status"] for fields in logged] == [200, 200, 101]


async def test_the_latest_response_may_be_continued_without_a_store() -> None:
    """Its conversation is put before the new input; of an unknown one the service may know."""
    async with running_gateway() as harness, connect(harness) as socket:
        first = (await ask(socket, input="one"))[-1]["response"]
        second = await ask(socket, input="two", previous_response_id=first["id"])
        assert second[-1]["type"] == "response.completed"
        assert texts_sent(harness) == ["one", "You said: one", "two"]
        events = await ask(socket, input="three", previous_response_id="resp_unknown")
        assert (events[-1]["type"], events[-1]["status"]) == ("error", 400)


async def test_a_request_is_prepared_without_a_call() -> None:
    """`generate: false` answers with an empty response, which may be continued."""
    async with running_gateway() as harness, connect(harness) as socket:
        events = await ask(socket, input="one", generate=False)
        assert response_of(events[-1]["response"]).output == []
        assert not harness.fakes[0].requests
        await ask(socket, input="two", previous_response_id=events[-1]["response"]["id"])
        assert texts_sent(harness) == ["one", "two"]


async def test_events_of_the_format_pass_as_they_are() -> None:
    """A service of the format gets the body without what belongs to the connection."""
    async with (
        gateway_before(("responses", lambda _: WHOLE)) as (harness, (upstream,)),
        connect(harness) as socket,
    ):
        events = await ask(socket, novelty=1)
    assert events[-1] == {"type": "response.completed", "response": RESPONSE, "sequence_number": 4}
    sent = upstream.sent[0].body
    assert sent == {"model": "m", "input": "hi", "store": False, "novelty": 1, "stream": True}


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ('{"mo', "invalid JSON"),
        ("[]", "must be a JSON object"),
        ('{"type": "response.steer"}', 'must be "response.create"'),
        ('{"type": "response.create", "stream_id": 7}', "`stream_id` must be a text of 1 to 256"),
        ('{"type": "response.create", "stream_id": ""}', "`stream_id` must be a text of 1 to 256"),
        ('{"type": "response.create", "generate": 7}', "`generate` must be true or false"),
        ('{"type": "response.create", "generate": []}', "`generate` must be true or false"),
        ('{"type": "response.create", "model": "m"}', "`input` must be"),
    ],
)
async def test_an_invalid_message_is_an_error_event(message: str, said: str) -> None:
    """It has the status of the same request over HTTP, and the connection goes on."""
    async with running_gateway() as harness, connect(harness) as socket:
        await socket.send_str(message)
        event = await socket.receive_json(timeout=20)
        assert (event["type"], event["status"], event["status_code"]) == ("error", 400, 400)
        assert said in event["error"]["message"]
        assert (await ask(socket))[-1]["type"] == "response.completed"


async def test_failures_have_status_and_advice() -> None:
    """A failure before the first event is an error; one behind it ends the response."""
    async with running_gateway() as harness:
        harness.router.hold("first", "disabled")
        async with connect(harness) as socket:
            harness.fakes[0].script("429-retry-after-90")
            (event,) = await ask(socket)
            assert event["status"] == 429
            assert event["headers"]["retry-after"]
            harness.fakes[0].script("event-error-1")
            events = await ask(socket)
            assert events[-2]["type"] == "response.failed"
            assert not socket.closed


async def test_keys_and_limits_apply() -> None:
    """The handshake needs the key; each message counts as a request of it."""
    book, token = KeyBook().new("agent", requests_per_minute=1)
    async with running_gateway(keys=book) as harness:
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await connect(harness)
        assert caught.value.status == 401
        async with connect(harness, headers={"Authorization": f"Bearer {token}"}) as socket:
            assert (await ask(socket))[-1]["type"] == "response.completed"
            (event,) = await ask(socket)
            assert event["status"] == 429


async def test_handshakes_that_are_none() -> None:
    """A plain GET, an invalid handshake, and a page of another origin are rejected."""
    async with running_gateway() as harness:
        url = harness.url + "/v1/responses"
        async with harness.http.get(url) as answer:
            assert (answer.status, answer.headers["Allow"]) == (405, "POST")
        upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
        async with harness.http.get(url, headers=upgrade) as answer:
            assert answer.status == 400
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await connect(harness, origin="https://evil.example")
        assert caught.value.status == 403


async def test_silence_is_kept_alive_and_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pings while a model thinks; an idle connection is closed after a time, or at a shutdown."""
    assert response_sockets.MAX_IDLE == 3600
    monkeypatch.setattr(response_sockets, "MAX_IDLE", 90)
    limits = ServerLimits(comment_interval=3)
    async with running_gateway(("slow-first-token-8000",), limits=limits) as harness:
        pings = 0
        async with connect(harness, autoping=False) as socket:
            request = {"type": "response.create", "model": "m", "input": "hi"}
            await socket.send_str(json.dumps(request))
            while True:
                message = await socket.receive(timeout=60)
                if message.type is aiohttp.WSMsgType.PING:
                    pings += 1
                elif json.loads(message.data)["type"] == "response.completed":
                    break
            assert pings == 2
        async with connect(harness) as socket:
            began = anyio.current_time()
            message = await socket.receive(timeout=100)
            assert (message.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1001)
            assert anyio.current_time() - began == pytest.approx(90, abs=1.5)
        async with connect(harness) as socket:
            harness.gateway.draining = True
            message = await socket.receive(timeout=5)
            assert message.type is aiohttp.WSMsgType.CLOSE


async def test_binary_messages_close_the_connection() -> None:
    """The protocol has texts alone."""
    async with running_gateway() as harness, connect(harness) as socket:
        await socket.send_bytes(b"{}")
        message = await socket.receive(timeout=5)
        assert (message.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1003)


async def test_a_client_that_leaves_cancels_its_call() -> None:
    """The provider's request ends with the connection."""
    async with running_gateway(("stall",)) as harness:
        async with connect(harness) as socket:
            await socket.send_str(
                json.dumps({"type": "response.create", "model": "m", "input": "x"})
            )
            await anyio.sleep(1)
            assert harness.fakes[0].in_flight == 1
        await anyio.sleep(2)
        assert harness.fakes[0].in_flight == 0


async def test_a_client_is_heard_while_it_is_answered() -> None:
    """Its close ends the call at once, though the connection stays for a while."""
    async with running_gateway(("stall",)) as harness, connect(harness, autoclose=False) as socket:
        await socket.send_str(json.dumps({"type": "response.create", "model": "m", "input": "x"}))
        await anyio.sleep(1)
        assert harness.fakes[0].in_flight == 1
        await socket._writer.close(1000)
        message = await socket.receive(timeout=2)
        assert message.type is aiohttp.WSMsgType.CLOSE
        await anyio.sleep(0.5)
        assert harness.fakes[0].in_flight == 0


async def test_pings_are_answered_during_a_response() -> None:
    """Clients that hear no pong within 20 seconds, say, close the connection."""
    async with (
        running_gateway(("slow-first-token-8000",)) as harness,
        connect(harness, autoping=False) as socket,
    ):
        request = {"type": "response.create", "model": "m", "input": "one"}
        await socket.send_str(json.dumps(request))
        await socket.ping(b"there")
        message = await socket.receive(timeout=5)
        assert (message.type, message.data) == (aiohttp.WSMsgType.PONG, b"there")


def message(text: str, **fields: Any) -> str:
    """A message `response.create`."""
    body = {"type": "response.create", "model": "m", "input": text, "store": False}
    return json.dumps({**body, **fields})


async def test_the_socket_is_read_while_messages_wait() -> None:
    """A second message waits for the first; pings are answered and a close is heard meanwhile."""
    async with (
        running_gateway(("stall",)) as harness,
        connect(harness, autoping=False, autoclose=False) as socket,
    ):
        await socket.send_str(message("one"))
        await socket.send_str(message("two"))
        await anyio.sleep(1)
        assert harness.fakes[0].in_flight == 1
        await socket.ping(b"there")
        answer = await socket.receive(timeout=3)
        assert (answer.type, answer.data) == (aiohttp.WSMsgType.PONG, b"there")
        await socket._writer.close(1000)
        await anyio.sleep(1)
        assert harness.fakes[0].in_flight == 0
        assert len(harness.fakes[0].requests) == 1


async def events_until(socket: Any, ends: int) -> list[dict[str, Any]]:
    """The events up to so many ends of responses."""
    events: list[dict[str, Any]] = []
    while sum(one["type"] in {"response.completed", "error"} for one in events) < ends:
        events.append(json.loads((await socket.receive(timeout=30)).data))
    return events


async def test_lanes_are_answered_at_the_same_time() -> None:
    """Those of one `stream_id` in order; each event names it, also an error."""
    faults = ("slow-first-token-3000", "slow-first-token-100")
    async with running_gateway(faults) as harness, connect(harness) as socket:
        await socket.send_str(message("slow", stream_id="a"))
        await anyio.sleep(0.5)
        await socket.send_str(message("next", stream_id="a"))
        await socket.send_str(message("quick", stream_id='b"é'))
        await socket.send_str(json.dumps({"type": "response.steer", "stream_id": "c"}))
        await socket.send_str(message("none"))
        events = await events_until(socket, 5)
    ends = [one for one in events if one["type"] in {"response.completed", "error"}]
    assert [one.get("stream_id") for one in ends][-2:] == ["a", "a"]
    assert {one.get("stream_id") for one in ends[:3]} == {'b"é', "c", None}
    for lane, texts in {"a": ["slow", "next"], 'b"é': ["quick"], None: ["none"]}.items():
        own = [one for one in events if one.get("stream_id") == lane]
        for one in own:
            _EVENT.validate_python(one)
        said = [
            response_of(one["response"]).output_text
            for one in own
            if one["type"] == "response.completed"
        ]
        assert said == [f"You said: {text}" for text in texts]


async def test_events_of_the_format_get_the_lane() -> None:
    """Whatever else a service's own event has stays as it is."""
    async with (
        gateway_before(("responses", lambda _: WHOLE)) as (harness, (upstream,)),
        connect(harness) as socket,
    ):
        events = await ask(socket, stream_id="a")
    assert {event["stream_id"] for event in events} == {"a"}
    assert events[-1]["response"] == RESPONSE
    assert "stream_id" not in upstream.sent[0].body


async def test_a_lane_continues_a_response_of_another() -> None:
    """The latest response of each lane may be continued on any."""
    said = {"choices": [{"index": 0, "delta": {"content": "said"}, "finish_reason": "stop"}]}
    async with (
        gateway_before(("chat", lambda _: sse(said) + b"data: [DONE]\n\n")) as (harness, (chat,)),
        connect(harness) as socket,
    ):

        async def continued(text: str, lane: str | None, id_: str | None) -> tuple[str, list[str]]:
            named = {"stream_id": lane, "previous_response_id": id_}
            events = await ask(socket, input=text, **named)
            asked = chat.sent[-1].body["messages"]
            return events[-1]["response"]["id"], [one["content"] for one in asked]

        first, _ = await continued("one", "a", None)
        fork, texts = await continued("two", "b", first)
        assert texts == ["one", "said", "two"]
        _, texts = await continued("three", None, fork)
        assert texts == ["one", "said", "two", "said", "three"]
        _, texts = await continued("four", "a", first)
        assert texts == ["one", "said", "four"]
        events = await ask(socket, input="five", previous_response_id=first)
        assert (events[-1]["type"], events[-1]["status"]) == ("error", 400)


async def test_waiting_messages_are_bounded() -> None:
    """Too many, or too long together, are an error in their turn; those that wait are answered."""
    limits = ServerLimits(max_body_size=1000)
    async with (
        running_gateway(("slow-first-token-3000",), limits=limits) as harness,
        connect(harness) as socket,
    ):
        await socket.send_str(message("one"))
        for _ in range(MAX_MESSAGES):
            await socket.send_str("{}")
        ends = [one for one in await events_until(socket, MAX_MESSAGES + 1) if "status" in one]
        assert [one["status"] for one in ends] == [*[400] * (MAX_MESSAGES - 1), 429]
        for text in ("one", "x" * 500, "x" * 500, "two"):
            await socket.send_str(message(text))
        ends = [one for one in await events_until(socket, 4) if "response" not in one]
        (refused,) = [one for one in ends if one["type"] == "error"]
        assert (refused["status"], refused["headers"]["retry-after"]) == (429, "1")
        assert "must have at most 64 messages" in refused["error"]["message"]


async def test_messages_that_are_rejected_are_bounded_too() -> None:
    """Beyond twice as many none is read; each is answered, after those before it."""
    async with (
        running_gateway(("slow-first-token-3000",)) as harness,
        connect(harness) as socket,
    ):
        await socket.send_str(message("one"))
        for _ in range(5 * MAX_MESSAGES):
            await socket.send_str("{}")
        ends = [one for one in await events_until(socket, 5 * MAX_MESSAGES + 1) if "status" in one]
        assert {one["status"] for one in ends} == {400, 429}
        assert [one["status"] for one in ends[: 2 * MAX_MESSAGES - 1]] == [
            *[400] * (MAX_MESSAGES - 1),
            *[429] * MAX_MESSAGES,
        ]


async def test_a_lane_waits_for_an_end() -> None:
    """If it has as many messages as are asked for, and not before."""
    lanes, release = Lanes(1, 1, lambda _: None), asyncio.Event()

    async def answer() -> None:
        await release.wait()

    for _ in range(2):
        lanes.add(None, 0, answer)
    await lanes.wait_for_an_end(3)
    waiting = asyncio.create_task(lanes.wait_for_an_end(2))
    await anyio.sleep(1)
    assert not waiting.done()
    release.set()
    await waiting


async def test_an_idle_connection_is_no_work() -> None:
    """It is no request under way, may be closed for a new one, and delays no shutdown."""
    limits = ServerLimits(max_connections=1)
    async with running_gateway(limits=limits, drain=60.0) as harness, AsyncExitStack() as stack:
        async with connect(harness) as socket:
            await ask(socket)
            assert harness.gateway.in_flight == 0
            other = await stack.enter_async_context(aiohttp.ClientSession())
            async with other.get(harness.url + "/healthz") as answer:
                assert answer.status == 200
            ended = await socket.receive(timeout=5)
            assert ended.type in {aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.CLOSE}
        await anyio.sleep(2)
        assert harness.gateway.in_flight == 0
        async with connect(harness) as socket:
            started = anyio.current_time()
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(harness.server.aclose)
                ended = await socket.receive(timeout=5)
            assert (ended.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1001)
            assert anyio.current_time() - started < 3


async def test_a_shutdown_waits_for_the_response_under_way() -> None:
    """It is sent to its end; a message behind it is left, and the connection is closed."""
    async with (
        running_gateway(("slow-first-token-3000",), drain=60.0) as harness,
        connect(harness) as socket,
    ):
        await socket.send_str(message("one"))
        await socket.send_str(message("two"))
        await anyio.sleep(1)
        harness.gateway.draining = True
        events = await events_until(socket, 1)
        assert response_of(events[-1]["response"]).output_text == "You said: one"
        ended = await socket.receive(timeout=5)
        assert (ended.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, 1001)
        assert len(harness.fakes[0].requests) == 1


async def test_a_conversation_is_as_long_as_a_body_at_most() -> None:
    """Its messages together: without a call they would fill the memory for nothing."""
    limits = ServerLimits(max_body_size=1000)
    async with running_gateway(limits=limits) as harness, connect(harness) as socket:
        last: dict[str, Any] = {"id": None}
        for _ in range(2):
            previous = {"previous_response_id": last["id"]} if last["id"] else {}
            events = await ask(socket, input="x" * 250, generate=False, **previous)
            last = events[-1]["response"]
        events = await ask(socket, input="x" * 250, previous_response_id=last["id"])
        assert (events[-1]["type"], events[-1]["status"]) == ("error", 413)
        assert "must have at most 1000 bytes" in events[-1]["error"]["message"]
        assert (await ask(socket, input="x" * 250))[-1]["type"] == "response.completed"
