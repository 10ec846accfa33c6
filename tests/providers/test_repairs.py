"""A request that is rejected because of a named parameter is repaired; what helped is kept."""

from __future__ import annotations

import copy
import json
from typing import Any

import anyio
import pytest
from prometheus_client import REGISTRY

from multirouter import ProviderError
from multirouter.model import FailureKind
from multirouter.providers import OpenAI, chat
from multirouter.providers.quirks.learned_repairs import MAX_REPAIRS, METRIC, LearnedRepairs
from multirouter.providers.quirks.repair_from_error import Repair, find_repair
from tests.gateway.harness import Harness
from tests.gateway.test_native import CHAT
from tests.gateway.upstream import Sent, gateway_before

pytestmark = [pytest.mark.backends("asyncio")]


def error(message: str, param: str | None = None, code: str | None = None) -> bytes:
    body = {"message": message, "type": "invalid_request_error", "param": param, "code": code}
    return _json({"error": body})


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


BODY: dict[str, Any] = {
    "model": "quux-9",
    "messages": [
        {"role": "user", "content": [{"type": "text", "text": "flux", "glow": 1}], "aura": 2},
        {
            "role": "user",
            "content": [
                {"type": "image_url", "image_url": {"url": "data:x"}},
                {"type": "hologram", "hologram": {"data": "x"}},
            ],
        },
        {"role": "assistant", "tool_calls": [{"function": {"arguments": '{"aura":1}'}}]},
    ],
    "tools": [{"function": {"name": "f", "parameters": {"aura": {}}}, "aura": 1}],
    "wobble_factor": 0.3,
    "max_zorps": 128_000,
    "zeal": "utmost",
    "settings": {"sparkle": 1, "mode": {"type": "fast", "hue": 3}},
    "generationConfig": {"zetaPath": {"depthLevel": "HIGH"}},
}


@pytest.mark.parametrize(
    ("answer", "repair"),
    [
        (
            error("Unsupported parameter: 'wobble_factor' is not supported with this model."),
            Repair(("wobble_factor",)),
        ),
        (error("Nope.", "wobble_factor", "unsupported_parameter"), Repair(("wobble_factor",))),
        (error("`wobble_factor` is deprecated for this model."), Repair(("wobble_factor",))),
        (error("wobble_factor: Extra inputs are not permitted"), Repair(("wobble_factor",))),
        (
            error("Unrecognized request argument supplied: wobble_factor"),
            Repair(("wobble_factor",)),
        ),
        (
            error("'max_zorps' is not supported with this model. Use 'max_new_zorps' instead."),
            Repair(("max_zorps",), new_name="max_new_zorps"),
        ),
        (
            error("max_zorps is too large: 128000. This model supports at most 4096.", "max_zorps"),
            Repair(("max_zorps",), limit=4096),
        ),
        (
            error("max_zorps: 128000 > 64000, which is the maximum allowed number"),
            Repair(("max_zorps",), limit=64_000),
        ),
        (
            error("`max_zorps`: the supported range is from 1 (inclusive) to 65537 (exclusive)"),
            Repair(("max_zorps",), limit=65_536),
        ),
        (
            error("Unsupported value: 'zeal' does not support 'utmost' with this model."),
            Repair(("zeal",), value="utmost"),
        ),
        (error("settings.sparkle: unknown field"), Repair(("settings", "sparkle"))),
        (
            error('"settings.mode.type" is not supported for this model.'),
            Repair(("settings", "mode")),
        ),
        (
            error("Unknown name \"zeta_path\" at 'generation_config': Cannot find field."),
            Repair(("generationConfig", "zetaPath")),
        ),
        (
            error("Additional properties are not allowed ('aura' was unexpected)"),
            Repair(("*", "aura")),
        ),
        (
            _json({"detail": [{"type": "extra_forbidden", "loc": ["body", "wobble_factor"]}]}),
            Repair(("wobble_factor",)),
        ),
        (b"unknown parameter: wobble_factor", Repair(("wobble_factor",))),
        (error("Invalid value: 'wobble_factor' must be a number"), None),
        (error("'messages' is not supported"), None),
        (error("`tools` are not supported by this model", "tools"), None),
        (error("Unknown role 'role'"), None),
        (error("unknown variant `image_url`, expected `text`"), None),
        (error("unknown variant `hologram`, expected `text`"), None),
        (error("the model is not supported"), None),
        (error("'never_sent' is not supported"), None),
        (b"<html>unsupported 'wobble_factor'</html>", None),
        (b"[]", None),
        (b'"x"', None),
    ],
)
def test_repair_of_an_error(answer: bytes, repair: Repair | None) -> None:
    """The named field is dropped, renamed or limited; what makes the request is never touched."""
    assert find_repair(BODY, answer) == repair


def test_nested_fields_are_dropped_outside_of_user_data() -> None:
    """A field of messages and tools is dropped everywhere, but not from schemas and arguments."""
    body = copy.deepcopy(BODY)
    assert Repair(("*", "aura")).apply(body)
    assert "aura" not in body["messages"][0]
    assert "aura" not in body["tools"][0]
    assert body["tools"][0]["function"]["parameters"] == {"aura": {}}
    assert not Repair(("*", "aura")).apply(body)


@pytest.mark.parametrize(
    "repair",
    [
        Repair(("missing",)),
        Repair(("zeal", "inner")),
        Repair(("zeal",), value="little"),
        Repair(("max_zorps",), limit=200_000),
    ],
)
def test_repairs_that_do_not_apply(repair: Repair) -> None:
    """A remembered repair changes only the requests that it is for."""
    body = dict(BODY)
    assert not repair.apply(body)
    assert body == BODY


