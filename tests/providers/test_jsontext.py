"""JSON as bytes: what orjson and the standard library read and write must be the same."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.model import SUCCESS
from multirouter.providers import json_bytes as jsontext

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**80), 2**80)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=20
)


@pytest.fixture(params=["with orjson", "without"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both installations: with the extra `gateway`, and without."""
    if request.param == "without":
        monkeypatch.setattr(jsontext, "_orjson", None)


@given(VALUES)
def test_a_value_comes_back_and_both_agree(value: Any) -> None:
    """Property: what either writes, either reads back as it was, of the same type."""
    for text in (jsontext.dumps(value), jsontext.dumps_strict(value), jsontext._written(value)):
        assert repr(json.loads(text)) == repr(jsontext.loads(text))
        assert json.loads(text) == value


@pytest.mark.usefixtures("either")
def test_half_a_surrogate_pair_passes() -> None:
    """Providers cut characters between two chunks: each half goes on as it came."""
    text = b'{"content":"\\ud83d"}'
    assert jsontext.dumps(jsontext.loads(text)) == text


@pytest.mark.usefixtures("either")
def test_text_is_not_escaped_and_keys_may_be_numbers() -> None:
    """Compact UTF-8; a key that is no text is written as one."""
    assert jsontext.dumps({"ä": "€", 1: [1.5, None]}) == '{"ä":"€","1":[1.5,null]}'.encode()


@pytest.mark.usefixtures("either")
def test_a_provider_that_says_nan_is_read() -> None:
    """Providers do send NaN among log probabilities; only a request's is refused."""
    assert math.isnan(jsontext.loads(b"[NaN]")[0])


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("text", [b"{", b"", b"\xff", b'{"a":1}x'])
def test_what_is_no_json_is_refused(text: bytes) -> None:
    """Refused as the standard library refuses it."""
    with pytest.raises(ValueError, match=r"."):
        jsontext.loads(text)


@pytest.mark.usefixtures("either")
def test_what_json_cannot_hold_is_refused() -> None:
    """No object is written as something that it is not."""
    with pytest.raises(TypeError):
        jsontext.dumps({"a": object()})


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("around", [0, 5000], ids=["short", "long"])
@pytest.mark.parametrize(
    "number", [2**63, 2**64 - 1, 2**64, 2**64 + 1, -(2**63), -(2**63) - 1, 10**30, -(10**30)]
)
def test_no_integer_is_rounded(number: int, around: int) -> None:
    """An integer of any size is read and written as it is, in texts of any length."""
    value = {"text": "a" * around, "deep": [{"seed": number}]}
    for write in (jsontext.dumps, jsontext.dumps_strict):
        assert jsontext.loads(write(value))["deep"][0]["seed"] == number
        assert type(jsontext.loads(write(value))["deep"][0]["seed"]) is int


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("number", [1e300, -1e19, 9.3e18, 0.12345678901234567890])
def test_long_floats_stay_floats(number: float) -> None:
    """A float that looks like a long integer is the same float again."""
    assert jsontext.loads(jsontext.dumps([number])) == [number]
    assert isinstance(jsontext.loads(jsontext.dumps([number]))[0], float)


@pytest.mark.usefixtures("either")
def test_of_a_key_that_comes_twice_the_last_counts() -> None:
    """Both read `{"a":1,"a":2}` as Python does, so that what is checked is what is sent."""
    assert jsontext.loads(b'{"a":1,"b":{"c":3,"c":4},"a":2}') == {"a": 2, "b": {"c": 4}}


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("depth", [2_000, 100_000])
@pytest.mark.parametrize("pair", ["[]", '{"":}'], ids=["lists", "objects"])
def test_a_bomb_of_depth_is_refused(depth: int, pair: str) -> None:
    """However deep a text is, reading it ends in an error that callers expect."""
    text = f"{pair[:-1] * depth}1{pair[-1] * depth}".encode()
    with pytest.raises((ValueError, RecursionError)):
        jsontext.loads(text)


@pytest.mark.usefixtures("either")
def test_what_is_deep_but_readable_is_written() -> None:
    """254 levels are written by orjson: what lies deeper goes to the standard library."""
    value: Any = 1
    for _ in range(400):
        value = [value]
    assert jsontext.loads(jsontext.dumps(value)) == value
    assert jsontext.loads(jsontext.dumps_strict(value)) == value


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, "\ud83d"])
def test_strict_refuses_what_is_no_json(odd: Any) -> None:
    """A request never says null where its maker said NaN."""
    with pytest.raises(ValueError, match=r"."):
        jsontext.dumps_strict({"a": [odd, None]})


@pytest.mark.usefixtures("either")
def test_strict_writes_none() -> None:
    """A None, and a text that says null, are no NaN."""
    assert jsontext.dumps_strict({"a": None, "b": "null"}) == b'{"a":null,"b":"null"}'


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("odd", [datetime.now(UTC), SUCCESS, {1, 2}, b"a"])
def test_what_only_orjson_could_write_is_refused(odd: Any) -> None:
    """A request does not depend on what is installed: dates and dataclasses are no JSON."""
    for write in (jsontext.dumps, jsontext.dumps_strict):
        with pytest.raises(TypeError):
            write({"a": odd})
