"""Providers that cannot express a request are passed over, get it without a field, or reject it."""

from __future__ import annotations

from typing import Any

import pytest

from multirouter.core.registry.updates import with_changes
from multirouter.core.request_transform import Dropping, TransformFailed
from multirouter.core.routes.chain import Chain, Target
from multirouter.core.routes.route import Route
from multirouter.core.settings.failure_rules import RULES, Failover
from multirouter.core.settings.operation import Operation
from multirouter.core.settings.provider import Provider
from multirouter.errors import ConfigurationError, UsageError
from multirouter.model import FailureKind
from tests.core.kit import NEVER_TRIPS, World, answer, provider


class Without:
    """Lacks some fields; counts its calls."""

    def __init__(self, *fields: str) -> None:
        self.fields = fields
        self.calls = 0

    def __call__(self, request: Any) -> dict[str, str]:
        self.calls += 1
        return {field: f"no {field}" for field in self.fields if field in request}


def pool(*providers: Any, **route: Any) -> World:
    """Providers in one tier of the route `work`."""
    names = [one.name for one in providers]
    return World(providers, [Route("work", [names], **route)], circuit=NEVER_TRIPS)


def reasons(world: World, request: Any, route: Any = "work") -> dict[str, str]:
    """Why providers of a route are ineligible for a request, by name."""
    eligibility = world.route(route).eligibility
    found = {} if eligibility is None else dict(eligibility.reasons(request))
    assert eligibility is None or eligibility.ineligible(request) == found.keys()
    return found


def test_a_provider_that_lacks_a_field_is_passed_over() -> None:
    """Only requests with the field avoid it, and every field that it lacks is named."""
    world = pool(provider("plain", lacks=Without("holo", "odor")), provider("rich"))
    assert reasons(world, {"messages": []}) == {}
    found = reasons(world, {"holo": 1, "odor": 2})
    assert found == {"plain": "cannot express holo: no holo, odor: no odor"}
    plan = world.plan("work", request={"holo": 1})
    assert world.run_attempts(plan, "server", "server") == ["rich", "rich"]


def test_equal_functions_are_called_once() -> None:
    """Providers of one format share the check; a route of that format alone needs none."""
    lacks = Without("holo")
    same = [provider("a", lacks=lacks), provider("b", lacks=lacks)]
    assert pool(*same).route("work").eligibility is None
    world = pool(*same, provider("c"))
    eligibility = world.route("work").eligibility
    assert eligibility is not None
    assert eligibility.ineligible({"holo": 1}) == {"a", "b"}
    assert lacks.calls == 1


def test_capabilities_and_lacks_add_up() -> None:
    """A provider may be ineligible for either reason."""
    world = pool(
        provider("blind"),
        provider("plain", lacks=Without("holo"), capabilities=["vision"]),
        provider("rich", capabilities=["vision"]),
        requires=lambda request: request["needs"],
    )
    found = reasons(world, {"needs": ["vision"], "holo": 1})
    assert found == {"blind": "lacks vision", "plain": "cannot express holo: no holo"}


def test_what_a_transform_makes_is_not_known_before_the_attempt() -> None:
    """A provider with a transform is not judged by the request of the caller."""
    lacks = Without("holo")
    world = pool(provider("plain", lacks=lacks, transform=lambda r: r), provider("rich"))
    assert reasons(world, {"holo": 1}) == {}


def test_drop_leaves_out_settings_but_no_content() -> None:
    """Content that a provider lacks makes it ineligible; settings are dropped, and named."""
    lacks = Without("holo", "messages", "messages.smell")
    world = pool(provider("plain", lacks=lacks), provider("rich"), unsupported="drop")
    assert reasons(world, {"holo": 1}) == {}
    assert reasons(world, {"messages": [], "holo": 1}).keys() == {"plain"}
    dropping = world.member("plain", "work").dropping
    assert dropping is not None
    assert dropping.apply({"holo": 1, "top": 2}) == ({"top": 2}, ("holo",))
    assert dropping.apply({"top": 2}) == ({"top": 2}, ())
    assert dropping.apply({"messages": []}) == ({"messages": []}, ())
    assert world.member("rich", "work").dropping is None


