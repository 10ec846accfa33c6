"""Gemini's endpoints in front of providers of OpenAI's and of Gemini's format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multirouter import Route
from multirouter.config import KeyBook
from multirouter.gateway.app import ServerLimits
from multirouter.gateway.formats.gemini.answers import to_generate_content
from multirouter.gateway.formats.gemini.stream import GenerateContentEvents
from multirouter.providers import Gemini
from tests.gateway.gemini_contents import TOOLS, model, user
from tests.gateway.harness import PROMPT, REPLY, SECRET, Answer, Harness, running_gateway

pytestmark = [pytest.mark.backends("asyncio")]


async def generate(
    harness: Harness, *, stream: bool = False, model_path: str = "/v1beta/models/m", **fields: Any
) -> Answer:
    headers = fields.pop("headers", {})
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    body = {"contents": [user(PROMPT)], **fields}
    return await harness.post(f"{model_path}:{method}", json.dumps(body).encode(), headers)


def text_of(*responses: Any) -> str:
    """The text of a whole answer or of all its pieces, without thoughts."""
    parts = [part for r in responses for part in r["candidates"][0]["content"]["parts"]]
    return "".join(part.get("text", "") for part in parts if not part.get("thought"))


async def test_answer() -> None:
    """Contents are translated, and the answer; cached tokens count as prompt tokens."""
    async with running_gateway() as harness:
        answer = await generate(
            harness,
            system_instruction={"parts": [{"text": "Be "}, {"text": "brief."}]},
            generationConfig={"temperature": 0.5, "stopSequences": ["END"], "maxOutputTokens": 9},
        )
        sent = harness.fakes[0].requests[-1].body
    body = answer.json
    assert text_of(body) == REPLY
    assert (body["candidates"][0]["finishReason"], body["modelVersion"]) == (
        "STOP",
        "m",
    )
    assert body["usageMetadata"]["cachedContentTokenCount"] == 1
    counts = body["usageMetadata"]
    sum_ = counts["promptTokenCount"] + counts["candidatesTokenCount"]
    assert sum_ == counts["totalTokenCount"]
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (sent["temperature"], sent["stop"], sent["max_completion_tokens"]) == (0.5, ["END"], 9)
    assert answer.headers["X-Provider"] == "first"


async def test_stream() -> None:
    """A stream continues after a cut; its last element alone has finish reason and usage."""
    async with running_gateway(["cut-after-3"], []) as harness:
        answer = await generate(harness, stream=True)
    assert text_of(*answer.events) == REPLY
    reasons = [event["candidates"][0].get("finishReason") for event in answer.events]
    assert reasons == [None] * (len(reasons) - 1) + ["STOP"]
    assert ["usageMetadata" in event for event in answer.events] == [
        *[False] * (len(reasons) - 1),
        True,
    ]
    assert len({event["responseId"] for event in answer.events}) == 1
    assert b"[DONE]" not in answer.data


async def test_json_array_stream() -> None:
    """Without `alt=sse` a stream is one JSON array, also with pauses and after a cut."""
    limits = ServerLimits(comment_interval=1.0)
    async with running_gateway(
        ["slow-first-token-2500"], ["cut-after-3"], [], limits=limits
    ) as harness:
        body = json.dumps({"contents": [user(PROMPT)]}).encode()
        slow = await harness.post("/v1beta/models/m:streamGenerateContent", body)
        harness.router.hold("first", "open")
        cut = await harness.post("/v1beta/models/m:streamGenerateContent?alt=json", body)
    for answer in (slow, cut):
        assert answer.headers["Content-Type"] == "application/json"
        assert text_of(*answer.json) == REPLY
        assert [piece["candidates"][0].get("finishReason") for piece in answer.json][-1] == "STOP"


async def test_error_in_a_json_array_stream() -> None:
    """A broken array has the error as its last element, and no end of the body."""
    async with running_gateway(["cut-after-3"]) as harness:
        body = json.dumps({"contents": [user(PROMPT)]}).encode()
        answer = await harness.post("/v1beta/models/m:streamGenerateContent", body)
    assert answer.broken
    assert answer.json[-1]["error"]["status"] == "UNAVAILABLE"
    assert not any("finishReason" in piece["candidates"][0] for piece in answer.json[:-1])


@pytest.mark.parametrize("stream", [False, True])
async def test_tools(stream: bool) -> None:
    """A call has its arguments as an object; its result becomes a tool message."""
    question = user("the weather please")
    async with running_gateway() as harness:
        answer = await generate(harness, stream=stream, contents=[question], tools=TOOLS)
        body = answer.events[-1] if stream else answer.json
        (part,) = body["candidates"][0]["content"]["parts"]
        result = {"name": "weather", "response": {"output": "rain"}}
        turns = [question, model(part), user({"functionResponse": result})]
        again = await generate(harness, contents=turns, tools=TOOLS)
        sent = harness.fakes[0].requests[-1].body
    call = part["functionCall"]
    assert (call["name"], call["args"]) == ("weather", {"city": "Zürich"})
    assert body["candidates"][0]["finishReason"] == "STOP"
    assert again.status == 200
    schema = {"type": "object", "properties": {"city": {"type": "string"}}}
    assert sent["tools"][0]["function"] == {"name": "weather", "parameters": schema}
    assert sent["messages"][1]["tool_calls"][0]["id"] == call["id"]
    assert sent["messages"][2] == {"role": "tool", "tool_call_id": call["id"], "content": "rain"}


@pytest.mark.parametrize(
    ("fault", "status", "name"),
    [
        ("context-too-long", 400, "INVALID_ARGUMENT"),
        ("429-retry-after-50", 429, "RESOURCE_EXHAUSTED"),
        ("fail-503", 503, "UNAVAILABLE"),
        ("no-model", 404, "NOT_FOUND"),
        ("fail-500", 502, "UNAVAILABLE"),
        ("fail-422", 422, "INVALID_ARGUMENT"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_errors(fault: str, status: int, name: str, stream: bool) -> None:
    """Errors have Google's format and status, with the retry delay in the details."""
    async with running_gateway([fault]) as harness:
        answer = await generate(harness, stream=stream)
    error = answer.json["error"]
    assert (answer.status, error["code"], error["status"]) == (status, status, name)
    info = error["details"][0]
    assert info["metadata"]["requestId"] == answer.headers["X-Request-Id"]
    if fault == "context-too-long":
        assert "exceeds the maximum number of tokens" in error["message"]
    if status == 429:
        assert 49 < float(error["details"][1]["retryDelay"].removesuffix("s")) <= 50


