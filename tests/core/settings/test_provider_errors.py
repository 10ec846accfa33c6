"""Errors of a provider's settings, and of operations and functions, in full."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.cost.budget import Budget
from multirouter.core.settings.operation import Operation
from multirouter.errors import ConfigurationError
from tests.core.kit import answer, provider


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: provider("a", circuit=3), "Provider('a').circuit: must be "),
        (lambda: provider("a", limits=3), "Provider('a').limits: must be "),
        (lambda: provider("a", max_output=0), "Provider('a').max_output: must be "),
        (lambda: provider("a", context_window=0), "Provider('a').context_window: must be "),
        (lambda: provider("a", quality="x"), "Provider('a').quality: must be "),
        (lambda: provider("a", retries=-1), "Provider('a').retries: must be an integer >= 0"),
        (lambda: provider("a", backoff=-1.0), "Provider('a').backoff: must be "),
        (lambda: provider("a", backoff=1e9 + 2), "Provider('a').backoff: must be "),
        (lambda: provider("a", usage=lambda: 1), "Provider('a').usage: must take (answer)"),
        (lambda: provider("a", lacks=lambda: 1), "Provider('a').lacks: must take (request)"),
        (lambda: provider("a", model=lambda: "m"), "Provider('a').model: must take (request)"),
        (
            lambda: provider("a", budget=Budget(1.0, per="day")),
            "Provider('a').budget: requires price=, from which the spending is computed",
        ),
        (lambda: provider("a", tags="x"), "Provider('a').tags: must be a list of names"),
        (lambda: provider("a", tags=3), "Provider('a').tags: must be a list of names"),
        (lambda: Operation(lambda: 1), "Operation.call: must take (request)"),  # type: ignore[arg-type,misc]
        (lambda: Operation(answer, stream=3), "Operation.stream: must be "),  # type: ignore[arg-type]
        (lambda: hooks.accept_function("here", lambda: 1), "here: must take (answer)"),
        (lambda: check.weight("here", -1.0), "here: must be "),
        (lambda: check.seconds("here", -1.0), "here: must be "),
        (lambda: check.count("here", 5, maximum=4), "here: must be an integer >= 1 and <= 4"),
    ],
)
def test_messages(make: Callable[[], Any], message: str) -> None:
    """They begin with the name, as it is written."""
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}"):
        make()


def test_the_ends_of_what_a_provider_accepts() -> None:
    """No retries and no backoff are values; so is the highest backoff."""
    made = provider("a", retries=0, backoff=0.0)
    assert (made.retries, made.backoff) == (0, 0.0)
    assert provider("a", backoff=1e9).backoff == 1e9
    assert made.functions() is made
    assert made.functions("unknown") is None
