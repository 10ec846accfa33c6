"""Gemini's door in front of providers that speak OpenAI's format, and Gemini's own."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multirouter import Route
from multirouter.config import KeyBook
from multirouter.gateway.app import Bounds
from multirouter.gateway.formats.gemini.answers import to_generation
from multirouter.gateway.formats.gemini.requests import from_generate, includes_thoughts
from multirouter.gateway.formats.gemini.stream import GenerationEvents
from multirouter.gateway.http.error_responses import Refusal
from multirouter.providers import Gemini
from tests.gateway.kit import PROMPT, SAID, SECRET, Answer, Place, standing

pytestmark = [pytest.mark.backends("asyncio")]

WEATHER = {
    "name": "weather",
    "parameters": {"type": "OBJECT", "properties": {"city": {"type": "STRING"}}},
}
TOOLS = [{"functionDeclarations": [WEATHER]}]


def user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "parts": [{"text": p} if isinstance(p, str) else p for p in parts]}


def model(*parts: Any) -> dict[str, Any]:
    return {**user(*parts), "role": "model"}


async def say(
    place: Place, *, stream: bool = False, at: str = "/v1beta/models/m", **fields: Any
) -> Answer:
    headers = fields.pop("headers", {})
    method = "streamGenerateContent?alt=sse" if stream else "generateContent"
    body = {"contents": [user(PROMPT)], **fields}
    return await place.post(f"{at}:{method}", json.dumps(body).encode(), headers)


def text_of(*responses: Any) -> str:
    """The text of a whole answer, or of all pieces of one, thoughts left out."""
    parts = [part for r in responses for part in r["candidates"][0]["content"]["parts"]]
    return "".join(part.get("text", "") for part in parts if not part.get("thought"))


async def test_an_answer() -> None:
    """Contents in, a candidate out; usage keeps cached tokens among the prompt's."""
    async with standing() as place:
        answer = await say(
            place,
            system_instruction={"parts": [{"text": "Be "}, {"text": "brief."}]},
            generationConfig={"temperature": 0.5, "stopSequences": ["END"], "maxOutputTokens": 9},
        )
        sent = place.fakes[0].requests[-1].body
    told = answer.json
    assert text_of(told) == SAID
    assert (told["candidates"][0]["finishReason"], told["modelVersion"]) == ("STOP", "m")
    assert told["usageMetadata"]["cachedContentTokenCount"] == 1
    counts = told["usageMetadata"]
    sum_ = counts["promptTokenCount"] + counts["candidatesTokenCount"]
    assert sum_ == counts["totalTokenCount"]
    assert sent["messages"][0] == {"role": "system", "content": "Be brief."}
    assert (sent["temperature"], sent["stop"], sent["max_completion_tokens"]) == (0.5, ["END"], 9)
    assert answer.headers["X-Provider"] == "first"


async def test_a_stream() -> None:
    """Pieces of new text, through a cut; the last one alone has a reason, and the usage."""
    async with standing(["cut-after-3"], []) as place:
        answer = await say(place, stream=True)
    assert text_of(*answer.events) == SAID
    reasons = [event["candidates"][0].get("finishReason") for event in answer.events]
    assert reasons == [None] * (len(reasons) - 1) + ["STOP"]
    assert ["usageMetadata" in event for event in answer.events] == [
        *[False] * (len(reasons) - 1),
        True,
    ]
    assert len({event["responseId"] for event in answer.events}) == 1
    assert b"[DONE]" not in answer.data


async def test_a_stream_without_sse() -> None:
    """Without `alt=sse` a stream is one JSON array, through silence and a cut."""
    bounds = Bounds(keepalive=1.0)
    async with standing(["slow-first-token-2500"], ["cut-after-3"], [], bounds=bounds) as place:
        body = json.dumps({"contents": [user(PROMPT)]}).encode()
        slow = await place.post("/v1beta/models/m:streamGenerateContent", body)
        place.router.hold("first", "open")
        cut = await place.post("/v1beta/models/m:streamGenerateContent?alt=json", body)
    for answer in (slow, cut):
        assert answer.headers["Content-Type"] == "application/json"
        assert text_of(*answer.json) == SAID
        assert [piece["candidates"][0].get("finishReason") for piece in answer.json][-1] == "STOP"


