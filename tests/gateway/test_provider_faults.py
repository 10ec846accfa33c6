"""Provider faults that retries, failover and continuations hide from the client."""

from __future__ import annotations

import anyio
import pytest

from tests.gateway.harness import REPLY, running_gateway

pytestmark = [pytest.mark.backends("asyncio")]

CHAIN = {"retries_per_provider": 2}


@pytest.mark.parametrize("stream", [False, True])
async def test_short_retry_after_is_waited_for(stream: bool) -> None:
    """429 with Retry-After 2: the preferred provider is retried after it, and answers."""
    async with running_gateway(["429-retry-after-2", ""], [], route=CHAIN) as harness:
        started = anyio.current_time()
        answer = await harness.send(stream=stream)
        elapsed = anyio.current_time() - started
    assert answer.text == REPLY
    assert answer.headers["X-Provider"] == "first"
    assert 2.0 <= elapsed < 3.0
    assert len(harness.fakes[0].requests) == 2


@pytest.mark.parametrize("stream", [False, True])
async def test_permanent_429(stream: bool) -> None:
    """429 without Retry-After: failover after at most four attempts in three seconds."""
    async with running_gateway(["rate-limit"], [], route=CHAIN) as harness:
        started = anyio.current_time()
        answer = await harness.send(stream=stream)
        elapsed = anyio.current_time() - started
    assert answer.text == REPLY
    assert elapsed < 3.0
    assert sum(len(fake.requests) for fake in harness.fakes) <= 4
    assert [entry["provider"] for entry in answer.trail][-1] == "second"


@pytest.mark.parametrize("stream", [False, True])
async def test_single_500(stream: bool) -> None:
    """A single 500: the same provider is retried once, and answers."""
    async with running_gateway(["fail-500", ""], [], route=CHAIN) as harness:
        answer = await harness.send(stream=stream)
    assert answer.text == REPLY
    assert [fake for fake in harness.fakes if fake.requests] == [harness.fakes[0]]
    assert len(harness.fakes[0].requests) == 2


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("fault", ["fail-503", "cut-after-0", "html-200", "empty-200"])
async def test_permanent_failures(fault: str, stream: bool) -> None:
    """503, a reset, HTML or an empty body: failover after at most three attempts."""
    async with running_gateway([fault], [], route=CHAIN) as harness:
        answer = await harness.send(stream=stream)
    assert answer.text == REPLY
    assert answer.headers["X-Provider"] == "second"
    assert len(harness.fakes[0].requests) <= 3
    assert answer.trail[0]["provider"] == "first"


async def test_provider_without_an_answer() -> None:
    """A provider that does not answer is not retried after the timeout: failover."""
    async with running_gateway(["stall"], [], route=CHAIN) as harness:
        started = anyio.current_time()
        answer = await harness.send()
        elapsed = anyio.current_time() - started
    assert answer.text == REPLY
    assert len(harness.fakes[0].requests) == 1
    assert elapsed < 31.0
    assert [entry["verdict"] for entry in answer.trail] == ["timeout", "success"]


async def test_late_first_token() -> None:
    """A first token after 20 s: failover at first_token, 10 s."""
    async with running_gateway(["slow-first-token-20000"], [], route=CHAIN) as harness:
        started = anyio.current_time()
        answer = await harness.send(stream=True)
        elapsed = anyio.current_time() - started
    assert answer.text == REPLY
    assert elapsed < 12.0
    assert answer.done == 1


@pytest.mark.parametrize(
    "fault", ["cut-after-3", "eof-after-3", "stall-3", "broken-json-3", "event-error-3"]
)
async def test_stream_that_breaks_after_content(fault: str) -> None:
    """A stream that breaks is continued by another provider: one whole answer, one end."""
    async with running_gateway([fault], [], route=CHAIN) as harness:
        answer = await harness.send(stream=True)
    assert answer.text == REPLY
    assert answer.done == 1
    assert not answer.broken
    assert len({(e["id"], e["created"], e["model"]) for e in answer.events}) == 1
    deltas = [event["choices"][0]["delta"] for event in answer.events]
    assert [bool("role" in delta) for delta in deltas] == [True] + [False] * (len(deltas) - 1)
    reasons = [event["choices"][0]["finish_reason"] for event in answer.events]
    assert reasons == [None] * (len(reasons) - 1) + ["stop"]


async def test_continuation_by_a_provider_that_rejects_prefill() -> None:
    """A provider that rejects prefill gets a user message instead: one whole answer, one end."""
    able = {"second": {"capabilities": ["prefill"]}}
    async with running_gateway(
        ["cut-after-3"], ["fail-400", ""], route=CHAIN, providers=able
    ) as harness:
        answer = await harness.send(stream=True)
        first, then = (request.body["messages"] for request in harness.fakes[1].requests)
    assert answer.text == REPLY
    assert answer.done == 1
    assert not answer.broken
    assert [first[-1]["role"], then[-1]["role"]] == ["assistant", "user"]


