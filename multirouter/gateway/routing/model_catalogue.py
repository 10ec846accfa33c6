"""Model names that clients may use, with the route of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase

from multirouter.core import validation as check
from multirouter.core.routes.chain import Target
from multirouter.gateway.http.http_error import HTTPError


class ModelCatalogue:
    """Finds the route of a model: by its exact name, else by a pattern.

    Args:
        models: a route for each model's name or pattern (`gpt-*`); the first pattern that matches
            is used.
    """

    def __init__(self, models: Mapping[str, str]) -> None:
        self._exact = {name: route for name, route in models.items() if "*" not in name}
        self._patterns = [(name, route) for name, route in models.items() if "*" in name]

    def find(self, model: str, may_use: Callable[[str], bool] | None = None) -> Target:
        """The target of a model.

        Args:
            model: its name.
            may_use: whether the client may know a route; only models of such routes are suggested.

        Raises:
            HTTPError: 404 `model_not_found`, with the most similar name.
        """
        route = self._exact.get(model)
        if route is not None:
            return Target(route, model)
        for pattern, route in self._patterns if len(model) <= check.MAX_NAME_LENGTH else ():
            if fnmatchcase(model, pattern):
                return Target(route, model)
        raise HTTPError(
            404,
            f"unknown model {check.suggestion(model, self._suggested(may_use))}",
            code="model_not_found",
            param="model",
        )

    @property
    def names(self) -> tuple[str, ...]:
        """The models with an exact name, in their order."""
        return tuple(self._exact)

    def unknown_route(self, route: str, may_use: Callable[[str], bool] | None = None) -> str:
        """Message for a route that does not exist; see `find`."""
        routes = {self._exact[name] for name in self._suggested(may_use)}
        return f"unknown route {check.suggestion(route, routes)}"

    def _suggested(self, may_use: Callable[[str], bool] | None) -> list[str]:
        return [name for name, route in self._exact.items() if may_use is None or may_use(route)]
