"""The clients that people use, against the running gateway; each is skipped where not installed.

They are the extra `clients`: `pytest -m clients` runs them alone.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from multirouter import Route
from multirouter.gateway.app import Bounds
from multirouter.providers import Gemini
from tests.gateway.kit import PROMPT, SAID, Place, standing

pytestmark = [
    pytest.mark.backends("asyncio"),
    pytest.mark.clients,
    # Some keep connections for the life of the process, and leave them to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    # google-genai derives from the session of aiohttp, which asks not to be.
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession"),
]


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """What a client left behind is collected here, and not in somebody else's test."""
    yield
    gc.collect()


MESSAGES: Any = [{"role": "user", "content": PROMPT}]
WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "strict": True,
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def openai_client(place: Place, **settings: Any) -> Any:
    openai = pytest.importorskip("openai")
    return openai.AsyncOpenAI(base_url=f"{place.url}/v1", api_key="k", **settings)


async def test_openai() -> None:
    """Whole, raw, streamed with usage, parsed, tools, models and embeddings."""
    pydantic = pytest.importorskip("pydantic")

    class City(pydantic.BaseModel):
        name: str

    async with standing(["cut-after-3"], []) as place, openai_client(place) as client:
        create = client.chat.completions.create
        assert (await create(model="m", messages=MESSAGES)).choices[0].message.content == SAID
        raw = await client.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
        assert raw.headers["x-provider"] == "second"
        assert raw.parse()._request_id.startswith("req_")
        options = {"include_usage": True}
        stream = await create(model="m", messages=MESSAGES, stream=True, stream_options=options)
        chunks = [chunk async for chunk in stream]
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert (text, chunks[-1].usage.total_tokens > 0) == (SAID, True)
        parsed = await client.chat.completions.parse(
            model="m", messages=MESSAGES, response_format=City
        )
        assert parsed.choices[0].message.parsed == City(name="Zürich")
        asked: Any = [{"role": "user", "content": "weather"}]
        async with client.chat.completions.stream(
            model="m", messages=asked, tools=[WEATHER]
        ) as tools:
            final = await tools.get_final_completion()
        assert final.choices[0].message.tool_calls[0].function.arguments == '{"city": "Zürich"}'
        assert [model.id async for model in client.models.list()] == ["m"]
        vectors = await client.embeddings.create(model="m", input=["a", "b"])
        assert [item.index for item in vectors.data] == [0, 1]


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("429-retry-after-50", "RateLimitError"),
        ("context-too-long", "BadRequestError"),
        ("no-model", "NotFoundError"),
        ("fail-422", "UnprocessableEntityError"),
        ("fail-503", "InternalServerError"),
        ("bad-key", "InternalServerError"),
    ],
)
async def test_errors_of_openai(fault: str, error: str) -> None:
    """The SDK raises the exception that says what is wrong, for calls and for streams."""
    openai = pytest.importorskip("openai")
    async with standing([fault]) as place, openai_client(place, max_retries=0) as client:
        for stream in (False, True):
            with pytest.raises(getattr(openai, error)) as caught:
                await client.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
            assert caught.value.request_id.startswith("req_")


async def test_a_broken_stream_raises_in_openai() -> None:
    """A stream beyond repair raises; it never looks like a short answer."""
    openai = pytest.importorskip("openai")
    async with standing(["cut-after-3"]) as place, openai_client(place) as client:
        stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIError, match="broke"):
            async for _ in stream:
                pass


async def test_openai_without_async() -> None:
    """The synchronous client as well."""
    openai = pytest.importorskip("openai")
    async with standing() as place:

        def ask() -> str:
            with openai.OpenAI(base_url=f"{place.url}/v1", api_key="k") as client:
                stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
                return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

        assert await asyncio.to_thread(ask) == SAID


async def test_anthropic() -> None:
    """Whole, streamed through a cut, tools, and the exception for what is too long."""
    anthropic = pytest.importorskip("anthropic")
    async with (
        standing(["cut-after-3"], []) as place,
        anthropic.AsyncAnthropic(base_url=place.url, api_key="k", max_retries=0) as client,
    ):
        terms: Any = {"model": "m", "max_tokens": 100, "messages": MESSAGES}
        async with client.messages.stream(**terms) as stream:
            assert await stream.get_final_text() == SAID
        assert (await client.messages.create(**terms)).content[0].text == SAID
        listed = [model async for model in client.models.list()]
        assert [(model.id, model.type) for model in listed] == [("m", "model")]
        assert (await client.models.retrieve("m")).created_at.year >= 2026
        with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
            await client.messages.create(**{**terms, "model": "context-too-long"})


