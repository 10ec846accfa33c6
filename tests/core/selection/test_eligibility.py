"""Providers that are ineligible for a request are not attempted, and the reasons are given."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.introspection import explain
from multirouter.core.routes.route import Route
from multirouter.core.selection.eligibility import (
    MAX_REQUEST_CLASSES,
    chat_requires,
    estimated_sizes,
)
from multirouter.core.selection.tier_tables import MAX_TABLES
from multirouter.errors import NoProviderAvailable, UsageError
from tests.core.kit import NEVER_TRIPS, World, provider


def one_tier(*providers: Any, **route: Any) -> World:
    """Providers in one tier of the route `work`."""
    names = [one.name for one in providers]
    return World(providers, [Route("work", [names], **route)], circuit=NEVER_TRIPS)


def ineligible(world: World, request: Any) -> set[str]:
    """The names of the providers that are ineligible for the request."""
    eligibility = world.route("work").eligibility
    return set() if eligibility is None else set(eligibility.ineligible(request))


def test_missing_capabilities_exclude() -> None:
    """A provider that lacks one is never attempted, not even when all others failed."""
    world = one_tier(
        provider("text"),
        provider("vision", capabilities=["vision"]),
        requires=lambda request: request["needs"],
    )
    plan = world.plan("work", request={"needs": ["vision"]})
    assert world.run_attempts(plan, "server", "server") == ["vision", "vision"]
    assert ineligible(world, {"needs": []}) == set()
    assert ineligible(world, {"needs": "vision"}) == {"text"}


def test_sizes_exclude() -> None:
    """Input and output together must fit the window, the output the longest output."""
    world = one_tier(
        provider("small", context_window=100),
        provider("brief", context_window=1000, max_output=50),
        provider("any"),
        size=lambda request: request,
    )
    assert ineligible(world, 100) == set()
    assert ineligible(world, 101) == {"small"}
    assert ineligible(world, (60, 41)) == {"small"}
    assert ineligible(world, (10, 50)) == set()
    assert ineligible(world, (10, 51)) == {"brief"}
    assert ineligible(world, (990, 51)) == {"small", "brief"}


def test_no_eligible_provider_rejects_the_call() -> None:
    """At once, whatever `wait` is, with the reason of each provider."""
    world = one_tier(
        provider("text", context_window=10),
        provider("small", context_window=10, capabilities=["vision"]),
        requires=lambda request: ["vision"],
        size=lambda request: 11,
    )
    outcome = world.next_outcome(world.plan("work", request="q", wait=60.0))
    assert isinstance(outcome.error, NoProviderAvailable)
    assert outcome.error.states == {
        "text": "lacks vision",
        "small": "context_window 10 is too small for 11 tokens",
    }
    assert outcome.error.retry_after is None


def test_an_estimate_never_excludes_all() -> None:
    """Where only estimated sizes exclude all, the providers decide; capabilities still count."""
    world = one_tier(
        provider("small", context_window=10),
        provider("text", context_window=20),
        requires=lambda request: ["vision"] if "see" in request else [],
    )
    assert ineligible(world, "x" * 60) == {"small"}  # about 15 tokens
    assert ineligible(world, "x" * 400) == set()
    assert ineligible(world, "see" * 400) == {"small", "text"}


def test_failover_and_retries_stay_among_eligible_providers() -> None:
    """So do shares and the `why` texts."""
    world = one_tier(
        provider("a", capabilities=["tools"]),
        provider("b", capabilities=["tools"]),
        provider("c"),
        requires=lambda request: request,
    )
    plan = world.plan("work", request=["tools"])
    step = world.next_attempt(plan)
    assert step.why == "chosen by weight among 2"
    world.fail(plan, step)
    other = world.next_attempt(plan)
    assert {step.member.name, other.member.name} == {"a", "b"}
    world.fail(plan, other)
    world.pass_wait(plan)
    assert world.next_attempt(plan).member.name in {"a", "b"}
    assert world.next_attempt(world.plan("work", request=[])).why == "chosen by weight among 3"


def test_caches_are_bounded() -> None:
    """However many classes of requests come, few tables and results are cached."""
    world = one_tier(
        provider("a", capabilities=[f"c{i}" for i in range(400)]),
        *(provider(f"p{i}", capabilities=[f"c{i}"]) for i in range(400)),
        requires=lambda request: request,
    )
    for i in range(400):
        step = world.next_attempt(world.plan("work", request=[f"c{i}"]))
        assert step.member.name in {"a", f"p{i}"}
    route = world.route("work")
    assert route.eligibility is not None
    assert len(route.eligibility._ineligible) <= MAX_REQUEST_CLASSES
    assert len(route.tiers[0]._filtered_tables) <= MAX_TABLES


def test_explain_shows_ineligible_providers() -> None:
    """With a request it gives the reasons; without one it does not."""
    world = one_tier(provider("text"), provider("b"), requires=lambda request: ["vision"])
    explained = explain(world.route("work"), world.now, "q")
    assert [(s.share, s.state) for s in explained.tiers[0]] == [(0.0, "lacks vision")] * 2
    assert explain(world.route("work"), world.now).tiers[0][0].share == 0.5


@pytest.mark.parametrize("sizes", ["many", (1, "2"), None])
def test_size_must_return_one_or_two_numbers(sizes: Any) -> None:
    """Anything else is a UsageError."""
    world = one_tier(provider("a", context_window=10), size=lambda request: sizes)
    with pytest.raises(UsageError, match="tokens"):
        ineligible(world, "q")


def test_estimated_sizes() -> None:
    """The input is a quarter of the letters, the output what the request allows."""
    assert estimated_sizes("x" * 41) == (11, 0)
    request = {"messages": [{"role": "user", "content": "x" * 400}], "max_tokens": 64}
    read, write = estimated_sizes(request)
    assert (100 <= read <= 110, write) == (True, 64)
    assert estimated_sizes(object()) == (0, 0)


@pytest.mark.parametrize(
    ("request_", "needs"),
    [
        ("text", set()),
        ({"messages": [{"role": "user", "content": "hi"}]}, set()),
        ({"messages": [{"role": "assistant", "content": "{"}]}, {"prefill"}),
        ({"messages": [], "tools": [{}]}, {"tools"}),
        ({"messages": [], "response_format": {"type": "json_schema"}}, {"json_schema"}),
        ({"messages": [], "response_format": {"type": "text"}}, set()),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": one} for one in ("image_url", "input_audio", "text")],
                    }
                ]
            },
            {"vision", "audio"},
        ),
    ],
)
def test_chat_requires(request_: Any, needs: set[str]) -> None:
    """Images, audio, tools, schemas and a prefilled answer are found in a chat request."""
    assert chat_requires(request_) == needs
