"""Messages of the HTTP gateway: error bodies in its three formats, and its log events."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from multirouter import Budget
from multirouter.config import KeyBook
from multirouter.gateway.http.server_limits import ServerLimits
from multirouter.testing import virtual_clock
from tests.gateway.harness import Harness, running_gateway
from tests.messages.normalize import normalized

CHAT = "/v1/chat/completions"
MESSAGES = "/v1/messages"
GENERATE = "/v1beta/models/m:generateContent"
HELLO = [{"role": "user", "content": "Hello"}]
CONTENTS = [{"role": "user", "parts": [{"text": "Hello"}]}]


@dataclass(frozen=True)
class Sent:
    """One request with a mistake.

    Attributes:
        path: its path.
        body: its body: data for JSON, or the bytes themselves.
        method: its method.
        headers: its headers.
    """

    path: str = CHAT
    body: Any = None
    method: str = "POST"
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        body = self.body.decode() if isinstance(self.body, bytes) else json.dumps(self.body)
        shown = "" if self.body is None else f" {body}"
        headers = "".join(f" [{name}: {value}]" for name, value in self.headers.items())
        line = f"{self.method} {self.path}{headers}{shown}"
        return line if len(line) <= 200 else f"{line[:199]}…"

    @property
    def data(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        return b"" if self.body is None else json.dumps(self.body).encode()


def chat(**fields: Any) -> Sent:
    return Sent(body={"model": "m", "messages": HELLO} | fields)


def message(**fields: Any) -> Sent:
    return Sent(MESSAGES, {"model": "m", "max_tokens": 9, "messages": HELLO} | fields)


def generate(**fields: Any) -> Sent:
    return Sent(GENERATE, {"contents": CONTENTS} | fields)


REQUESTS = [
    Sent("/v1/nothing", {}),
    Sent(CHAT, method="GET"),
    Sent(body=b"{"),
    Sent(body=b"[1]"),
    Sent(body=b"[" * 100_000),
    Sent(body=b"x" * 3000),
    Sent(body=b"{}", headers={"Content-Encoding": "gzip"}),
    chat(model=None),
    chat(model="gpt-6"),
    chat(messages=[]),
    chat(messages=["Hello"]),
    chat(stream="yes"),
    chat(route="caht"),
    chat(route=3),
    chat(timeout=0),
    chat(fallback_models="other"),
    chat(fallback_models=["m"] * 17),
    chat(fallback_conditions=3),
    chat(fallback_conditions={"status": [503]}),
    chat(fallback_conditions={"status_codes": [True]}),
    chat(fallback_conditions={"timeout_ms": -1}),
]
MESSAGE_REQUESTS = [
    message(max_tokens=None),
    message(messages=[]),
    message(messages=[{"role": "user", "content": 3}]),
    message(
        messages=[
            {"role": "user", "content": [{"type": "image", "source": {"type": "file"}}]},
        ]
    ),
    message(
        messages=[
            {"role": "user", "content": [{"type": "document", "source": {"type": "url"}}]},
        ]
    ),
]
GENERATE_REQUESTS = [
    Sent("/v1beta/models/m:countTokens", {}),
    Sent("/v1beta/models/m:embedContent", {}),
    Sent("/v1beta/models/m:nothing", {}),
    Sent("/v1beta/models/m:streamGenerateContent?alt=xml", {"contents": CONTENTS}),
    generate(contents=[]),
    generate(contents="Hello"),
    generate(contents=[{"role": "human", "parts": []}]),
    generate(contents=[{"parts": [{"text": 3}]}]),
    generate(contents=[{"parts": [{"functionResponse": {"name": "f", "response": 3}}]}]),
    generate(contents=[{"parts": [{"functionResponse": {"name": "f", "response": {}}}]}]),
    generate(systemInstruction={"parts": [{"inlineData": {}}]}),
    generate(generationConfig={"responseMimeType": "text/xml"}),
    generate(generationConfig={"thinkingConfig": {"thinkingBudget": -5}}),
    generate(generationConfig={"responseModalities": ["AUDIO"]}),
    generate(generationConfig={"stopSequences": "end"}),
    generate(cachedContent="caches/1"),
    generate(toolConfig={"functionCallingConfig": {"mode": "SOME"}}),
    generate(toolConfig={"functionCallingConfig": {"allowedFunctionNames": ["f"]}}),
]
FAULTS = [
    "rate-limit",
    "429-retry-after-7",
    "fail-503",
    "quota",
    "bad-key",
    "no-model",
    "unsupported-field",
    "context-too-long",
    "filtered",
    "refuses",
    "error-200",
    "html-200",
    "empty-200",
    "invalid-json",
    "no-choices",
    "redirect",
    "stall",
]
STREAM_FAULTS = ["cut-after-3", "eof-after-3", "event-error-3", "broken-json-3"]


class Transcript:
    """Requests and their answers, as lines."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def send(self, harness: Harness, sent: Sent, *, whole: bool = False) -> None:
        """Sends a request and adds the status, code and message of its answer."""
        url, headers = harness.url + sent.path, {"Connection": "close", **sent.headers}
        async with harness.http.request(
            sent.method, url, data=sent.data, headers=headers
        ) as response:
            body = await response.read()
        self.lines += [normalized(str(sent)), f"    {_answer(response.status, body, whole=whole)}"]


