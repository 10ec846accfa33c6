"""What clients may ask for: names of models and wildcards, and the route that serves each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from multirouter.config.provider_builder import default_model
from multirouter.core.registry.registry import DEFAULT
from multirouter.core.routes.route import Route

if TYPE_CHECKING:
    from multirouter.config.document import Document, ProviderSection

AUTO = "auto"
"""The name for "whatever suits": the default route."""

SIBLINGS: Mapping[str, str] = {
    "auto-cheap": "cheapest",
    "auto-fast": "fastest",
    "auto-best": "highest_quality",
}
"""Names for "whatever suits" and the strategies by which they choose."""


class Menu:
    """The names that clients may use, and the routes that those need beside the configured ones.

    Attributes:
        models: for each name or wildcard its route's name, in order of precedence: exact names
            before wildcards, and of the wildcards those with more letters first.
        routes: the routes that nobody wrote down.
    """

    __slots__ = ("_exact", "_wild", "models", "routes")

    def __init__(self, document: Document) -> None:
        self._exact: dict[str, str] = {}
        self._wild: dict[str, str] = {}
        self.routes: list[Route] = []
        self._add_routes(document)
        self._add_models(document.providers)
        self._add_auto(document)
        wild = sorted(self._wild.items(), key=lambda entry: -len(entry[0].replace("*", "")))
        self.models: Mapping[str, str] = {**self._exact, **dict(wild)}

    def _add_routes(self, document: Document) -> None:
        for name in document.routes:
            self._exact[name] = name
        for name, route in document.routes.items():
            for model in route.models:
                self._offer(model, name)

    def _add_models(self, providers: Mapping[str, ProviderSection]) -> None:
        """Each provider's models: under its name for it alone, bare for all that have them."""
        served: dict[str, list[str]] = {}
        for name, provider in providers.items():
            own = _served(provider)
            for model in own or ["*"]:
                self._serve(f"{name}/{model}", [name])
            for model in own:
                served.setdefault(model, []).append(name)
        for model, names in served.items():
            self._serve(model, names)

    def _add_auto(self, document: Document) -> None:
        """`auto` and its siblings; those who need a client to name a model cannot serve them."""
        able = [name for name, section in document.providers.items() if default_model(section)]
        able = able or list(document.providers)
        if DEFAULT not in document.routes:
            self.routes.append(Route(DEFAULT, [able]))
        self._offer(AUTO, DEFAULT)
        for model, strategy in SIBLINGS.items():
            if model not in self._exact:
                self.routes.append(Route(model, [able], strategy=strategy))
                self._exact[model] = model

    def _serve(self, model: str, names: list[str]) -> None:
        """A route of its own for a model that no route names."""
        if model not in self._exact and model not in self._wild:
            self.routes.append(Route(model, [names]))
            self._offer(model, model)

    def _offer(self, model: str, route: str) -> None:
        (self._wild if "*" in model else self._exact).setdefault(model, route)


def _served(provider: ProviderSection) -> list[str]:
    """The models of a provider, each once."""
    own = [*provider.models, *([provider.model] if provider.model else [])]
    return list(dict.fromkeys(own))
