"""Schema of a configuration file: all sections and settings with their descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from multirouter.config.pydantic_types import DocumentedSection
from multirouter.config.sections.gateway import (
    AlarmsSection,
    HistorySection,
    KeysSection,
    ServerSection,
)
from multirouter.config.sections.policies import (
    BudgetsSection,
    LimitsSection,
    PriceSection,
    ShadowSection,
)
from multirouter.config.sections.provider import ProviderSection
from multirouter.config.sections.route import PoliciesSection, RouteSection
from multirouter.config.sections.sharing import SharingSection
from multirouter.config.sections.telemetry import TelemetrySection


class Document(DocumentedSection):
    """Configuration of multirouter."""

    server: ServerSection = ServerSection()
    """The gateway's HTTP server."""
    providers: Mapping[str, ProviderSection] = Field(min_length=1)
    """Providers by name."""
    routes: Mapping[str, RouteSection] = Field(default_factory=dict)
    """Routes by name; the route named default serves `auto`."""
    policies: PoliciesSection = PoliciesSection()
    """Defaults of all routes and providers."""
    limits: LimitsSection | None = None
    """Limits of all providers together."""
    prices: Mapping[str, PriceSection] = Field(default_factory=dict)
    """Prices by model, USD per million tokens, for providers without a price; `*` is a wildcard,
    and `provider/model` is for one provider."""
    unknown_route: str | None = None
    """Route of requests for unknown models. Default: such a request is an error."""
    known_prices: bool = False
    """Whether models without a price have the published one; requires the extra `prices`."""
    keys: KeysSection | None = None
    """API keys of clients. Default: no key is required."""
    budget: BudgetsSection = ()
    """Spending limits of all calls together."""
    shadow: ShadowSection | None = None
    """Shadow traffic: which calls are copied to which providers for comparison."""
    alarms: AlarmsSection | None = None
    """Alarm rules and webhooks."""
    history: HistorySection | None = None
    """Database of calls and events, for reports and restarts."""
    sharing: SharingSection | None = None
    """State that several gateways share in Redis or Valkey."""
    telemetry: TelemetrySection | None = None
    """Traces by OpenTelemetry."""

    def sections_without_value(self) -> Iterator[str]:
        """Sections that the file names and gives no value: they turn nothing on."""
        for name in sorted(self.model_fields_set - {"unknown_route"}):
            if getattr(self, name) is None:
                yield (
                    f"{name}: the section has no value, so it turns nothing on; "
                    "{} turns it on where all its settings have defaults"
                )
