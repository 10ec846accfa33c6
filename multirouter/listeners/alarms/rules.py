"""Alarm rules about failing providers, open circuits, failovers and fallback answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from typing_extensions import override

from multirouter.core import validation as check
from multirouter.core.events import Configured
from multirouter.core.failures.own_process import may_be_from_stall
from multirouter.core.listener import Listener
from multirouter.core.rolling_window import RollingCounts
from multirouter.errors import ConfigurationError
from multirouter.listeners.alarms.alarms import AlarmReading, ReadingState, threshold_state
from multirouter.listeners.metrics.gauges import RouterView
from multirouter.model import REQUEST_KINDS, AttemptRecord, CallOutcome, FailureKind

_NOT_COUNTED = REQUEST_KINDS | {FailureKind.CANCELLED}
"""Kinds that say nothing about the provider: the caller cancelled, or the request was invalid."""


class _ShareRule(Listener, ABC):
    """A share of recent events; fires above one threshold and clears at a lower one.

    It does not fire on fewer than `min_count` events. A firing alarm clears on any number of
    events, but stays as it is while there are none.
    """

    condition: ClassVar[str]
    """What the share is of, for the text of a reading."""

    def __init__(
        self, name: str, over: float, clear: float | None, within: float, min_count: int
    ) -> None:
        rule = type(self).__name__
        self.name: str = check.name(f"{rule}.name", name)
        self._over = check.share(f"{rule}.over", over)
        self._clear = self._over / 2 if clear is None else check.share(f"{rule}.clear", clear)
        if self._clear > self._over:
            limit = f"{self._over:g} (the value of over=)"
            raise ConfigurationError(f"{rule}.clear", f"must be <= {limit}, got {self._clear:g}")
        self._within = check.duration(f"{rule}.within", within)
        self._min_count = check.count(f"{rule}.min_count", min_count)
        self._counts: dict[str, RollingCounts] = {}

    def evaluate(self, now: float, view: RouterView) -> Iterable[AlarmReading]:
        """Reads the share of each subject; see `AlarmRule`."""
        for subject, counts in self._counts.items():
            counts.settle(now)
            yield self._reading(subject, counts.calls, counts.failures, view)

    def shift(self, by: float) -> None:
        """Adds `by` seconds to each stored instant; see `AlarmRule`."""
        for counts in self._counts.values():
            counts.shift(by)

    @abstractmethod
    def _title(self, subject: str) -> str:
        """The subject with its type, such as `route default`."""

    def _count(self, subject: str, at: float, *, hit: bool) -> None:
        counts = self._counts.get(subject)
        if counts is None:
            counts = self._counts[subject] = RollingCounts(self._within)
        counts.record(at, failed=hit)

    def _is_enough(self, subject: str, total: int, view: RouterView) -> bool:
        """Whether `total` events are enough to fire."""
        return total >= self._min_count

    def _reading(self, subject: str, total: int, hits: int, view: RouterView) -> AlarmReading:
        share = hits / total if total else 0.0
        state = threshold_state(share, self._over, self._clear) if total else "unchanged"
        if state == "firing" and not self._is_enough(subject, total, view):
            state = "unchanged"
        text = (
            f"{self._title(subject)}: {share:.1%} {self.condition} "
            f"({hits} of {total} in {self._within:g} s; alarm above {self._over:.1%})"
        )
        return AlarmReading(subject, state, share, text)


class ProviderFailing(_ShareRule):
    """More than a share of a provider's attempts fail.

    Hedges and trials count. Shadow copies, cancelled attempts, and failures caused by the request
    itself or by this process (a stall of its event loop, no descriptors left) do not. While the
    provider's circuit is not closed, it fires on fewer than `min_count` attempts: few are made
    then, and the circuit has already found the provider unhealthy.

    Args:
        providers: names of the providers to watch; none: all.
        over: share of failed attempts, 0 to 1, above which it fires.
        clear: share at or below which it clears; default: half of `over`.
        within: length of the rolling window, seconds.
        min_count: attempts in the window that are needed to fire, at least 1.
        name: the alarm's name.
    """

    condition = "of the attempts failed"

    def __init__(
        self,
        *providers: str,
        over: float = 0.05,
        clear: float | None = None,
        within: float = 300.0,
        min_count: int = 20,
        name: str = "provider_failing",
    ) -> None:
        super().__init__(name, over, clear, within, min_count)
        self._providers = _provider_names("ProviderFailing", providers)

    @override
    def attempt_ended(self, record: AttemptRecord) -> None:
        provider, kind = record.provider, record.verdict.kind
        if record.role == "shadow" or kind in _NOT_COUNTED:
            return
        if record.verdict.local or (record.stalled and may_be_from_stall(record.verdict)):
            return
        if not self._providers or provider in self._providers:
            at = record.started + record.elapsed
            self._count(provider, at, hit=kind is not FailureKind.SUCCESS)

    @override
    def configured(self, event: Configured) -> None:
        for name in event.removed:
            self._counts.pop(name, None)

    @override
    def _is_enough(self, subject: str, total: int, view: RouterView) -> bool:
        return super()._is_enough(subject, total, view) or view.circuit_state(subject) != "closed"

    @override
    def _title(self, subject: str) -> str:
        return f"provider {subject}"


class FailoverShare(_ShareRule):
    """More than a share of a route's calls was not answered by the route's first choice.

    A call counts that failed over, and one that began at another provider because the first choice
    was open, in cooldown, at its limit, degraded or held; see `CallOutcome.first_choice`.

    Args:
        over: share of the calls with at least one attempt, 0 to 1, above which it fires.
        clear: as for `ProviderFailing`.
        within: as for `ProviderFailing`.
        min_count: calls in the window that are needed to fire, at least 1.
        name: the alarm's name.
    """

    condition = "of the calls did not go to the first choice"

    def __init__(
        self,
        *,
        over: float = 0.2,
        clear: float | None = None,
        within: float = 300.0,
        min_count: int = 20,
        name: str = "failover_share",
    ) -> None:
        super().__init__(name, over, clear, within, min_count)

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        if outcome.attempts and outcome.result != "cancelled":
            diverted = outcome.result == "success" and not outcome.served_by_first_choice
            hit = diverted or (len(outcome.attempts) > 1 and outcome.failovers > 0)
            self._count(outcome.route, outcome.started + outcome.elapsed, hit=hit)

    @override
    def _title(self, subject: str) -> str:
        return f"route {subject}"


class FallbackShare(_ShareRule):
    """More than a share of a route's calls got the fallback answer (`fallback=`).

    Args:
        over: share of the calls, 0 to 1, above which it fires.
        clear: as for `ProviderFailing`.
        within: as for `ProviderFailing`.
        min_count: calls in the window that are needed to fire, at least 1.
        name: the alarm's name.
    """

    condition = "of the calls got the fallback answer"

    def __init__(
        self,
        *,
        over: float = 0.01,
        clear: float | None = None,
        within: float = 300.0,
        min_count: int = 20,
        name: str = "fallback_share",
    ) -> None:
        super().__init__(name, over, clear, within, min_count)

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        if outcome.result != "cancelled":
            at, hit = outcome.started + outcome.elapsed, outcome.result == "fallback"
            self._count(outcome.route, at, hit=hit)

    @override
    def _title(self, subject: str) -> str:
        return f"route {subject}"


class CircuitOpen:
    """A circuit has not been closed for too long; half-open time counts.

    The subject is the provider, or `provider/model` for the circuit of a single model.

    Args:
        providers: names of the providers to watch, with their models; none: all.
        longer_than: seconds, > 0.
        name: the alarm's name.
    """

    def __init__(
        self, *providers: str, longer_than: float = 60.0, name: str = "circuit_open"
    ) -> None:
        self.name: str = check.name("CircuitOpen.name", name)
        self._longer_than = check.duration("CircuitOpen.longer_than", longer_than)
        self._providers = _provider_names("CircuitOpen", providers)
        self._since: dict[tuple[str, str], float] = {}

    def evaluate(self, now: float, view: RouterView) -> Iterable[AlarmReading]:
        """Reads how long each circuit has not been closed; see `AlarmRule`."""
        names = [name for name in view.names() if not self._providers or name in self._providers]
        states = {(name, ""): view.circuit_state(name) for name in names}
        for name in names:
            found = view.model_circuits(name).items()
            states |= {(name, model): state for model, state in found if state != "closed"}
        gone = {circuit: "closed" for circuit in self._since if circuit[0] in names}
        states = gone | states  # a model's circuit that is closed has no state of its own
        self._since = {
            circuit: self._since.get(circuit, now)
            for circuit, state in states.items()
            if state != "closed"
        }
        for (name, model), state in states.items():
            yield self._reading(name, model, now, is_closed=state == "closed")

    def shift(self, by: float) -> None:
        """Adds `by` seconds to each stored instant; see `AlarmRule`."""
        self._since = {circuit: since + by for circuit, since in self._since.items()}

    def _reading(self, name: str, model: str, now: float, *, is_closed: bool) -> AlarmReading:
        subject = f"{name}/{model}" if model else name
        title = f"provider {name}: circuit" + (f" of model {model}" if model else "")
        if is_closed:
            return AlarmReading(subject, "cleared", 0.0, f"{title} closed")
        seconds = now - self._since[name, model]
        state = threshold_state(seconds, self._longer_than, -1.0)
        return AlarmReading(subject, state, seconds, f"{title} open for {seconds:.0f} s")


class AllOpen:
    """Every circuit is open, so no provider is available. It clears when one circuit closes.

    Args:
        name: the alarm's name.
    """

    def __init__(self, *, name: str = "all_open") -> None:
        self.name: str = check.name("AllOpen.name", name)

    def evaluate(self, now: float, view: RouterView) -> Iterable[AlarmReading]:
        """Reads whether every circuit is open; see `AlarmRule`."""
        states = [view.circuit_state(name) for name in view.names()]
        opened = states.count("open")
        if states and opened == len(states):
            yield AlarmReading("", "firing", 1.0, f"all {opened} circuits are open")
        else:
            healthy = "closed" in states or not states
            state: ReadingState = "cleared" if healthy else "unchanged"
            yield AlarmReading("", state, 0.0, f"{opened} of {len(states)} circuits are open")

    def shift(self, by: float) -> None:
        """Does nothing: no instant is stored."""


def _provider_names(rule: str, names: Iterable[str]) -> frozenset[str]:
    return frozenset(check.name(rule, name) for name in names)