async def test_reset_before_headers() -> None:
    """A connection reset before any answer: failover after at most three attempts."""
    async with running_gateway(["cut-after-0"], [], route=CHAIN) as harness:
        answer = await harness.send()
    assert answer.text == REPLY
    assert [entry["verdict"] for entry in answer.trail][-2:] == ["transport", "success"]
    assert len(harness.fakes[0].requests) <= 3


async def test_missing_done_event() -> None:
    """A stream without `[DONE]` is complete if it has a finish reason."""
    async with running_gateway(["no-done"], [], route=CHAIN) as harness:
        answer = await harness.send(stream=True)
    assert answer.text == REPLY
    assert answer.done == 1
    assert not harness.fakes[1].requests


@pytest.mark.parametrize("stream", [False, True])
async def test_context_too_long(stream: bool) -> None:
    """A prompt too long for one provider goes to one with a larger window, after one attempt."""
    windows = {"first": {"context_window": 8192}, "second": {"context_window": 10**6}}
    async with running_gateway(["context-too-long"], [], route=CHAIN, providers=windows) as harness:
        answer = await harness.send(stream=stream)
    assert answer.text == REPLY
    assert len(harness.fakes[0].requests) == 1
    assert answer.headers["X-Provider"] == "second"


@pytest.mark.parametrize("stream", [False, True])
async def test_context_too_long_for_unknown_windows(stream: bool) -> None:
    """A prompt too long for one provider goes to one whose window is unknown."""
    async with running_gateway(["context-too-long"], [], route=CHAIN) as harness:
        answer = await harness.send(stream=stream)
    assert answer.text == REPLY
    assert [entry["provider"] for entry in answer.trail] == ["first", "second"]


@pytest.mark.parametrize("stream", [False, True])
async def test_context_too_long_everywhere(stream: bool) -> None:
    """A prompt too long for every provider is a 400 with its code, after one attempt at each."""
    faults = (["context-too-long"], ["context-too-long"])
    async with running_gateway(*faults, route=CHAIN) as harness:
        answer = await harness.send(stream=stream)
    assert answer.status == 400
    assert answer.json["error"]["code"] == "context_length_exceeded"
    assert [len(fake.requests) for fake in harness.fakes] == [1, 1]


@pytest.mark.parametrize("stream", [False, True])
async def test_invalid_request_is_not_retried(stream: bool) -> None:
    """A failure that every provider would repeat is a 400 with its code, after one attempt."""
    async with running_gateway(["filtered"], [], route=CHAIN) as harness:
        answer = await harness.send(stream=stream)
    assert answer.status == 400
    assert answer.json["error"]["code"] == "content_policy_violation"
    assert sum(len(fake.requests) for fake in harness.fakes) == 1
    assert [entry["provider"] for entry in answer.trail] == ["first"]


async def test_stream_that_cannot_be_continued() -> None:
    """Without a provider to continue it, a stream ends with an error event, and no clean end."""
    async with running_gateway(["cut-after-3"], ["cut-after-0"], route=CHAIN) as harness:
        answer = await harness.send(stream=True)
    assert answer.status == 200
    assert answer.broken
    assert answer.done == 0
    assert answer.events[-1]["error"]["code"] == "stream_interrupted"
    assert not any(
        event["choices"][0]["finish_reason"] for event in answer.events if "choices" in event
    )


async def test_outage_of_a_minute() -> None:
    """All requests are answered, with few trials, and the provider is used soon after recovery."""
    async with running_gateway([""], [], route=CHAIN) as harness:
        for second in range(150):
            if second == 30:
                harness.fakes[0].script("fail-503")
                before = len(harness.fakes[0].requests)
            if second == 90:
                attempts = len(harness.fakes[0].requests) - before
                harness.fakes[0].script("")
            answer = await harness.send()
            assert answer.text == REPLY
            if second == 29 or second >= 120:
                assert answer.headers["X-Provider"] == "first"
            await anyio.sleep(1.0)
    assert attempts < 30


async def test_response_headers_and_log() -> None:
    """The answer has model and usage; the headers have provider, model, attempts and overhead."""
    async with running_gateway(["fail-503"], []) as harness:
        answer = await harness.send(model="gpt-5")
    assert answer.json["model"] == "gpt-5"
    assert answer.json["usage"]["total_tokens"] > 0
    assert answer.headers["X-Model"] == "gpt-5"
    assert answer.headers["X-Provider"] == "second"
    assert float(answer.headers["X-Router-Overhead-Ms"]) >= 0.0
    assert answer.headers["X-Request-Id"].startswith("req_")
    assert [entry["provider"] for entry in answer.trail] == ["first", "second"]
    level, event, fields = harness.log.events[-1]
    assert (level, event) == ("info", "request")
    assert fields["request_id"] == answer.headers["X-Request-Id"]
