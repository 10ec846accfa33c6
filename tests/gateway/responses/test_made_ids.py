"""Ids that a provider has made: a request that names one goes to the account that knows it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from multirouter import ConfigurationError
from multirouter.config import KeyBook
from multirouter.gateway.http.http_error import HTTPError
from multirouter.gateway.ids.made_ids import MadeIds
from multirouter.gateway.ids.references import MAX_ITEMS, ids_in, references_in
from tests.gateway.upstream import Sent, Upstream, gateway_before, sse

from .test_endpoint import MESSAGE, RESPONSE, STARTED, WHOLE, post

pytestmark = [pytest.mark.backends("asyncio")]

ITEM = {"id": "msg_b", "type": "message", "role": "assistant", "content": []}
MADE = {**RESPONSE, "id": "resp_b", "conversation": {"id": "conv_b"}, "output": [ITEM]}
UNKNOWN = {"message": "No such thing.", "code": "previous_response_not_found"}


class Account:
    """An account of OpenAI, which knows what it has made alone.

    Attributes:
        down: whether it fails.
    """

    def __init__(self, response: dict[str, Any] = RESPONSE, *, down: bool = False) -> None:
        self.down = down
        self._response = response

    def __call__(self, sent: Sent) -> Any:
        if self.down:
            return 500, {}
        if not sent.body.get("stream"):
            return self._response
        started = {**STARTED, "id": self._response["id"]}
        return sse(
            {"type": "response.created", "response": started, "sequence_number": 0},
            {"type": "response.completed", "response": self._response, "sequence_number": 1},
        )


def counts(*upstreams: Upstream) -> list[int]:
    """Requests that each has got."""
    return [len(upstream.sent) for upstream in upstreams]


REFERENCES: dict[str, dict[str, Any]] = {
    "response": {"previous_response_id": "resp_b"},
    "conversation": {"conversation": "conv_b"},
    "object": {"conversation": {"id": "conv_b"}},
    "item": {"input": [{"type": "item_reference", "id": "msg_b"}]},
    "invented": {"earlier_gizmo_id": "resp_b"},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("reference", REFERENCES.values(), ids=REFERENCES)
async def test_it_goes_to_the_provider_that_made_it(reference: Any, *, stream: bool) -> None:
    """Not to the route's first choice, and to no other one while that provider is down."""
    first, second = Account(down=True), Account(MADE)
    async with gateway_before(("openai", first), ("openai", second)) as (harness, upstreams):
        asked = {"model": "m", "input": "x", "stream": stream}
        assert (await post(harness, asked)).headers["X-Provider"] == "p1"
        first.down = False
        answer = await post(harness, {**asked, **reference})
        assert answer.headers["X-Provider"] == "p1"
        assert counts(*upstreams) == [1, 2]
        plain = await post(harness, asked)
        assert plain.headers["X-Provider"] == "p0"
        harness.router.hold("p1", "open")
        answer = await post(harness, {**asked, **reference})
        assert answer.status == 503
        assert counts(*upstreams) == [2, 2]


@pytest.mark.parametrize("path", ["/v1/responses/compact", "/v1/responses/input_tokens"])
async def test_other_operations_go_there_too(path: str) -> None:
    """Compacting and counting use what the provider keeps, so they go to the same one."""
    made = MadeIds()
    await made.remember("p1", ["resp_b"])
    count = {"object": "response.input_tokens", "input_tokens": 3}

    def reply(sent: Sent) -> Any:
        return count if "input_tokens" in sent.path else RESPONSE

    async with gateway_before(("openai", reply), ("openai", reply), gateway={"made_ids": made}) as (
        harness,
        upstreams,
    ):
        body = {"model": "m", "input": "x", "previous_response_id": "resp_b"}
        answer = await harness.post(path, json.dumps(body).encode())
        assert (answer.status, counts(*upstreams)) == (200, [0, 1])


