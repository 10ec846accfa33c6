"""Test kit for billing: prices, an answer with usage, and a route of priced providers."""

from __future__ import annotations

from typing import Any

from multirouter.core.cost.price import Price
from multirouter.core.routes.route import Route
from multirouter.core.settings.policies import HedgePolicy
from multirouter.model import Usage
from tests.core.kit import NEVER_TRIPS, World, provider

EXPENSIVE, CHEAP = Price(10, 30), Price(1, 3)
ANSWER = {"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 100}}
USAGE = Usage(1000, 100)


def chain(*names: str, hedge: HedgePolicy | None = None, **settings: Any) -> World:
    """An expensive provider, then cheap ones, in that order, as the route `chain`."""
    providers = [
        provider(name, price=CHEAP if number else EXPENSIVE) for number, name in enumerate(names)
    ]
    routes = [Route("chain", list(names), hedge=hedge)]
    return World(providers, routes, circuit=NEVER_TRIPS, **settings)
