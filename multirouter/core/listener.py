"""The Listener, which receives the events of a router."""

from __future__ import annotations

from typing import Any

from multirouter.core.events import (
    AlarmChanged,
    BudgetReached,
    CircuitChanged,
    Configured,
    CooldownStarted,
    FailedOver,
    HoldChanged,
    LoopStalled,
    ModelCircuitChanged,
    PanicStarted,
    PriceMissing,
    RetryDenied,
    RouteDiverted,
    RouteUnknown,
    SharingChanged,
    StreamContinued,
)
from multirouter.model import AttemptRecord, CallOutcome, Role


class Listener:
    """Receives the events of a router. Override the methods you need; the others cost nothing.

    Methods are called synchronously and in order, in the context of the call that caused the
    event, after the state has changed. They may call the router; events caused by that are
    delivered afterwards. An exception is reported once and has no other effect. A method must not
    wait: put the event into a bounded queue and process it elsewhere.
    """

    def attempt_started(self, provider: str, role: Role) -> None:
        """An attempt is about to start."""

    def attempt_ended(self, record: AttemptRecord) -> None:
        """An attempt ended; the record is final."""

    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        """A call ended; the outcome is final."""

    def call_failed(self, outcome: CallOutcome[Any]) -> None:
        """A call ended without an answer of a provider; reported before `call_ended`."""

    def circuit_changed(self, event: CircuitChanged) -> None:
        """A circuit changed its state."""

    def model_circuit_changed(self, event: ModelCircuitChanged) -> None:
        """The circuit of one model of a provider changed its state."""

    def cooldown_started(self, event: CooldownStarted) -> None:
        """A cooldown of a provider started: after a 429, or a failure with a Retry-After."""

    def failed_over(self, event: FailedOver) -> None:
        """A call moved to another provider."""

    def stream_continued(self, event: StreamContinued) -> None:
        """An interrupted stream was continued: its first new content has arrived."""

    def retry_denied(self, event: RetryDenied) -> None:
        """A possible retry was not made."""

    def hold_changed(self, event: HoldChanged) -> None:
        """A hold of a provider was set or removed."""

    def configured(self, event: Configured) -> None:
        """The set of providers changed."""

    def panic_started(self, event: PanicStarted) -> None:
        """A choice was made regardless of circuits (panic mode)."""

    def route_unknown(self, event: RouteUnknown) -> None:
        """A call named an unknown route and was sent to another one."""

    def budget_reached(self, event: BudgetReached) -> None:
        """A budget reached its warning mark or is used up."""

    def alarm_changed(self, event: AlarmChanged) -> None:
        """An alarm started or stopped firing."""

    def route_diverted(self, event: RouteDiverted) -> None:
        """A diversion of a route began or ended."""

    def price_missing(self, event: PriceMissing) -> None:
        """An attempt had a model without a price."""

    def loop_stalled(self, event: LoopStalled) -> None:
        """The event loop stalled, and runs again."""

    def sharing_changed(self, event: SharingChanged) -> None:
        """The connection to the state that a fleet shares was established or lost."""


EVENT_NAMES = tuple(name for name in vars(Listener) if not name.startswith("_"))
"""Names of the `Listener` methods, which are the names of the events."""
