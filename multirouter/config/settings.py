"""A whole configuration, valid or refused: what a gateway serves, and the router behind it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from prometheus_client import CollectorRegistry

from multirouter.config.faults import Faults
from multirouter.config.keyfile import read_keys
from multirouter.config.keys import KeyBook
from multirouter.config.menu import Menu
from multirouter.config.upstream import default_model, make_provider, upstream_of
from multirouter.core.routes import Route, members_of
from multirouter.errors import ConfigurationError
from multirouter.providers import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatProvider,
    ChatRequest,
    Http,
)
from multirouter.router import MultiProviderRouter

if TYPE_CHECKING:
    from multirouter.config.document import Document, RouteSection, ServerSection

ChatRouter: TypeAlias = MultiProviderRouter[ChatRequest, ChatCompletion, ChatCompletionChunk]


def load(path: str | os.PathLike[str], environ: Mapping[str, str] | None = None) -> Settings:
    """Reads a configuration file, YAML or TOML by its name.

    Args:
        path: the file.
        environ: where `${NAME}` is looked up; left out, the process's environment.

    Raises:
        ConfigurationError: with everything that is wrong with it, one a line.
        OSError: when it cannot be read.
    """
    from multirouter.config.reading import read

    path = Path(path)
    environ = os.environ if environ is None else environ
    document, faults = read(path, environ)
    return Settings(document, environ, faults, folder=path.parent)


def discover(environ: Mapping[str, str] | None = None) -> Settings:
    """Finds providers by the well-known variables that hold their keys; without any, the echo.

    Args:
        environ: where to look; left out, the process's environment.

    Raises:
        ConfigurationError: for a key that cannot be one.
    """
    from multirouter.config.discovery import discovered
    from multirouter.config.reading import validated

    environ = os.environ if environ is None else environ
    faults = Faults("the environment")
    document = validated(discovered(environ), {}, faults)
    return Settings(document, environ, faults)


class Settings:
    """A configuration that was found valid as a whole.

    Attributes:
        source: the file, or "the environment".
        document: all of it, as it was read.
        server: the gateway's own door.
        models: for each model name or wildcard that clients may use the route that serves it,
            in order of precedence.
        keys: the keys that clients show, or None when none is asked for.

    Args:
        document: what was read.
        environ: where keys of providers are looked up.
        faults: what is wrong with it so far; what is found here is added.
        folder: where relative paths begin.

    Raises:
        ConfigurationError: with everything that is wrong, one a line.
    """

    __slots__ = ("_environ", "_menu", "document", "keys", "models", "server", "source")

    def __init__(
        self,
        document: Document,
        environ: Mapping[str, str],
        faults: Faults,
        folder: Path = Path(),
    ) -> None:
        self.source = faults.source
        self.document = priced(document)
        self.server: ServerSection = document.server
        self._environ = environ
        self._menu = Menu(self.document)
        self.models: Mapping[str, str] = self._menu.models
        self.keys: KeyBook | None = self._read_keys(folder, faults)
        self._rehearse(faults)

    def build(self, **parts: Any) -> ChatRouter:
        """A router of these settings; its providers share their connections.

        Args:
            **parts: what no file can tell: `registry`, `listeners`, `logger`, `rng`, as for
                `MultiProviderRouter`.

        Raises:
            ConfigurationError: when it cannot be made.
        """
        providers, routes = self._providers(Http()), self._routes()
        return MultiProviderRouter(providers, routes=routes, **self._policies(), **parts)

    def apply(self, router: ChatRouter) -> None:
        """Brings a router to these settings, all at once, while calls are in flight.

        Providers that are the same as before stay themselves; of the others those that keep
        their name keep their circuit. What is refused leaves everything as it was.

        Raises:
            ConfigurationError: when it cannot be; then nothing has changed.
        """
        old = {p.name: p for p in router.providers}
        upstreams = filter(None, map(upstream_of, old.values()))
        http = next((upstream.http for upstream in upstreams), None) or Http()
        providers = [_kept(old.get(new.name), new) for new in self._providers(http)]
        router.reconfigure(providers, self._routes(), **self._policies())

    # -- inside -----------------------------------------------------------------------------

    def _read_keys(self, folder: Path, faults: Faults) -> KeyBook | None:
        if self.document.keys is None:
            return None
        try:
            return read_keys(folder / self.document.keys.file)
        except (ConfigurationError, OSError) as error:
            faults.add(("keys", "file"), str(error))
            return None

    def _rehearse(self, faults: Faults) -> None:
        """Makes every part once, so that what cannot be made is known before it is needed."""
        http = Http()
        for name, section in self.document.providers.items():
            if section.api_key is not None:
                faults.hide(section.api_key.get_secret_value())
            try:
                make_provider(name, section, self._environ, http)
            except ConfigurationError as error:
                faults.add_refused(("providers", name), error)
        for name, route in self.document.routes.items():
            try:
                members_of(make_route(name, route), self.document.providers)
            except ConfigurationError as error:
                faults.add_refused(("routes", name), error)
        faults.refuse()
        try:
            self.build(registry=CollectorRegistry())
        except ConfigurationError as error:
            faults.add((), str(error))
        faults.refuse()

    def _providers(self, http: Http) -> list[ChatProvider]:
        sections = self.document.providers.items()
        return [make_provider(name, section, self._environ, http) for name, section in sections]

    def _routes(self) -> list[Route]:
        written = [make_route(name, route) for name, route in self.document.routes.items()]
        return [*written, *self._menu.routes]

    def _policies(self) -> dict[str, Any]:
        policies = self.document.policies
        told = {name: getattr(policies, name) for name in type(policies).model_fields}
        return {**told, "limits": self.document.limits}

    def __repr__(self) -> str:
        providers = ", ".join(self.document.providers)
        return f"<Settings of {self.source}: {providers}>"


def make_route(name: str, section: RouteSection) -> Route:
    """The route that a section describes.

    Raises:
        ConfigurationError: for a setting that is refused.
    """
    told = {field: getattr(section, field) for field in type(section).model_fields}
    tiers = told.pop("tiers")
    del told["models"]
    return Route(name, tiers, **told)


def priced(document: Document) -> Document:
    """The same document, each provider with the price of its model where it names none."""
    prices = document.prices
    providers = {
        name: section.model_copy(update={"price": prices.get(default_model(section) or "")})
        if section.price is None
        else section
        for name, section in document.providers.items()
    }
    return document.model_copy(update={"providers": providers})


def _kept(old: ChatProvider | None, new: ChatProvider) -> ChatProvider:
    """The old provider where the new one would be no different."""
    before, after = (None if one is None else upstream_of(one) for one in (old, new))
    if old is None or before is None or after is None or before.made_of != after.made_of:
        return new
    return old
