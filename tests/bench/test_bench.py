"""`multirouter bench`: loads in virtual time, what is measured, and what the command prints."""

from __future__ import annotations

import asyncio
import io
import json
import socket
import xml.etree.ElementTree as ET
from argparse import ArgumentParser
from collections.abc import AsyncIterator
from random import Random
from typing import Any, Self

import anyio
import pytest

from multirouter import ConfigurationError, MultiProviderRouter, Provider, UsageError
from multirouter.bench import command
from multirouter.bench.load import Load, Sample, Sent
from multirouter.bench.outages import PlannedOutage, parse_outage, prepare
from multirouter.bench.picture import svg
from multirouter.bench.summary import Summary, as_json, as_text, summarize
from multirouter.bench.targets import (
    GatewayTarget,
    RouterTarget,
    busy,
    imported_router,
    read_requests,
)
from multirouter.model import SUCCESS, AttemptRecord

pytestmark = pytest.mark.backends("asyncio")


async def slow(request: Any) -> Any:
    """Answers after a tenth of a second."""
    await anyio.sleep(0.1)
    return request


async def words(request: Any) -> AsyncIterator[str]:
    """A first word after 0.2 s, a second one after 0.5 s."""
    await anyio.sleep(0.2)
    yield "a"
    await anyio.sleep(0.3)
    yield "b"


def make_router() -> MultiProviderRouter[Any, Any, Any]:
    """Two providers of the same weight."""
    providers = [Provider(name, slow, stream=words) for name in ("one", "two")]
    return MultiProviderRouter(providers, rng=Random(1))


async def measured(load: Load, *outages: str) -> tuple[list[Sample], Summary]:
    """The figures of a load on `make_router()`, in virtual time."""
    async with make_router() as router:
        planned = prepare(router, [parse_outage(text) for text in outages], Random(2))
        return await command.measure(
            RouterTarget(router), load, ["q"], planned, Random(3), progress=io.StringIO()
        )


async def test_users_send_one_request_at_a_time() -> None:
    """Five users with answers after 0.1 s make fifty requests a second; the router adds nothing."""
    samples, summary = await measured(Load(users=5, seconds=9.95))
    assert (summary.requests, summary.answered) == (500, 500)
    assert summary.per_second == pytest.approx(50.0)
    assert summary.latency == pytest.approx({"p50": 0.1, "p90": 0.1, "p99": 0.1, "max": 0.1})
    assert summary.own_share == pytest.approx(0.0, abs=1e-9)
    assert set(summary.providers) == {"one", "two"}
    assert max(sample.at for sample in samples) < 10.0


async def test_users_think_between_two_requests() -> None:
    """With 0.4 s of thought on average, a user makes about two requests a second."""
    _, summary = await measured(Load(users=20, think=0.4, seconds=50.0))
    assert summary.requests == pytest.approx(20 * 50.0 / 0.5, rel=0.1)


async def test_an_open_loop_sends_at_its_rate() -> None:
    """Requests begin at random times, whether or not earlier ones have ended."""
    samples, summary = await measured(Load(rate=100.0, seconds=20.0))
    assert summary.requests == pytest.approx(2_000, rel=0.1)
    assert summary.latency["max"] == pytest.approx(0.1)
    assert len({round(sample.at, 6) for sample in samples}) == len(samples)


async def test_an_outage_to_order_is_masked_by_failover() -> None:
    """In its seconds every attempt fails, the other provider answers, and the circuit opens."""
    samples, summary = await measured(Load(users=4, seconds=20.0), "one:5-10:reset")
    assert summary.answered == summary.requests
    assert summary.failovers > 0
    during = [sample for sample in samples if 5.0 <= sample.at < 9.9]
    assert {sample.sent.provider for sample in during} == {"two"}
    assert {sample.sent.provider for sample in samples if sample.at < 5.0} == {"one", "two"}


async def test_streams_have_a_first_chunk() -> None:
    """The first chunk comes after 0.2 s, the end after 0.5 s."""
    _, summary = await measured(Load(users=2, seconds=5.0, streamed=1.0))
    assert summary.first_chunk["p50"] == pytest.approx(0.2)
    assert summary.latency["p50"] == pytest.approx(0.5)
    assert summary.own_share == pytest.approx(0.0, abs=1e-9)