async def test_a_broken_stream_raises_in_anthropic() -> None:
    """A stream beyond repair raises."""
    anthropic = pytest.importorskip("anthropic")
    async with (
        standing(["cut-after-3"]) as place,
        anthropic.AsyncAnthropic(base_url=place.url, api_key="k", max_retries=0) as client,
    ):
        with pytest.raises(anthropic.APIError):
            async with client.messages.stream(
                model="m", max_tokens=100, messages=MESSAGES
            ) as stream:
                await stream.get_final_text()


def google_client(place: Place, **options: Any) -> Any:
    genai = pytest.importorskip("google.genai")
    return genai.Client(api_key="k", http_options={"base_url": place.url, **options})


async def test_google() -> None:
    """Whole, streamed through a cut, an object, functions called by themselves, and models."""
    pydantic = pytest.importorskip("pydantic")

    class City(pydantic.BaseModel):
        name: str

    cities: list[str] = []

    def weather(city: str) -> str:
        """Tells the weather."""
        cities.append(city)
        return "rain"

    async with standing(["cut-after-3"], []) as place, google_client(place).aio as client:
        terms: Any = {"model": "m", "contents": PROMPT}
        stream = await client.models.generate_content_stream(**terms)
        pieces = [piece async for piece in stream]
        assert "".join(piece.text or "" for piece in pieces) == SAID
        assert pieces[-1].usage_metadata.total_token_count > 0
        answer = await client.models.generate_content(**terms)
        assert (answer.text, answer.candidates[0].finish_reason.name) == (SAID, "STOP")
        form = {"response_mime_type": "application/json", "response_schema": City}
        parsed = await client.models.generate_content(**terms, config=form)
        assert parsed.parsed == City(name="Zürich")
        chat = client.chats.create(model="m", config={"tools": [weather]})
        told = await chat.send_message("the weather please")
        assert (cities, "rain" in told.text) == (["Zürich"], True)
        listed = await client.models.list()
        assert [model.name async for model in listed] == ["models/m"]
        assert (await client.models.get(model="m")).name == "models/m"


async def test_google_without_async() -> None:
    """The synchronous client as well: whole, streamed, and a chat that calls by itself."""
    cities: list[str] = []

    def weather(city: str) -> str:
        """Tells the weather."""
        cities.append(city)
        return "rain"

    async with standing(["cut-after-3", ""], []) as place:

        def ask() -> list[str | None]:
            with google_client(place) as client:
                terms: Any = {"model": "m", "contents": PROMPT}
                stream = client.models.generate_content_stream(**terms)
                streamed = "".join(piece.text or "" for piece in stream)
                whole = client.models.generate_content(**terms).text
                chat = client.chats.create(model="m", config={"tools": [weather]})
                pieces = chat.send_message_stream("the weather please")
                return [streamed, whole, "".join(piece.text or "" for piece in pieces)]

        streamed, whole, told = await asyncio.to_thread(ask)
    assert streamed == whole == SAID
    assert (cities, "rain" in (told or "")) == (["Zürich"], True)


async def test_google_signs_its_calls() -> None:
    """A Gemini model behind the door gets back the signature of its call, as it insists."""
    cities: list[str] = []

    def weather(city: str) -> str:
        """Tells the weather."""
        cities.append(city)
        return "rain"

    async with standing() as place:
        before: Any = place.router.providers[0]
        made = Gemini("google", model="gemini-3-pro", base_url=place.fakes[0].url, api_key="k")
        place.router.reconfigure([made], [Route("main", ["google"])])
        await before.aclose()
        async with google_client(place).aio as client:
            chat = client.chats.create(model="m", config={"tools": [weather]})
            told = await chat.send_message("the weather please")
        sent = place.fakes[0].requests[-1].body["contents"]
    assert (cities, "rain" in told.text) == (["Zürich"], True)
    assert [part for turn in sent for part in turn["parts"] if part.get("thoughtSignature")]


