"""Everything that a constructor of the library takes and that can be data is in the file."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from typing import Any

import pytest

from multirouter import MultiProviderRouter, Provider, Route
from multirouter.config.document import Document
from multirouter.config.sections.gateway import AlarmsSection, HistorySection
from multirouter.config.sections.policies import (
    BudgetSection,
    CircuitSection,
    HealthSection,
    HedgeSection,
    LatencySection,
    LimitsSection,
    PriceSection,
    RetrySection,
    ShadowSection,
    StickySection,
    StreamSection,
)
from multirouter.config.sections.provider import ProviderSection
from multirouter.config.sections.route import PoliciesSection, RouteSection
from multirouter.listeners.alarms import cost_rules, rules
from multirouter.listeners.history.history import History

PROVIDER_IS_CODE = {
    "name": "the key of its section",
    "call": "made by its kind",
    "stream": "made by its kind",
    "aclose": "made by its kind",
    "operations": "made by its kind",
    "lacks": "made by its kind",
    "usage": "the kinds' formats are known",
}
ROUTE_IS_CODE = {"name": "the key of its section"}
ROUTER_IS_CODE = {
    "name": "one gateway has one router",
    "route": "the client names a model, which selects the route",
    "classify": "a function",
    "usage": "the kinds' formats are known",
    "listeners": "objects",
    "registry": "the gateway's own",
    "exemplar": "a function",
    "logger": "the gateway's own",
    "error_messages": "the gateway's log has them, without prompts",
    "rng": "an object",
}
POLICY_IS_CODE = {
    "size": "estimated, or counted by `size` of the route",
    "content": "the kinds' formats are known",
    "text": "the kinds' formats are known",
    "complete": "the kinds' formats are known",
    "resume": "the kinds' formats are known",
    "key": "a function",
    "compare": "a function",
    "zone": "an object; days begin at midnight UTC",
}


def settings_of(cls: Any) -> set[str]:
    """The arguments of a constructor."""
    parameters = signature(cls).parameters.values()
    return {p.name for p in parameters if p.kind not in {p.VAR_KEYWORD, p.VAR_POSITIONAL}}


@pytest.mark.parametrize(
    ("cls", "section", "is_code"),
    [
        (Provider, [ProviderSection], PROVIDER_IS_CODE),
        (Route, [RouteSection], ROUTE_IS_CODE),
        (MultiProviderRouter, [PoliciesSection, Document], ROUTER_IS_CODE),
        (History, [HistorySection], {"path": "the setting file", "wall": "a function"}),
    ],
    ids=["provider", "route", "router", "history"],
)
def test_every_setting_is_data_or_has_a_reason(
    cls: Any, section: Any, is_code: Mapping[str, str]
) -> None:
    """A new setting joins the file, or the list of those that cannot be data."""
    in_file = {name for one in section for name in one.model_fields}
    assert settings_of(cls) - in_file == is_code.keys()


@pytest.mark.parametrize(
    "annotated",
    [
        BudgetSection,
        CircuitSection,
        HealthSection,
        HedgeSection,
        LatencySection,
        LimitsSection,
        PriceSection,
        RetrySection,
        ShadowSection,
        StickySection,
        StreamSection,
    ],
    ids=lambda annotated: annotated.__origin__.__name__,
)
def test_policies_leave_out_functions_alone(annotated: Any) -> None:
    """A policy of the file has every setting of its class that is data."""
    left_out = annotated.__metadata__[0]._exclude
    assert left_out <= POLICY_IS_CODE.keys()


def test_every_alarm_is_in_the_file() -> None:
    """The rules of the package have a section each."""
    classes = [cls for module in (rules, cost_rules) for cls in vars(module).values()]
    names = {
        signature(cls).parameters["name"].default
        for cls in classes
        if isinstance(cls, type)
        and cls.__module__.startswith("multirouter.listeners.alarms")
        and not cls.__name__.startswith("_")
        and "name" in signature(cls).parameters
    }
    assert names <= AlarmsSection.model_fields.keys()
    assert "fallback_share" in names