async def test_no_key_may_name_the_ids_of_another() -> None:
    """Both keys use one account, which would answer; unknown ids still go to it."""
    book, ours = KeyBook().new("ours")
    book, theirs = book.new("theirs")
    async with gateway_before(("openai", Account(MADE)), gateway={"keys": book}) as (harness, [up]):

        async def asked(token: str, **fields: Any) -> Any:
            body = {"model": "m", "input": "x", **fields}
            return await post(harness, body, {"Authorization": f"Bearer {token}"})

        assert (await asked(ours)).status == 200
        for reference in REFERENCES.values():
            assert (await asked(ours, **reference)).status == 200
        before = len(up.sent)
        for reference in REFERENCES.values():
            answer = await asked(theirs, **reference)
            assert answer.status == 400, reference
            assert "must be an id from an answer to this key" in str(answer.data)
        assert len(up.sent) == before
        assert (await asked(theirs, previous_response_id="resp_other")).status == 200
        assert (await asked(theirs)).status == 200  # the account gives it the same id once more
        assert (await asked(theirs, previous_response_id="resp_b")).status == 200


async def test_a_stream_is_known_before_it_has_ended() -> None:
    """The first event names the response: it is remembered then, whatever follows."""
    broken = b"".join(event + b"\n\n" for event in WHOLE.split(b"\n\n")[:4])

    def reply(sent: Sent) -> Any:
        return broken if sent.body.get("stream") else RESPONSE

    async with gateway_before(("openai", Account()), ("openai", reply)) as (harness, upstreams):
        harness.router.hold("p0", "open")
        asked = {"model": "m", "input": "x"}
        await post(harness, {**asked, "stream": True})
        harness.router.unhold("p0")
        await post(harness, {**asked, "previous_response_id": "resp_up"})
    assert "stream" not in upstreams[1].sent[-1].body
    assert upstreams[0].sent == []


async def test_an_id_that_is_still_being_written_is_waited_for() -> None:
    """A stream's client has an id before a thread has written it: it may name it at once."""
    made = MadeIds()
    with made._lock:
        writing = made.remember("p", ["r"])
        asking = asyncio.ensure_future(made.providers_for({"previous_response_id": "r"}))
        await asyncio.sleep(0)
        assert not writing.done()
    assert await asking == {"p"}


async def test_what_nothing_is_known_of() -> None:
    """An id that is not remembered is tried by the route; who does not know it is passed over."""
    nothing = (400, {"error": UNKNOWN})
    async with gateway_before(
        ("anthropic", lambda _: MESSAGE), ("openai", lambda _: nothing), ("openai", Account())
    ) as (harness, upstreams):
        answer = await post(harness, {"model": "m", "input": "x", "previous_response_id": "r"})
        assert answer.headers["X-Provider"] == "p2"
        assert counts(*upstreams) == [0, 1, 1]


async def test_what_is_not_stored_is_not_remembered() -> None:
    """With `store: false` a service keeps nothing, and its ids mean nothing."""
    async with gateway_before(("openai", Account(down=True)), ("openai", Account(MADE))) as (
        harness,
        upstreams,
    ):
        for stream in (False, True):
            asked = {"model": "m", "input": "x", "store": False, "stream": stream}
            await post(harness, asked)
        await post(harness, {"model": "m", "input": "x", "previous_response_id": "resp_b"})
    assert len(upstreams[0].sent) == 3


async def test_errors_name_what_is_wrong() -> None:
    """Ids of two providers are a 400; so is one whose provider does not serve the model."""
    made = MadeIds()
    await made.remember("elsewhere", ["resp_e"])
    await made.remember("p0", ["resp_0"])
    async with gateway_before(("openai", Account()), gateway={"made_ids": made}) as (harness, _):
        body: dict[str, Any] = {"model": "m", "input": "x", "previous_response_id": "resp_e"}
        answer = await post(harness, body)
        assert answer.status == 400
        message = answer.json["error"]["message"]
        assert message.endswith("made by elsewhere, which does not serve the model 'm'")
        answer = await post(harness, {**body, "conversation": "resp_0"})
        assert answer.status == 400
        message = answer.json["error"]["message"]
        assert message.startswith("conversation, previous_response_id: must be ids of one provider")


async def test_a_file_is_shared_and_outlives_its_process(tmp_path: Path) -> None:
    """Two open files see each other's ids, as does one that is opened later; it is private."""
    path = tmp_path / "ids"
    body = {"previous_response_id": "r"}
    with closing(MadeIds(path)) as one, closing(MadeIds(path)) as other:
        await one.remember("a", ["r"])
        assert await other.providers_for(body) == {"a"}
        await other.remember("b", ["r"])
        assert await one.providers_for(body) == {"b"}
    with closing(MadeIds(path)) as later:
        assert await later.providers_for(body) == {"b"}
    await later.remember("c", ["r"])  # a closed file loses ids, and fails no request
    assert await later.providers_for(body) is None
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.write_bytes(b"no database" * 100)
    with pytest.raises(ConfigurationError, match="cannot be opened"):
        MadeIds(path)