def test_learned_repairs_are_bounded() -> None:
    """The oldest model is forgotten first, and of one model the oldest repair."""
    learned = LearnedRepairs()
    assert not learned
    for number in range(300):
        learned.remember(f"m{number}", Repair((f"f{number}",)))
    for number in range(20):
        learned.remember("m299", Repair((f"g{number}",)))
    assert not learned.of("m0")
    assert len(learned.of("m299")) == 16


def rejecting(*fields: str) -> Any:
    """A service that rejects invented fields one after the other."""

    def reply(sent: Sent) -> Any:
        for field in fields:
            if field in sent.body:
                message = f"Unsupported parameter: '{field}' is not supported with this model."
                return 400, {"error": {"message": message, "code": "unsupported_parameter"}}
        return CHAT

    return reply


def repairs_of(model: str) -> float:
    value = REGISTRY.get_sample_value(
        METRIC, {"provider": "p0", "model": model, "parameter": "wobble"}
    )
    return value or 0.0


async def ask(harness: Harness, model: str = "quux-1", **fields: Any) -> Any:
    return await harness.send(model=model, **fields)


async def test_repaired_once_and_remembered() -> None:
    """The first request costs two, the next one: it is sent without the field, and counted once."""
    before = repairs_of("quux-1")
    async with gateway_before(("openai", rejecting("wobble"))) as (harness, (upstream,)):
        first = await ask(harness, wobble=1)
        second = await ask(harness, wobble=1)
        other = await ask(harness, "quux-2", wobble=1)
        async with harness.http.get(harness.url + "/metrics") as metrics:
            assert 'multirouter_request_repairs_total{model="quux-1"' in await metrics.text()
    assert [first.status, second.status, other.status] == [200] * 3
    assert ["wobble" in sent.body for sent in upstream.sent] == [True, False, False, True, False]
    assert repairs_of("quux-1") - before == 1


async def test_several_repairs_of_a_request() -> None:
    """A service names one unknown field at a time; all are found in one attempt, and remembered."""
    before = repairs_of("quux-1")
    fields = {"wobble": 1, "wibble": None, "zap": {"volume": 3}}
    async with gateway_before(("openai", rejecting(*fields))) as (harness, (upstream,)):
        answer = await ask(harness, **fields)
        again = await ask(harness, **fields)
    assert [answer.status, again.status] == [200, 200]
    assert [entry["verdict"] for entry in answer.trail] == ["success"]
    assert [sorted(fields.keys() & sent.body.keys()) for sent in upstream.sent] == [
        ["wibble", "wobble", "zap"],
        ["wibble", "zap"],
        ["zap"],
        [],
        [],
    ]
    assert repairs_of("quux-1") - before == 1


async def test_repairs_of_a_request_are_bounded() -> None:
    """A request with more unknown fields is `unsupported`: the next provider is attempted."""
    fields = [f"wobble_{number}" for number in range(MAX_REPAIRS + 1)]
    upstreams = (("openai", rejecting(*fields)), ("openai", lambda _: CHAT))
    async with gateway_before(*upstreams) as (harness, (first, second)):
        answer = await ask(harness, **dict.fromkeys(fields, 1))
    assert answer.status == 200
    assert answer.headers["X-Provider"] == "p1"
    assert [entry["verdict"] for entry in answer.trail] == ["unsupported", "success"]
    assert (len(first.sent), len(second.sent)) == (MAX_REPAIRS + 1, 1)


async def test_repairs_share_the_timeout_of_the_attempt() -> None:
    """However many there are, the attempt ends with its timeout of 30 seconds."""
    reply = rejecting("wobble", "wibble")

    async def slow(sent: Sent) -> Any:
        await anyio.sleep(12)
        return reply(sent)

    async with gateway_before(("openai", slow)) as (harness, (upstream,)):
        answer = await ask(harness, wobble=1, wibble=2)
    assert (answer.status, len(upstream.sent)) == (504, 3)


async def test_failed_repair_is_not_remembered() -> None:
    """A repair after which the service says the same is not remembered, and the last one."""

    def reply(_: Sent) -> Any:
        return 400, {"error": {"message": "'wobble' is not supported with 'top_p'", "code": "x"}}

    async with gateway_before(("openai", reply)) as (harness, (upstream,)):
        await ask(harness, wobble=1, top_p=0.5)
        await ask(harness, wobble=1, top_p=0.5)
    assert ["wobble" in sent.body for sent in upstream.sent] == [True, False, True, False]
    assert all("top_p" in sent.body for sent in upstream.sent)


async def test_other_errors_are_not_repaired() -> None:
    """Neither other statuses, nor a prompt that is too long, are repaired."""

    def reply(sent: Sent) -> Any:
        text = "maximum context length is 10 tokens: 'wobble' is not supported"
        code = "context_length_exceeded"
        return (400, {"error": {"message": text, "code": code}})

    async with gateway_before(("openai", reply)) as (harness, (upstream,)):
        answer = await ask(harness, wobble=1)
    assert (answer.status, len(upstream.sent)) == (400, 1)


@pytest.mark.real_io
async def test_request_is_not_changed() -> None:
    """The caller's own request stays as it is."""
    async with gateway_before(("openai", rejecting("wobble"))) as (_, (upstream,)):
        provider = OpenAI("p9", model="q", api_key="k", base_url=f"{upstream.url}/v1")
        request: Any = {**chat("x"), "wobble": 1}
        await provider.call(request)
        await provider.aclose()
        assert request["wobble"] == 1
        with pytest.raises(ProviderError) as caught:
            await provider.call({**request, "model": 1, "messages": 7})
        assert caught.value.kind is FailureKind.REQUEST
