"""Model names that clients may use, wildcards included, and the route of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from multirouter.config.provider_builder import default_model, models_of
from multirouter.core.registry.registry import DEFAULT
from multirouter.core.routes.route import Route

if TYPE_CHECKING:
    from multirouter.config.document import Document
    from multirouter.config.sections.provider import ProviderSection

AUTO = "auto"
"""Model name of the default route."""

AUTO_STRATEGIES: Mapping[str, str] = {
    "auto-cheap": "cheapest",
    "auto-fast": "fastest",
    "auto-best": "highest_quality",
}
"""Model names of routes over all providers, and their strategies."""


class ModelNames:
    """Model names that clients may use, and the routes they need besides the configured ones.

    Attributes:
        models: route name by model name or wildcard, in order of precedence: exact names before
            wildcards, and wildcards by their length without `*`, longest first.
        routes: the generated routes.
    """

    __slots__ = ("_exact", "_wild", "models", "routes")

    def __init__(self, document: Document) -> None:
        self._exact: dict[str, str] = {}
        self._wild: dict[str, str] = {}
        self.routes: list[Route] = []
        self._add_routes(document)
        self._add_models(document.providers)
        self._add_auto(document)
        if document.unknown_route is not None:
            self._register("*", document.unknown_route)
        wild = sorted(self._wild.items(), key=lambda entry: -len(entry[0].replace("*", "")))
        self.models: Mapping[str, str] = {**self._exact, **dict(wild)}

    def _add_routes(self, document: Document) -> None:
        for name in document.routes:
            self._exact[name] = name
        for name, route in document.routes.items():
            for model in route.models:
                self._register(model, name)

    def _add_models(self, providers: Mapping[str, ProviderSection]) -> None:
        """Adds each provider's models: as `provider/model`, and bare for all that have them."""
        by_model: dict[str, list[str]] = {}
        for name, provider in providers.items():
            models = models_of(provider)
            for model in models or ("*",):
                self._add_model_route(f"{name}/{model}", [name])
            for model in models:
                by_model.setdefault(model, []).append(name)
        for model, names in by_model.items():
            self._add_model_route(model, names)

    def _add_auto(self, document: Document) -> None:
        """Adds `auto` and its variants over the providers that have a default model."""
        names = [name for name, section in document.providers.items() if default_model(section)]
        names = names or list(document.providers)
        if DEFAULT not in document.routes:
            self.routes.append(Route(DEFAULT, [names]))
        self._register(AUTO, DEFAULT)
        for model, strategy in AUTO_STRATEGIES.items():
            if model not in self._exact:
                self.routes.append(Route(model, [names], strategy=strategy))
                self._exact[model] = model

    def _add_model_route(self, model: str, names: list[str]) -> None:
        """Adds a route for a model, unless a configured route has that name."""
        if model not in self._exact and model not in self._wild:
            self.routes.append(Route(model, [names]))
            self._register(model, model)

    def _register(self, model: str, route: str) -> None:
        (self._wild if "*" in model else self._exact).setdefault(model, route)
