"""The rare news as objects, and the Listener that hears all news.

Named tuples, for a frozen dataclass takes ten times as long to make when the package is imported.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

from multirouter.model import AttemptRecord, CallOutcome, FailureKind, Role

HoldName = Literal["open", "closed", "disabled", "metrics_only"]


class CircuitChanged(NamedTuple):
    """A circuit went from one state to another.

    Attributes:
        router: the router's name.
        provider: whose circuit.
        old: the state before: `closed`, `open` or `half_open`.
        new: the state after.
        reason: why, a word of a closed set: `failures`, `failure_rate`, `slow`, `exhausted`,
            `credentials`, `reset`, `trial_failed`, `recovered`, `hold_changed`, `released`.
        era: the counter that rises with every change.
        open_duration: seconds until the circuit half-opens, when `new` is `open`, else 0.
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


class CooldownStarted(NamedTuple):
    """A provider asked for rest (429) and gets it.

    Attributes:
        router: the router's name.
        provider: who rests.
        seconds: for how long.
        asked: whether the provider named the time itself.
        at: loop time, seconds.
    """

    router: str
    provider: str
    seconds: float
    asked: bool
    at: float


class FailedOver(NamedTuple):
    """A call moves on to another provider.

    Attributes:
        router: the router's name.
        route: the call's route.
        provider: who failed.
        to: who is asked next.
        kind: what the failure was.
        limit: the limit that has passed (`first_token`, `idle`, `total`, `min_rate`) when a
            stream was cut off, else "".
    """

    router: str
    route: str
    provider: str
    to: str
    kind: FailureKind
    limit: str = ""

    @property
    def reason(self) -> str:
        """The limit, or else the kind: a word of a closed set."""
        return self.limit or self.kind.value


ContinuationMode = Literal["resume", "prefill", "match", "instruct", "restart"]
"""How a broken stream went on: by the user's hook, by an assistant prefill, by matching a new
answer against what was delivered, by instruction, or from the beginning."""


class StreamContinued(NamedTuple):
    """A stream that broke goes on at another provider, or at the same again.

    Attributes:
        router: the router's name.
        route: the call's route.
        provider: whose stream broke.
        to: who serves from here.
        how: see `ContinuationMode`.
        chunks: how many chunks had been delivered.
    """

    router: str
    route: str
    provider: str
    to: str
    how: ContinuationMode
    chunks: int


class RetryDenied(NamedTuple):
    """Another attempt would have been possible, and was not made.

    Attributes:
        router: the router's name.
        route: the call's route.
        reason: `budget`, `attempts`, `deadline` or `not_idempotent`.
    """

    router: str
    route: str
    reason: Literal["budget", "attempts", "deadline", "not_idempotent"]


class HoldChanged(NamedTuple):
    """A provider was held by hand, or released.

    Attributes:
        router: the router's name.
        provider: who.
        hold: `open`, `closed`, `disabled`, `metrics_only`, or None when released.
    """

    router: str
    provider: str
    hold: HoldName | None


class Configured(NamedTuple):
    """The set of providers changed.

    Attributes:
        router: the router's name.
        added: names that are new.
        removed: names that are gone; their attempts in flight still end.
        updated: names whose settings changed.
    """

    router: str
    added: tuple[str, ...] = ()
    removed: tuple[str, ...] = ()
    updated: tuple[str, ...] = ()


class PanicStarted(NamedTuple):
    """Too few circuits are closed: one choice was made without regard to circuits.

    Attributes:
        router: the router's name.
        route: the call's route.
    """

    router: str
    route: str


class BudgetReached(NamedTuple):
    """A budget has reached its warning mark, or its end; told once each in a period.

    Attributes:
        router: the router's name.
        owner: whose it is: `provider NAME`, `route NAME` or `router`.
        usd: the budget, US dollars a period.
        per: the period: `hour`, `day` or `month`.
        spent: what was spent of it, US dollars.
        used_up: whether nothing may start before the period ends.
    """

    router: str
    owner: str
    usd: float
    per: str
    spent: float
    used_up: bool


class AlarmChanged(NamedTuple):
    """An alarm began to fire, or is over.

    Attributes:
        router: the router's name.
        alarm: the rule's name.
        subject: the provider or route it is about; "" for the whole router.
        firing: whether it fires now.
        value: the number that it watches, in the rule's unit.
        text: the same in words, for people.
        since: loop time at which it began to fire, seconds.
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
    """A call named a route that there is not, and takes that of `unknown_route=`.

    Attributes:
        router: the router's name.
        wanted: the name it gave.
        route: the route it takes.
    """

    router: str
    wanted: str
    route: str


Event = (
    CircuitChanged
    | CooldownStarted
    | FailedOver
    | RetryDenied
    | HoldChanged
    | Configured
    | PanicStarted
    | BudgetReached
    | RouteUnknown
    | AlarmChanged
)


class Listener:
    """Hears what happens. Override the methods you need; the others cost nothing.

    Methods are called synchronously, in the context of the call that caused the news, after the
    state is settled, in order. They may call back into the router; news from that queues behind.
    An exception is reported once and harms nothing. A method that must wait puts the news into a
    bounded queue of its own and drains it elsewhere.
    """

    def attempt_started(self, provider: str, role: Role) -> None:
        """An attempt is about to be awaited."""

    def attempt_ended(self, record: AttemptRecord) -> None:
        """An attempt ended; the record is final."""

    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        """A call ended; the outcome is final."""

    def call_failed(self, outcome: CallOutcome[Any]) -> None:
        """A call ended without a provider's answer; told before `call_ended`."""

    def circuit_changed(self, news: CircuitChanged) -> None:
        """A circuit changed its state."""

    def cooldown_started(self, news: CooldownStarted) -> None:
        """A provider rests after a 429."""

    def failed_over(self, news: FailedOver) -> None:
        """A call goes on at another provider."""

    def stream_continued(self, news: StreamContinued) -> None:
        """A broken stream goes on elsewhere: its first new content is there."""

    def retry_denied(self, news: RetryDenied) -> None:
        """A retry was not made, for the reason given."""

    def hold_changed(self, news: HoldChanged) -> None:
        """A provider was held or released by hand."""

    def configured(self, news: Configured) -> None:
        """The set of providers changed."""

    def panic_started(self, news: PanicStarted) -> None:
        """A choice was made without regard to circuits."""

    def route_unknown(self, news: RouteUnknown) -> None:
        """A call named an unknown route and takes another."""

    def budget_reached(self, news: BudgetReached) -> None:
        """A budget reached its warning mark, or is used up."""

    def alarm_changed(self, news: AlarmChanged) -> None:
        """An alarm began to fire, or is over."""


KINDS = tuple(name for name in vars(Listener) if not name.startswith("_"))
"""Every method of a Listener, which is to say every kind of news."""
