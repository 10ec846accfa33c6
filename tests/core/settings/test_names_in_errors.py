"""Errors of settings begin with the name of the setting, as it is written."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import pytest

from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.listener import Listener
from multirouter.core.routes.route import Route
from multirouter.core.settings.failure_rules import RULES, CircuitEffect, Failover, Retry, Rule
from multirouter.core.settings.operation import Operation
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.core.settings.wait_policy import WaitPolicy
from multirouter.errors import ConfigurationError
from multirouter.model import FailureKind
from tests.core.kit import World, answer, fail_on_hook_error, provider


class OneArgument(Listener):
    def attempt_started(self, provider: str) -> None:  # type: ignore[override]
        """Takes no role."""


class NoArgument(Listener):
    def attempt_ended(self) -> None:  # type: ignore[override]
        """Takes no event."""


def listening(listener: Any) -> EventDispatcher:
    return EventDispatcher([listener], fail_on_hook_error)


def resolved(*tiers: Any, **more: Any) -> World:
    return World([provider("a"), provider("b")], [Route("r", list(tiers)), *more.get("routes", ())])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: StreamPolicy(first_token=0.0), "StreamPolicy.first_token: must be "),
        (lambda: StreamPolicy(idle=0.0), "StreamPolicy.idle: must be "),
        (lambda: StreamPolicy(total=0.0), "StreamPolicy.total: must be "),
        (lambda: StreamPolicy(min_rate=0.0), "StreamPolicy.min_rate: must be "),
        (lambda: StreamPolicy(rate_window=0.0), "StreamPolicy.rate_window: must be "),
        (lambda: StreamPolicy(content=lambda: True), "StreamPolicy.content: must take (chunk)"),  # type: ignore[arg-type,misc]
        (
            lambda: StreamPolicy(resume=lambda text: 1),
            "StreamPolicy.resume: must take (request, text)",
        ),  # type: ignore[arg-type,misc]
        (lambda: StreamPolicy(on_interrupt="x"), "StreamPolicy.on_interrupt: must be one of"),  # type: ignore[arg-type]
        (lambda: StreamPolicy(on_divergence="x"), "StreamPolicy.on_divergence: must be one of"),  # type: ignore[arg-type]
        (lambda: WaitPolicy(-1.0), "WaitPolicy.seconds: must be "),
        (lambda: WaitPolicy(1.0, max_waiting=0), "WaitPolicy.max_waiting: must be "),
        (lambda: WaitPolicy(1.0, only_if_known=3), "WaitPolicy.only_if_known: must be "),  # type: ignore[arg-type]
        (lambda: Operation(lambda: 1), "Operation.call: must take (request)"),  # type: ignore[arg-type,misc]
        (lambda: Operation(answer, lacks=lambda: None), "Operation.lacks: must take (request)"),  # type: ignore[arg-type,misc]
        (lambda: listening(3), "listeners: must be Listener objects, got 3"),
        (lambda: listening(Listener), "listeners: must be Listener objects, got "),
        (
            lambda: listening(OneArgument()),
            "OneArgument.attempt_started: must take (provider, role)",
        ),
        (lambda: listening(NoArgument()), "NoArgument.attempt_ended: must take (event)"),
        (lambda: resolved("a", "a"), "Route('r').tiers: duplicate entry 'a'"),
        (lambda: resolved("x*"), "Route('r').tiers: 'x*' matches no provider"),
    ],
)
def test_messages(make: Callable[[], object], message: str) -> None:
    """Then they say what it must be."""
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}"):
        make()


def test_durations_of_streams_may_be_infinite() -> None:
    """The window of a rate may not."""
    policy = StreamPolicy(first_token=math.inf, idle=math.inf, total=math.inf)
    assert (policy.first_token, policy.idle) == (math.inf, math.inf)
    assert WaitPolicy(math.inf).seconds == math.inf
    assert WaitPolicy(0.0, max_waiting=1) == WaitPolicy(0.0, 1, False)
    with pytest.raises(ConfigurationError, match=r"^StreamPolicy\.rate_window: must be "):
        StreamPolicy(rate_window=math.inf)


def test_signs_of_a_rule() -> None:
    """Names, kept as a tuple."""
    usual = RULES[FailureKind.REFUSAL]
    made = {
        "retry": Retry.NEVER,
        "failover": Failover.AT_ONCE,
        "circuit": CircuitEffect.NEUTRAL,
        "side_effects_possible": usual.side_effects_possible,
    }
    assert Rule(**made, signs=["SAFETY"]).signs == ("SAFETY",)
    for signs in ("SAFETY", 3, [3], [""]):
        with pytest.raises(ConfigurationError, match=r"^Rule\.signs: must "):
            Rule(**made, signs=signs)
    with pytest.raises(ConfigurationError, match=r"^Rule\.retry: must be one of "):
        Rule(**{**made, "retry": "x"})