async def test_an_error_in_an_array() -> None:
    """A broken array holds its error as the last element, and lacks the body's end."""
    async with standing(["cut-after-3"]) as place:
        body = json.dumps({"contents": [user(PROMPT)]}).encode()
        answer = await place.post("/v1beta/models/m:streamGenerateContent", body)
    assert answer.broken
    assert answer.json[-1]["error"]["status"] == "UNAVAILABLE"
    assert not any("finishReason" in piece["candidates"][0] for piece in answer.json[:-1])


@pytest.mark.parametrize("stream", [False, True])
async def test_tools(stream: bool) -> None:
    """A call comes whole with an object; its result travels back as a tool's message."""
    asked = user("the weather please")
    async with standing() as place:
        answer = await say(place, stream=stream, contents=[asked], tools=TOOLS)
        told = answer.events[-1] if stream else answer.json
        (part,) = told["candidates"][0]["content"]["parts"]
        result = {"name": "weather", "response": {"output": "rain"}}
        turns = [asked, model(part), user({"functionResponse": result})]
        again = await say(place, contents=turns, tools=TOOLS)
        sent = place.fakes[0].requests[-1].body
    call = part["functionCall"]
    assert (call["name"], call["args"]) == ("weather", {"city": "Zürich"})
    assert told["candidates"][0]["finishReason"] == "STOP"
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
    """Errors have Google's shape and status; when to come again stands in the details."""
    async with standing([fault]) as place:
        answer = await say(place, stream=stream)
    error = answer.json["error"]
    assert (answer.status, error["code"], error["status"]) == (status, status, name)
    info = error["details"][0]
    assert info["metadata"]["requestId"] == answer.headers["X-Request-Id"]
    if fault == "context-too-long":
        assert "exceeds the maximum number of tokens" in error["message"]
    if status == 429:
        assert 49 < float(error["details"][1]["retryDelay"].removesuffix("s")) <= 50


async def test_an_error_in_the_middle() -> None:
    """A stream beyond repair ends with an error, and without a finish reason."""
    async with standing(["cut-after-3"]) as place:
        answer = await say(place, stream=True)
    assert answer.broken
    assert answer.events[-1]["error"]["status"] == "UNAVAILABLE"
    assert not any("finishReason" in e["candidates"][0] for e in answer.events[:-1])


async def test_silence_is_kept_alive_by_blank_lines() -> None:
    """Google's client takes a comment for a piece of the answer: none is sent."""
    async with standing(["slow-first-token-2500"], bounds=Bounds(keepalive=1.0)) as place:
        answer = await say(place, stream=True)
    assert answer.data.startswith(b"\n\ndata: ")
    assert text_of(*answer.events) == SAID


async def test_models() -> None:
    """Models are listed in Google's format for Google's clients, whose default is /v1."""
    async with standing(models={"m": "main", "a/b": "main"}) as place:

        async def get(path: str, **headers: str) -> Any:
            async with place.http.get(place.url + path, headers=headers) as response:
                return await response.json()

        for listed in (
            await get("/v1beta/models"),
            await get("/v1/models", **{"x-goog-api-key": "k"}),
        ):
            assert [entry["name"] for entry in listed["models"]] == ["models/m", "models/a/b"]
        assert (await get("/v1beta/models/a/b"))["baseModelId"] == "a/b"
        assert (await get("/v1beta/models/x"))["error"]["status"] == "NOT_FOUND"
        assert (await get("/v1/models"))["object"] == "list"


async def test_addresses() -> None:
    """A name may have slashes; other methods, forms and models are refused."""
    async with standing(models={"a/b": "main"}) as place:
        for at in ("/v1beta/models/a/b", "/v1/models/a/b", "/v1beta/models/a%2Fb"):
            assert text_of((await say(place, at=at)).json) == SAID
        unknown = await say(place, at="/v1beta/models/zzz")
        other = await place.post("/v1beta/models/a/b:countTokens", b"{}")
        embed = await place.post("/v1beta/models/a/b:embedContent", b"{}")
        bare = await place.post("/v1beta/models/a/b", b"{}")
        proto = await place.post("/v1beta/models/a/b:streamGenerateContent?alt=proto", b"{}")
        log = place.log.told
    refused = (unknown, other, embed, bare, proto)
    assert [a.status for a in refused] == [404, 404, 404, 404, 400]
    assert all(a.json["error"]["status"] for a in refused)
    assert "/v1/embeddings" in embed.json["error"]["message"]
    assert [fields.get("asked") for _, _, fields in log][:3] == ["a/b"] * 3


