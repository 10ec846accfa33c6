"""Events of a router, as named tuples.

The events are named tuples because creating a frozen dataclass takes ten times as long when the
package is imported.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from multirouter.model import FailureKind

HoldName = Literal["open", "closed", "disabled", "metrics_only"]


class CircuitChanged(NamedTuple):
    """A circuit changed its state.

    Attributes:
        router: the router's name.
        provider: the provider whose circuit changed.
        old: the previous state: `closed`, `open` or `half_open`.
        new: the new state.
        reason: one of `failures`, `failure_rate`, `slow`, `exhausted`, `credentials`, `timer`,
            `trial_failed`, `recovered`, `held`, `released`, `other_model` (only one model had
            failed, and has its own circuit now) and `peers` (circuits of other processes changed).
        generation: a counter that rises with every change of this circuit.
        open_duration: seconds until the circuit half-opens when `new` is `open`, else 0.
        at: loop time, seconds.
    """

    router: str
    provider: str
    old: str
    new: str
    reason: str
    generation: int
    open_duration: float
    at: float


class ModelCircuitChanged(NamedTuple):
    """The circuit of one model of a provider changed its state; the provider's own did not.

    Attributes:
        router: the router's name.
        provider: the provider.
        model: the model.
        old: the previous state: `closed`, `open` or `half_open`.
        new: the new state.
        reason: see `CircuitChanged`.
        open_duration: seconds until the circuit half-opens when `new` is `open`, else 0.
        at: loop time, seconds.
    """

    router: str
    provider: str
    model: str
    old: str
    new: str
    reason: str
    open_duration: float
    at: float


class CooldownStarted(NamedTuple):
    """A cooldown of a provider started after a rate limit (429) or a failure with a Retry-After.

    Attributes:
        router: the router's name.
        provider: the provider that is cooling down.
        seconds: length of the cooldown.
        from_retry_after: whether the provider named the length itself (Retry-After).
        at: loop time, seconds.
        from_peers: whether it began in another process of the fleet.
    """

    router: str
    provider: str
    seconds: float
    from_retry_after: bool
    at: float
    from_peers: bool = False


class FailedOver(NamedTuple):
    """A call moved to another provider after a failure.

    Attributes:
        router: the router's name.
        route: the call's route.
        provider: the provider that failed.
        to: the provider of the next attempt.
        kind: kind of the failure.
        limit: the time limit that ended a stream (`first_token`, `idle`, `total`, `min_rate`),
            else "".
        cause: for a failure of kind `unknown` the class of its exception and where it was raised,
            else "".
    """

    router: str
    route: str
    provider: str
    to: str
    kind: FailureKind
    limit: str = ""
    cause: str = ""

    @property
    def reason(self) -> str:
        """The limit, or the failure kind when there was no limit; one of a closed set of words."""
        return self.limit or self.kind.value


ContinuationMode = Literal["resume", "prefill", "match", "instruct", "restart"]
"""How an interrupted stream was continued.

