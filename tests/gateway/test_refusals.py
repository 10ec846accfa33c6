"""Refusals of models fail over where the route says so, whole and streamed, before content."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from multirouter import CircuitEffect, Failover, Retry, Rule
from tests.gateway.test_native import CHAT, GEMINI, MESSAGE, post, stream_events
from tests.gateway.upstream import Sent, gateway_before, sse

pytestmark = [pytest.mark.backends("asyncio")]

OPT_IN: dict[str, Any] = {
    "rules": {
        "refusal": Rule(
            retry=Retry.NEVER,
            failover=Failover.AT_ONCE,
            circuit=CircuitEffect.NEUTRAL,
            side_effects_possible=False,
        )
    }
}


def refusal(kind: str, *, stream: bool) -> Any:
    if kind == "anthropic":
        stop = {"stop_reason": "refusal", "stop_details": {"type": "refusal"}}
        if not stream:
            return {**MESSAGE, "content": [], **stop}
        return sse(
            stream_events()[0],
            {"type": "message_delta", "delta": stop, "usage": {"output_tokens": 1}},
            {"type": "message_stop"},
        )
    if kind == "gemini":
        body = {**GEMINI, "candidates": [{"finishReason": "PROHIBITED_CONTENT", "index": 0}]}
        return sse(body) if stream else body
    if not stream:
        message = {"role": "assistant", "content": None, "refusal": "No."}
        return {**CHAT, "choices": [{"message": message, "finish_reason": "stop"}]}
    deltas: list[Any] = [{"role": "assistant", "content": ""}, {"refusal": "No"}, {"refusal": "."}]
    choices = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return sse(*({"id": "c", "model": "m", "choices": [one]} for one in (*choices, end)))


def answer(stream: bool) -> Any:
    return sse(*stream_events()) if stream else MESSAGE


BODY: dict[str, Any] = {
    "model": "claude-x",
    "max_tokens": 99,
    "messages": [{"role": "user", "content": "hi"}],
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["anthropic", "openai", "gemini"])
async def test_refusal_fails_over_where_the_route_opts_in(kind: str, stream: bool) -> None:
    """The next provider answers, and the trail shows the refusal with its sign."""

    def refuses(_: Sent) -> Any:
        return refusal(kind, stream=stream)

    upstreams = ((kind, refuses), ("anthropic", lambda _: answer(stream)))
    async with gateway_before(*upstreams, route=OPT_IN) as (harness, _):
        got = await post(harness, {**BODY, "stream": stream})
    assert got.status == 200
    assert got.headers["X-Provider"] == "p1"
    assert got.trail[0]["verdict"] == "refusal"
    assert got.trail[0]["reason"]
    assert got.data == (answer(True) if stream else got.data)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("kind", ["anthropic", "openai", "gemini"])
async def test_refusal_is_an_answer_by_default(kind: str, stream: bool) -> None:
    """Without the rule the client gets the refusal, with its stop reason."""

    def refuses(_: Sent) -> Any:
        return refusal(kind, stream=stream)

    upstreams = ((kind, refuses), ("anthropic", lambda _: answer(stream)))
    async with gateway_before(*upstreams) as (harness, (_, second)):
        got = await post(harness, {**BODY, "stream": stream})
    assert got.headers["X-Provider"] == "p0"
    assert not second.sent
    if kind != "openai":
        assert b'"refusal"' in got.data


async def test_refusal_after_content_is_delivered() -> None:
    """What was delivered cannot be taken back: the refusal ends the message."""
    events = stream_events()
    text = [events[0], events[9], events[10]]
    stop = {"type": "message_delta", "delta": {"stop_reason": "refusal"}, "usage": {}}
    data = sse(*text, stop, {"type": "message_stop"})
    upstreams = (("anthropic", lambda _: data), ("anthropic", lambda _: answer(True)))
    async with gateway_before(*upstreams, route=OPT_IN) as (harness, (_, second)):
        got = await post(harness, {**BODY, "stream": True})
    assert got.data == data
    assert not second.sent


@pytest.mark.parametrize("stream", [False, True])
async def test_all_refuse(stream: bool) -> None:
    """When every provider refuses, the client gets an error with the code `refusal`."""

    def refuses(_: Sent) -> Any:
        return refusal("anthropic", stream=stream)

    upstreams = (("anthropic", refuses), ("anthropic", refuses))
    async with gateway_before(*upstreams, route=OPT_IN) as (harness, _):
        got = await post(harness, {**BODY, "stream": stream})
    assert got.status == 400
    assert [entry["verdict"] for entry in got.trail] == ["refusal", "refusal"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("kind", "sign"),
    [("anthropic", "refusal"), ("gemini", "PROHIBITED_CONTENT"), ("chat", "message.refusal")],
)
async def test_a_route_chooses_by_sign(kind: str, sign: str, stream: bool) -> None:
    """A refusal with a sign of the rule fails over; with any other one it is the answer."""

    def refuses(_: Sent) -> Any:
        return refusal("openai" if kind == "chat" else kind, stream=stream)

    upstreams = ((kind, refuses), ("anthropic", lambda _: answer(stream)))
    for signs, server in (([sign, "x"], "p1"), (["invented"], "p0")):
        rule = replace(OPT_IN["rules"]["refusal"], signs=signs)
        async with gateway_before(*upstreams, route={"rules": {"refusal": rule}}) as (harness, _):
            got = await post(harness, {**BODY, "stream": stream})
        assert got.headers["X-Provider"] == server
        if server == "p1":
            assert got.trail[0]["reason"] == sign
