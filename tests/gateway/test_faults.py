"""What providers may do wrong, and the whole answer that comes of it all the same."""

from __future__ import annotations

import anyio
import pytest

from tests.gateway.kit import SAID, standing

pytestmark = [pytest.mark.backends("asyncio")]

CHAIN = {"retries_per_provider": 2}


@pytest.mark.parametrize("stream", [False, True])
async def test_a_short_rest_is_waited_for(stream: bool) -> None:
    """429 with Retry-After 2: the preferred provider is asked again after it, and answers."""
    async with standing(["429-retry-after-2", ""], [], route=CHAIN) as place:
        began = anyio.current_time()
        answer = await place.ask(stream=stream)
        took = anyio.current_time() - began
    assert answer.text == SAID
    assert answer.headers["X-Provider"] == "first"
    assert 2.0 <= took < 3.0
    assert len(place.fakes[0].requests) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_429_for_ever(stream: bool) -> None:
    """429 that names no time: at most four attempts within three seconds, then the next one."""
    async with standing(["rate-limit"], [], route=CHAIN) as place:
        began = anyio.current_time()
        answer = await place.ask(stream=stream)
        took = anyio.current_time() - began
    assert answer.text == SAID
    assert took < 3.0
    assert sum(len(fake.requests) for fake in place.fakes) <= 4
    assert [entry["provider"] for entry in answer.trail][-1] == "second"


@pytest.mark.parametrize("stream", [False, True])
async def test_one_500(stream: bool) -> None:
    """One 500: the same provider is asked once more, and answers."""
    async with standing(["fail-500", ""], [], route=CHAIN) as place:
        answer = await place.ask(stream=stream)
    assert answer.text == SAID
    assert [fake for fake in place.fakes if fake.requests] == [place.fakes[0]]
    assert len(place.fakes[0].requests) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["fail-503", "cut-after-0", "html-200", "empty-200"])
async def test_ill_for_ever(fault: str, stream: bool) -> None:
    """503 for ever, a reset, rubbish: bounded attempts, then the next one answers whole."""
    async with standing([fault], [], route=CHAIN) as place:
        answer = await place.ask(stream=stream)
    assert answer.text == SAID
    assert answer.headers["X-Provider"] == "second"
    assert len(place.fakes[0].requests) <= 3
    assert answer.trail[0]["provider"] == "first"


async def test_no_answer_at_all() -> None:
    """A silent provider is asked once: the attempt times out, and the next one answers."""
    async with standing(["stall"], [], route=CHAIN) as place:
        began = anyio.current_time()
        answer = await place.ask()
        took = anyio.current_time() - began
    assert answer.text == SAID
    assert len(place.fakes[0].requests) == 1
    assert took < 31.0
    assert [entry["verdict"] for entry in answer.trail] == ["timeout", "success"]


async def test_first_token_too_late() -> None:
    """A first token after 20 s is given up by 12 s, for first_token is 10."""
    async with standing(["slow-first-token-20000"], [], route=CHAIN) as place:
        began = anyio.current_time()
        answer = await place.ask(stream=True)
        took = anyio.current_time() - began
    assert answer.text == SAID
    assert took < 12.0
    assert answer.done == 1


@pytest.mark.parametrize(
    "fault", ["cut-after-3", "eof-after-3", "stall-3", "broken-json-3", "event-error-3"]
)
async def test_broken_after_content(fault: str) -> None:
    """A stream that is cut, stalls or lies goes on elsewhere: one whole answer, one end."""
    async with standing([fault], [], route=CHAIN) as place:
        answer = await place.ask(stream=True)
    assert answer.text == SAID
    assert answer.done == 1
    assert not answer.broken
    assert len({(e["id"], e["created"], e["model"]) for e in answer.events}) == 1
    deltas = [event["choices"][0]["delta"] for event in answer.events]
    assert [bool("role" in delta) for delta in deltas] == [True] + [False] * (len(deltas) - 1)
    reasons = [event["choices"][0]["finish_reason"] for event in answer.events]
    assert reasons == [None] * (len(reasons) - 1) + ["stop"]