async def test_errors_are_counted_by_class() -> None:
    """When all providers are down, requests end with the error that a caller would get."""
    load = Load(users=1, think=0.5, seconds=5.0)
    _, summary = await measured(load, "one:0-10", "two:0-10")
    assert summary.answered < summary.requests
    assert {"AllProvidersFailed", "NoProviderAvailable"} & set(summary.errors)
    assert set(summary.messages) == set(summary.errors)
    assert all(message in as_text(summary) for message in summary.messages.values())


def test_what_is_outside_of_attempts_is_the_routers_own() -> None:
    """Attempts that overlap count once; a request of 1 s with 0.75 s of attempts has 25 % left."""
    times = [(0.0, 0.5), (0.25, 0.5), (0.3, 0.1)]
    attempts = [
        AttemptRecord("p", "default", "call", SUCCESS, None, began, elapsed, "", late=False)
        for began, elapsed in times
    ]
    assert busy(attempts) == pytest.approx(0.75)
    summary = summarize([Sample(0.0, 1.0, Sent(at_providers=0.75))], 1.0, processor=2e-4)
    assert summary.own_share == pytest.approx(0.25)
    assert "25.00% of the time" in as_text(summary)
    assert "200 us" in as_text(summary)
    assert as_json(summary)["own"]["p50"] == pytest.approx(0.25)


def test_nothing_is_claimed_of_what_is_not_reported() -> None:
    """Without the part of a router in another process, the text says that it is not known."""
    summary = summarize([Sample(0.0, 1.0, Sent("status 500"))], 2.0)
    assert (summary.own_share, summary.latency, summary.errors) == (None, {}, {"status 500": 1})
    assert "not known" in as_text(summary)


def test_the_picture_is_valid_xml_with_outages_and_errors() -> None:
    """It has both lines of latency, a shade for each outage and a dot for each error."""
    samples = [Sample(float(at), 0.1 + at / 10, Sent("" if at else "E")) for at in range(10)]
    root = ET.fromstring(svg(samples, 10.0, [PlannedOutage("p", 2.0, 30.0)]))
    assert len(root.findall(".//{*}polyline")) == 2
    assert len(root.findall(".//{*}rect[@class='outage']")) == 1
    assert len(root.findall(".//{*}circle[@class='error']")) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("one", "must be PROVIDER:BEGIN-END"),
        ("one:1.2.3-4", "must be PROVIDER:BEGIN-END"),
        ("one:5-5", "must have an end after its begin"),
        ("one:1-2:fire", "--outage"),
    ],
)
def test_an_outage_that_cannot_be_read(text: str, message: str) -> None:
    """The error names the option and the form that it must have."""
    with pytest.raises(ConfigurationError, match=message):
        parse_outage(text)


async def test_an_outage_of_an_unknown_provider() -> None:
    """The error suggests the provider that may be meant."""
    async with make_router() as router:
        with pytest.raises(ConfigurationError, match="'one'"):
            prepare(router, [PlannedOutage("onne", 0.0, 1.0)], Random(1))