`resume`: by the user's hook. `prefill`: by an assistant prefill. `match`: by matching a new answer
against the delivered text. `instruct`: by an instruction to continue. `restart`: from the
beginning.
"""


class StreamContinued(NamedTuple):
    """An interrupted stream was continued, by another provider or by the same one.

    Attributes:
        router: the router's name.
        route: the call's route.
        provider: the provider whose stream was interrupted.
        to: the provider that continues.
        mode: see `ContinuationMode`.
        chunks: number of chunks delivered before the interruption.
    """

    router: str
    route: str
    provider: str
    to: str
    mode: ContinuationMode
    chunks: int


class RetryDenied(NamedTuple):
    """Another attempt was possible and was not made.

    Attributes:
        router: the router's name.
        route: the call's route.
        reason: `budget`, `attempts`, `deadline` or `not_idempotent`.
    """

    router: str
    route: str
    reason: Literal["budget", "attempts", "deadline", "not_idempotent"]


class HoldChanged(NamedTuple):
    """A manual override of a provider (a hold) was set or removed.

    Attributes:
        router: the router's name.
        provider: the provider's name.
        hold: `open`, `closed`, `disabled` or `metrics_only`; None when the hold was removed.
    """

    router: str
    provider: str
    hold: HoldName | None


class SharingChanged(NamedTuple):
    """The connection to the state that a fleet shares was established or lost.

    Attributes:
        router: the router's name.
        connected: whether there is a connection now.
        to: where it leads, without a password; why: why it was lost, or "".
        processes: connected processes, this one included.
        at: loop time, seconds.
    """

    router: str
    connected: bool
    to: str
    why: str
    processes: int
    at: float


class Configured(NamedTuple):
    """The set of providers changed.

    Attributes:
        router: the router's name.
        added: names of new providers.
        removed: names of removed providers; their attempts in flight still end.
        updated: names of providers whose settings changed.
    """

    router: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()


class PanicStarted(NamedTuple):
    """Panic mode: too few circuits are closed, so one choice was made regardless of circuits.

    Attributes:
        router: the router's name.
        route: the call's route.
    """

    router: str
    route: str


class BudgetReached(NamedTuple):
    """A budget reached its warning mark or is used up; reported once each per period.

    Attributes:
        router: the router's name.
        owner: the budget's owner: `provider NAME`, `route NAME` or `router`.
        usd: the budget, USD per period.
        per: the period: `hour`, `day` or `month`.
        spent: amount spent in this period, USD.
        used_up: True when nothing may start before the period ends.
    """

    router: str
    owner: str
    usd: float
    per: str
    spent: float
    used_up: bool


class AlarmChanged(NamedTuple):
    """An alarm started or stopped firing.

    Attributes:
        router: the router's name.
        alarm: the rule's name.
        subject: the provider or route that it is about; "" for the whole router.
        firing: whether it is firing now.
        value: the observed number, in the rule's unit.
        text: a description for people.
        since: loop time at which it started firing, seconds.
        at: loop time of this change, seconds.
    """

    router: str
    alarm: str
    subject: str
    firing: bool
    value: float
    text: str
    since: float
    at: float


class RouteUnknown(NamedTuple):
    """A call named an unknown route and was sent to the route of `unknown_route=`.

    Attributes:
        router: the router's name.
        requested: the name that the call gave.
        route: the route that was used.
    """

    router: str
    requested: str
    route: str


class RouteDiverted(NamedTuple):
    """A route's calls began, or ceased, to be answered by other providers than its first choice.

    Attributes:
        router: the router's name.
        route: the route's name.
        diverted: whether they are from now on.
        provider: the provider that answered the latest call.
        first_choice: names of the providers that the route prefers when all are available.
        reason: why they do not answer, as text; "" when the diversion ended.
        since: loop time at which the diversion began, seconds.
        at: loop time of this change, seconds.
    """

    router: str
    route: str
    diverted: bool
    provider: str
    first_choice: tuple[str, ...]
    reason: str
    since: float
    at: float


class PriceMissing(NamedTuple):
    """An attempt of a provider with prices had a model without one, so its cost is not counted.

    Reported once for each provider and model.

    Attributes:
        router: the router's name.
        provider: the provider's name.
        model: the model's name; "" when it is not known.
    """

    router: str
    provider: str
    model: str


class LoopStalled(NamedTuple):
    """The event loop stalled: it did not run for a while, and no provider is blamed for it.

    Stalls are noticed while attempts are in flight; each router that runs in the loop reports them.

    Attributes:
        router: the router's name.
        seconds: how late a timer was; the stall was at least as long.
        at: loop time at which it ended, seconds.
    """

    router: str
    seconds: float
    at: float


Event = (
    CircuitChanged
    | CooldownStarted
    | FailedOver
    | StreamContinued
    | RetryDenied
    | HoldChanged
    | Configured
    | PanicStarted
    | BudgetReached
    | RouteUnknown
    | AlarmChanged
    | LoopStalled
    | PriceMissing
    | RouteDiverted
    | SharingChanged
)
"""Every event that is an object of its own; attempts and calls are reported by their records."""
