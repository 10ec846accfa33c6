"""Real client libraries against a running gateway; skipped where they are not installed.

The extra `clients` installs them: `pytest -m clients` runs these tests alone.
"""

from __future__ import annotations

import asyncio
import gc
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

from multirouter import Route
from multirouter.gateway.app import ServerLimits
from multirouter.providers import Gemini
from tests.gateway.harness import PROMPT, REPLY, Harness, running_gateway

pytestmark = [
    pytest.mark.backends("asyncio"),
    pytest.mark.clients,
    # Some libraries leave open connections to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    # google-genai derives from the session of aiohttp, which warns about it.
    pytest.mark.filterwarnings("ignore:Inheritance class AiohttpClientSession"),
]


@pytest.fixture(autouse=True)
def _collected() -> Iterator[None]:
    """Collects what a client left behind here, and not during another test."""
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


def openai_client(harness: Harness, **settings: Any) -> Any:
    openai = pytest.importorskip("openai")
    return openai.AsyncOpenAI(base_url=f"{harness.url}/v1", api_key="k", **settings)


async def test_openai() -> None:
    """Whole, raw, streamed with usage, parsed, tools, models and embeddings work."""
    pydantic = pytest.importorskip("pydantic")

    class City(pydantic.BaseModel):
        name: str

    async with running_gateway(["cut-after-3"], []) as harness, openai_client(harness) as client:
        create = client.chat.completions.create
        assert (await create(model="m", messages=MESSAGES)).choices[0].message.content == REPLY
        raw = await client.chat.completions.with_raw_response.create(model="m", messages=MESSAGES)
        assert raw.headers["x-provider"] == "second"
        assert raw.parse()._request_id.startswith("req_")
        options = {"include_usage": True}
        stream = await create(model="m", messages=MESSAGES, stream=True, stream_options=options)
        chunks = [chunk async for chunk in stream]
        text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
        assert (text, chunks[-1].usage.total_tokens > 0) == (REPLY, True)
        parsed = await client.chat.completions.parse(
            model="m", messages=MESSAGES, response_format=City
        )
        assert parsed.choices[0].message.parsed == City(name="Zürich")
        messages: Any = [{"role": "user", "content": "weather"}]
        async with client.chat.completions.stream(
            model="m", messages=messages, tools=[WEATHER]
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
async def test_openai_errors(fault: str, error: str) -> None:
    """The SDK raises the exception of each failure, for calls and for streams."""
    openai = pytest.importorskip("openai")
    async with running_gateway([fault]) as harness, openai_client(harness, max_retries=0) as client:
        for stream in (False, True):
            with pytest.raises(getattr(openai, error)) as caught:
                await client.chat.completions.create(model="m", messages=MESSAGES, stream=stream)
            assert caught.value.request_id.startswith("req_")


async def test_openai_raises_for_a_broken_stream() -> None:
    """A broken stream raises, and does not look like a short answer."""
    openai = pytest.importorskip("openai")
    async with running_gateway(["cut-after-3"]) as harness, openai_client(harness) as client:
        stream = await client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
        with pytest.raises(openai.APIError, match="was interrupted"):
            async for _ in stream:
                pass


async def test_synchronous_openai() -> None:
    """The synchronous client streams an answer."""
    openai = pytest.importorskip("openai")
    async with running_gateway() as harness:

        def complete() -> str:
            with openai.OpenAI(base_url=f"{harness.url}/v1", api_key="k") as client:
                stream = client.chat.completions.create(model="m", messages=MESSAGES, stream=True)
                return "".join(chunk.choices[0].delta.content or "" for chunk in stream)

        assert await asyncio.to_thread(complete) == REPLY


async def test_anthropic() -> None:
    """Streams continue after a cut; models and the error for a long prompt are recognized."""
    anthropic = pytest.importorskip("anthropic")
    async with (
        running_gateway(["cut-after-3"], []) as harness,
        anthropic.AsyncAnthropic(base_url=harness.url, api_key="k", max_retries=0) as client,
    ):
        arguments: Any = {"model": "m", "max_tokens": 100, "messages": MESSAGES}
        async with client.messages.stream(**arguments) as stream:
            assert await stream.get_final_text() == REPLY
        assert (await client.messages.create(**arguments)).content[0].text == REPLY
        model_entry = [model async for model in client.models.list()]
        assert [(model.id, model.type) for model in model_entry] == [("m", "model")]
        assert (await client.models.retrieve("m")).created_at.year >= 2026
        with pytest.raises(anthropic.BadRequestError, match="prompt is too long"):
            await client.messages.create(**{**arguments, "model": "context-too-long"})


async def test_anthropic_raises_for_a_broken_stream() -> None:
    """A broken stream raises."""
    anthropic = pytest.importorskip("anthropic")
    async with (
        running_gateway(["cut-after-3"]) as harness,
        anthropic.AsyncAnthropic(base_url=harness.url, api_key="k", max_retries=0) as client,
    ):
        with pytest.raises(anthropic.APIError):
            async with client.messages.stream(
                model="m", max_tokens=100, messages=MESSAGES
            ) as stream:
                await stream.get_final_text()


def google_client(harness: Harness, **options: Any) -> Any:
    genai = pytest.importorskip("google.genai")
    return genai.Client(api_key="k", http_options={"base_url": harness.url, **options})


async def test_google() -> None:
    """Whole, streamed through a cut, parsed, automatic function calls and models work."""
    pydantic = pytest.importorskip("pydantic")

    class City(pydantic.BaseModel):
        name: str

    cities: list[str] = []

    def weather(city: str) -> str:
        """Returns the weather."""
        cities.append(city)
        return "rain"

    async with (
        running_gateway(["cut-after-3"], []) as harness,
        google_client(harness).aio as client,
    ):
        arguments: Any = {"model": "m", "contents": PROMPT}
        stream = await client.models.generate_content_stream(**arguments)
        pieces = [piece async for piece in stream]
        assert "".join(piece.text or "" for piece in pieces) == REPLY
        assert pieces[-1].usage_metadata.total_token_count > 0
        answer = await client.models.generate_content(**arguments)
        assert (answer.text, answer.candidates[0].finish_reason.name) == (REPLY, "STOP")
        form = {"response_mime_type": "application/json", "response_schema": City}
        parsed = await client.models.generate_content(**arguments, config=form)
        assert parsed.parsed == City(name="Zürich")
        chat = client.chats.create(model="m", config={"tools": [weather]})
        reply = await chat.send_message("the weather please")
        assert (cities, "rain" in reply.text) == (["Zürich"], True)
        model_entry = await client.models.list()
        assert [model.name async for model in model_entry] == ["models/m"]
        assert (await client.models.get(model="m")).name == "models/m"


async def test_synchronous_google() -> None:
    """The synchronous client: whole, streamed, and automatic function calls."""
    cities: list[str] = []

    def weather(city: str) -> str:
        """Returns the weather."""
        cities.append(city)
        return "rain"

    async with running_gateway(["cut-after-3", ""], []) as harness:

        def complete() -> list[str | None]:
            with google_client(harness) as client:
                arguments: Any = {"model": "m", "contents": PROMPT}
                stream = client.models.generate_content_stream(**arguments)
                streamed = "".join(piece.text or "" for piece in stream)
                whole = client.models.generate_content(**arguments).text
                chat = client.chats.create(model="m", config={"tools": [weather]})
                pieces = chat.send_message_stream("the weather please")
                return [streamed, whole, "".join(piece.text or "" for piece in pieces)]

        streamed, whole, called = await asyncio.to_thread(complete)
    assert streamed == whole == REPLY
    assert (cities, "rain" in (called or "")) == (["Zürich"], True)


async def test_google_thought_signatures() -> None:
    """A Gemini model gets back the signature of its call, which it requires."""
    cities: list[str] = []

    def weather(city: str) -> str:
        """Returns the weather."""
        cities.append(city)
        return "rain"

    async with running_gateway() as harness:
        before: Any = harness.router.providers[0]
        gemini = Gemini("google", model="gemini-3-pro", base_url=harness.fakes[0].url, api_key="k")
        harness.router.reconfigure([gemini], [Route("main", ["google"])])
        await before.aclose()
        async with google_client(harness).aio as client:
            chat = client.chats.create(model="m", config={"tools": [weather]})
            reply = await chat.send_message("the weather please")
        sent = harness.fakes[0].requests[-1].body["contents"]
    assert (cities, "rain" in reply.text) == (["Zürich"], True)
    assert [part for turn in sent for part in turn["parts"] if part.get("thoughtSignature")]


async def test_unsupported_google_methods() -> None:
    """Embeddings of this kind raise NOT_FOUND with the reason; tokens are counted."""
    errors = pytest.importorskip("google.genai.errors")
    async with running_gateway() as harness, google_client(harness).aio as client:
        with pytest.raises(errors.ClientError, match="/v1/embeddings") as embedded:
            await client.models.embed_content(model="m", contents="x")
        counted = await client.models.count_tokens(model="m", contents="x")
    assert (embedded.value.code, embedded.value.status) == (404, "NOT_FOUND")
    assert counted.total_tokens > 0


@pytest.mark.parametrize("version", ["v1", "v1beta"])
@pytest.mark.parametrize(
    ("fault", "code", "status"),
    [
        ("429-retry-after-50", 429, "RESOURCE_EXHAUSTED"),
        ("context-too-long", 400, "INVALID_ARGUMENT"),
        ("fail-503", 503, "UNAVAILABLE"),
    ],
)
async def test_google_errors(fault: str, code: int, status: str, version: str) -> None:
    """The SDK raises the exception of each failure, for calls and for streams."""
    errors = pytest.importorskip("google.genai.errors")
    arguments: Any = {"model": "m", "contents": PROMPT}
    async with (
        running_gateway([fault]) as harness,
        google_client(harness, api_version=version).aio as client,
    ):
        with pytest.raises(errors.APIError) as whole:
            await client.models.generate_content(**arguments)
        with pytest.raises(errors.APIError) as streamed:
            async for _ in await client.models.generate_content_stream(**arguments):
                pass
    kind = errors.ClientError if code < 500 else errors.ServerError
    for caught in (whole.value, streamed.value):
        assert isinstance(caught, kind)
        assert (caught.code, caught.status) == (code, status)


async def test_google_raises_for_a_broken_stream() -> None:
    """A broken stream raises; a slow one, kept alive by blank lines, does not."""
    errors = pytest.importorskip("google.genai.errors")
    arguments: Any = {"model": "m", "contents": PROMPT}
    async with running_gateway(["cut-after-3"]) as harness, google_client(harness).aio as client:
        with pytest.raises(errors.ServerError, match="was interrupted"):
            async for _ in await client.models.generate_content_stream(**arguments):
                pass
    limits = ServerLimits(comment_interval=1.0)
    async with (
        running_gateway(["slow-first-token-2500"], limits=limits) as harness,
        google_client(harness).aio as client,
    ):
        stream = await client.models.generate_content_stream(**arguments)
        assert "".join([piece.text or "" async for piece in stream]) == REPLY


async def test_langchain() -> None:
    """LangChain's chat model works, whole and streamed."""
    langchain = pytest.importorskip("langchain_openai")
    async with running_gateway() as harness:
        model = langchain.ChatOpenAI(model="m", base_url=f"{harness.url}/v1", api_key="k")
        assert (await model.ainvoke(PROMPT)).content == REPLY
        assert "".join([chunk.content async for chunk in model.astream(PROMPT)]) == REPLY


async def test_pydantic_ai() -> None:
    """An agent of pydantic-ai works."""
    ai = pytest.importorskip("pydantic_ai")
    models = pytest.importorskip("pydantic_ai.models.openai")
    providers = pytest.importorskip("pydantic_ai.providers.openai")
    async with running_gateway() as harness:
        provider = providers.OpenAIProvider(base_url=f"{harness.url}/v1", api_key="k")
        agent = ai.Agent(models.OpenAIChatModel("m", provider=provider))
        assert (await agent.run(PROMPT)).output == REPLY


async def test_instructor() -> None:
    """The library instructor gets an object from a tool call."""
    instructor = pytest.importorskip("instructor")
    pydantic = pytest.importorskip("pydantic")

    class City(pydantic.BaseModel):
        name: str

    async with running_gateway() as harness, openai_client(harness) as client:
        patched = instructor.from_openai(client)
        city = await patched.chat.completions.create(
            model="m", messages=MESSAGES, response_model=City
        )
    assert city.name == "Zürich"


@pytest.mark.real_io
async def test_curl() -> None:
    """A body without a JSON content type works, as curl sends it."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    async with running_gateway() as harness:
        body = '{"model":"m","messages":[{"role":"user","content":"hi"}],"stream":true}'
        process = await asyncio.create_subprocess_exec(
            *("curl", "-sN", f"{harness.url}/v1/chat/completions", "-d", body),
            stdout=asyncio.subprocess.PIPE,
        )
        output, _ = await process.communicate()
    assert output.count(b"data: [DONE]") == 1