async def test_what_google_has_and_the_gateway_has_not() -> None:
    """Embeddings and counts raise at once, as for a model that has them not."""
    errors = pytest.importorskip("google.genai.errors")
    async with standing() as place, google_client(place).aio as client:
        with pytest.raises(errors.ClientError, match="/v1/embeddings") as embedded:
            await client.models.embed_content(model="m", contents="x")
        with pytest.raises(errors.ClientError, match="counts in its own way") as counted:
            await client.models.count_tokens(model="m", contents="x")
    assert {(e.value.code, e.value.status) for e in (embedded, counted)} == {(404, "NOT_FOUND")}


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        ("429-retry-after-50", 429, "RESOURCE_EXHAUSTED"),
        ("context-too-long", 400, "INVALID_ARGUMENT"),
        ("fail-503", 503, "UNAVAILABLE"),
    ],
)
async def test_errors_of_google(fault: str, code: int, status: str, version: str) -> None:
    """The SDK raises the exception that says what is wrong, for calls and for streams."""
    errors = pytest.importorskip("google.genai.errors")
    terms: Any = {"model": "m", "contents": PROMPT}
    async with (
        standing([fault]) as place,
        google_client(place, api_version=version).aio as client,
    ):
        with pytest.raises(errors.APIError) as whole:
            await client.models.generate_content(**terms)
        with pytest.raises(errors.APIError) as streamed:
            async for _ in await client.models.generate_content_stream(**terms):
                pass
    kind = errors.ClientError if code < 500 else errors.ServerError
    for caught in (whole.value, streamed.value):
        assert isinstance(caught, kind)
        assert (caught.code, caught.status) == (code, status)


async def test_a_broken_stream_raises_in_google() -> None:
    """A stream beyond repair raises, and one that is kept waiting does not."""
    errors = pytest.importorskip("google.genai.errors")
    terms: Any = {"model": "m", "contents": PROMPT}
    async with standing(["cut-after-3"]) as place, google_client(place).aio as client:
        with pytest.raises(errors.ServerError, match="broke"):
            async for _ in await client.models.generate_content_stream(**terms):
                pass
    bounds = Bounds(keepalive=1.0)
    async with (
        standing(["slow-first-token-2500"], bounds=bounds) as place,
        google_client(place).aio as client,
    ):
        stream = await client.models.generate_content_stream(**terms)
        assert "".join([piece.text or "" async for piece in stream]) == SAID


async def test_langchain() -> None:
    """LangChain's chat model, whole and streamed."""
    langchain = pytest.importorskip("langchain_openai")
    async with standing() as place:
        model = langchain.ChatOpenAI(model="m", base_url=f"{place.url}/v1", api_key="k")
        assert (await model.ainvoke(PROMPT)).content == SAID
        assert "".join([chunk.content async for chunk in model.astream(PROMPT)]) == SAID


async def test_pydantic_ai() -> None:
    """An agent of pydantic-ai."""
    ai = pytest.importorskip("pydantic_ai")
    models = pytest.importorskip("pydantic_ai.models.openai")
    providers = pytest.importorskip("pydantic_ai.providers.openai")
    async with standing() as place:
        provider = providers.OpenAIProvider(base_url=f"{place.url}/v1", api_key="k")
        agent = ai.Agent(models.OpenAIChatModel("m", provider=provider))
        assert (await agent.run(PROMPT)).output == SAID


async def test_instructor() -> None:
    """instructor, which wants an object out of a tool call."""
    instructor = pytest.importorskip("instructor")
    pydantic = pytest.importorskip("pydantic")

    class City(pydantic.BaseModel):
        name: str

    async with standing() as place, openai_client(place) as client:
        patched = instructor.from_openai(client)
        city = await patched.chat.completions.create(
            model="m", messages=MESSAGES, response_model=City
        )
    assert city.name == "Zürich"


@pytest.mark.real_io
async def test_curl() -> None:
    """curl, which sends no JSON content type by itself."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    async with standing() as place:
        body = '{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
        process = await asyncio.create_subprocess_exec(
            *("curl", "-sN", f"{place.url}/v1/chat/completions", "-d", body),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await process.communicate()
    assert said.count(b"data: [DONE]") == 1
