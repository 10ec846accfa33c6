"""Remarks on routes: strategies without what they compare, and providers that fail together."""

from __future__ import annotations

from multirouter.core.introspection import explain
from multirouter.core.routes.remarks import remarks_on, warnings_of
from multirouter.core.routes.route import Route
from tests.core.kit import World, provider


def test_strategies_are_remarked_by_tier() -> None:
    """With the tier's number where there are several."""
    world = World(
        [provider("a"), provider("b"), provider("c")],
        [
            Route("one", [["a", "b"]], strategy="cheapest"),
            Route("two", [["a", "b"], "c"], strategy="cheapest"),
        ],
    )
    remark = "cheapest: no provider has price=, so weights decide"
    assert remarks_on(world.route("one")) == (remark,)
    assert remarks_on(world.route("two")) == (f"tier 1, {remark}",)
    assert remarks_on(world.route()) == ()


def test_providers_that_share_a_domain_are_remarked() -> None:
    """Only when all of them do, and there are at least two."""
    world = World(
        [
            provider("a", domains=["openai", "eu"]),
            provider("b", domains=["openai", "us"]),
            provider("c", domains=["eu"]),
        ],
        [Route("same", ["a", "b"]), Route("mixed", ["a", "b", "c"]), Route("alone", ["a"])],
    )
    assert remarks_on(world.route("same")) == ("all providers share the domain 'openai'",)
    assert remarks_on(world.route("mixed")) == remarks_on(world.route("alone")) == ()


def test_routes_with_the_same_remark_are_named_together() -> None:
    """One line for each remark."""
    shared = {"domains": ["openai"]}
    routes = [Route("x", ["a", "b"]), Route("y", [["b", "a"]], strategy="highest_quality")]
    world = World([provider("a", **shared), provider("b", **shared)], routes)
    assert warnings_of(world.registry.all_routes()) == (
        "routes default, x, y: all providers share the domain 'openai'",
        "route y: highest quality: no provider has quality=, so weights decide",
    )


def test_explain_shows_remarks() -> None:
    """As notes below the table."""
    world = World([provider("a"), provider("b")], [Route("one", [["a", "b"]], strategy="cheapest")])
    explained = explain(world.route("one"), world.now)
    assert explained.remarks == remarks_on(world.route("one"))
    assert str(explained).endswith("  note: cheapest: no provider has price=, so weights decide")
