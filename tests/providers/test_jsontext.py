"""JSON as bytes: what orjson and the standard library read and write must be the same."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from multirouter.providers import jsontext

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
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
    """Property: what either writes, either reads back as it was."""
    assert json.loads(jsontext.dumps(value)) == value
    assert jsontext.loads(jsontext._written(value)) == value


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
