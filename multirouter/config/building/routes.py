"""Makes the routes, the policies and the alarms of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from multirouter.config.building.answer_checks import make_answer_check
from multirouter.config.building.fallbacks import FallbackText
from multirouter.config.building.transforms import make_transform
from multirouter.core.routes.route import Route
from multirouter.core.selection.eligibility import chat_requires
from multirouter.core.selection.strategies import with_sticky
from multirouter.core.settings.stream_policy import StreamPolicy
from multirouter.listeners.alarms.alarms import Alarms
from multirouter.token_counting import counted_tokens

if TYPE_CHECKING:
    from multirouter.config.sections.gateway import AlarmsSection
    from multirouter.config.sections.route import PoliciesSection, RouteSection

GATEWAY_SETTINGS = frozenset({"models", "wait"})
"""Settings of routes and policies that the gateway uses, not the router."""


def make_route(name: str, section: RouteSection, policies: PoliciesSection) -> Route:
    """Makes the route of a section.

    Args:
        name: its name.
        section: its settings.
        policies: the defaults of all routes.

    Raises:
        ConfigurationError: a setting is invalid.
    """
    settings = _settings_of(section)
    tiers, sticky = settings.pop("tiers"), settings.pop("sticky")
    if sticky is not None:
        what = f"Route({name!r}).sticky"
        settings["strategy"] = with_sticky(what, settings["strategy"], sticky)
    settings["transform"] = make_transform(section.transform)
    if section.timeout is not None and policies.attempt_timeout is None:
        settings["attempt_timeout"] = attempt_timeout(section.attempt_timeout, section.timeout)
    return Route(name, tiers, **settings)


def make_policies(section: PoliciesSection) -> dict[str, Any]:
    """Makes the settings that all routes inherit.

    Raises:
        ConfigurationError: a setting is invalid.
    """
    from multirouter.config.sections.policies import STREAM_DEFAULTS

    settings = _settings_of(section)
    settings["attempt_timeout"] = attempt_timeout(section.attempt_timeout, section.timeout)
    settings["stream"] = section.stream or StreamPolicy(**STREAM_DEFAULTS)
    return settings


def attempt_timeout(own: float | None, timeout: float) -> float:
    """The timeout of one attempt, seconds: the configured one, or half of the call's.

    Args:
        own: the configured one, or None.
        timeout: that of the whole call, seconds.
    """
    from multirouter.config.sections.policies import ATTEMPT_TIMEOUT

    return min(ATTEMPT_TIMEOUT, timeout / 2) if own is None else own


def _settings_of(section: Any) -> dict[str, Any]:
    """The settings that routes and policies share, made from their data."""
    fields = type(section).model_fields.keys() - GATEWAY_SETTINGS
    settings = {field: getattr(section, field) for field in fields}
    settings["accept"] = make_answer_check(section.accept)
    settings["fallback"] = None if section.fallback is None else FallbackText(section.fallback)
    settings["requires"] = chat_requires if section.requires == "chat" else None
    settings["size"] = counted_tokens() if section.size == "counted" else None
    return settings


def make_alarms(section: AlarmsSection) -> Alarms:
    """Makes the alarms of a section, with new rules on each call."""
    settings = {name: getattr(section, name) for name in type(section).model_fields}
    webhooks, interval = settings.pop("webhooks"), settings.pop("interval")
    rules = [make() for make in settings.values() if make is not None]
    return Alarms(rules, to=[make() for make in webhooks], interval=interval)
