"""Rules over the same numbers that everybody sees: an alarm fires once, and clears once."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from typing_extensions import override

from multirouter.core import validation as check
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import AlarmChanged, CircuitChanged, Listener
from multirouter.errors import ConfigurationError
from multirouter.listeners.metrics.gauges import View

Standing = Literal["over", "between", "under"]
"""Where a number stands: `over` fires, `under` clears, and `between` leaves the alarm as it is."""

AlarmTarget = Callable[[AlarmChanged], Awaitable[object] | None]
"""Whom to tell: a plain function is called at once, an async one in the background."""


class AlarmReading(NamedTuple):
    """What a rule says about one provider, one route, or the router.

    Attributes:
        subject: the provider's or route's name; "" for the router.
        standing: see `Standing`. The gap between over and under keeps an alarm from flapping.
        value: the number, in the rule's unit.
        text: the same in words, for people.
    """

    subject: str
    standing: Standing
    value: float
    text: str


@runtime_checkable
class AlarmRule(Protocol):
    """A condition worth waking somebody for.

    A rule that is a `Listener` too hears the router's news, and counts what it needs of them.
    It belongs to one router.
    """

    @property
    def name(self) -> str:
        """The alarm's name: its label in metrics, unique among a router's rules."""
        ...

    def judge(self, now: float, view: View) -> Iterable[AlarmReading]:
        """How everything it watches stands at `now` (loop time, seconds).

        Called about once a second and at each change of a circuit, so it must be quick. A
        subject that fires and has no reading any more (its provider left) is over.
        """
        ...

    def shift(self, by: float) -> None:
        """Moves each instant it has stored by `by` seconds, to the clock of another loop."""
        ...


def standing(value: float, over: float, clear: float) -> Standing:
    """Where a number stands that fires above `over` and clears at `clear` or below."""
    if value > over:
        return "over"
    return "under" if value <= clear else "between"


class Alarms:
    """What a router watches, and whom it tells.

        MultiProviderRouter(..., alarms=Alarms([AllOpen()], to=[tell, Webhook(url)]))

    Each change is also a log event, the gauge `multirouter_alarms_firing`, and the news
    `alarm_changed` of every listener. Rules remember, so they belong to one router.

    Attributes:
        rules: as given.
        every: as given.
        called: the targets that are called at once.
        awaited: those that are awaited in the background.

    Args:
        rules: what to watch.
        to: whom to tell, besides; what a plain function raises is reported and harms nothing, an
            async one is asked again.
        every: seconds between two looks at what time alone changes.

    Raises:
        ConfigurationError: for what is no rule, two rules of one name, or a target that cannot be
            called.
    """

    def __init__(
        self, rules: Iterable[AlarmRule], *, to: Iterable[AlarmTarget] = (), every: float = 1.0
    ) -> None:
        self.rules: tuple[AlarmRule, ...] = _checked(rules)
        self.every: float = check.span("Alarms.every", every)
        targets = tuple(to)
        for target in targets:
            if not callable(target):
                raise ConfigurationError("Alarms.to", f"must be callable, not {target!r}")
        self.called: tuple[AlarmTarget, ...] = tuple(
            target for target in targets if not _is_async(target)
        )
        self.awaited: tuple[Any, ...] = tuple(target for target in targets if _is_async(target))
        self._router: str | None = None

    def __repr__(self) -> str:
        return f"<Alarms {[rule.name for rule in self.rules]} of {self._router!r}>"

    def belong_to(self, router: str) -> None:
        """Notes whose they are.

        Raises:
            ConfigurationError: when they are another router's already.
        """
        if self._router is not None:
            raise ConfigurationError("alarms", f"belong to the router {self._router!r} already")
        self._router = router


class Watch(Listener):
    """Looks at one router by its rules, and posts what has changed.

    Args:
        alarms: the rules and the targets.
        router: the router's name.
        view: the router, as the gauges read it.
        wire: where the rules hear, and the news are told.
        broken: told of a rule that raised, and of what it raised.

    Raises:
        ConfigurationError: for alarms of another router.
    """

    def __init__(
        self,
        alarms: Alarms,
        router: str,
        view: View,
        dispatcher: EventDispatcher,
        broken: Callable[[Any, Exception], None],
    ) -> None:
        alarms.belong_to(router)
        self._rules = alarms.rules
        self._router, self._view, self._dispatcher, self._broken = router, view, dispatcher, broken
        self._firing: dict[tuple[str, str], float] = {}
        for rule in self._rules:
            if isinstance(rule, Listener):
                dispatcher.add(rule)
        dispatcher.add(self)
        for target in alarms.called:
            ear = Listener()
            # Not wrapped: a target that raises is reported by its own name.
            ear.alarm_changed = target  # type: ignore[assignment,method-assign]
            dispatcher.add(ear)

    def __repr__(self) -> str:
        firing = [f"{name} {subject}".strip() for name, subject in self._firing]
        return f"<Watch over {self._router!r} firing={firing}>"

    def judge(self, now: float) -> None:
        """Looks at all rules, and posts what has changed; who calls it delivers the news."""
        for rule in self._rules:
            try:
                readings = {reading.subject: reading for reading in rule.judge(now, self._view)}
            except Exception as error:  # noqa: BLE001 - one rule may break, the others go on
                self._broken(rule.judge, error)
                continue
            for name, subject in tuple(self._firing):
                if name == rule.name and subject not in readings:
                    text = f"{subject} is watched no more"
                    readings[subject] = AlarmReading(subject, "under", 0.0, text)
            for reading in readings.values():
                self._apply(rule.name, reading, now)

    @override
    def circuit_changed(self, news: CircuitChanged) -> None:
        self.judge(news.at)

    def shift(self, by: float) -> None:
        """Moves every instant by `by` seconds, to the clock of another loop."""
        for rule in self._rules:
            rule.shift(by)
        self._firing = {alarm: since + by for alarm, since in self._firing.items()}

    def _apply(self, name: str, reading: AlarmReading, now: float) -> None:
        """Turns one alarm on or off, when that is news."""
        alarm = (name, reading.subject)
        firing = reading.standing == "over"
        if firing and alarm not in self._firing:
            since = self._firing[alarm] = now
        elif reading.standing == "under" and alarm in self._firing:
            since = self._firing.pop(alarm)
        else:
            return
        subject, _, value, text = reading
        news = AlarmChanged(self._router, name, subject, firing, value, text, since, now)
        self._dispatcher.post("alarm_changed", news)


def _checked(rules: Iterable[AlarmRule]) -> tuple[AlarmRule, ...]:
    found = tuple(rules)
    for rule in found:
        if not isinstance(rule, AlarmRule):
            raise ConfigurationError("alarms", f"must be rules (see AlarmRule), not {rule!r}")
    names = [check.name("alarms", rule.name) for rule in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError("alarms", f"{name!r} is there twice; name= tells them apart")
    return found


def _is_async(target: Any) -> bool:
    return inspect.iscoroutinefunction(target) or inspect.iscoroutinefunction(type(target).__call__)
