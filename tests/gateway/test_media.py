"""Endpoints with files or media: speech, transcriptions, translations, edits of images."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import aiohttp
import anyio
import pytest

from multirouter.gateway.app import ServerLimits
from multirouter.providers.files.form_data import FormFile
from tests.gateway.harness import Answer, Harness, running_gateway

pytestmark = [
    pytest.mark.backends("asyncio"),
    # The SDK leaves open connections to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    # It deprecates translations and variations, which its users still send.
    pytest.mark.filterwarnings("ignore:deprecated:DeprecationWarning"),
]

RECORDING = b"\x00\xff\r\n--" * 1000


@pytest.fixture
def _collected() -> Iterator[None]:
    """Collects what a client left behind here, and not during another test."""
    yield
    gc.collect()


def sdk(harness: Harness) -> Any:
    openai = pytest.importorskip("openai")
    return openai.AsyncOpenAI(base_url=f"{harness.url}/v1", api_key="k", max_retries=0)


async def send_form(harness: Harness, path: str, *fields: tuple[str, Any], **more: Any) -> Answer:
    """Sends a form; bytes are a file."""
    form = aiohttp.FormData(quote_fields=False)
    for name, value in (*fields, *more.items()):
        if isinstance(value, bytes):
            form.add_field(name, value, filename="a.mp3", content_type="audio/mpeg")
        else:
            form.add_field(name, value)
    async with harness.http.post(harness.url + path, data=form) as response:
        answer = Answer(response.status, response.headers)
        try:
            async for part in response.content.iter_any():
                answer.data += part
        except aiohttp.ClientPayloadError:
            answer.broken = True
        return answer


@pytest.mark.usefixtures("_collected")
async def test_openai_speech() -> None:
    """The official SDK gets the audio of the provider, whole, in parts, and as events."""
    async with running_gateway() as harness:
        client = sdk(harness)
        speech = {"model": "m", "voice": "alloy", "input": "one two three"}
        whole = await client.audio.speech.create(**speech, response_format="wav")
        assert whole.content == b"one two three "
        assert whole.response.headers["Content-Type"] == "audio/wav"
        assert whole.response.headers["X-Provider"] == "first"
        streaming = client.audio.speech.with_streaming_response.create(**speech)
        async with streaming as response:
            assert b"".join([part async for part in response.iter_bytes()]) == b"one two three "
        events = await harness.send(path="/v1/audio/speech", **speech, stream_format="sse")
        await client.close()
    assert [event["type"] for event in events.events] == [
        *["speech.audio.delta"] * 3,
        "speech.audio.done",
    ]
    assert all("stream" not in request.body for request in harness.fakes[0].requests)


@pytest.mark.usefixtures("_collected")
@pytest.mark.parametrize("kind", ["transcriptions", "translations"])
async def test_openai_transcripts(kind: str) -> None:
    """The official SDK sends a recording and gets JSON, text or subtitles."""
    expected = f"{len(RECORDING)} bytes of a.mp3"
    async with running_gateway() as harness:
        client = sdk(harness)
        create = getattr(client.audio, kind).create
        recording = {"file": ("a.mp3", RECORDING, "audio/mpeg"), "model": "m"}
        assert (await create(**recording)).text == expected
        assert (await create(**recording, response_format="text")) == expected
        assert (await create(**recording, response_format="vtt")).startswith("WEBVTT")
        await client.close()
        sent = harness.fakes[0].requests[0]
    assert bytes(sent.body["file"].content) == RECORDING
    assert int(sent.headers["Content-Length"]) > len(RECORDING)
    logged = [(fields.get("tokens"), fields["operation"]) for _, _, fields in harness.log.events]
    assert logged == [(8, kind), (None, kind), (None, kind)]  # a text reports no usage


@pytest.mark.usefixtures("_collected")
async def test_openai_streamed_transcript() -> None:
    """The official SDK gets the events of a streamed transcript, as the provider sent them."""
    async with running_gateway() as harness:
        client = sdk(harness)
        events = await client.audio.transcriptions.create(
            file=("a.mp3", RECORDING), model="m", stream=True, timestamp_granularities=["word"]
        )
        kinds = [event.type async for event in events]
        await client.close()
        sent = harness.fakes[0].requests[0].body
    assert kinds == [*["transcript.text.delta"] * 4, "transcript.text.done"]
    assert sent["timestamp_granularities[]"] == "word"
    assert sent["stream"] == "true"


@pytest.mark.usefixtures("_collected")
async def test_openai_images() -> None:
    """The official SDK edits, varies and streams images; several files keep their order."""
    async with running_gateway() as harness:
        client = sdk(harness)
        files = [("a.png", b"a"), ("b.png", b"b")]
        edited = await client.images.edit(image=files, prompt="x", model="m", n=2)
        varied = await client.images.create_variation(image=b"x", model="m")
        events = await client.images.edit(image=b"x", prompt="x", model="m", stream=True)
        kinds = [event.type async for event in events]
        made = await client.images.generate(prompt="x", model="m", stream=True, n=2)
        more = [event.type async for event in made]
        await client.close()
        sent = harness.fakes[0].requests[0].body
    assert (len(edited.data), len(varied.data)) == (2, 1)
    assert kinds == ["image_edit.partial_image", "image_edit.completed"]
    assert more == ["image_generation.partial_image", *["image_generation.completed"] * 2]
    assert [(file.name, bytes(file.content)) for file in sent["image[]"]] == files


@pytest.mark.parametrize("fault", ["fail-503", "html-200", "empty-200", "error-200", "quota"])
@pytest.mark.parametrize(
    "path", ["/v1/audio/speech", "/v1/audio/transcriptions", "/v1/images/edits"]
)
async def test_failover(path: str, fault: str) -> None:
    """A failing provider is followed by the next, which gets the same file."""
    async with running_gateway([fault], []) as harness:
        if path == "/v1/audio/speech":
            answer = await harness.send(path=path, voice="a", input="hi")
        else:
            name = "file" if "audio" in path else "image"
            answer = await send_form(harness, path, (name, RECORDING), model="m", prompt="x")
            sent = harness.fakes[1].requests[0].body
            assert bytes(sent[name].content) == RECORDING
        assert answer.status == 200
        assert answer.headers["X-Provider"] == "second"


async def test_speech_that_breaks() -> None:
    """Before the first part another provider speaks; later the connection ends before the last."""
    async with running_gateway(["cut-after-0"], []) as harness:
        speech: Any = {"path": "/v1/audio/speech", "voice": "a", "input": "one two three"}
        answer = await harness.send(**speech)
        assert (answer.data, answer.headers["X-Provider"]) == (b"one two three ", "second")
        broken = await harness.send(**speech, model="tts+cut-after-2")
        stalled = await harness.send(**speech, model="tts+stall-1")
    assert (broken.data, broken.broken) == (b"one two ", True)
    assert (stalled.data, stalled.broken) == (b"one ", True)
    codes = [fields.get("error_code") for _, _, fields in harness.log.events]
    assert codes == [None, "stream_interrupted", "stream_interrupted"]


async def test_fields_for_the_gateway() -> None:
    """A form's own fields work as in JSON, as texts, as lists and as nested names."""
    async with running_gateway([]) as harness:

        async def tried(*fields: tuple[str, str]) -> list[Any]:
            path = "/v1/audio/transcriptions"
            answer = await send_form(harness, path, ("file", b"x"), ("model", "fail-503"), *fields)
            return [answer.status, len(answer.trail)]

        assert await tried(("fallback_models[]", "m")) == [200, 2]
        assert await tried(("fallback_models", '["fail-503", "m"]')) == [200, 2]
        conditions = ("fallback_conditions[status_codes][]", "429")
        assert await tried(("fallback_models", "m"), conditions) == [503, 1]
        status, _ = await tried(("fallback_conditions", '{"timeout_ms": 1}'), ("timeout", "5"))
        assert status == 503
        assert (await tried(("timeout", "soon")))[0] == 400
        started = anyio.current_time()
        late = await send_form(
            harness,
            "/v1/audio/transcriptions",
            ("file", b"x"),
            ("model", "slow-first-token-60000"),
            ("timeout", "2"),
        )
        assert (late.status, round(anyio.current_time() - started)) == (504, 2)
        sent = {name for request in harness.fakes[0].requests for name in request.body}
    assert sent == {"file", "model"}


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"--b\r\n\r\n", 400),
        (b"--c--\r\n", 400),
        (b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm', 400),
        (b"--b\r\nContent-Disposition: form-data\r\n\r\nm\r\n--b--\r\n", 400),
        (b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\n\xff\r\n--b--\r\n', 400),
        (b"--b\r\n" + b"x: y\r\n" * 50 + b"\r\nm\r\n--b--\r\n", 400),
        (b"--b\r\nx: " + b"y" * 10_000 + b"\r\n\r\nm\r\n--b--\r\n", 400),
        (b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\nm\r\n' * 300 + b"--b--\r\n", 413),
        (b" " * 200_000, 413),
    ],
)
async def test_malformed_forms(body: bytes, status: int) -> None:
    """A malformed or too large form is a 400 or 413 of the gateway; no provider is attempted."""
    async with running_gateway(limits=ServerLimits(max_body_size=100_000)) as harness:
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = await harness.post("/v1/audio/transcriptions", body, headers)
        assert answer.status == status
        assert answer.json["error"]["code"] in {"invalid_body", "request_too_large"}
        assert not harness.fakes[0].requests
        unnamed = {"Content-Type": "multipart/form-data"}
        assert (await harness.post("/v1/images/edits", b"--b--\r\n", unnamed)).status == 400


async def test_json_for_files() -> None:
    """These endpoints take JSON too, and the others take no form."""
    async with running_gateway([]) as harness:
        await harness.send(path="/v1/images/edits", images=[{"image_url": "https://x/y.png"}])
        sent = harness.fakes[0].requests[0].body
        assert sent["images"] == [{"image_url": "https://x/y.png"}]
        rejected = await send_form(harness, "/v1/embeddings", model="m", input="x")
        assert rejected.json["error"]["code"] == "invalid_json"


async def test_names_of_files_cannot_inject_headers() -> None:
    """Quotes and line breaks in names reach the provider escaped, as browsers send them."""
    async with running_gateway([]) as harness:
        body = (
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="a\\"b.mp3"\r\n'
            b"Content-Type: audio/mpeg\r\n\r\nx\r\n"
            b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nm\r\n--b--\r\n'
        )
        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = await harness.post("/v1/audio/transcriptions", body, headers)
        sent = harness.fakes[0].requests[0].body["file"]
    assert answer.status == 200
    assert isinstance(sent, FormFile)
    assert sent.name in {'a"b.mp3', "a%22b.mp3"}
