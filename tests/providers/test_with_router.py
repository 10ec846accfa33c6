"""Adapters behind a router: failover of calls and streams between three formats."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import MultiProviderRouter, ProviderError, StreamInterrupted
from multirouter.model import FailureKind
from multirouter.providers import Http, chat, text_of
from multirouter.testing.fakes import FakeProvider

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio")]

LONG = chat("one two three four five six")
ANSWER = "You said: one two three four five six"


def named(make: Any, kind: str, fake: FakeProvider, model: str, http: Http) -> Any:
    return make(kind, fake, model=model, http=http).replace(name=kind)


async def test_failover_between_formats(make: Any) -> None:
    """A failing OpenAI and an Anthropic that returns HTML are followed by Gemini in one call."""
    async with FakeProvider() as fake:
        http = Http()
        models = {"openai": "fail-503", "anthropic": "html-200", "gemini": "gemini-3-pro"}
        made = [named(make, kind, fake, model, http) for kind, model in models.items()]
        async with MultiProviderRouter(made) as router:
            outcome = await router.call_outcome(LONG, route=list(models))
    assert text_of(outcome.value) == ANSWER
    assert [a.verdict.kind for a in outcome.attempts] == [
        FailureKind.OVERLOADED,
        FailureKind.TRANSPORT,
        FailureKind.SUCCESS,
    ]
    assert "sessions=0" in repr(http)


@pytest.mark.parametrize("fault", ["role-only", "event-error", "eof-after-0", "empty-200"])
async def test_stream_failure_before_content_fails_over(make: Any, fault: str) -> None:
    """A role, an error event or an end without any content does not commit the stream."""
    async with FakeProvider() as fake:
        http = Http()
        made = [
            named(make, "anthropic", fake, fault, http),
            named(make, "gemini", fake, "gemini-3-pro", http),
        ]
        async with (
            MultiProviderRouter(made) as router,
            router.stream(LONG, route=["anthropic", "gemini"]) as stream,
        ):
            text = "".join([text_of(chunk) async for chunk in stream])
            assert stream.provider == "gemini"
    assert text == ANSWER


async def test_stream_failure_after_content_is_interrupted(make: Any, kind: str) -> None:
    """The consumer gets what came, then the error."""
    async with FakeProvider() as fake:
        http = Http()
        async with MultiProviderRouter([named(make, kind, fake, "eof-after-3", http)]) as router:
            text = ""
            with pytest.raises(StreamInterrupted) as caught:
                async with router.stream(LONG) as stream:
                    async for chunk in stream:
                        text += text_of(chunk)
    assert ANSWER.startswith(text)
    assert text
    assert caught.value.provider == kind


@pytest.mark.parametrize(
    ("fault", "kind", "requests"),
    [("fail-400", FailureKind.REQUEST, 1), ("context-too-long", FailureKind.CONTEXT_LENGTH, 2)],
)
async def test_the_requests_own_fault_raises_the_adapters_error(
    make: Any, fault: str, kind: FailureKind, requests: int
) -> None:
    """An invalid request is attempted once, one that is too long at each provider."""
    async with FakeProvider() as fake:
        http = Http()
        made = [named(make, name, fake, fault, http) for name in ("openai", "gemini")]
        async with MultiProviderRouter(made) as router:
            with pytest.raises(ProviderError) as caught:
                await router.call(LONG)
        assert caught.value.kind is kind
        assert len(fake.requests) == requests