def test_drop_sees_what_transforms_made() -> None:
    """The transforms of route and provider run first, and do not change the caller's request."""
    one = provider("plain", lacks=Without("holo"), transform=lambda r: {**r, "holo": 1})
    world = pool(one, unsupported="drop", transform=lambda r: {**r, "route": 1})
    dropping, request = world.member("plain", "work").dropping, {"x": 1}
    assert dropping is not None
    assert dropping.apply(request) == ({"x": 1, "route": 1}, ("holo",))
    assert request == {"x": 1}


def test_a_failed_hook_while_dropping() -> None:
    """It counts as a failed transform: the request could not be sent."""

    def broken(_: Any) -> Any:
        raise LookupError

    with pytest.raises(TransformFailed, match="lacks= raised LookupError"):
        Dropping(broken, ()).apply({})
    with pytest.raises(TransformFailed):
        Dropping(Without(), [broken]).apply({})


def test_reject_needs_every_provider() -> None:
    """With `reject`, a request is only attempted when all providers can express it."""
    lacks = Without("holo")
    world = pool(provider("plain", lacks=lacks), provider("rich"), unsupported="reject")
    assert reasons(world, {"x": 1}) == {}
    found = reasons(world, {"holo": 1})
    assert found["plain"] == "cannot express holo: no holo"
    assert found["rich"] == "not attempted: another provider of the route cannot"
    assert world.route("work").rules[FailureKind.UNSUPPORTED].failover is Failover.NEVER
    alone = pool(provider("plain", lacks=lacks), unsupported="reject")
    assert reasons(alone, {"holo": 1}).keys() == {"plain"}
    assert pool(provider("rich"), unsupported="reject").route("work").eligibility is None


def test_own_rules_precede_reject() -> None:
    """A rule for `unsupported` of the user's own stays."""
    own = {"unsupported": RULES[FailureKind.SERVER]}
    world = pool(provider("a"), unsupported="reject", rules=own)
    assert world.route("work").rules[FailureKind.UNSUPPORTED].failover is Failover.AT_ONCE


def test_chains_check_all_of_their_targets() -> None:
    """Two routes of one format each need no check, their chain does; each keeps its policy."""
    lacks = Without("holo")
    world = World(
        [provider("plain", lacks=lacks), provider("rich")],
        [Route("one", ["plain"]), Route("two", ["rich"])],
    )
    chain = Chain([Target("one", "a"), Target("two", "b")])
    assert reasons(world, {"holo": 1}, chain).keys() == {"plain"}
    strict = [Route("one", ["plain"], unsupported="reject"), Route("two", ["rich"])]
    world.configure(world.providers, strict)
    assert reasons(world, {"holo": 1}, chain).keys() == {"plain"}


def test_operations_have_their_own_lacks() -> None:
    """A provider's own apply to its own functions alone."""
    operation = Operation(answer, lacks=Without("odd"))
    world = pool(
        provider("plain", lacks=Without("holo"), operations={"embeddings": operation}),
        provider("rich", operations={"embeddings": Operation(answer)}),
    )
    chain = Chain([Target("work")], operation="embeddings")
    assert reasons(world, {"holo": 1}, chain) == {}
    assert reasons(world, {"odd": 1}, chain).keys() == {"plain"}


@pytest.mark.parametrize("answered", [7, ["holo"], "holo"])
def test_invalid_answers_of_a_hook(answered: Any) -> None:
    """A function that returns no mapping is the user's mistake."""
    world = pool(provider("a", lacks=lambda _: answered), provider("b"))
    with pytest.raises(UsageError, match="lacks= must return a mapping"):
        reasons(world, {})


def test_invalid_settings() -> None:
    """A policy is one of three names; the hook is a plain function of one argument."""
    with pytest.raises(ConfigurationError, match=r"Route\('r'\).unsupported: must be one of"):
        Route("r", ["a"], unsupported="skip")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="lacks"):
        Provider("a", answer, lacks=7)  # type: ignore[arg-type]
    defaults = World([provider("a")]).defaults
    with pytest.raises(ConfigurationError, match="unsupported: must be one of"):
        with_changes(defaults, {"unsupported": "x"})
    assert with_changes(defaults, {"unsupported": "drop"}).unsupported == "drop"
    assert with_changes(defaults, {"unsupported": None}).unsupported == "pass_over"
