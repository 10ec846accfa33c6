"""Key of a conversation: the same in all its requests, another in other conversations."""

from __future__ import annotations

import pytest

from multirouter.core.selection.conversation_key import conversation, conversation_key
from multirouter.errors import UsageError

QUESTION = {"role": "user", "content": "Why is the sky blue?"}
ANSWER = {"role": "assistant", "content": "Scattering."}
MORE = {"role": "user", "content": "And at dusk?"}


@pytest.mark.parametrize("field", ["messages", "contents", "input"])
def test_later_requests_have_the_key_of_the_first(field: str) -> None:
    """The first message of the user decides, whatever the system prompt says meanwhile."""
    first = conversation_key({field: [{"role": "system", "content": "1"}, QUESTION]})
    later = conversation_key({field: [{"role": "system", "content": "2"}, QUESTION, ANSWER, MORE]})
    assert first == later is not None
    assert conversation_key({field: [MORE]}) != first


@pytest.mark.parametrize(
    "message",
    [
        {
            "role": "user",
            "content": [{"type": "text", "text": "Why is "}, {"text": "the sky blue?"}],
        },
        {"parts": [{"text": "Why is the sky blue?"}, {"inlineData": {"data": "AAAA"}}]},
        {"role": "user", "content": ["Why is the sky blue?", 7, {"text": 7}]},
    ],
)
def test_the_texts_of_a_message_count(message: object) -> None:
    """In every form that has them; media and unknown parts do not."""
    assert conversation_key({"contents": [message]}) == conversation_key({"messages": [QUESTION]})


def test_long_messages_have_different_keys() -> None:
    """By their beginning, their end and their length."""
    long = "x" * 20_000
    texts = [long, f"y{long}", f"{long}y", f"{long}x", f"{long[:10_000]}x{long[10_000:]}"]
    keys = [conversation_key({"input": text}) for text in texts]
    assert len(set(keys)) == 4  # the last two are equal texts


def test_a_name_comes_before_the_text() -> None:
    """`prompt_cache_key`, else `metadata.user_id`; other types of values are no names."""
    body = {"messages": [QUESTION], "metadata": {"user_id": "session 7"}}
    assert conversation_key(body) == "session 7"
    assert conversation_key({**body, "prompt_cache_key": "k"}) == "k"
    plain = conversation_key({"messages": [QUESTION]})
    assert conversation_key({"messages": [QUESTION], "metadata": {"user_id": 7}}) == plain
    assert conversation_key({"messages": [QUESTION], "metadata": "m"}) == plain


def test_a_prompt_as_a_string() -> None:
    """A string is a conversation of one request, also with a lone surrogate."""
    assert conversation_key("hello") == conversation_key("hello") != conversation_key("\ud800")
    assert conversation_key("") is None


@pytest.mark.parametrize(
    "request_",
    [
        None,
        7,
        {},
        {"messages": []},
        {"messages": 7},
        {"messages": [7, ANSWER]},
        {"messages": [{"role": "user", "content": [{"type": "image_url"}, [["x"]]]}]},
        {"messages": [{"role": "user", "content": None}]},
    ],
)
def test_a_request_that_shows_no_conversation(request_: object) -> None:
    """It has no key."""
    assert conversation_key(request_) is None


def test_conversation_names_the_calls_inside() -> None:
    """The innermost name holds; outside there is none."""
    with conversation("a"):
        assert conversation_key({"prompt_cache_key": "k"}) == "a"
        with conversation("b"):
            assert conversation_key(None) == "b"
        assert conversation_key(None) == "a"
        with conversation(""):
            assert conversation_key(None) is None
    assert conversation_key(None) is None


def test_the_name_must_be_a_string() -> None:
    """Anything else is an error, and changes nothing."""
    expected = pytest.raises(UsageError, match=r"conversation\(\) must get a string, got 7")
    with expected, conversation(7):  # type: ignore[arg-type]
        raise AssertionError
    assert conversation_key(None) is None


def test_a_long_message_is_known_by_its_ends_and_its_length() -> None:
    """Changes in the middle are not seen: a digest of a megabyte would take too long."""

    def key(text: str) -> str | None:
        return conversation_key({"messages": [{"role": "user", "content": text}]})

    long = "h" * 4096 + "m" * 5000 + "t" * 1024
    keys = {
        key(long),
        key("x" + long[1:]),
        key(long[:4095] + "x" + long[4096:]),
        key(long[:-1] + "x"),
        key(long[:-1024] + "x" + long[-1023:]),
        key(long + "t"),
    }
    assert len(keys) == 6
    assert key(long[:6000] + "x" + long[6001:]) == key(long)
    short = "a" * 5120
    assert key(short[:4500] + "x" + short[4501:]) != key(short)