@pytest.mark.real_io
async def test_a_locked_file_delays_no_answer(tmp_path: Path) -> None:
    """A program that holds the lock, such as a backup, costs ids and a quarter of a second."""
    path = tmp_path / "ids"
    with closing(MadeIds(path)) as made, closing(sqlite3.connect(path)) as other:
        other.execute("BEGIN EXCLUSIVE")
        async with asyncio.timeout(3):
            await made.remember("a", ["r"])
        other.rollback()
        assert await made.providers_for({"x_id": "r"}) is None


async def test_the_memory_is_bounded() -> None:
    """The oldest ids are forgotten; long ones, and too many of one answer, are not remembered."""
    with closing(MadeIds(keep=2)) as made:
        for id_ in ("a", "b", "c"):
            await made.remember("p", [id_])
        known = [await made.providers_for({"x_id": id_}) for id_ in ("a", "b", "c")]
        assert known == [None, {"p"}, {"p"}]
    with closing(MadeIds()) as made:
        await made.remember("p", map(str, range(MAX_ITEMS + 1)))
        assert await made.providers_for({"x_id": "x" * 257}) is None
        assert await made.providers_for({"x_id": str(MAX_ITEMS - 1)}) == {"p"}
        assert await made.providers_for({"x_id": str(MAX_ITEMS)}) is None
        items = [
            {"type": "t", "id": "x" * 257},
            *({"type": "t", "id": f"i{n}"} for n in range(999)),
        ]
        assert len(list(references_in({"input": items}))) == MAX_ITEMS


def test_what_refers_and_what_does_not() -> None:
    """Texts, contents and ids of whole items refer to nothing."""
    body = {
        "model": "m",
        "instructions": "an_id",
        "input": ["x", {"type": "message", "id": "m", "content": "x"}, {"id": 3}, {"role": "id"}],
        "odd_id": 3,
        "reasoning": {"id": None},
        "metadata": {"id": "m"},
    }
    assert list(references_in(body)) == []
    assert list(references_in({"input": "text"})) == []
    assert list(ids_in({"id": "a", "output": [{"id": "b"}, 3], "n": 1})) == ["a", "b"]
    for odd in ("\ud83d", "a\x00", "", "x" * 257):
        assert list(ids_in({"id": odd, "output": [{"id": odd}]})) == []
        assert list(references_in({"x_id": odd, "conversation": {"id": odd}})) == []


async def test_two_ids_of_one_provider() -> None:
    """They leave no choice, and are no mistake."""
    made = MadeIds()
    await made.remember("p", ["a", "b"])
    body = {"previous_response_id": "a", "conversation": "b"}
    assert await made.providers_for(body) == {"p"}
    await made.remember("q", ["b"])
    with pytest.raises(HTTPError, match="must be ids of one provider"):
        await made.providers_for(body)


@pytest.mark.parametrize("id_", ["\ud83d", "\x00", "", "x" * 10_000, "'; DROP TABLE made_ids"])
async def test_odd_ids(id_: str) -> None:
    """No id of a client or of a provider makes a request fail, or another id unknown."""
    odd = {**RESPONSE, "id": id_}
    async with gateway_before(("openai", lambda _: odd)) as (harness, _):
        made = {"model": "m", "input": "x", "previous_response_id": id_}
        statuses = [(await post(harness, made)).status for _ in range(2)]
        assert statuses == [400 if id_ == "\ud83d" else 200] * 2  # which cannot be encoded


async def test_an_unknown_first_event_is_passed_on() -> None:
    """Nothing is remembered of an event without a response."""
    whole = sse({"type": "gizmo"}) + WHOLE
    async with gateway_before(("openai", lambda _: whole)) as (harness, _):
        answer = await post(harness, {"model": "m", "input": "x", "stream": True})
    assert answer.status == 200
    assert answer.events[0] == {"type": "gizmo"}


