"""The built-in model says what it was told, in the canonical shapes."""

from __future__ import annotations

import pytest

from multirouter.config.echo import SILENCE, Echo
from multirouter.providers import chat, is_finished, text_of


@pytest.mark.parametrize("said", ["", " ", "one", "two words", " blank  s \n lines "])
async def test_a_stream_adds_up_to_the_answer(said: str) -> None:
    """The pieces together are the whole text, and only the last chunk is the end."""
    request = chat(said)
    chunks = [chunk async for chunk in Echo().stream(request)]
    whole = await Echo().call(request)
    assert "".join(map(text_of, chunks)) == text_of(whole) == (said or SILENCE)
    assert [is_finished(chunk) for chunk in chunks].index(True) == len(chunks) - 1
    assert chunks[-1]["usage"] == whole["usage"]
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_the_usage_has_a_chunk_of_its_own_when_asked_for() -> None:
    """As OpenAI sends it: without choices, behind the finish reason."""
    request = chat("a b", stream_options={"include_usage": True})
    *others, last = [chunk async for chunk in Echo("me").stream(request)]
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 1)
    assert not any("usage" in chunk for chunk in others)
    assert is_finished(others[-1])
    assert last["model"] == "me"


async def test_it_hears_the_last_user_message() -> None:
    """Of parts the texts; of a conversation without a user nothing."""
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    turns = [
        {"role": "user", "content": "first"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "answer"},
    ]
    assert text_of(await Echo().call(chat(turns))) == "a\nb"
    assert text_of(await Echo().call(chat(turns[2:]))) == SILENCE
    assert text_of(await Echo().call({"messages": [{"role": "user", "content": None}]})) == SILENCE
