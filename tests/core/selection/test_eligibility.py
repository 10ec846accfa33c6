"""Who cannot serve a request is not asked, and is told why."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.introspection import explain
from multirouter.core.routes.route import Route
from multirouter.core.selection.eligibility import MOST_KINDS, chat_requires, estimated_sizes
from multirouter.core.selection.tier_tables import MOST_TABLES
from multirouter.errors import NoProviderAvailable, UsageError
from tests.core.kit import NEVER_TRIPS, World, provider


def world(*providers: Any, **route: Any) -> World:
    """Providers in one tier of the route `work`."""
    names = [one.name for one in providers]
    return World(providers, [Route("work", [names], **route)], circuit=NEVER_TRIPS)


def unfit(of: World, request: Any) -> set[str]:
    """Who cannot serve the request."""
    fit = of.route("work").fit
    return set() if fit is None else set(fit.unfit(request))


def test_capabilities() -> None:
    """Who lacks one is never asked, not even when all others failed."""
    of = world(
        provider("blind"),
        provider("seeing", capabilities=["vision"]),
        requires=lambda request: request["needs"],
    )
    plan = of.plan("work", request={"needs": ["vision"]})
    assert of.asked(plan, "server", "server") == ["seeing", "seeing"]
    assert unfit(of, {"needs": []}) == set()
    assert unfit(of, {"needs": "vision"}) == {"blind"}


def test_sizes() -> None:
    """Input and output together must fit the window, the output the longest answer."""
    of = world(
        provider("small", context_window=100),
        provider("brief", context_window=1000, max_output=50),
        provider("any"),
        size=lambda request: request,
    )
    assert unfit(of, 100) == set()
    assert unfit(of, 101) == {"small"}
    assert unfit(of, (60, 41)) == {"small"}
    assert unfit(of, (10, 50)) == set()
    assert unfit(of, (10, 51)) == {"brief"}
    assert unfit(of, (990, 51)) == {"small", "brief"}


def test_nobody_fits() -> None:
    """The call is refused at once, whatever it would wait, and each provider says why not."""
    of = world(
        provider("blind", context_window=10),
        provider("small", context_window=10, capabilities=["vision"]),
        requires=lambda request: ["vision"],
        size=lambda request: 11,
    )
    outcome = of.ended(of.plan("work", request="q", wait=60.0))
    assert isinstance(outcome.error, NoProviderAvailable)
    assert outcome.error.states == {
        "blind": "lacks vision",
        "small": "context_window 10 is too small for 11 tokens",
    }
    assert outcome.error.retry_after is None


def test_an_estimate_bars_nobody_for_good() -> None:
    """Where only estimated sizes leave nobody, the providers decide; capabilities stay."""
    of = world(
        provider("small", context_window=10),
        provider("blind", context_window=20),
        requires=lambda request: ["vision"] if "see" in request else [],
    )
    assert unfit(of, "x" * 60) == {"small"}  # about 15 tokens
    assert unfit(of, "x" * 400) == set()
    assert unfit(of, "see" * 400) == {"small", "blind"}


def test_the_rest_goes_on_among_those_who_fit() -> None:
    """Failover, shares and words know only those who fit, and trials too."""
    of = world(
        provider("a", capabilities=["tools"]),
        provider("b", capabilities=["tools"]),
        provider("c"),
        requires=lambda request: request,
    )
    plan = of.plan("work", request=["tools"])
    step = of.trying(plan)
    assert step.why == "drawn by weight among 2"
    of.fails(plan, step)
    other = of.trying(plan)
    assert {step.member.name, other.member.name} == {"a", "b"}
    of.fails(plan, other)
    of.rest(plan)
    assert of.trying(plan).member.name in {"a", "b"}
    assert of.trying(of.plan("work", request=[])).why == "drawn by weight among 3"


def test_memory_is_bounded() -> None:
    """However many kinds of requests come, tables and fits that are kept are few."""
    of = world(
        provider("a", capabilities=[f"c{i}" for i in range(400)]),
        *(provider(f"p{i}", capabilities=[f"c{i}"]) for i in range(400)),
        requires=lambda request: request,
    )
    for i in range(400):
        step = of.trying(of.plan("work", request=[f"c{i}"]))
        assert step.member.name in {"a", f"p{i}"}
    route = of.route("work")
    assert route.fit is not None
    assert len(route.fit._known) <= MOST_KINDS
    assert len(route.tiers[0]._fitting) <= MOST_TABLES


def test_explain_tells_who_does_not_fit() -> None:
    """With a request it says why somebody is not asked for it; without one nothing of it."""
    of = world(provider("blind"), provider("b"), requires=lambda request: ["vision"])
    told = explain(of.route("work"), of.now, "q")
    assert [(s.share, s.state) for s in told.tiers[0]] == [(0.0, "lacks vision")] * 2
    assert explain(of.route("work"), of.now).tiers[0][0].share == 0.5


@pytest.mark.parametrize("told", ["many", (1, "2"), None])
def test_sizes_are_numbers(told: Any) -> None:
    """What a hook says must be one number of tokens or two."""
    of = world(provider("a", context_window=10), size=lambda request: told)
    with pytest.raises(UsageError, match="tokens"):
        unfit(of, "q")


def test_estimates() -> None:
    """A quarter of the letters to be read; to be written what the request allows."""
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
def test_what_a_chat_needs(request_: Any, needs: set[str]) -> None:
    """Images, audio, tools, schemas and a begun answer are read off a chat request."""
    assert chat_requires(request_) == needs
