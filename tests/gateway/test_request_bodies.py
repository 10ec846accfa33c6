"""Request bodies reach the provider unchanged, or are rejected with a 400."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multirouter.providers import json_bytes
from tests.gateway.harness import running_gateway

pytestmark = [pytest.mark.backends("asyncio")]

HEAD = '{"model":"m","messages":[{"role":"user","content":"one two"}]'


@pytest.fixture(params=["with orjson", "without"], autouse=True)
def with_and_without_orjson(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs each test with and without orjson, which is optional."""
    if request.param == "without":
        monkeypatch.setattr(json_bytes, "_orjson", None)


async def _received(fields: str) -> Any:
    """The body that the provider receives."""
    async with running_gateway() as harness:
        answer = await harness.post("/v1/chat/completions", f"{HEAD}{fields}}}".encode())
        assert answer.status == 200, answer.data
        (body,) = [call.body for call in harness.fakes[0].requests]
        return body


@pytest.mark.parametrize("number", ["18446744073709551617", "-9223372036854775809", "1e22", "0.1"])
async def test_numbers_are_passed_on_exactly(number: str) -> None:
    """Large integers and floats reach the provider with the same value."""
    body = await _received(f',"seed":{number},"metadata":{{"deep":[{number}]}}')
    assert repr(body["seed"]) == repr(json.loads(number))
    assert repr(body["metadata"]["deep"][0]) == repr(json.loads(number))


async def test_last_of_duplicate_fields_counts() -> None:
    """Of duplicate fields the gateway checks and the provider receives the last."""
    body = await _received(',"n":7,"n":1,"metadata":{"a":1,"a":2}')
    assert body["n"] == 1
    assert body["metadata"] == {"a": 2}


TURN = '{"role":"user","content":"one two"}'
BODIES = {
    "/v1/chat/completions": f'{{"model":"m","messages":[{TURN}],"metadata":{{"a":DEEP}}}}',
    "/v1/messages": f'{{"model":"m","max_tokens":9,"messages":[{TURN}],"tools":'
    '[{"name":"t","input_schema":{"type":"object","properties":DEEP}}]}',
    "/v1beta/models/m:generateContent": '{"contents":[{"parts":[{"text":"one two"}]}],"tools":'
    '[{"functionDeclarations":[{"name":"t","parameters":{"type":"OBJECT","properties":DEEP}}]}]}',
}


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("depth", [200, 300, 700, 900, 980, 1000, 1015, 1500, 50_000])
async def test_deeply_nested_bodies_open_no_circuit(depth: int, path: str) -> None:
    """A body of any depth is answered or rejected with a 400, and no circuit opens."""
    async with running_gateway() as harness:
        deep = '{"a":' * depth + "1" + "}" * depth
        answer = await harness.post(path, BODIES[path].replace("DEEP", deep).encode())
        assert harness.router.available("first")
    assert answer.status in {200, 400}, answer.data
    if answer.status == 400:
        assert "nested too deeply" in answer.json["error"]["message"]