async def test_a_fallback_that_refuses_prefill() -> None:
    """Who may not go on from a half answer is asked in another way: one whole answer, one end."""
    able = {"second": {"capabilities": ["prefill"]}}
    async with standing(["cut-after-3"], ["fail-400", ""], route=CHAIN, providers=able) as place:
        answer = await place.ask(stream=True)
        first, then = (asked.body["messages"] for asked in place.fakes[1].requests)
    assert answer.text == SAID
    assert answer.done == 1
    assert not answer.broken
    assert [first[-1]["role"], then[-1]["role"]] == ["assistant", "user"]


async def test_reset_before_headers() -> None:
    """A connection that is reset before any answer: bounded attempts, then the next one."""
    async with standing(["cut-after-0"], [], route=CHAIN) as place:
        answer = await place.ask()
    assert answer.text == SAID
    assert [entry["verdict"] for entry in answer.trail][-2:] == ["transport", "success"]
    assert len(place.fakes[0].requests) <= 3


async def test_no_done() -> None:
    """An upstream that forgets `[DONE]` has answered whole all the same."""
    async with standing(["no-done"], [], route=CHAIN) as place:
        answer = await place.ask(stream=True)
    assert answer.text == SAID
    assert answer.done == 1
    assert not place.fakes[1].requests


@pytest.mark.parametrize("stream", [False, True])
async def test_context_too_long(stream: bool) -> None:
    """A prompt too long for the first goes on to the larger one, after one attempt."""
    windows = {"first": {"context_window": 8192}, "second": {"context_window": 10**6}}
    async with standing(["context-too-long"], [], route=CHAIN, providers=windows) as place:
        answer = await place.ask(stream=stream)
    assert answer.text == SAID
    assert len(place.fakes[0].requests) == 1
    assert answer.headers["X-Provider"] == "second"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fault", "code"),
    [("filtered", "content_policy_violation"), ("context-too-long", "context_length_exceeded")],
)
async def test_the_requests_own_fault(fault: str, code: str, stream: bool) -> None:
    """What no other provider mends is a clean 400 with the code clients know, after one attempt."""
    async with standing([fault], [], route=CHAIN) as place:
        answer = await place.ask(stream=stream)
    assert answer.status == 400
    assert answer.json["error"]["code"] == code
    assert sum(len(fake.requests) for fake in place.fakes) == 1
    assert [entry["provider"] for entry in answer.trail] == ["first"]


async def test_beyond_repair() -> None:
    """When nobody can go on, the client gets an error event, no `[DONE]` and no clean end."""
    async with standing(["cut-after-3"], ["cut-after-0"], route=CHAIN) as place:
        answer = await place.ask(stream=True)
    assert answer.status == 200
    assert answer.broken
    assert answer.done == 0
    assert answer.events[-1]["error"]["code"] == "stream_interrupted"
    assert not any(
        event["choices"][0]["finish_reason"] for event in answer.events if "choices" in event
    )


async def test_an_outage_of_a_minute() -> None:
    """Steady traffic is served throughout, with few probes, and is back soon after recovery."""
    async with standing([""], [], route=CHAIN) as place:
        for second in range(150):
            if second == 30:
                place.fakes[0].plan("fail-503")
                before = len(place.fakes[0].requests)
            if second == 90:
                half_open_max_calls = len(place.fakes[0].requests) - before
                place.fakes[0].plan("")
            answer = await place.ask()
            assert answer.text == SAID
            if second == 29 or second >= 120:
                assert answer.headers["X-Provider"] == "first"
            await anyio.sleep(1.0)
    assert half_open_max_calls < 30


async def test_who_answered_and_what_it_took() -> None:
    """The answer names the model that served and its usage; the headers say who, and how."""
    async with standing(["fail-503"], []) as place:
        answer = await place.ask(model="gpt-5")
    assert answer.json["model"] == "gpt-5"
    assert answer.json["usage"]["total_tokens"] > 0
    assert answer.headers["X-Model"] == "gpt-5"
    assert answer.headers["X-Provider"] == "second"
    assert float(answer.headers["X-Router-Overhead-Ms"]) >= 0.0
    assert answer.headers["X-Request-Id"].startswith("req_")
    assert [entry["provider"] for entry in answer.trail] == ["first", "second"]
    level, event, fields = place.log.told[-1]
    assert (level, event) == ("info", "request")
    assert fields["request_id"] == answer.headers["X-Request-Id"]