def part(**fields: Any) -> list[Any]:
    """A conversation with one content."""
    return [{"role": "user", "content": [{"type": "input_file", **fields}]}]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("responses", {"input": part(file_id="cfile_1")}),
        ("responses", {"input": part(big_file_id="cfile_1")}),
        ("chat/completions", {"messages": part(file={"file_id": "cfile_1"})}),
        ("messages", {"messages": part(source={"file_id": "cfile_1"}), "max_tokens": 1}),
    ],
)
async def test_a_file_goes_to_the_account_whose_tool_made_it(path: str, body: Any) -> None:
    """Clients name the files of an answer in contents, in whatever format."""
    cited = {"type": "container_file_citation", "file_id": "cfile_1", "container_id": "cntr_1"}
    said = {"type": "output_text", "text": "there", "annotations": [cited]}
    answer = {**MADE, "output": [{**ITEM, "content": [said]}]}
    first, second = Account(), Account(answer)
    async with gateway_before(("openai", first), ("openai", second)) as (harness, upstreams):
        harness.router.hold("p0", "open")
        await post(harness, {"model": "m", "input": "x"})
        harness.router.unhold("p0")
        before = counts(*upstreams)
        await harness.post(f"/v1/{path}", json.dumps({"model": "m", **body}).encode())
        assert counts(*upstreams)[0] == before[0]
        other = json.dumps({"model": "m", **body}).replace("cfile_1", "cfile_2")
        await harness.post(f"/v1/{path}", other.encode())
        assert counts(*upstreams)[0] > before[0]


def test_arguments_of_calls_name_no_files() -> None:
    """They are the user's own data, and so are texts and deep structures."""
    item = {"type": "tool_use", "input": {"file_id": "f"}, "text": "file_id"}
    deep: Any = {"file_id": "f"}
    for _ in range(99):
        deep = [deep]
    assert list(references_in({"messages": [item, {"content": deep}], "tools": [7]})) == []


@pytest.mark.parametrize("accounts", [1, 3])
@pytest.mark.parametrize(
    ("status", "message", "code"),
    [
        (400, "No such thing.", "previous_response_not_found"),
        (404, "Response with id 'r-1' not found.", None),
        (400, "There is no 'r-1' here", "quux"),
    ],
)
async def test_an_id_that_no_account_knows(
    status: int, message: str, code: str | None, accounts: int
) -> None:
    """The error names the field and the id, however many accounts were attempted."""
    reply = (status, {"error": {"message": message, "code": code}})
    async with gateway_before(*[("openai", lambda _: reply)] * accounts) as (harness, upstreams):
        body = {"model": "m", "input": "x", "previous_response_id": "r-1"}
        for _ in range(2):
            error = (await post(harness, body)).json["error"]
            assert (error["code"], error["param"]) == (
                "previous_response_not_found",
                "previous_response_id",
            )
            assert "must be an id of a provider of the route, got 'r-1'" in error["message"]
        assert {sent.path for one in upstreams for sent in one.sent} == {"/v1/responses"}


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (400, "The text r-12 is not allowed"),
        (429, "Too much about r-1"),
        (400, "`input` must be shorter"),
    ],
)
async def test_other_errors_name_no_id(status: int, message: str) -> None:
    """An error about something else stays what it is, also where a request names an id."""
    reply = (status, {"error": {"message": message, "code": "quux"}})
    async with gateway_before(("openai", lambda _: reply)) as (harness, _):
        body = {"model": "m", "input": "x", "previous_response_id": "r-1"}
        error = (await post(harness, body)).json["error"]
    assert error["code"] != "previous_response_not_found"


async def test_a_missing_path_names_no_id() -> None:
    """A short id is looked for as a word: an error about the path is not one about the id."""
    answer = {"choices": [{"message": {"role": "assistant", "content": "ok"}}]}

    def service(sent: Sent) -> Any:
        missing = sent.path == "/v1/responses"
        return (404, {"error": {"message": "No such route"}}) if missing else answer

    async with gateway_before(("openai", service)) as (harness, (upstream,)):
        body = {"model": "m", "input": "x"}
        await post(harness, {**body, "previous_response_id": "r"})
        assert (await post(harness, body)).status == 200
        paths = [sent.path for sent in upstream.sent]
    assert paths == ["/v1/responses", "/v1/chat/completions"]
