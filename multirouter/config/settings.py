"""A whole configuration, valid or refused: what a gateway serves, and the router behind it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from prometheus_client import CollectorRegistry

from multirouter.config.echo import MODEL as ECHO
from multirouter.config.echo import Echo
from multirouter.config.keyfile import read_keys
from multirouter.config.keys import KeyBook
from multirouter.config.model_names import Menu
from multirouter.config.problems import Faults
from multirouter.config.provider_builder import KINDS, default_model, make_provider, provider_of
from multirouter.core.routes.route import Route
from multirouter.core.routes.tiers import members_of
from multirouter.core.settings.provider import Provider
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.errors import ConfigurationError
from multirouter.listeners.alarms.alarms import Alarms
from multirouter.listeners.history.history import History
from multirouter.providers import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatProvider,
    ChatRequest,
    Http,
)
from multirouter.router import MultiProviderRouter

if TYPE_CHECKING:
    from multirouter.config.document import (
        AlarmsSection,
        Document,
        RouteSection,
        ServerSection,
    )

ChatRouter: TypeAlias = MultiProviderRouter[ChatRequest, ChatCompletion, ChatCompletionChunk]


OVERALL = ("limits", "budget", "shadow")
"""What a document says of the whole router outside of its policies."""


OF_THE_GATEWAY = frozenset({"models", "wait"})
"""Settings of routes and policies that are no router's."""


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
    return Settings(document, environ, faults, path)


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
        wait: seconds that a request may wait where room is known to come.
        waits: the same for each route that has a setting of its own.
        files: what they were read from: the file itself, and that with the keys.

    Args:
        document: what was read.
        environ: where keys of providers are looked up.
        faults: what is wrong with it so far; what is found here is added.
        file: what was read, in whose folder relative paths begin; None for no file.

    Raises:
        ConfigurationError: with everything that is wrong, one a line.
    """

    __slots__ = (
        "_environ",
        "_folder",
        "_menu",
        "document",
        "files",
        "keys",
        "models",
        "server",
        "source",
        "wait",
        "waits",
    )

    def __init__(
        self,
        document: Document,
        environ: Mapping[str, str],
        faults: Faults,
        file: Path | None = None,
    ) -> None:
        self.source: str = faults.source
        self.document: Document = completed(document)
        self.server: ServerSection = document.server
        self._environ = environ
        self._folder = Path() if file is None else file.parent
        self.files: tuple[Path, ...] = () if file is None else (file, *self._key_files())
        self._menu = Menu(self.document)
        self.models: Mapping[str, str] = self._menu.models
        self.wait: float = document.policies.wait
        self.waits: Mapping[str, float] = {
            name: route.wait for name, route in document.routes.items() if route.wait is not None
        }
        self.keys: KeyBook | None = self._read_keys(faults)
        self._rehearse(faults)

    def build(self, **parts: Any) -> ChatRouter:
        """A router of these settings; its providers share their connections.

        Args:
            **parts: what no file can tell: `registry`, `listeners`, `logger`, `rng`, as for
                `MultiProviderRouter`.

        Raises:
            ConfigurationError: when it cannot be made.
        """
        return self._built(history=self._history(), **parts)

    def apply(self, router: ChatRouter) -> None:
        """Brings a router to these settings, all at once, while calls are in flight.

        Providers that are the same as before stay themselves; of the others those that keep
        their name keep their circuit. What is refused leaves everything as it was.

        Raises:
            ConfigurationError: when it cannot be; then nothing has changed.
        """
        old = {p.name: p for p in router.providers}
        upstreams = filter(None, map(provider_of, old.values()))
        http = next((upstream.http for upstream in upstreams), None) or Http()
        providers = [_kept(old.get(new.name), new) for new in self._providers(http)]
        router.reconfigure(providers, self._routes(), **self._policies())

    # -- inside -----------------------------------------------------------------------------

    def _key_files(self) -> Iterator[Path]:
        if self.document.keys is not None:
            yield self._folder / self.document.keys.file

    def _read_keys(self, faults: Faults) -> KeyBook | None:
        try:
            return next(map(read_keys, self._key_files()), None)
        except (ConfigurationError, OSError) as error:
            faults.add(("keys", "file"), str(error))
            return None

    def _rehearse(self, faults: Faults) -> None:
        """Makes every part once, so that what cannot be made is known before it is needed."""
        http, known = Http(), {}
        for name, section in self.document.providers.items():
            # Who cannot be made can still be meant by a route.
            with faults.noted("providers", name):
                known[name] = Provider(name, Echo().call, tags=section.tags)
            if section.api_key is not None:
                faults.hide(section.api_key.get_secret_value())
            with faults.noted("providers", name):
                make_provider(name, section, self._environ, http)
        routes = {}
        for name, told in self.document.routes.items():
            with faults.noted("routes", name):
                routes[name] = make_route(name, told)
        for name, route in routes.items():
            with faults.noted("routes", name):
                members_of(route, known, routes)
        with faults.noted("history"):
            self._history()
        faults.refuse()
        with faults.noted():
            self._built(registry=CollectorRegistry())
        faults.refuse()

    def _history(self) -> History | None:
        told = self.document.history
        return None if told is None else History(self._folder / told.file, keep=told.keep)

    def _built(self, **parts: Any) -> ChatRouter:
        alarms = () if self.document.alarms is None else make_alarms(self.document.alarms)
        return MultiProviderRouter(
            self._providers(Http()),
            routes=self._routes(),
            **self._policies(),
            alarms=alarms,
            **parts,
        )

    def _providers(self, http: Http) -> list[ChatProvider]:
        sections = self.document.providers.items()
        return [make_provider(name, section, self._environ, http) for name, section in sections]

    def _routes(self) -> list[Route]:
        written = [make_route(name, route) for name, route in self.document.routes.items()]
        return [*written, *self._menu.routes]

    def _policies(self) -> dict[str, Any]:
        policies = self.document.policies
        own = type(policies).model_fields.keys() - OF_THE_GATEWAY
        told = {name: getattr(policies, name) for name in own}
        told["stream"] = policies.stream or StreamPolicy(on_interrupt="continue")
        return {**told, **{name: getattr(self.document, name) for name in OVERALL}}

    def __repr__(self) -> str:
        providers = ", ".join(self.document.providers)
        return f"<Settings of {self.source}: {providers}>"


def make_route(name: str, section: RouteSection) -> Route:
    """The route that a section describes.

    Raises:
        ConfigurationError: for a setting that is refused.
    """
    own = type(section).model_fields.keys() - OF_THE_GATEWAY
    told = {field: getattr(section, field) for field in own}
    tiers = told.pop("tiers")
    return Route(name, tiers, **told)


def make_alarms(section: AlarmsSection) -> Alarms:
    """The alarms that a section describes, new ones each time."""
    told = {name: getattr(section, name) for name in type(section).model_fields}
    targets, every = told.pop("webhooks"), told.pop("every")
    rules = [make() for make in told.values() if make is not None]
    return Alarms(rules, to=[make() for make in targets], every=every)


def completed(document: Document) -> Document:
    """The same document with what goes without saying: kinds, the echo's name, prices."""
    prices, providers = document.prices, {}
    for name, section in document.providers.items():
        more: dict[str, Any] = {"kind": section.kind or (name if name in KINDS else None)}
        if more["kind"] == "echo":
            more["model"] = default_model(section) or ECHO
        if section.price is None:
            more["price"] = prices.get(default_model(section) or "")
        providers[name] = section.model_copy(update=more)
    return document.model_copy(update={"providers": providers})


def _kept(old: ChatProvider | None, new: ChatProvider) -> ChatProvider:
    """The old provider where the new one would be no different."""
    before, after = (None if one is None else provider_of(one) for one in (old, new))
    if old is None or before is None or after is None or before.made_of != after.made_of:
        return new
    return old
