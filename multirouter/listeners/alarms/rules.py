"""The rules that most want: who fails, whose circuit stays open, how much is failed over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from typing_extensions import override

from multirouter.core import validation as check
from multirouter.core.events import Configured, Listener
from multirouter.core.rolling_window import RollingCounts
from multirouter.errors import ConfigurationError
from multirouter.listeners.alarms.alarms import AlarmReading, Standing, standing
from multirouter.listeners.metrics.gauges import View
from multirouter.model import AttemptRecord, CallOutcome, FailureKind

_NOT_ITS_FAULT = frozenset(
    {
        FailureKind.CANCELLED,
        FailureKind.REQUEST,
        FailureKind.CONTEXT_LENGTH,
        FailureKind.CONTENT_FILTER,
    }
)
"""What an attempt may come to without its provider being to blame."""


class _Share(Listener, ABC):
    """A share of what ended lately; fires above one mark and clears at a lower one.

    Below `least` counted it does not fire. One that fires clears by what it sees, however
    little; while nothing happens at all it stays as it is.
    """

    of: ClassVar[str]
    """What is counted, in words."""

    def __init__(
        self, name: str, over: float, clear: float | None, within: float, least: int
    ) -> None:
        me = type(self).__name__
        self.name: str = check.name(f"{me}.name", name)
        self._over = check.share(f"{me}.over", over)
        self._clear = self._over / 2 if clear is None else check.share(f"{me}.clear", clear)
        if self._clear > self._over:
            raise ConfigurationError(f"{me}.clear", f"must be at most over={self._over:g}")
        self._within = check.span(f"{me}.within", within)
        self._least = check.count(f"{me}.least", least)
        self._counts: dict[str, RollingCounts] = {}

    def judge(self, now: float, view: View) -> Iterable[AlarmReading]:
        """How each subject stands; see `AlarmRule`."""
        for subject, counts in self._counts.items():
            counts.settle(now)
            yield self._reading(subject, counts.calls, counts.failures, view)

    def shift(self, by: float) -> None:
        """Moves to the clock of another loop."""
        for counts in self._counts.values():
            counts.shift(by)

    @abstractmethod
    def _named(self, subject: str) -> str:
        """The subject, in words."""

    def _count(self, subject: str, at: float, *, hit: bool) -> None:
        counts = self._counts.get(subject)
        if counts is None:
            counts = self._counts[subject] = RollingCounts(self._within)
        counts.record(at, failed=hit)

    def _enough(self, subject: str, total: int, view: View) -> bool:
        """Whether so many are enough to fire on."""
        return total >= self._least

    def _reading(self, subject: str, total: int, hits: int, view: View) -> AlarmReading:
        share = hits / total if total else 0.0
        where = standing(share, self._over, self._clear) if total else "between"
        if where == "over" and not self._enough(subject, total, view):
            where = "between"
        text = (
            f"{self._named(subject)}: {share:.1%} {self.of} "
            f"({hits} of {total} in {self._within:g} s; alarm above {self._over:.1%})"
        )
        return AlarmReading(subject, where, share, text)


class ProviderFailing(_Share):
    """More than a share of a provider's attempts fail.

    Hedges and probes count too; what the request itself is to blame for, shadows and what was
    cancelled do not. Few attempts are enough while its circuit is not closed: who is out is hardly
    asked, and the circuit has judged already.

    Args:
        providers: whom to watch (the primary, say); none named: everybody.
        over: the share, 0 to 1, above which it fires.
        clear: the share at which it clears; left out, half of `over`.
        within: seconds to look back.
        least: attempts in that span without which it does not fire, unless its circuit is open.
        name: the alarm's name.
    """

    of = "of the attempts fail"

    def __init__(
        self,
        *providers: str,
        over: float = 0.05,
        clear: float | None = None,
        within: float = 300.0,
        least: int = 20,
        name: str = "provider_failing",
    ) -> None:
        super().__init__(name, over, clear, within, least)
        self._providers = frozenset(check.name("ProviderFailing", who) for who in providers)

    @override
    def attempt_ended(self, record: AttemptRecord) -> None:
        who, kind = record.provider, record.verdict.kind
        if record.role == "shadow" or kind in _NOT_ITS_FAULT:
            return
        if not self._providers or who in self._providers:
            self._count(who, record.started + record.elapsed, hit=kind is not FailureKind.SUCCESS)

    @override
    def configured(self, news: Configured) -> None:
        for name in news.removed:
            self._counts.pop(name, None)

    @override
    def _enough(self, subject: str, total: int, view: View) -> bool:
        return super()._enough(subject, total, view) or view.circuit_state(subject) != "closed"

    @override
    def _named(self, subject: str) -> str:
        return f"provider {subject}"


class FailoverShare(_Share):
    """More than a share of a route's calls had to move on from one provider to another.

    Args:
        over: as for `ProviderFailing`, of a route's calls that somebody was asked for.
        clear: as for `ProviderFailing`.
        within: as for `ProviderFailing`.
        least: as for `ProviderFailing`.
        name: the alarm's name.
    """

    of = "of the calls failed over"

    def __init__(
        self,
        *,
        over: float = 0.2,
        clear: float | None = None,
        within: float = 300.0,
        least: int = 20,
        name: str = "failover_share",
    ) -> None:
        super().__init__(name, over, clear, within, least)

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        if outcome.attempts and outcome.result != "cancelled":
            hit = len(outcome.attempts) > 1 and outcome.failovers > 0
            self._count(outcome.route, outcome.started + outcome.elapsed, hit=hit)

    @override
    def _named(self, subject: str) -> str:
        return f"route {subject}"


class FallbackShare(_Share):
    """More than a share of a route's calls got the substitute answer of `fallback=`.

    Args:
        over: as for `ProviderFailing`, of a route's calls.
        clear: as for `ProviderFailing`.
        within: as for `ProviderFailing`.
        least: as for `ProviderFailing`.
        name: the alarm's name.
    """

    of = "of the answers are substitutes"

    def __init__(
        self,
        *,
        over: float = 0.01,
        clear: float | None = None,
        within: float = 300.0,
        least: int = 20,
        name: str = "fallback_share",
    ) -> None:
        super().__init__(name, over, clear, within, least)

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        if outcome.result != "cancelled":
            at, hit = outcome.started + outcome.elapsed, outcome.result == "fallback"
            self._count(outcome.route, at, hit=hit)

    @override
    def _named(self, subject: str) -> str:
        return f"route {subject}"


class CircuitOpen:
    """A circuit has not been closed for longer than a span; half-open time counts.

    Args:
        providers: whom to watch; none named: everybody.
        longer_than: seconds.
        name: the alarm's name.
    """

    def __init__(
        self, *providers: str, longer_than: float = 60.0, name: str = "circuit_open"
    ) -> None:
        self.name: str = check.name("CircuitOpen.name", name)
        self._longer_than = check.span("CircuitOpen.longer_than", longer_than)
        self._providers = frozenset(check.name("CircuitOpen", who) for who in providers)
        self._since: dict[str, float] = {}

    def judge(self, now: float, view: View) -> Iterable[AlarmReading]:
        """How long each circuit is out; see `AlarmRule`."""
        names = [who for who in view.names() if not self._providers or who in self._providers]
        self._since = {who: since for who, since in self._since.items() if who in names}
        for who in names:
            if view.circuit_state(who) == "closed":
                self._since.pop(who, None)
                yield AlarmReading(who, "under", 0.0, f"provider {who}: its circuit is closed")
                continue
            out = now - self._since.setdefault(who, now)
            where = standing(out, self._longer_than, -1.0)
            yield AlarmReading(
                who, where, out, f"provider {who}: its circuit is open for {out:.0f} s"
            )

    def shift(self, by: float) -> None:
        """Moves to the clock of another loop."""
        self._since = {who: since + by for who, since in self._since.items()}


class AllOpen:
    """Every circuit is open: nobody can be asked. It clears when one of them has closed.

    Args:
        name: the alarm's name.
    """

    def __init__(self, *, name: str = "all_open") -> None:
        self.name: str = check.name("AllOpen.name", name)

    def judge(self, now: float, view: View) -> Iterable[AlarmReading]:
        """Whether nobody is left; see `AlarmRule`."""
        states = [view.circuit_state(who) for who in view.names()]
        opened = states.count("open")
        if states and opened == len(states):
            yield AlarmReading("", "over", 1.0, f"all {opened} circuits are open")
        else:
            well = "closed" in states or not states
            where: Standing = "under" if well else "between"
            yield AlarmReading("", where, 0.0, f"{opened} of {len(states)} circuits are open")

    def shift(self, by: float) -> None:
        """Stores no instant."""