async def test_error_after_content() -> None:
    """A broken stream ends with an error and without a finish reason."""
    async with running_gateway(["cut-after-3"]) as harness:
        answer = await generate(harness, stream=True)
    assert answer.broken
    assert answer.events[-1]["error"]["status"] == "UNAVAILABLE"
    assert not any("finishReason" in e["candidates"][0] for e in answer.events[:-1])


async def test_blank_lines_keep_a_stream_alive() -> None:
    """Google's client reads a comment as an element, so blank lines are sent instead."""
    async with running_gateway(
        ["slow-first-token-2500"], limits=ServerLimits(comment_interval=1.0)
    ) as harness:
        answer = await generate(harness, stream=True)
    assert answer.data.startswith(b"\n\ndata: ")
    assert text_of(*answer.events) == REPLY


async def test_models() -> None:
    """Models are listed in Google's format for Google's clients, under /v1 too."""
    async with running_gateway(models={"m": "main", "a/b": "main"}) as harness:

        async def get(path: str, **headers: str) -> Any:
            async with harness.http.get(harness.url + path, headers=headers) as response:
                return await response.json()

        for model_entry in (
            await get("/v1beta/models"),
            await get("/v1/models", **{"x-goog-api-key": "k"}),
        ):
            assert [entry["name"] for entry in model_entry["models"]] == ["models/m", "models/a/b"]
        assert (await get("/v1beta/models/a/b"))["baseModelId"] == "a/b"
        assert (await get("/v1beta/models/x"))["error"]["status"] == "NOT_FOUND"
        assert (await get("/v1/models"))["object"] == "list"


async def test_urls() -> None:
    """A model's name may have slashes; unknown models, methods and `alt` values are rejected."""
    async with running_gateway(models={"a/b": "main"}) as harness:
        for path in ("/v1beta/models/a/b", "/v1/models/a/b", "/v1beta/models/a%2Fb"):
            assert text_of((await generate(harness, model_path=path)).json) == REPLY
        unknown = await generate(harness, model_path="/v1beta/models/zzz")
        other = await harness.post("/v1beta/models/a/b:countTokens", b"{}")
        embed = await harness.post("/v1beta/models/a/b:embedContent", b"{}")
        bare = await harness.post("/v1beta/models/a/b", b"{}")
        proto = await harness.post("/v1beta/models/a/b:streamGenerateContent?alt=proto", b"{}")
        log = harness.log.events
    rejected = (unknown, other, embed, bare, proto)
    assert [a.status for a in rejected] == [404, 400, 404, 405, 400]
    assert all(a.json["error"]["status"] for a in rejected)
    assert "/v1/embeddings" in embed.json["error"]["message"]
    assert [fields.get("requested_model") for _, _, fields in log][:3] == ["a/b"] * 3