def test_a_target_is_a_router_of_a_module(monkeypatch: pytest.MonkeyPatch) -> None:
    """`module:router` may be a router, or a function that makes one."""
    monkeypatch.setattr(asyncio, "made", make_router, raising=False)
    assert isinstance(imported_router("asyncio:made"), MultiProviderRouter)
    for invalid, message in (
        ("asyncio:missing", "no attribute 'missing'"),
        ("no_such_module:router", "No module named"),
        ("asyncio:tasks", "must be a MultiProviderRouter"),
        ("asyncio:AbstractEventLoop.stop", "needs no arguments"),
        ("asyncio:staggered.staggered_race", "needs no arguments"),
        ("app.py", "must be module:router, a file"),
        (".", "must be module:router, a file"),
        ("ftp://host", "must be module:router, a file"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            imported_router(invalid)


class FakeSession:
    """An HTTP client whose responses have a status, headers and a body in two parts."""

    def __init__(self, status: int, headers: dict[str, str]) -> None:
        self.status, self.headers, self.content = status, headers, self
        self.sent: list[Any] = []

    def post(self, url: str, **request: Any) -> FakeSession:
        self.sent.append((url, request))
        return self

    async def __aenter__(self) -> Self:
        if self.status == 0:
            raise ConnectionResetError
        return self

    async def __aexit__(self, *error: object) -> None:
        return None

    async def iter_any(self) -> AsyncIterator[bytes]:
        for part in (b"{", b"}"):
            await anyio.sleep(0.25)
            yield part


async def test_a_gateway_reports_its_own_part() -> None:
    """Provider and own part come from its headers, the first chunk and errors from the response."""
    trail = '["…", {"provider": "o"}, {"provider": "h", "role": "hedge"}, {"provider": "p"}]'
    headers = {"X-Provider": "p", "X-Router-Overhead-Ms": "100", "X-Attempts": trail}
    session: Any = FakeSession(200, headers)
    target = GatewayTarget("http://g/", session, "secret")
    sent = await target.send({"messages": []}, stream=True)
    assert sent == Sent("", pytest.approx(0.25), "p", pytest.approx(0.4), 1)
    ((url, request),) = session.sent
    assert url == "http://g/v1/chat/completions"
    assert request["json"] == {"messages": [], "stream": True}
    assert request["headers"] == {"Authorization": "Bearer secret"}
    failed: Any = FakeSession(503, {})
    assert await GatewayTarget("http://g", failed, None).send({}, stream=False) == Sent(
        "status 503", message="{"
    )
    gone: Any = FakeSession(0, {})
    sent = await GatewayTarget("http://g", gone, None).send({}, stream=False)
    assert sent.error == "ConnectionResetError"


def test_requests_of_a_file() -> None:
    """One JSON value per line; the error names the line that is none."""
    assert read_requests(b'"a"\n\n{"b": 1}\n', "f") == ["a", {"b": 1}]
    for line in (b"{", b"\xff\x00"):
        with pytest.raises(ConfigurationError, match="f, line 2"):
            read_requests(b'"a"\n' + line, "f")
    with pytest.raises(ConfigurationError, match="at least one request"):
        read_requests(b"\n", "f")


def test_the_command_prints_json_and_writes_the_picture(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A short run of a router of a module, by the real clock."""

    async def fast(request: Any) -> Any:
        return request

    monkeypatch.setattr(
        asyncio, "made", lambda: MultiProviderRouter([Provider("p", fast)]), raising=False
    )
    parser = ArgumentParser()
    command.add_arguments(parser)
    picture = tmp_path / "run.svg"
    options = ["asyncio:made", "--rate", "200", "--seconds", "0.05", "--model", "m", "--seed", "1"]
    arguments = parser.parse_args([*options, "--json", "--svg", str(picture)])
    assert command.run(arguments) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["providers"] == {"p": found["answered"]}
    assert picture.read_text().startswith("<svg")


def test_mistakes_are_found_before_the_first_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A route, a folder or a kind of request that cannot be used ends the command at once."""
    monkeypatch.setattr(asyncio, "made", make_router, raising=False)
    parser = ArgumentParser()
    command.add_arguments(parser)
    texts = tmp_path / "texts"
    texts.write_text('"hi"')
    for options, message in (
        (["asyncio:made", "--route", "nope"], "unknown route 'nope'"),
        (["asyncio:made", "--svg", str(tmp_path / "none" / "run.svg")], "in a folder that exists"),
        (["http://127.0.0.1:1", "--requests", str(texts)], "must have only JSON objects"),
        (["http://"], "must have a host"),
        (["http://h:x"], "must have a host"),
        (["http://[::"], "must have a host"),
        (["asyncio:made", "--users", "100001"], "--users: must be an integer >= 1 and <= 100000"),
    ):
        with pytest.raises((ConfigurationError, UsageError), match=message):
            command.run(parser.parse_args(options))


@pytest.mark.real_io
def test_a_gateway_that_does_not_run_is_found_at_once() -> None:
    """One connection is tried before the load, whatever its duration; the message says why."""
    parser = ArgumentParser()
    command.add_arguments(parser)
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # it does not listen
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=r"a gateway that runs.*failed"):
            command.run(parser.parse_args([url, "--seconds", "3600"]))


async def test_a_gateway_that_accepts_no_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host that does not answer is waited for as long as for the first connection alone."""

    async def never(*_: Any) -> Any:
        await anyio.sleep_forever()

    monkeypatch.setattr(anyio, "connect_tcp", never)
    with pytest.raises(ConfigurationError, match="no connection within 10 s"):
        await command._check_that_it_runs("https://gateway.test")
    assert anyio.current_time() >= 10.0


def test_options_of_a_router_are_not_for_a_url() -> None:
    """A gateway in another process gets no outages from here."""
    parser = ArgumentParser()
    command.add_arguments(parser)
    for option in (["--outage", "p:1-2"], ["--route", "r"]):
        with pytest.raises(ConfigurationError, match="URL of a gateway"):
            command.run(parser.parse_args(["http://127.0.0.1:1", *option]))
