"""Adapters behind a router: calls and streams of three formats that stand in for each other."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import MultiProviderRouter, ProviderError, StreamInterrupted
from multirouter.model import FailureKind
from multirouter.providers import Http, chat, text_of
from multirouter.testing.fakes import FakeProvider

pytestmark = [pytest.mark.real_io, pytest.mark.backends("asyncio")]

LONG = chat("one two three four five six")
SAID = "You said: one two three four five six"


def named(make: Any, kind: str, fake: FakeProvider, model: str, http: Http) -> Any:
    return make(kind, fake, model=model, http=http).replace(name=kind)


async def test_a_call_goes_on_in_another_format(make: Any) -> None:
    """A failing OpenAI and an Anthropic that talks rubbish are made good by Gemini, in one call."""
    async with FakeProvider() as fake:
        http = Http()
        models = {"openai": "fail-503", "anthropic": "html-200", "gemini": "gemini-3-pro"}
        made = [named(make, kind, fake, model, http) for kind, model in models.items()]
        async with MultiProviderRouter(made) as router:
            outcome = await router.call_outcome(LONG, route=list(models))
    assert text_of(outcome.value) == SAID
    assert [a.verdict.kind for a in outcome.attempts] == [
        FailureKind.OVERLOADED,
        FailureKind.TRANSPORT,
        FailureKind.SUCCESS,
    ]
    assert "sessions=0" in repr(http)


@pytest.mark.parametrize("fault", ["role-only", "event-error", "eof-after-0", "empty-200"])
async def test_a_stream_that_fails_before_content_fails_over(make: Any, fault: str) -> None:
    """An opening, an error event or an end without any content commits to nothing."""
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
    assert text == SAID


async def test_a_stream_that_breaks_later_is_interrupted(make: Any, kind: str) -> None:
    """Half an answer is never a whole one: the consumer gets what came, then the error."""
    async with FakeProvider() as fake:
        http = Http()
        async with MultiProviderRouter([named(make, kind, fake, "eof-after-3", http)]) as router:
            text = ""
            with pytest.raises(StreamInterrupted) as caught:
                async with router.stream(LONG) as stream:
                    async for chunk in stream:
                        text += text_of(chunk)
    assert SAID.startswith(text)
    assert text
    assert caught.value.provider == kind


async def test_the_requests_own_fault_is_told_as_such(make: Any) -> None:
    """What the caller did wrong reaches the caller as the adapter's own error, after one try."""
    async with FakeProvider() as fake:
        http = Http()
        made = [named(make, kind, fake, "context-too-long", http) for kind in ("openai", "gemini")]
        async with MultiProviderRouter(made) as router:
            with pytest.raises(ProviderError) as caught:
                await router.call(LONG)
        assert caught.value.kind is FailureKind.CONTEXT_LENGTH
        assert len(fake.requests) == 1
