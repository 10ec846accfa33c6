"""What a format cannot express is known before anything is sent, whatever the field's name."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.errors import ProviderError
from multirouter.model import FailureKind
from multirouter.providers import Anthropic, Gemini, OpenAI
from multirouter.providers.anthropic.field_support import FIELDS as ANTHROPIC_FIELDS
from multirouter.providers.anthropic.request import AnthropicLacks, ModelSettings, to_anthropic
from multirouter.providers.api_keys.secret import Secret
from multirouter.providers.error_factory import ErrorFactory
from multirouter.providers.gemini.field_support import FIELDS as GEMINI_FIELDS
from multirouter.providers.gemini.request import GeminiLacks, to_gemini
from multirouter.providers.native.client_request import ClientRequest

ERRORS = ErrorFactory("p", Secret("key", "sk-12345678"))
HI = [{"role": "user", "content": "hi"}]
LACKS = {"anthropic": AnthropicLacks(ModelSettings()), "gemini": GeminiLacks()}
FIELDS = {"anthropic": ANTHROPIC_FIELDS, "gemini": GEMINI_FIELDS}


def translate(name: str, request: Any) -> object:
    """The translation that an attempt makes."""
    if name == "anthropic":
        return to_anthropic(request, ModelSettings(), ERRORS, stream=False)
    return to_gemini(request, "gemini-3-pro", ERRORS)


def parts(*given_parts: Any) -> dict[str, Any]:
    """A request with these content parts."""
    return {"messages": [{"role": "user", "content": list(given_parts)}]}


@pytest.mark.parametrize("name", LACKS)
def test_every_field_is_found(name: str) -> None:
    """All rejected fields are found together; what is translated or dropped is not."""
    rejected = [field for field, row in FIELDS[name].items() if row.treatment == "rejected"]
    request = {"messages": HI, "frobnicate": 1, "temperature": 1, **dict.fromkeys(rejected, "x")}
    assert LACKS[name](request).keys() == {*rejected}
    absent = {"messages": HI, "temperature": 0.5, **dict.fromkeys(rejected)}
    assert LACKS[name](absent) == {}


@pytest.mark.parametrize("name", LACKS)
@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (parts({"type": "hologram", "hologram": {}}), {"messages.content"}),
        ({"messages": [{"role": "oracle", "content": "x"}], "frob": 1}, {"messages.role"}),
        ({"messages": HI, "tools": [{"type": "crystal_ball"}]}, {"tools.type"}),
        ({"messages": HI, "tool_choice": "maybe", "tools": []}, set()),
        ({"messages": HI, "response_format": {"type": "haiku"}}, {"response_format"}),
    ],
)  # fmt: skip
def test_invented_values(name: str, request_: Any, fields: set[str]) -> None:
    """A part, a role, a tool or a format of an invented name is found like a known one."""
    assert LACKS[name](request_).keys() == fields


def test_values_that_one_format_lacks() -> None:
    """The same value may be fine in the other format."""
    web = parts({"type": "image_url", "image_url": {"url": "https://example.com/x.png"}})
    assert LACKS["anthropic"](web) == {}
    assert LACKS["gemini"](web).keys() == {"image_url"}
    for stop, name in ((["\n\n"], "anthropic"), (list("abcdef"), "gemini")):
        request = {"messages": HI, "stop": stop}
        assert [n for n, lacks in LACKS.items() if "stop" in lacks(request)] == [name]
    audio = parts({"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}})
    assert [n for n, lacks in LACKS.items() if lacks(audio)] == ["anthropic"]


def test_fields_that_a_model_is_not_sent() -> None:
    """A field that the settings drop is not lacking."""
    lacks = AnthropicLacks(ModelSettings(drops=frozenset({"logprobs"})))
    assert lacks({"messages": HI, "logprobs": True, "n": 2}).keys() == {"n"}


@pytest.mark.parametrize("name", LACKS)
@pytest.mark.parametrize(
    "request_", [{}, [], "hi", {"messages": 7}, {"messages": [{"content": []}]}]
)
def test_malformed_requests(name: str, request_: Any) -> None:
    """They lack nothing, or a role: the attempt says what is wrong with them."""
    assert LACKS[name](request_).keys() <= {"messages.role"}


def test_providers_of_one_format_have_equal_functions() -> None:
    """So a route checks a request once for each format."""
    key = {"api_key": "sk-12345678"}
    assert Anthropic("a", **key).lacks == Anthropic("b", model="m", **key).lacks
    assert Anthropic("a", **key).lacks != Anthropic("b", drops=["n"], **key).lacks
    assert Gemini("a", **key).lacks == Gemini("b", **key).lacks
    assert OpenAI("a", **key).lacks == OpenAI("b", model="m", **key).lacks
    assert OpenAI("a", preset="kimi", **key).lacks == OpenAI("b", preset="groq", **key).lacks
    assert OpenAI("a", **key).lacks != OpenAI("b", api="responses", **key).lacks


VALUES = st.sampled_from([None, True, False, 0, 1, 2, "x", " ", ["x"], [" "], {}, {"type": "x"}])
REQUESTS = st.dictionaries(
    st.sampled_from(sorted({*ANTHROPIC_FIELDS, *GEMINI_FIELDS, "frob"} - {"messages"})), VALUES
)


@given(fields=REQUESTS, name=st.sampled_from(sorted(LACKS)))
def test_agrees_with_the_translation(fields: dict[str, Any], name: str) -> None:
    """Something is lacking exactly when an attempt would end as `unsupported`."""
    request = {"messages": HI, **fields}
    try:
        with ERRORS.reading_request():
            translate(name, request)
        kind = None
    except ProviderError as error:
        kind = error.kind
    found = LACKS[name](request)
    if kind is FailureKind.UNSUPPORTED:
        assert found
    elif kind is None:
        assert found == {}


@pytest.mark.parametrize("name", LACKS)
def test_the_client_s_own_request(name: str) -> None:
    """In the provider's format it lacks nothing; in another, what only that format has."""
    request = {"messages": HI, "logprobs": "x", "n": "x", "logit_bias": {"5": 1}}
    with ClientRequest(name, {}, request, only_native=["ether"]).current():
        assert LACKS[name](request) == {}
        assert OpenAI("a", api_key="sk-12345678").lacks(request).keys() == {"ether"}  # type: ignore[misc]
    with ClientRequest("other", {}, request, only_native=["ether"]).current():
        assert {"ether", "logit_bias"} <= LACKS[name](request).keys()
    with ClientRequest("openai", {}, request).current():
        assert OpenAI("a", api_key="sk-12345678").lacks(request) == {}  # type: ignore[misc]
