"""The built-in echo model answers with the last user message, in the canonical format."""

from __future__ import annotations

import pytest

from multirouter.config.echo import EMPTY_REPLY, Echo
from multirouter.providers import chat, is_finished, text_of


@pytest.mark.parametrize("message", ["", " ", "one", "two words", " blank  s \n lines "])
async def test_stream_chunks_add_up_to_the_answer(message: str) -> None:
    """The chunks together are the complete text, and only the last one has a finish reason."""
    request = chat(message)
    chunks = [chunk async for chunk in Echo().stream(request)]
    whole = await Echo().call(request)
    assert "".join(map(text_of, chunks)) == text_of(whole) == (message or EMPTY_REPLY)
    assert [is_finished(chunk) for chunk in chunks].index(True) == len(chunks) - 1
    assert chunks[-1]["usage"] == whole["usage"]
    assert len({chunk["id"] for chunk in chunks}) == 1


async def test_include_usage_adds_a_usage_chunk() -> None:
    """With include_usage the usage is the last chunk, without choices, as from OpenAI."""
    request = chat("a b", stream_options={"include_usage": True})
    *others, last = [chunk async for chunk in Echo("me").stream(request)]
    assert (last["choices"], last["usage"]["completion_tokens"]) == ([], 1)
    assert not any("usage" in chunk for chunk in others)
    assert is_finished(others[-1])
    assert last["model"] == "me"


async def test_answers_the_last_user_message() -> None:
    """The answer is the text parts of the last user message, or the reply for an empty one."""
    parts = [{"type": "text", "text": "a"}, {"type": "image_url"}, {"type": "text", "text": "b"}]
    turns = [
        {"role": "user", "content": "first"},
        {"role": "user", "content": parts},
        {"role": "assistant", "content": "answer"},
    ]
    assert text_of(await Echo().call(chat(turns))) == "a\nb"
    assert text_of(await Echo().call(chat(turns[2:]))) == EMPTY_REPLY
    assert (
        text_of(await Echo().call({"messages": [{"role": "user", "content": None}]})) == EMPTY_REPLY
    )