async def test_keys() -> None:
    """The key comes in Google's header or in the address, there alone, and is never logged."""
    book, token = KeyBook().new("alice")
    async with standing(keys=book) as place:
        refused = await say(place)
        by_header = await say(place, headers={"x-goog-api-key": token})
        body = json.dumps({"contents": [user(PROMPT)]}).encode()
        by_address = await place.post(f"/v1beta/models/m:generateContent?key={token}", body)
        elsewhere = await place.post(f"/v1/chat/completions?key={token}", b"{}")
        async with place.http.get(f"{place.url}/v1beta/models?key={token}") as response:
            listed = response.status
        sent = [dict(request.headers) for request in place.fakes[0].requests]
    assert (refused.status, refused.json["error"]["status"]) == (401, "UNAUTHENTICATED")
    assert [by_header.status, by_address.status, listed, elsewhere.status] == [200, 200, 200, 401]
    assert token not in repr(place.log.told)
    assert token not in repr(sent)


async def test_the_gateways_own_fields() -> None:
    """Extensions work at this door as at the others, and go no further."""
    async with standing(["fail-503"], [], models={"m": "first", "n": "second"}) as place:
        answer = await say(place, fallback_models=["n"], timeout=20)
        sent = place.fakes[1].requests[-1].body
    assert answer.headers["X-Provider"] == "second"
    assert sent.keys() == {"messages", "model"}


async def test_signatures_of_geminis_own_models() -> None:
    """What a Gemini model signs comes out signed, and goes back signed to a Gemini provider."""
    async with standing() as place:
        made = Gemini("google", model="gemini-3-pro", base_url=place.fakes[0].url, api_key=SECRET)
        place.router.reconfigure([made], [Route("main", ["google"])])
        asked = user("the weather please")
        answer = await say(place, stream=True, contents=[asked], tools=TOOLS)
        part = answer.events[-1]["candidates"][0]["content"]["parts"][0]
        result = {"id": part["functionCall"]["id"], "name": "weather", "response": {"a": 1}}
        turns = [asked, model(part), user({"functionResponse": result})]
        again = await say(place, contents=turns, tools=TOOLS)
        sent = place.fakes[0].requests[-1].body["contents"]
    assert part["thoughtSignature"]
    assert again.status == 200
    assert sent[1]["parts"] == [part]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"contents": []}, "contents"),
        ({"contents": "hello"}, "contents"),
        ({"contents": [{"parts": "x"}]}, "contents[0].parts"),
        ({"contents": [{"role": "robot", "parts": [{"text": "x"}]}]}, "contents[0].role"),
        ({"contents": [user({"executableCode": {}})]}, "contents[0].parts[0].executableCode"),
        ({"contents": [user({"functionCall": {"name": "f"}})]}, "contents[0].parts[0]"),
        ({"contents": [user({})]}, "contents[0].parts[0]"),
        ({"contents": [user({"text": 1})]}, "contents[0].parts[0]"),
        ({"contents": [model({"inlineData": {}})]}, "contents[0].parts[0]"),
        (
            {"contents": [model({"functionCall": {}})]},
            "contents[0].parts[0].functionCall.name",
        ),
        (
            {"contents": [user({"functionResponse": {"name": "f"}})]},
            "contents[0].parts[0].functionResponse",
        ),
        (
            {"contents": [user({"functionResponse": {"name": "f", "response": []}})]},
            "contents[0].parts[0].functionResponse.response",
        ),
        (
            {"contents": [user({"inlineData": {"data": "AAAA"}})]},
            "contents[0].parts[0].inlineData.mimeType",
        ),
        ({"contents": [user({"fileData": "x"})]}, "contents[0].parts[0].fileData"),
        ({"systemInstruction": user({"inlineData": {}})}, "systemInstruction"),
        ({"systemInstruction": 7}, "systemInstruction"),
        ({"tools": [{"googleSearch": {}}]}, "tools[0].googleSearch"),
        ({"tools": [{"functionDeclarations": [{}]}]}, "tools[0].functionDeclarations[0].name"),
        ({"tools": ["x"]}, "tools[0]"),
        (
            {"tools": [{"functionDeclarations": [{"name": "f", "parameters": []}]}]},
            "tools[0].functionDeclarations[0].parameters",
        ),
        (
            {"tools": TOOLS, "toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}},
            "toolConfig.functionCallingConfig.mode",
        ),
        (
            {
                "tools": TOOLS,
                "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["x"]}},
            },
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
        (
            {
                "tools": TOOLS,
                "toolConfig": {"functionCallingConfig": {"allowedFunctionNames": "x"}},
            },
            "toolConfig.functionCallingConfig.allowedFunctionNames",
        ),
        ({"toolConfig": {"retrievalConfig": {}}}, "toolConfig.retrievalConfig"),
        ({"cachedContent": "cachedContents/x"}, "cachedContent"),
        ({"surprise": 1}, "surprise"),
        (
            {"safetySettings": [{"category": "X", "threshold": "BLOCK_LOW_AND_ABOVE"}]},
            "safetySettings[0].threshold",
        ),
        (
            {"generationConfig": {"responseModalities": ["IMAGE"]}},
            "generationConfig.responseModalities",
        ),
        (
            {"generationConfig": {"responseMimeType": "text/x.enum"}},
            "generationConfig.responseMimeType",
        ),
        (
            {"generationConfig": {"responseSchema": {"type": "OBJECT"}}},
            "generationConfig.responseMimeType",
        ),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingLevel": "WILD"}}},
            "generationConfig.thinkingConfig.thinkingLevel",
        ),
        (
            {"generationConfig": {"thinkingConfig": {"thinkingBudget": "much"}}},
            "generationConfig.thinkingConfig.thinkingBudget",
        ),
        ({"generationConfig": []}, ""),
    ],
)
def test_what_cannot_be_said(fields: Any, param: str) -> None:
    """What is malformed or has no counterpart is a 400 that names its place."""
    body = {"contents": [user(PROMPT)], **fields}
    if not param:
        assert from_generate(body, "m")["messages"]
        return
    with pytest.raises(Refusal) as caught:
        from_generate(body, "m")
    assert (caught.value.status, caught.value.param) == (400, param)
    assert caught.value.message.startswith(param)


