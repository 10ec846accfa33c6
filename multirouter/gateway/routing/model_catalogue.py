"""The names clients ask for: which model goes by which route, and what is listed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from multirouter.core import validation as check
from multirouter.gateway.http.error_responses import Refusal


@dataclass(frozen=True, slots=True)
class Target:
    """Where one request may go.

    Attributes:
        route: a route's name, or names of providers in the order in which they are tried.
        model: what the request names there; "" to name none.
    """

    route: str | tuple[str, ...]
    model: str


class Catalog:
    """Finds the route of a model: by its name, else by a pattern.

    Args:
        models: a route for each model's name or pattern (`gpt-*`); of patterns the first wins.
    """

    def __init__(self, models: Mapping[str, str]) -> None:
        self._exact = {name: route for name, route in models.items() if "*" not in name}
        self._patterns = [(name, route) for name, route in models.items() if "*" in name]

    def find(self, model: str) -> Target:
        """Where requests for `model` go.

        Raises:
            Refusal: 404 `model_not_found`, with the name that comes nearest.
        """
        route = self._exact.get(model)
        if route is not None:
            return Target(route, model)
        for pattern, route in self._patterns:
            if fnmatchcase(model, pattern):
                return Target(route, model)
        raise Refusal(
            404,
            f"there is no model {check.near(model, self._exact)}",
            code="model_not_found",
            param="model",
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The models that have a name of their own, in their order."""
        return tuple(self._exact)
