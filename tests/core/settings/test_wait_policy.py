"""Wait policies as settings."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter import ConfigurationError, WaitPolicy


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"seconds": -1.0}, r"WaitPolicy\.seconds"),
        ({"seconds": 1.0, "max_waiting": 0}, r"WaitPolicy\.max_waiting"),
        ({"seconds": 1.0, "only_if_known": "yes"}, r"WaitPolicy\.only_if_known: must be True or"),
    ],
)
def test_invalid_settings(settings: dict[str, Any], message: str) -> None:
    """Invalid settings are found at construction, with their name."""
    with pytest.raises(ConfigurationError, match=message):
        WaitPolicy(**settings)
