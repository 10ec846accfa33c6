"""Containers and files of answers to `/v1/messages` go back to the account that has them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multirouter.gateway.ids.references import message_ids_in
from tests.gateway.upstream import Sent, gateway_before, sse

pytestmark = [pytest.mark.backends("asyncio")]

CONTAINER = {"id": "container_1", "expires_at": "2027-01-01T00:00:00Z"}
OUTPUT = {"type": "bash_code_execution_output", "file_id": "file_1"}
RESULT = {
    "type": "bash_code_execution_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": {"type": "bash_code_execution_result", "content": [OUTPUT], "stdout": ""},
}
USAGE = {"input_tokens": 10, "output_tokens": 5}
STARTED: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude",
    "content": [],
    "stop_reason": None,
    "usage": USAGE,
}
MESSAGE = {**STARTED, "content": [RESULT], "stop_reason": "end_turn", "container": CONTAINER}
STREAM = sse(
    {"type": "message_start", "message": STARTED},
    {"type": "content_block_start", "index": 0, "content_block": RESULT},
    {"type": "content_block_stop", "index": 0},
    {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "container": CONTAINER},
        "usage": USAGE,
    },
    {"type": "message_stop"},
)


def answer(sent: Sent) -> Any:
    """As Anthropic, with a tool that has written a file."""
    return STREAM if sent.body.get("stream") else MESSAGE


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "named",
    [
        {"container": "container_1"},
        {"container": {"id": "container_1", "skills": []}},
        {"content": [{"type": "container_upload", "file_id": "file_1"}]},
    ],
    ids=["container", "container with skills", "file"],
)
async def test_it_goes_to_the_account_that_has_it(named: dict[str, Any], *, stream: bool) -> None:
    """And an id of which nothing is known goes to the first choice."""
    async with gateway_before(("anthropic", answer), ("anthropic", answer)) as (harness, upstreams):

        async def ask(**fields: Any) -> None:
            content = fields.pop("content", "x")
            body = {"model": "m", "max_tokens": 9, "stream": stream, **fields}
            body["messages"] = [{"role": "user", "content": content}]
            given = await harness.post("/v1/messages", json.dumps(body).encode())
            assert given.status == 200

        harness.router.hold("p0", "open")
        await ask()
        harness.router.hold("p0", "closed")
        before = len(upstreams[0].sent)
        await ask(**named)
        assert len(upstreams[0].sent) == before
        await ask(**json.loads(json.dumps(named).replace("_1", "_2")))
        assert len(upstreams[0].sent) > before


def test_a_message_without_them_names_nothing() -> None:
    """The id of the message itself means nothing to its service: none is remembered."""
    assert list(message_ids_in(STARTED)) == []
    assert list(message_ids_in({**STARTED, "container": None})) == []
    assert sorted(message_ids_in(MESSAGE)) == ["container_1", "file_1"]