def test_all_that_can_be_said() -> None:
    """Media, calls without ids, schemas, thoughts, modes and efforts find their counterpart."""
    schema = {
        "type": "OBJECT",
        "properties": {
            "type": {"type": "STRING", "nullable": True, "enum": ["a"]},
            "many": {"type": "ARRAY", "items": {"type": "INTEGER"}, "minItems": "1"},
            "either": {"anyOf": [{"type": "STRING"}, {"type": "NUMBER"}], "nullable": True},
        },
        "required": ["type"],
        "propertyOrdering": ["type", "many"],
    }
    asked = from_generate(
        {
            "contents": [
                user(
                    {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
                    {"inline_data": {"mime_type": "audio/mpeg", "data": "BBBB"}},
                    {"inlineData": {"mimeType": "application/pdf", "data": "CCCC"}},
                    {"fileData": {"mimeType": "image/png", "fileUri": "https://x/y.png"}},
                    {"fileData": {"fileUri": "gs://bucket/z.pdf"}},
                ),
                model(
                    {"text": "hm", "thought": True, "thoughtSignature": "c2ln"},
                    "One moment.",
                    {"functionCall": {"name": "f", "args": {"n": 1}}, "thoughtSignature": "Zg=="},
                    {"functionCall": {"name": "f"}},
                ),
                user(
                    {"functionResponse": {"name": "f", "response": {"result": "1"}}},
                    {"functionResponse": {"name": "f", "response": {"error": "no"}}},
                    "And?",
                ),
                model({"text": "hm", "thought": True}),
            ],
            "tools": [{"functionDeclarations": [{"name": "f"}, {**WEATHER, "description": "d"}]}],
            "toolConfig": {
                "functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["weather"]}
            },
            "safetySettings": [{"category": "X", "threshold": "BLOCK_NONE"}],
            "labels": {"a": "b"},
            "generationConfig": {
                "responseMimeType": "application/json",
                "responseSchema": schema,
                "topK": 40,
                "candidateCount": 2,
                "thinkingConfig": {"thinkingBudget": 5000, "includeThoughts": True},
            },
        },
        "m",
    )
    media, said, first, second, more = asked["messages"]
    kinds = [part["type"] for part in media["content"]]
    assert kinds == ["image_url", "input_audio", "file", "image_url", "file"]
    assert media["content"][1]["input_audio"] == {"data": "BBBB", "format": "mp3"}
    assert media["content"][2]["file"]["file_data"] == "data:application/pdf;base64,CCCC"
    assert media["content"][4]["file"] == {"file_id": "gs://bucket/z.pdf"}
    assert said["content"] == "One moment."
    assert said["extra_content"]["google"]["thought_signature"] == "c2ln"
    calls = said["tool_calls"]
    assert [call["function"]["arguments"] for call in calls] == ['{"n": 1}', "{}"]
    assert calls[0]["extra_content"]["google"]["thought_signature"] == "Zg=="
    assert [first["tool_call_id"], second["tool_call_id"]] == [call["id"] for call in calls]
    assert (first["content"], second["content"]) == ("1", '{"error": "no"}')
    assert more == {"role": "user", "content": [{"type": "text", "text": "And?"}]}
    assert [tool["function"]["name"] for tool in asked["tools"]] == ["weather"]
    assert (asked["tool_choice"], asked["n"]) == ("required", 2)
    assert asked["reasoning_effort"] == "medium"
    assert asked["response_format"]["json_schema"]["schema"] == {
        "type": "object",
        "properties": {
            "type": {"type": ["string", "null"], "enum": ["a", None]},
            "many": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
            "either": {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "null"}]},
        },
        "required": ["type"],
    }
    assert "top_k" not in asked


