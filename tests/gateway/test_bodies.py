"""What a request's body says reaches the provider as it was said, or is refused in words."""

from __future__ import annotations

import json
from typing import Any

import pytest

from multirouter.providers import json_bytes as jsontext
from tests.gateway.kit import standing

pytestmark = [pytest.mark.backends("asyncio")]

HEAD = '{"model":"m","messages":[{"role":"user","content":"one two"}]'


@pytest.fixture(params=["with orjson", "without"], autouse=True)
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both installations: with the extra `gateway`, and without."""
    if request.param == "without":
        monkeypatch.setattr(jsontext, "_orjson", None)


async def _asked(rest: str) -> Any:
    """The body that the provider has got."""
    async with standing() as place:
        answer = await place.post("/v1/chat/completions", f"{HEAD}{rest}}}".encode())
        assert answer.status == 200, answer.data
        (got,) = [call.body for call in place.fakes[0].requests]
        return got


@pytest.mark.parametrize("number", ["18446744073709551617", "-9223372036854775809", "1e22", "0.1"])
async def test_numbers_go_on_as_they_came(number: str) -> None:
    """A seed, or an id in a tool's schema, is the same number for the provider."""
    got = await _asked(f',"seed":{number},"metadata":{{"deep":[{number}]}}')
    assert repr(got["seed"]) == repr(json.loads(number))
    assert repr(got["metadata"]["deep"][0]) == repr(json.loads(number))


async def test_what_is_checked_is_what_is_sent() -> None:
    """Of a field that comes twice the last counts, for the gateway and for the provider."""
    got = await _asked(',"n":7,"n":1,"metadata":{"a":1,"a":2}')
    assert got["n"] == 1
    assert got["metadata"] == {"a": 2}


TURN = '{"role":"user","content":"one two"}'
DOORS = {
    "/v1/chat/completions": f'{{"model":"m","messages":[{TURN}],"metadata":{{"a":DEEP}}}}',
    "/v1/messages": f'{{"model":"m","max_tokens":9,"messages":[{TURN}],"tools":'
    '[{"name":"t","input_schema":{"type":"object","properties":DEEP}}]}',
    "/v1beta/models/m:generateContent": '{"contents":[{"parts":[{"text":"one two"}]}],"tools":'
    '[{"functionDeclarations":[{"name":"t","parameters":{"type":"OBJECT","properties":DEEP}}]}]}',
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("depth", [200, 300, 700, 900, 980, 1000, 1015, 1500, 50_000])
async def test_no_depth_harms_anybody(depth: int, door: str) -> None:
    """A body is answered, or refused as its client's fault, at each depth; no circuit opens."""
    async with standing() as place:
        deep = '{"a":' * depth + "1" + "}" * depth
        answer = await place.post(door, DOORS[door].replace("DEEP", deep).encode())
        assert place.router.available("first")
    assert answer.status in {200, 400}, answer.data
    if answer.status == 400:
        assert "nested too deeply" in answer.json["error"]["message"]
