"""Gemini generateContent and embeddings formats of the fake server."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from multirouter.testing.fakes.answers import CACHED, GEMINI_SIGNATURE, Answer, ParsedRequest, Tool
from multirouter.testing.fakes.formats import ErrorResponse, StreamEvent, require

_FINISH = {"stop": "STOP", "length": "MAX_TOKENS", "calls": "STOP", "refusal": "SAFETY"}
_FIELDS = frozenset(
    {
        "contents",
        "systemInstruction",
        "tools",
        "toolConfig",
        "generationConfig",
        "safetySettings",
        "cachedContent",
        "labels",
        "serviceTier",
        "store",
    }
)
_CONFIG = frozenset(
    {
        "temperature",
        "topP",
        "topK",
        "candidateCount",
        "maxOutputTokens",
        "stopSequences",
        "seed",
        "presencePenalty",
        "frequencyPenalty",
        "responseLogprobs",
        "logprobs",
        "responseMimeType",
        "responseSchema",
        "responseJsonSchema",
        "responseModalities",
        "thinkingConfig",
        "mediaResolution",
    }
)
_ERRORS: dict[str, tuple[int, str, str]] = {
    "request": (400, "INVALID_ARGUMENT", ""),
    "rate-limit": (429, "RESOURCE_EXHAUSTED", ""),
    "quota": (429, "RESOURCE_EXHAUSTED", "You exceeded your current quota."),
    "bad-key": (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key."),
    "no-model": (404, "NOT_FOUND", ""),
    "unsupported-field": (400, "INVALID_ARGUMENT", 'Unknown name "frobnicate": Cannot find field.'),
    "context-too-long": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (9000) exceeds the maximum number of tokens allowed (8192).",
    ),
    "filtered": (400, "INVALID_ARGUMENT", "Blocked by content filtering policy"),
}
_NAME = re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]{0,63}")
_SIGNATURES = frozenset({None, GEMINI_SIGNATURE, "skip_thought_signature_validator"})
_BY_STATUS = {500: "INTERNAL", 503: "UNAVAILABLE", 504: "DEADLINE_EXCEEDED"}
_RPC = "type.googleapis.com/google.rpc."


class GeminiFormat:
    """The generateContent and streamGenerateContent formats.

    Args:
        model: the model from the URL.
        stream: whether the URL's method is streamGenerateContent.
    """

    def __init__(self, model: str, *, stream: bool) -> None:
        self._model = model
        self._stream = stream

    def read(self, headers: Mapping[str, str], body: Any) -> ParsedRequest:
        """See `Format.read`."""
        require(headers.get("x-goog-api-key"), "API key not valid.", "bad-key")
        require(isinstance(body, dict) and body.get("contents"), "contents is not specified")
        _require_known(body, _FIELDS, "")
        config = body.get("generationConfig") or {}
        _require_known(config, _CONFIG, " at 'generation_config'")
        self._check(body["contents"])
        for tool in body.get("tools") or ():
            for function in tool["functionDeclarations"]:
                require(_NAME.fullmatch(function["name"]), "Invalid function name.")
        parts = body["contents"][-1]["parts"]
        calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {"mode": "AUTO"}
        allowed = calling.get("allowedFunctionNames") or ["*"]
        as_json = config.get("responseMimeType") == "application/json"
        return ParsedRequest(
            model=self._model,
            prompt=" ".join(_text(part) for part in parts),
            has_tool_result="functionResponse" in parts[-1],
            tools=[
                Tool(function["name"], _schema(function))
                for tool in body.get("tools") or ()
                for function in tool["functionDeclarations"]
            ],
            forced_tool=allowed[0] if calling["mode"] == "ANY" else "",
            tools_allowed=calling["mode"] != "NONE",
            schema=config.get("responseJsonSchema") or {} if as_json else None,
            thinking_enabled=bool((config.get("thinkingConfig") or {}).get("includeThoughts")),
            choices=config.get("candidateCount") or 1,
            max_tokens=config.get("maxOutputTokens"),
            stop_sequences=config.get("stopSequences") or (),
            logprobs=(config.get("logprobs") or 0) if config.get("responseLogprobs") else None,
            stream=self._stream,
        )

    def full_response(self, parsed: ParsedRequest, answer: Answer) -> Any:
        """See `Format.full_response`."""
        parts = [{"text": piece, "thought": True} for piece in answer.thoughts]
        parts += [{"text": answer.text}] if answer.pieces else []
        parts += self._calls(answer)
        return self._response(parsed, answer, parts, last=True)

    def events(self, parsed: ParsedRequest, answer: Answer) -> Iterator[StreamEvent]:
        """See `Format.events`; a tool call is one event, and the last event has no part."""
        for piece in answer.thoughts:
            part = {"text": piece, "thought": True}
            yield StreamEvent("content", self._response(parsed, answer, [part]))
        for piece in answer.pieces:
            yield StreamEvent("content", self._response(parsed, answer, [{"text": piece}]))
        for call in self._calls(answer):
            yield StreamEvent("content", self._response(parsed, answer, [call]))
        yield StreamEvent("finish", self._response(parsed, answer, [], last=True))

    def filler_event(self, parsed: ParsedRequest) -> StreamEvent:
        """See `Format.filler_event`."""
        return StreamEvent("content", self._response(parsed, Answer(), [{"text": "more "}]))

    def error_response(
        self, status: int, error_name: str, message: str, retry_after: float = 0.0
    ) -> ErrorResponse:
        """See `Format.error_response`; `retry_after` is sent in the body only."""
        known = _ERRORS.get(error_name, (status, _BY_STATUS.get(status, "UNKNOWN"), ""))
        details: list[dict[str, Any]] = []
        if error_name == "bad-key":
            details.append({"@type": f"{_RPC}ErrorInfo", "reason": "API_KEY_INVALID"})
        if error_name == "quota":
            quota = {"quotaId": "GenerateRequestsPerDayPerProjectPerModel"}
            details.append({"@type": f"{_RPC}QuotaFailure", "violations": [quota]})
        if retry_after:
            details.append({"@type": f"{_RPC}RetryInfo", "retryDelay": f"{retry_after:g}s"})
        error = {"code": known[0], "message": known[2] or message, "status": known[1]}
        body = {"error": {**error, "details": details}}
        return ErrorResponse(known[0], [body] if self._stream else body)

    def error_event(self) -> StreamEvent:
        """See `Format.error_event`."""
        error = {"code": 503, "message": "The model is overloaded.", "status": "UNAVAILABLE"}
        return StreamEvent("content", {"error": error})

    def ping(self) -> bytes:
        """See `Format.ping`."""
        return b": ping\n\n"

    def _check(self, contents: list[dict[str, Any]]) -> None:
        """Checks that every function call has a response and, from Gemini 3 on, a signature."""
        called = 0
        for content in contents:
            require(content["role"] in {"user", "model"}, "Please use a valid role: user, model.")
            parts = content["parts"]
            responses = [part for part in parts if "functionResponse" in part]
            require(
                len(responses) == called,
                "the number of function response parts must equal that of function call parts",
            )
            require(
                all(isinstance(part["functionResponse"]["response"], dict) for part in responses),
                "functionResponse.response must be an object",
            )
            signatures = {part.get("thoughtSignature") for part in parts}
            require(signatures <= _SIGNATURES, "Thought signature is not valid.")
            calls = [part for part in parts if "functionCall" in part]
            for part in (*calls, *responses):
                name = (part.get("functionCall") or part.get("functionResponse"))["name"]
                require(_NAME.fullmatch(name), f"Invalid function name: {name[:70]!r}")
            called = len(calls)
            if calls and self._model.startswith("gemini-3"):
                require(
                    calls[0].get("thoughtSignature"),
                    "Function call is missing a thought_signature in functionCall parts.",
                )

    def _calls(self, answer: Answer) -> list[Any]:
        """Function call parts: only the first is signed, and only Gemini 3 models send ids."""
        modern = self._model.startswith("gemini-3")
        parts: list[Any] = []
        for call in answer.calls:
            function: dict[str, Any] = {"name": call.name, "args": call.arguments}
            if modern:
                function["id"] = call.id
            signature = {"thoughtSignature": GEMINI_SIGNATURE} if modern and not parts else {}
            parts.append({"functionCall": function, **signature})
        return parts

    def _response(
        self, parsed: ParsedRequest, answer: Answer, parts: list[Any], *, last: bool = False
    ) -> dict[str, Any]:
        candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}}
        if not parts:
            candidate = {"content": {"role": "model"}}
        if last:
            candidate["finishReason"] = _FINISH[answer.finish]
        if parsed.logprobs is not None and parts:
            candidate["logprobsResult"] = _logprobs(parts, parsed.logprobs)
        return {
            "candidates": [{**candidate, "index": index} for index in range(parsed.choices)],
            "usageMetadata": {
                "promptTokenCount": answer.prompt_tokens,
                "cachedContentTokenCount": CACHED,
                "candidatesTokenCount": answer.output_tokens * parsed.choices,
                "thoughtsTokenCount": len(answer.thoughts),
                "totalTokenCount": answer.prompt_tokens + answer.output_tokens * parsed.choices,
            },
            "modelVersion": parsed.model,
            "responseId": "fake-response",
        }


def blocked_prompt(model: str) -> dict[str, Any]:
    """The answer to a blocked prompt: no candidates."""
    return {
        "promptFeedback": {"blockReason": "SAFETY", "safetyRatings": []},
        "usageMetadata": {"promptTokenCount": 2, "totalTokenCount": 2},
        "modelVersion": model,
        "responseId": "fake-response",
    }


def embeddings(body: Mapping[str, Any]) -> Any:
    """The answer to `:batchEmbedContents`; every component of a vector is its text's length."""
    vectors = []
    for request in body["requests"]:
        text = "".join(part["text"] for part in request["content"]["parts"])
        size = request.get("outputDimensionality") or 3
        vectors.append({"values": [float(len(text))] * size})
    return {"embeddings": vectors}


def _require_known(item: Mapping[str, Any], known: frozenset[str], where: str) -> None:
    for name in item:
        require(
            name in known,
            f'Invalid JSON payload received. Unknown name "{name}"{where}: Cannot find field.',
        )


def _schema(function: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a function; snake case is accepted too, since Google's SDK sends it."""
    named = ("parametersJsonSchema", "parameters_json_schema", "parameters")
    return next((function[name] for name in named if function.get(name)), {})


def _text(part: Mapping[str, Any]) -> str:
    if "functionResponse" in part:
        return str(part["functionResponse"]["response"])
    return str(part.get("text") or f"[{next(iter(part))}]")


def _logprobs(parts: list[Any], tops: int) -> dict[str, Any]:
    tokens = [part["text"] for part in parts if "text" in part]
    chosen = [{"token": token, "tokenId": 1, "logProbability": -0.5} for token in tokens]
    top = [{"candidates": [token] * tops} for token in chosen]
    return {"chosenCandidates": chosen, "topCandidates": top}
