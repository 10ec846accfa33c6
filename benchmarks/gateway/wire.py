"""What is sent: the request, the answer, the chunks of a stream, and their timestamps."""

from __future__ import annotations

import json
import re
import time
from typing import Any

CHAT = "/v1/chat/completions"
QUESTION: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "Hello"}]}
MESSAGE = {"role": "assistant", "content": "Hello! How can I help you today?"}
USAGE = {"prompt_tokens": 9, "completion_tokens": 9, "total_tokens": 18}
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "m",
    "choices": [{"index": 0, "message": MESSAGE, "finish_reason": "stop"}],
    "usage": USAGE,
}
DONE = b"data: [DONE]\n\n"

STAMP = re.compile(rb"@(\d+)@")
"""A timestamp in a chunk's content: nanoseconds of the machine's monotonic clock."""


def question(model: str = "m", **more: Any) -> bytes:
    """A request's body."""
    return json.dumps({**QUESTION, "model": model, **more}).encode()


def with_turns(body: bytes, turns: int) -> bytes:
    """A request's body with a conversation of an agent in front: about 1.1 KB a turn.

    Each turn is a message of the user, a call of a tool, and its result.
    """
    question = json.loads(body)
    before = [message for number in range(turns) for message in _turn(number)]
    return json.dumps({**question, "messages": before + question["messages"]}).encode()


def _turn(number: int) -> list[dict[str, Any]]:
    arguments = json.dumps({"path": f"/src/file{number}.py", "limit": 100})
    call = {"id": f"call_{number}", "type": "function"}
    call["function"] = {"name": "read_file", "arguments": arguments}
    return [
        {"role": "user", "content": f"Look at file {number}.\n" + "    return x + 1\n" * 12},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": call["id"], "content": "one line of a file\n" * 27},
    ]


def request(port: int, body: bytes, headers: dict[str, str], path: str = CHAT) -> bytes:
    """A whole POST request, as it goes over the wire."""
    lines = {
        "Host": f"127.0.0.1:{port}",
        "Content-Type": "application/json",
        "Content-Length": str(len(body)),
        **headers,
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{head}\r\n".encode() + body


def chunk(content: str | None, finish: str | None = None) -> bytes:
    """One event of a stream in OpenAI's format."""
    delta = {} if content is None else {"content": content}
    event = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    return b"data: " + json.dumps(event).encode() + b"\n\n"


def stamped() -> bytes:
    """A chunk that contains the time at which it was made.

    Source: clock_gettime(2): CLOCK_MONOTONIC is one clock for all processes of a machine.
    """
    return chunk(f"@{time.monotonic_ns()}@ ")
