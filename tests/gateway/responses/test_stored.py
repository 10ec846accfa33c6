"""Responses that the gateway keeps, for clients that refer to them."""

from __future__ import annotations

import json
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import openai
import pytest

from multirouter import ConfigurationError
from multirouter.config import load
from multirouter.gateway.process import make_gateway
from multirouter.gateway.response_store import MAX_SIZE, ResponseStore, StoredResponse
from tests.gateway.harness import Harness
from tests.gateway.upstream import Upstream, gateway_before

from .test_endpoint import ANTHROPIC_STREAM, MESSAGE, RESPONSE, WHOLE, post

pytestmark = [pytest.mark.backends("asyncio")]

DAY = 86_400.0


@asynccontextmanager
async def storing(folder: Path, *upstreams: Any) -> AsyncIterator[tuple[Harness, list[Upstream]]]:
    store = ResponseStore(folder / "kept", 10, DAY)
    with closing(store):
        async with gateway_before(*upstreams, gateway={"responses": store}) as made:
            yield made


def sent_texts(upstream: Upstream) -> list[Any]:
    """Role and text of the messages of the last request."""
    return [
        (turn["role"], "".join(block["text"] for block in turn["content"]))
        for turn in upstream.sent[-1].body["messages"]
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_conversation_goes_on_with_any_provider(tmp_path: Path, stream: bool) -> None:
    """The input of a request follows the conversation that it refers to, turn after turn."""
    reply = ANTHROPIC_STREAM if stream else MESSAGE
    async with storing(tmp_path, ("anthropic", lambda _: reply)) as (harness, (upstream,)):
        previous = None
        for text in ("one", "two", "three"):
            body = {"model": "m", "input": text, "stream": stream, "previous_response_id": previous}
            answer = await post(harness, body)
            assert answer.status == 200
            response = answer.events[-1]["response"] if stream else answer.json
            previous = response["id"]
    assert sent_texts(upstream) == [
        ("user", "one"),
        ("assistant", "ok"),
        ("user", "two"),
        ("assistant", "ok"),
        ("user", "three"),
    ]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_native_response_is_kept_too(tmp_path: Path, stream: bool) -> None:
    """A response of OpenAI goes on at another provider, and at OpenAI without its id."""
    reply = WHOLE if stream else RESPONSE
    async with storing(tmp_path, ("openai", lambda _: reply), ("anthropic", lambda _: MESSAGE)) as (
        harness,
        (openai_, anthropic),
    ):
        await post(harness, {"model": "m", "input": "one", "stream": stream})
        more = {"model": "m", "input": "two", "previous_response_id": "resp_up", "wondrous": 1}
        more["store"] = False
        await post(harness, more)
        harness.router.hold("p0", "open")
        await post(harness, {**more, "input": "three"})
    native = openai_.sent[-1].body
    assert "previous_response_id" not in native
    assert native["wondrous"] == 1
    assert [item["role"] for item in native["input"]] == ["user", "assistant", "user"]
    assert sent_texts(anthropic) == [("user", "one"), ("assistant", "ok"), ("user", "three")]


async def test_what_is_not_kept(tmp_path: Path) -> None:
    """`store: false` keeps nothing; an unknown id goes to a service that may know it."""
    async with storing(
        tmp_path, ("anthropic", lambda _: MESSAGE), ("openai", lambda _: RESPONSE)
    ) as (harness, (_, openai_)):
        answer = await post(harness, {"model": "m", "input": "one", "store": False})
        body = {"model": "m", "input": "two", "previous_response_id": answer.json["id"]}
        await post(harness, body)
    assert openai_.sent[-1].body == body


async def test_the_official_client_reads_and_deletes(tmp_path: Path) -> None:
    """Get, list of items, cancel and delete, as OpenAI's client calls them."""
    async with (
        storing(tmp_path, ("anthropic", lambda _: MESSAGE)) as (harness, _),
        openai.AsyncOpenAI(api_key="k", base_url=f"{harness.url}/v1", max_retries=0) as client,
    ):
        made = await client.responses.create(model="m", input="one")
        found = await client.responses.retrieve(made.id)
        assert found == made
        items = await client.responses.input_items.list(made.id)
        assert [item.role for item in items.data] == ["user"]  # type: ignore[union-attr] # a message
        with pytest.raises(openai.BadRequestError, match="background"):
            await client.responses.cancel(made.id)
        await client.responses.delete(made.id)
        for call in (client.responses.retrieve, client.responses.delete, client.responses.cancel):
            with pytest.raises(openai.NotFoundError):
                await call(made.id)


async def test_without_a_store_the_answer_says_how_to_get_one() -> None:
    """A gateway that keeps nothing answers 404, and names the setting."""
    async with gateway_before(("anthropic", lambda _: MESSAGE)) as (harness, _):
        async with harness.http.get(f"{harness.url}/v1/responses/resp_1") as response:
            body = await response.json()
        async with harness.http.get(f"{harness.url}/v1/responses/resp_1/odd") as odd:
            assert odd.status == 404
        async with harness.http.post(f"{harness.url}/v1/responses/resp_1/odd") as odd:
            assert odd.status == 404
    assert response.status == 404
    assert "history.responses" in body["error"]["message"]


def stored(id_: str, size: int = 1) -> StoredResponse:
    return StoredResponse([{"role": "user", "content": "x" * size}], {"id": id_, "output": []})


async def test_the_store_is_bounded(tmp_path: Path) -> None:
    """By number, by age and by the size of one response."""
    now = [0.0]
    path = tmp_path / "kept"
    with closing(ResponseStore(path, 2, DAY, lambda: now[0])) as store:
        for number in range(4):
            await store.put("a", stored(f"r{number}"))
        found = [await store.get("a", f"r{number}") for number in range(4)]
        assert [one is not None for one in found] == [False, False, True, True]
        now[0] = DAY + 1
        assert await store.get("a", "r3") is None
        await store.put("a", stored("r4", MAX_SIZE))
        assert await store.get("a", "r4") is None
        await store.put("a", stored("r5"))
        await store.put("a", stored("r5"))
        assert await store.get("a", "r5") == stored("r5")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


async def test_responses_belong_to_their_key(tmp_path: Path) -> None:
    """A client cannot read or delete what another key has made; a restart keeps it."""
    with closing(ResponseStore(tmp_path / "kept", 2, DAY)) as store:
        await store.put("a", stored("r"))
        assert await store.get("b", "r") is None
        assert not await store.delete("b", "r")
    with closing(ResponseStore(tmp_path / "kept", 2, DAY)) as store:
        assert await store.get("a", "r") == stored("r")
        assert await store.delete("a", "r")
        assert not await store.delete("a", "r")


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """A file that is no database is an error of the configuration."""
    (tmp_path / "kept").write_text("x" * 5000)
    with pytest.raises(ConfigurationError, match="history"):
        ResponseStore(tmp_path / "kept", 2, DAY)


async def test_the_configuration_sets_it(tmp_path: Path) -> None:
    """`history.responses` keeps responses in a file beside the history; without it, nothing."""
    file = tmp_path / "gateway.yaml"
    for kept in (0, 5):
        history = {"file": "calls.sqlite", "responses": kept}
        file.write_text(json.dumps({"providers": {"echo": {}}, "history": history}))
        settings = load(file)
        async with settings.build() as router:
            gateway = make_gateway(router, settings)
            gateway.close()
        assert (tmp_path / "calls.sqlite.responses").exists() == bool(kept)
        assert (tmp_path / "calls.sqlite.ids").exists()


async def test_ids_without_a_history(tmp_path: Path) -> None:
    """The workers of a gateway keep ids in their own folder; a single process keeps no file."""
    file = tmp_path / "gateway.yaml"
    file.write_text(json.dumps({"providers": {"echo": {}}}))
    settings = load(file)
    for folder in (None, str(tmp_path)):
        async with settings.build() as router:
            make_gateway(router, settings, folder=folder).close()
        assert (tmp_path / "made.ids").exists() == (folder is not None)