def _answer(status: int, body: bytes, *, whole: bool) -> str:
    """The error of an answer in one line."""
    if whole:
        return normalized(f"{status} {body.decode()}")
    try:
        error = json.loads(body)["error"]
    except (ValueError, KeyError, TypeError):
        return normalized(f"{status} {body.decode()[:300]}")
    code = error.get("code") or error.get("type")
    if "status" in error:
        code = error["status"]
    return normalized(f"{status} {code}: {error['message']}")


async def _requests(out: Transcript) -> None:
    async with running_gateway(limits=ServerLimits(max_body_size=2000), models={"m": "main"}) as g:
        for heading, requests in (
            ("Chat completions (OpenAI's format)", REQUESTS),
            ("Messages (Anthropic's format)", MESSAGE_REQUESTS),
            ("generateContent (Gemini's format)", GENERATE_REQUESTS),
        ):
            out.lines += ["", f"## {heading}", ""]
            for sent in requests:
                await out.send(g, sent)
        out.lines += ["", "## One error in each format", ""]
        for sent in (chat(model="gpt-6"), message(model="gpt-6")):
            await out.send(g, sent, whole=True)
        await out.send(g, Sent(GENERATE.replace("/m:", "/gpt-6:"), {}), whole=True)


async def _keys(out: Transcript) -> None:
    book, token = KeyBook().new("alice", routes=("main",), requests_per_minute=2)
    book, admin = book.new("root", admin=True)
    book, poor = book.new("bob", budget=Budget(1e-9, "day"), concurrent=1)
    bearer = {"Authorization": f"Bearer {token}"}
    root = {"Authorization": f"Bearer {admin}"}
    out.lines += ["", "## Keys and the admin API", ""]
    async with running_gateway(keys=book, models={"m": "main", "x": "first"}) as g:
        requests = [
            chat(),
            Sent(body=chat().body, headers={"x-api-key": "wrong"}),
            Sent(body=chat().body, headers=root),
            Sent(body=chat(model="x").body, headers=bearer),
            Sent(body=chat().body, headers=bearer),
            Sent(body=chat().body, headers=bearer),
            Sent(body=chat().body, headers=bearer),
            Sent("/admin/snapshot", method="GET", headers=bearer),
            Sent("/admin/calls?limit=all", method="GET", headers=root),
            Sent("/admin/hold", {"how": "open"}, headers=root),
            Sent("/admin/hold", {"provider": "first", "how": "opne"}, headers=root),
            Sent("/admin/hold", {"provider": "fisrt", "how": "open"}, headers=root),
            Sent("/admin/hold", {"provider": "first", "how": "open"}, headers=root),
            Sent("/readyz", method="GET"),
            Sent("/admin/unhold", {"provider": "first"}, headers=root),
            Sent("/admin/weight", {"provider": "first", "weight": -1}, headers=root),
            Sent("/admin/weight", {"provider": "first", "weight": 2}, headers=root),
            Sent("/admin/reload", {}, headers=root),
        ]
        for sent in requests:
            await out.send(g, sent)
        _add_log(out, g, {"provider held by admin", "provider released by admin"})
    for secret in (token, admin, poor):
        out.lines = [line.replace(secret, "KEY") for line in out.lines]
    async with running_gateway() as g:
        await out.send(g, Sent("/admin/snapshot", method="GET"))
        await out.send(g, Sent(body=chat().body, headers={"Origin": "https://evil.example"}))
        await out.send(g, Sent(body=chat().body, headers={"Host": "evil.example"}))


async def _upstream_faults(out: Transcript) -> None:
    out.lines += ["", "## Faults of the only provider", ""]
    for fault in FAULTS:
        async with running_gateway([fault], route={"attempt_timeout": 3.0}) as g:
            out.lines.append(fault)
            sending = Transcript()
            await sending.send(g, chat(timeout=2) if fault == "stall" else chat())
            out.lines += sending.lines[1:]
    out.lines += ["", "## Streams that end with an error", ""]
    for fault in STREAM_FAULTS:
        async with running_gateway([fault]) as g:
            answer = await g.send(stream=True)
            events = [event["error"] for event in answer.events if "error" in event]
            out.lines.append(fault)
            out.lines += [normalized(f"    {e['code']}: {e['message']}") for e in events]


async def _log(out: Transcript) -> None:
    out.lines += ["", "## Access log", ""]
    async with running_gateway(["fail-503"], []) as g:
        await g.send()
        await g.send(model=None)
        _add_log(out, g)


def _add_log(out: Transcript, harness: Harness, events: set[str] | None = None) -> None:
    for level, event, fields in harness.log.events:
        if events is None or event in events:
            shown = {name: _value(name, value) for name, value in fields.items()}
            out.lines.append(normalized(f"{level:7} {event}  {shown}"))


def _value(name: str, value: Any) -> Any:
    if isinstance(value, float):
        return "SECONDS" if "second" in name or name == "elapsed" else "NUMBER"
    return value


async def _all(out: Transcript) -> None:
    for part in (_requests, _keys, _upstream_faults, _log):
        await part(out)


def render() -> str:
    """Returns requests with the errors that they get, and the access log."""
    out = Transcript()
    virtual_clock.run(_all, out)
    return "\n".join(out.lines).lstrip("\n") + "\n"