@pytest.mark.parametrize(
    ("config", "effort"),
    [
        ({"thinkingBudget": 0}, "none"),
        ({"thinkingBudget": 30_000}, "xhigh"),
        ({"thinkingBudget": -1}, None),
        ({"thinkingLevel": "LOW"}, "low"),
        ({"thinking_level": "THINKING_LEVEL_UNSPECIFIED"}, None),
    ],
)
def test_thinking(config: Any, effort: str | None) -> None:
    """Budgets and levels are efforts; what leaves it to the model says nothing."""
    body = {"contents": [user("x")], "generationConfig": {"thinkingConfig": config}}
    assert from_generate(body, "m").get("reasoning_effort") == effort
    assert not includes_thoughts(body)


@pytest.mark.parametrize(
    ("calling", "choice"),
    [
        ({"mode": "NONE"}, "none"),
        ({"mode": "AUTO"}, "auto"),
        ({"mode": "VALIDATED"}, "auto"),
        ({}, None),
    ],
)
def test_modes(calling: Any, choice: str | None) -> None:
    """Each mode has its choice, and none of them says nothing."""
    config = {"functionCallingConfig": calling}
    asked = from_generate({"contents": [user("x")], "tools": TOOLS, "toolConfig": config}, "m")
    assert asked.get("tool_choice") == choice


@pytest.mark.parametrize("thoughts", [False, True])
def test_thoughts_are_told_to_who_asked(thoughts: bool) -> None:
    """Thoughts are parts of their own, of an answer and of a stream, or are left out."""
    message = {"content": "hi", "reasoning_content": "hm"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    answer = {"id": "x", "model": "m", "choices": [choice], "usage": usage}
    whole = to_generation(answer, thoughts=thoughts)
    events = GenerationEvents("req_1", thoughts=thoughts)
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
    """Several candidates keep apart, whole and streamed, with the probabilities of tokens."""
    config = {"candidateCount": 2, "responseLogprobs": True, "logprobs": 1}
    async with standing() as place:
        whole = (await say(place, generationConfig=config)).json["candidates"]
        events = (await say(place, stream=True, generationConfig=config)).events
    assert [candidate["index"] for candidate in whole] == [0, 1]
    chosen = whole[1]["logprobsResult"]
    assert len(chosen["topCandidates"]) == len(chosen["chosenCandidates"]) > 0
    assert [c["index"] for c in events[-1]["candidates"]] == [0, 1]
    for index in (0, 1):
        pieces = [c for e in events for c in e["candidates"] if c["index"] == index]
        assert text_of(*({"candidates": [piece]} for piece in pieces)) == SAID


async def test_what_is_filtered() -> None:
    """An answer that a filter ended says so; a refusal in words is text."""
    message = {"content": "", "refusal": "the prompt was blocked: SAFETY"}
    choice = {"index": 0, "message": message, "finish_reason": "content_filter"}
    told = to_generation({"id": "x", "model": "m", "choices": [choice]}, thoughts=False)
    assert told["candidates"][0]["finishReason"] == "SAFETY"
    assert text_of(told) == "the prompt was blocked: SAFETY"