async def test_keys() -> None:
    """The key is accepted in Google's header and, here alone, in the URL; it is never logged."""
    book, token = KeyBook().new("alice")
    async with running_gateway(keys=book) as harness:
        without_key = await generate(harness)
        by_header = await generate(harness, headers={"x-goog-api-key": token})
        body = json.dumps({"contents": [user(PROMPT)]}).encode()
        by_query = await harness.post(f"/v1beta/models/m:generateContent?key={token}", body)
        elsewhere = await harness.post(f"/v1/chat/completions?key={token}", b"{}")
        async with harness.http.get(f"{harness.url}/v1beta/models?key={token}") as response:
            model_entry = response.status
        sent = [dict(request.headers) for request in harness.fakes[0].requests]
    assert (without_key.status, without_key.json["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert [by_header.status, by_query.status, model_entry, elsewhere.status] == [
        200,
        200,
        200,
        401,
    ]
    assert token not in repr(harness.log.events)
    assert token not in repr(sent)


async def test_extension_fields() -> None:
    """The gateway's own fields work here as well, and are not sent upstream."""
    async with running_gateway(["fail-503"], [], models={"m": "first", "n": "second"}) as harness:
        answer = await generate(harness, fallback_models=["n"], timeout=20)
        sent = harness.fakes[1].requests[-1].body
    assert answer.headers["X-Provider"] == "second"
    assert sent.keys() == {"messages", "model"}


async def test_thought_signatures_round_trip() -> None:
    """The signature of a Gemini model is returned, and sent back to a Gemini provider."""
    async with running_gateway() as harness:
        gemini = Gemini(
            "google", model="gemini-3-pro", base_url=harness.fakes[0].url, api_key=SECRET
        )
        harness.router.reconfigure([gemini], [Route("main", ["google"])])
        question = user("the weather please")
        answer = await generate(harness, stream=True, contents=[question], tools=TOOLS)
        candidates = [event["candidates"][0] for event in answer.events]
        parts = [part for one in candidates for part in one.get("content", {}).get("parts", ())]
        part = next(part for part in parts if "functionCall" in part)
        result = {"id": part["functionCall"]["id"], "name": "weather", "response": {"a": 1}}
        turns = [question, model(part), user({"functionResponse": result})]
        again = await generate(harness, contents=turns, tools=TOOLS)
        sent = harness.fakes[0].requests[-1].body["contents"]
    assert part["thoughtSignature"]
    assert again.status == 200
    assert sent[1]["parts"] == [part]


@pytest.mark.parametrize("thoughts", [False, True])
def test_thoughts_are_returned_on_request(thoughts: bool) -> None:
    """Thoughts are parts of their own if requested, else dropped, whole and streamed."""
    message = {"content": "hi", "reasoning_content": "hm"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    answer = {"id": "x", "model": "m", "choices": [choice], "usage": usage}
    whole = to_generate_content(answer, thoughts=thoughts)
    events = GenerateContentEvents("req_1", thoughts=thoughts)
    deltas: list[Any] = [{"reasoning_content": "hm"}, {"content": "hi"}]
    data = b"".join(
        events.feed({"id": "x", "model": "m", "choices": [{"index": 0, "delta": delta}]})
        for delta in deltas
    )
    pieces = [json.loads(line[6:]) for line in data.split(b"\n") if line]
    streamed = [part for piece in pieces for part in piece["candidates"][0]["content"]["parts"]]
    expected: list[Any] = [{"text": "hm", "thought": True}] * thoughts + [{"text": "hi"}]
    assert whole["candidates"][0]["content"]["parts"] == streamed == expected
    assert whole["usageMetadata"] == {
        "promptTokenCount": 3,
        "candidatesTokenCount": 3,
        "totalTokenCount": 8,
        "thoughtsTokenCount": 2,
    }


async def test_candidates_and_log_probabilities() -> None:
    """Several candidates are kept apart, whole and streamed, with log probabilities."""
    config = {"candidateCount": 2, "responseLogprobs": True, "logprobs": 1}
    async with running_gateway() as harness:
        whole = (await generate(harness, generationConfig=config)).json["candidates"]
        events = (await generate(harness, stream=True, generationConfig=config)).events
    assert [candidate["index"] for candidate in whole] == [0, 1]
    chosen = whole[1]["logprobsResult"]
    assert len(chosen["topCandidates"]) == len(chosen["chosenCandidates"]) > 0
    assert [c["index"] for c in events[-1]["candidates"]] == [0, 1]
    for index in (0, 1):
        pieces = [c for e in events for c in e["candidates"] if c["index"] == index]
        assert text_of(*({"candidates": [piece]} for piece in pieces)) == REPLY


async def test_filtered_answer() -> None:
    """A filtered answer ends with SAFETY, and its refusal is its text."""
    message = {"content": "", "refusal": "the prompt was blocked: SAFETY"}
    choice = {"index": 0, "message": message, "finish_reason": "content_filter"}
    body = to_generate_content({"id": "x", "model": "m", "choices": [choice]}, thoughts=False)
    assert body["candidates"][0]["finishReason"] == "SAFETY"
    assert text_of(body) == "the prompt was blocked: SAFETY"
