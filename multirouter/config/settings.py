"""A valid configuration: settings of the gateway, and the router that it builds."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from prometheus_client import CollectorRegistry

from multirouter.config.building.configured_provider import configured_provider
from multirouter.config.building.routes import make_alarms, make_policies, make_route
from multirouter.config.building.sharing import make_sharing
from multirouter.config.building.telemetry import make_telemetry
from multirouter.config.client_keys.hashed_keys import KeyBook
from multirouter.config.client_keys.key_file import load_keys
from multirouter.config.echo import MODEL as ECHO
from multirouter.config.echo import Echo
from multirouter.config.file_state import FileState, file_state
from multirouter.config.model_names import ModelNames
from multirouter.config.problems import Problems
from multirouter.config.provider_builder import (
    KINDS,
    base_url_of,
    default_model,
    make_provider,
    models_of,
    unchanged,
)
from multirouter.config.provider_prices import prices_of
from multirouter.core import validation as check
from multirouter.core.cost.model_prices import ModelPrices
from multirouter.core.cost.price import Prices
from multirouter.core.registry.registry import DEFAULT
from multirouter.core.routes.route import Route
from multirouter.core.routes.tier_entries import resolve_tiers
from multirouter.core.settings.provider import Provider
from multirouter.errors import ConfigurationError
from multirouter.listeners.history.history import History
from multirouter.providers import (
    ChatCompletion,
    ChatCompletionChunk,
    ChatProvider,
    ChatRequest,
    Http,
)
from multirouter.published_prices import known_prices
from multirouter.router import MultiProviderRouter

if TYPE_CHECKING:
    from multirouter.config.document import (
        Document,
    )
    from multirouter.config.sections.gateway import ServerSection
    from multirouter.config.sections.provider import ProviderSection

ChatRouter: TypeAlias = MultiProviderRouter[ChatRequest, ChatCompletion, ChatCompletionChunk]


ROUTER_SETTINGS = ("limits", "budget", "shadow")
"""Settings of the whole router outside of `policies`."""


def load(path: str | os.PathLike[str], environ: Mapping[str, str] | None = None) -> Settings:
    """Reads a configuration file, YAML or TOML by its extension.

    Args:
        path: the file.
        environ: the variables for `${NAME}`; None: the process's environment.

    Raises:
        ConfigurationError: the configuration is invalid; has every error, one per line.
        OSError: the file cannot be read.
    """
    from multirouter.config.reading.loader import read

    path = Path(path)
    environ = os.environ if environ is None else environ
    state = file_state(path)
    document, problems = read(path, environ)
    return Settings(document, environ, problems, path, state)


def discover(environ: Mapping[str, str] | None = None) -> Settings:
    """Makes a configuration of the providers whose well-known API key variables are set.

    Without any key the only provider is the built-in echo.

    Args:
        environ: the variables; None: the process's environment.

    Raises:
        ConfigurationError: a key is invalid.
    """
    from multirouter.config.discovery import discover_providers
    from multirouter.config.reading.loader import validate_document

    environ = os.environ if environ is None else environ
    problems = Problems("the environment")
    document = validate_document(discover_providers(environ), {}, problems)
    return Settings(document, environ, problems)


class Settings:
    """A valid configuration.

    Attributes:
        source: the file, or "the environment".
        document: the settings, with defaults filled in.
        server: settings of the gateway's HTTP server.
        models: route name by model name or wildcard that clients may use, in order of precedence.
        keys: the API keys of clients, or None if no key is required.
        wait: seconds that a request may wait for a provider to become available.
        waits: the same by route, for routes with their own setting.
        warnings: what is set up so that it cannot work as meant, as text.
        files: the files of the configuration, which are the file itself and the key file, with
            their states just before they were read.

    Args:
        document: the settings as read.
        environ: the variables with the API keys of providers.
        problems: the errors so far; further ones are added.
        file: the file of the settings, to whose folder paths are relative; None for no file.
        state: the state of the file just before it was read.

    Raises:
        ConfigurationError: the configuration is invalid; has every error, one per line.
    """

    __slots__ = (
        "_environ",
        "_folder",
        "_model_names",
        "document",
        "files",
        "keys",
        "models",
        "server",
        "source",
        "wait",
        "waits",
        "warnings",
    )

    def __init__(
        self,
        document: Document,
        environ: Mapping[str, str],
        problems: Problems,
        file: Path | None = None,
        state: FileState | None = None,
    ) -> None:
        self.source: str = problems.source
        self.document: Document = with_defaults(document)
        self.server: ServerSection = document.server
        self._environ = dict(environ)  # a copy, which can be pickled: see `gateway.workers`
        self._folder = Path() if file is None else file.parent
        files = {} if file is None else {file: state}
        files.update((path, file_state(path)) for path in self._key_files())
        self.files: Mapping[Path, FileState | None] = files
        self._model_names = ModelNames(self.document)
        self.models: Mapping[str, str] = self._model_names.models
        self.wait: float = document.policies.wait
        self.waits: Mapping[str, float] = {
            name: route.wait for name, route in document.routes.items() if route.wait is not None
        }
        self.keys: KeyBook | None = self._read_keys(problems)
        self.warnings: tuple[str, ...] = ()
        self._validate(problems)

    def build(self, **parts: Any) -> ChatRouter:
        """Builds a router of these settings; its providers share their connections.

        Args:
            **parts: arguments that a file cannot have: `registry`, `listeners`, `logger`, `rng`,
                and `sharing` and `telemetry` instead of the file's; see `MultiProviderRouter`.

        Raises:
            ConfigurationError: the router cannot be built.
        """
        if "telemetry" not in parts:
            parts["telemetry"] = make_telemetry(self.document.telemetry)
        if self.document.sharing is not None:
            parts = {"sharing": make_sharing(self.document.sharing), **parts}
        return self._make_router(history=self._history(), **parts)

    def apply(self, router: ChatRouter) -> None:
        """Changes a router to these settings, atomically, while calls are in flight.

        Unchanged providers are kept; changed ones of the same name keep their circuit state.

        Raises:
            ConfigurationError: the settings cannot be applied; the router is unchanged.
        """
        old = {p.name: p for p in router.providers}
        configured = filter(None, map(configured_provider, old.values()))
        http = next((provider.http for provider in configured), None) or Http()
        providers = [
            self._make_provider(name, section, http, old.get(name))
            for name, section in self.document.providers.items()
        ]
        router.reconfigure(providers, self._routes(), **self._policies())

    def path_of(self, file: str) -> Path:
        """The path of a file that a setting names."""
        return self._folder / file

    # -- inside -----------------------------------------------------------------------------

    def _key_files(self) -> Iterator[Path]:
        if self.document.keys is not None:
            yield self._folder / self.document.keys.file

    def _read_keys(self, problems: Problems) -> KeyBook | None:
        try:
            return next(map(load_keys, self._key_files()), None)
        except (ConfigurationError, OSError) as error:
            problems.add(("keys", "file"), str(error))
            return None

    def _validate(self, problems: Problems) -> None:
        """Makes every part once, so that errors are found before the router is built."""
        http, known, made = Http(), {}, {}
        for name, section in self.document.providers.items():
            # A route may name a provider that cannot be made; that is not an error of the route.
            with problems.collect("providers", name):
                known[name] = Provider(name, Echo().call, tags=section.tags)
            if section.api_key is not None:
                problems.hide(section.api_key.get_secret_value())
            made[name] = problems.collect_each(
                ("providers", name), section, partial(self._make_provider, name, http=http)
            )
        made_routes, sound = {}, []
        for name, route_section in self.document.routes.items():
            make = partial(make_route, name, policies=self.document.policies)
            made_routes[name] = problems.collect_each(("routes", name), route_section, make)
        routes = {name: route for name, route in made_routes.items() if route is not None}
        for name, route in routes.items():
            with problems.collect("routes", name):
                resolve_tiers(route, known, routes)
                sound.append(route)
        unknown = self.document.unknown_route
        if unknown is not None and unknown not in (DEFAULT, *self.document.routes):
            known_names = check.suggestion(unknown, (DEFAULT, *self.document.routes))
            problems.add(("unknown_route",), f"unknown route {known_names}")
        with problems.collect("known_prices"):
            if self.document.known_prices:  # loads the table, and says when it is not installed
                known_prices("openai")
        with problems.collect("history"):
            self._history()
        if self.document.sharing is not None:
            problems.hide(self.document.sharing.url.get_secret_value())
            with problems.collect("sharing"):
                make_sharing(self.document.sharing)
        with problems.collect():
            make_telemetry(self.document.telemetry)
        try:
            registry = CollectorRegistry()
            if problems.found:  # the rest is checked with the parts that are valid
                parts = [made.get(name) or provider for name, provider in known.items()]
                MultiProviderRouter(parts, routes=sound, **self._policies(), registry=registry)
            else:
                router = self._make_router(registry=registry)
                empty = self.document.sections_without_value()
                self.warnings = (*empty, *router.warnings(), *self._missing_prices())
        except ConfigurationError as error:
            is_policy = error.what.partition("[")[0] in type(self.document.policies).model_fields
            problems.add_error(("policies",) if is_policy else (), error)
        problems.raise_if_any()

    def _missing_prices(self) -> Iterator[str]:
        """Models without a price at providers with prices: what they cost is not counted."""
        for name, section in self.document.providers.items():
            prices = self._prices_of(name, section)
            if prices is None:
                continue
            known = ModelPrices(prices)
            models = [model for model in models_of(section) if "*" not in model]
            missing = [model for model in models if known.price_of(None, model) is None]
            if missing:
                yield f"provider {name}: no price for {', '.join(missing)}"

    def _history(self) -> History | None:
        section = self.document.history
        if section is None:
            return None
        return History(
            self.path_of(section.file),
            retention=section.retention,
            batch_interval=section.batch_interval,
            max_queued_rows=section.max_queued_rows,
        )

    def _make_router(self, **parts: Any) -> ChatRouter:
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
        return [self._make_provider(name, section, http) for name, section in sections]

    def _make_provider(
        self, name: str, section: ProviderSection, http: Http, old: ChatProvider | None = None
    ) -> ChatProvider:
        prices = self._prices_of(name, section)
        kept = unchanged(old, section, self._environ, prices)
        return kept or make_provider(name, section, self._environ, http, prices)

    def _prices_of(self, name: str, section: ProviderSection) -> Prices | None:
        models, url = models_of(section), base_url_of(section)
        return prices_of(name, section, models, url, self.document)

    def _routes(self) -> list[Route]:
        policies = self.document.policies
        configured = [
            make_route(name, route, policies) for name, route in self.document.routes.items()
        ]
        return [*configured, *self._model_names.routes]

    def _policies(self) -> dict[str, Any]:
        settings = make_policies(self.document.policies)
        return {**settings, **{name: getattr(self.document, name) for name in ROUTER_SETTINGS}}

    def __repr__(self) -> str:
        providers = ", ".join(self.document.providers)
        return f"<Settings of {self.source}: {providers}>"


def with_defaults(document: Document) -> Document:
    """The document with defaults filled in: kinds, the echo's model name."""
    providers = {}
    for name, section in document.providers.items():
        more: dict[str, Any] = {"kind": section.kind or (name if name in KINDS else None)}
        if more["kind"] == "echo":
            more["model"] = default_model(section) or ECHO
        providers[name] = section.model_copy(update=more)
    return document.model_copy(update={"providers": providers})
