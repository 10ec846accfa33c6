"""JSON as bytes: orjson and the standard library must read and write the same."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.model import SUCCESS
from multirouter.providers import json_bytes

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
        monkeypatch.setattr(json_bytes, "_orjson", None)


@given(VALUES)
def test_round_trip_with_and_without_orjson(value: Any) -> None:
    """Property: what either writes, both read back unchanged, of the same type."""
    for text in (
        json_bytes.dumps(value),
        json_bytes.dumps_strict(value),
        json_bytes._dumps_standard(value),
    ):
        assert repr(json.loads(text)) == repr(json_bytes.loads(text))
        assert json.loads(text) == value


@pytest.mark.usefixtures("either")
def test_half_a_surrogate_pair_is_kept() -> None:
    """Providers split characters between two chunks; each half is passed on unchanged."""
    text = b'{"content":"\\ud83d"}'
    assert json_bytes.dumps(json_bytes.loads(text)) == text


@pytest.mark.usefixtures("either")
def test_text_is_not_escaped_and_keys_may_be_numbers() -> None:
    """Compact UTF-8; a key that is not a string is written as one."""
    assert json_bytes.dumps({"ä": "€", 1: [1.5, None]}) == '{"ä":"€","1":[1.5,null]}'.encode()


@pytest.mark.usefixtures("either")
def test_nan_is_read() -> None:
    """Providers send NaN among log probabilities; NaN is rejected in requests only."""
    assert math.isnan(json_bytes.loads(b"[NaN]")[0])


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("text", [b"{", b"", b"\xff", b'{"a":1}x'])
def test_invalid_json_raises(text: bytes) -> None:
    """With the exception of the standard library."""
    with pytest.raises(ValueError, match=r"."):
        json_bytes.loads(text)


@pytest.mark.usefixtures("either")
def test_other_objects_raise() -> None:
    """An object that JSON cannot represent raises."""
    with pytest.raises(TypeError):
        json_bytes.dumps({"a": object()})


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("around", [0, 5000], ids=["short", "long"])
@pytest.mark.parametrize(
    "number", [2**63, 2**64 - 1, 2**64, 2**64 + 1, -(2**63), -(2**63) - 1, 10**30, -(10**30)]
)
def test_no_integer_is_rounded(number: int, around: int) -> None:
    """An integer of any size is read and written exactly, in texts of any length."""
    value = {"text": "a" * around, "deep": [{"seed": number}]}
    for write in (json_bytes.dumps, json_bytes.dumps_strict):
        assert json_bytes.loads(write(value))["deep"][0]["seed"] == number
        assert type(json_bytes.loads(write(value))["deep"][0]["seed"]) is int


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("number", [1e300, -1e19, 9.3e18, 0.12345678901234567890])
def test_long_floats_stay_floats(number: float) -> None:
    """A float that looks like a long integer is read as the same float."""
    assert json_bytes.loads(json_bytes.dumps([number])) == [number]
    assert isinstance(json_bytes.loads(json_bytes.dumps([number]))[0], float)


@pytest.mark.usefixtures("either")
def test_last_duplicate_key_wins() -> None:
    """Both read `{"a":1,"a":2}` as Python does, so what is checked is what is sent."""
    assert json_bytes.loads(b'{"a":1,"b":{"c":3,"c":4},"a":2}') == {"a": 2, "b": {"c": 4}}


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("depth", [2_000, 100_000])
@pytest.mark.parametrize("pair", ["[]", '{"":}'], ids=["lists", "objects"])
def test_deep_nesting_is_read_or_raises(depth: int, pair: str) -> None:
    """A text of any depth is read, or raises an error that callers expect: interpreters differ."""
    text = f"{pair[:-1] * depth}1{pair[-1] * depth}".encode()
    with suppress(ValueError, RecursionError):
        value = json_bytes.loads(text)
        assert type(value) in {list, dict}
        with suppress(ValueError, RecursionError):
            assert json_bytes.dumps(value) == text


@pytest.mark.usefixtures("either")
def test_deep_values_are_written() -> None:
    """Orjson writes 254 levels; a deeper value is written by the standard library."""
    value: Any = 1
    for _ in range(400):
        value = [value]
    assert json_bytes.loads(json_bytes.dumps(value)) == value
    assert json_bytes.loads(json_bytes.dumps_strict(value)) == value


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, "\ud83d"])
def test_strict_rejects_nan_and_half_surrogates(odd: Any) -> None:
    """A request with NaN is never sent as null."""
    with pytest.raises(ValueError, match=r"."):
        json_bytes.dumps_strict({"a": [odd, None]})


@pytest.mark.usefixtures("either")
def test_strict_writes_none() -> None:
    """A None, or a text that contains null, is not taken for NaN."""
    assert json_bytes.dumps_strict({"a": None, "b": "null"}) == b'{"a":null,"b":"null"}'
    assert json_bytes.dumps_strict(None) == b"null"
    assert json_bytes.dumps_strict([None, ({"a": 1.5}, [])]) == b'[null,[{"a":1.5},[]]]'


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("odd", [math.nan, [(math.inf,)], {"a": {"b": [1.5, -math.inf]}}])
def test_nan_is_found_at_any_depth(odd: Any) -> None:
    """Beside a text that contains null, so that the answer alone does not tell."""
    for value in (odd, ["null", odd]):
        with pytest.raises(ValueError, match=r"."):
            json_bytes.dumps_strict(value)


@pytest.mark.usefixtures("either")
@pytest.mark.parametrize("odd", [datetime.now(UTC), SUCCESS, {1, 2}, b"a"])
def test_types_that_only_orjson_writes_raise(odd: Any) -> None:
    """Requests do not depend on what is installed: dates and dataclasses are rejected."""
    for write in (json_bytes.dumps, json_bytes.dumps_strict):
        with pytest.raises(TypeError):
            write({"a": odd})
