"""Errors of the gateway, in each format, are those of the official SDK's types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.gateway.harness import running_gateway
from tests.gateway.wandering.clients import CLIENTS
from tests.gateway.wandering.sdk_types import check_error

pytestmark = [pytest.mark.backends("asyncio")]

FAULTS = {
    "fail-500": 502,
    "fail-503": 503,
    "429-retry-after-9": 429,
    "quota": 503,
    "bad-key": 503,
    "no-model": 404,
    "context-too-long": 400,
    "filtered": 400,
    "unsupported-field": 400,
    "html-200": 502,
    "empty-200": 502,
    "error-200": 502,
}
"""Faults of the only provider, and the status that a client gets."""


def request_of(kind: str, *, stream: bool, model: str = "m") -> tuple[str, bytes]:
    client = CLIENTS[kind](["read"], model, keeps=True, invents=False)
    path, body = client.request(stream=stream)
    return path, json.dumps(body).encode()


@pytest.mark.parametrize("kind", CLIENTS)
async def test_errors_of_providers(kind: str) -> None:
    """Whole and streamed, the status, the body and the retry advice are those of the format."""
    async with running_gateway() as harness:
        harness.router.hold("first", "disabled")
        for fault, status in FAULTS.items():
            for stream in (False, True):
                harness.fakes[0].script(fault)
                answer = await harness.post(*request_of(kind, stream=stream))
                assert answer.status == status, (fault, answer.data)
                error = check_error(kind, answer.json, status)
                assert error["message"]
                assert answer.headers["Content-Type"].startswith("application/json")


WRONG: dict[str, tuple[Any, int]] = {
    "no JSON": (b'{"mess', 400),
    "no object": (b"[]", 400),
    "no content": (b"{}", 400),
    "wrong types": (b'{"model": "m", "max_tokens": 1, "messages": 7, "input": 7}', 400),
}


@pytest.mark.parametrize("kind", CLIENTS)
@pytest.mark.parametrize("wrong", WRONG)
async def test_errors_of_requests(kind: str, wrong: str) -> None:
    """What is wrong with a request is said in the format of its path."""
    async with running_gateway() as harness:
        path, _ = request_of(kind, stream=False)
        data, status = WRONG[wrong]
        answer = await harness.post(path, data)
        assert answer.status == status
        check_error(kind, answer.json, status)


@pytest.mark.parametrize("kind", CLIENTS)
async def test_an_unknown_model(kind: str) -> None:
    """A 404 by which the SDKs raise NotFoundError."""
    async with running_gateway(models={"other": "main"}) as harness:
        answer = await harness.post(*request_of(kind, stream=False))
        assert answer.status == 404
        check_error(kind, answer.json, 404)
