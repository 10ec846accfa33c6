"""Alarms of one router: the rules, their evaluation and the targets that are notified."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from typing_extensions import override

from multirouter.core import function_checks as hooks
from multirouter.core import validation as check
from multirouter.core.event_dispatcher import EventDispatcher
from multirouter.core.events import AlarmChanged, CircuitChanged, ModelCircuitChanged
from multirouter.core.listener import Listener
from multirouter.errors import ConfigurationError
from multirouter.listeners.metrics.gauges import RouterView

ReadingState = Literal["firing", "unchanged", "cleared"]
"""What a reading does to its alarm: `firing` raises it, `cleared` clears it, `unchanged` keeps it.
"""

AlarmTarget = Callable[[AlarmChanged], Awaitable[object] | None]
"""A function that is notified: a plain one is called at once, an async one in the background."""


class AlarmReading(NamedTuple):
    """What a rule found for one provider, one route, or the router.

    Attributes:
        subject: name of the provider or route; "" for the router.
        state: see `ReadingState`. `unchanged` between the two thresholds keeps an alarm from
            flapping.
        value: the measured number, in the rule's unit.
        text: the same as a sentence.
    """

    subject: str
    state: ReadingState
    value: float
    text: str


@runtime_checkable
class AlarmRule(Protocol):
    """A condition that raises an alarm.

    A rule that is also a `Listener` receives the router's events, so it can count them. A rule
    object belongs to one router.
    """

    @property
    def name(self) -> str:
        """The alarm's name: its label in metrics, unique among a router's rules."""
        ...

    def evaluate(self, now: float, view: RouterView) -> Iterable[AlarmReading]:
        """Returns a reading for each subject at `now` (loop time, seconds).

        Called about once a second and at each change of a circuit, so it must be quick. An alarm
        whose subject has no reading any more (a removed provider) is cleared.
        """
        ...

    def shift(self, by: float) -> None:
        """Adds `by` seconds to each stored instant, to move to the clock of another loop."""
        ...


def threshold_state(value: float, over: float, clear: float) -> ReadingState:
    """State of a value that fires above `over` and clears at `clear` or below."""
    if value > over:
        return "firing"
    return "cleared" if value <= clear else "unchanged"


class Alarms:
    """The alarm rules of one router and the targets that are notified.

        MultiProviderRouter(..., alarms=Alarms([AllOpen()], to=[notify, Webhook(url)]))

    Each change of an alarm is also a log event, the gauge `multirouter_alarms_firing` and the
    event `alarm_changed` of every listener. Rules keep state, so they belong to one router.

    Attributes:
        rules: as passed.
        interval: as passed.
        sync_targets: the plain functions of `to`.
        async_targets: the async functions of `to`.

    Args:
        rules: the conditions, each with a unique name.
        to: functions to notify. An exception of a plain function is logged; an async one is
            called again.
        interval: seconds between two evaluations, > 0. Changes of circuits are evaluated at once.

    Raises:
        ConfigurationError: an object that is not a rule, two rules of the same name, or a target
            that is not callable.
    """

    def __init__(
        self, rules: Iterable[AlarmRule], *, to: Iterable[AlarmTarget] = (), interval: float = 1.0
    ) -> None:
        self.rules: tuple[AlarmRule, ...] = _checked(rules)
        self.interval: float = check.duration("Alarms.interval", interval)
        targets = check.objects("Alarms.to", to, "functions")
        for target in targets:
            if target is None:
                raise ConfigurationError("Alarms.to", "must be a function, got None")
            hooks.either_function("Alarms.to", target, "alarm")
        self.sync_targets: tuple[AlarmTarget, ...] = tuple(
            target for target in targets if not hooks.is_async(target)
        )
        self.async_targets: tuple[Any, ...] = tuple(
            target for target in targets if hooks.is_async(target)
        )
        self._router: str | None = None

    def __repr__(self) -> str:
        return f"<Alarms {[rule.name for rule in self.rules]} of {self._router!r}>"

    def bind(self, router: str) -> None:
        """Binds the alarms to a router.

        Raises:
            ConfigurationError: they are bound already.
        """
        if self._router is not None:
            raise ConfigurationError(
                "alarms",
                f"already belongs to the router {self._router!r}; "
                "each router needs Alarms and rules of its own",
            )
        self._router = router


class AlarmEvaluator(Listener):
    """Evaluates the rules of one router and posts the alarms that changed.

    Args:
        alarms: the rules and targets.
        router: the router's name.
        view: the router's state as the gauges read it.
        dispatcher: delivers events to the rules, and `alarm_changed` to listeners and targets.
        on_error: called with the `evaluate` of a rule that raised, and the exception.

    Raises:
        ConfigurationError: the alarms belong to another router.
    """

    def __init__(
        self,
        alarms: Alarms,
        router: str,
        view: RouterView,
        dispatcher: EventDispatcher,
        on_error: Callable[[Any, Exception], None],
    ) -> None:
        alarms.bind(router)
        self._rules = alarms.rules
        self._router, self._view = router, view
        self._dispatcher, self._on_error = dispatcher, on_error
        self._firing: dict[tuple[str, str], AlarmChanged] = {}
        for rule in self._rules:
            if isinstance(rule, Listener):
                dispatcher.add(rule)
        dispatcher.add(self)
        for target in alarms.sync_targets:
            listener = Listener()
            # Not wrapped, so that an exception is logged under the target's own name.
            listener.alarm_changed = target  # type: ignore[assignment,method-assign]
            dispatcher.add(listener)

    def __repr__(self) -> str:
        firing = [f"{name} {subject}".strip() for name, subject in self._firing]
        return f"<AlarmEvaluator of {self._router!r} firing={firing}>"

    def evaluate(self, now: float) -> None:
        """Evaluates all rules and posts each change; the caller delivers the events."""
        for rule in self._rules:
            try:
                readings = {reading.subject: reading for reading in rule.evaluate(now, self._view)}
            except Exception as error:  # noqa: BLE001 - a rule that raises must not stop the others
                self._on_error(rule.evaluate, error)
                continue
            for name, subject in tuple(self._firing):
                if name == rule.name and subject not in readings:
                    text = f"{subject} is no longer watched"
                    readings[subject] = AlarmReading(subject, "cleared", 0.0, text)
            for reading in readings.values():
                self._apply(rule.name, reading, now)

    @override
    def circuit_changed(self, event: CircuitChanged) -> None:
        self.evaluate(event.at)

    @override
    def model_circuit_changed(self, event: ModelCircuitChanged) -> None:
        self.evaluate(event.at)

    def shift(self, by: float) -> None:
        """Adds `by` seconds to each stored instant, to move to the clock of another loop."""
        for rule in self._rules:
            rule.shift(by)
        self._firing = {
            alarm: event._replace(since=event.since + by, at=event.at + by)
            for alarm, event in self._firing.items()
        }

    def firing(self) -> tuple[AlarmChanged, ...]:
        """The alarms that are firing, as they began, the oldest first."""
        return tuple(self._firing.values())

    def _apply(self, name: str, reading: AlarmReading, now: float) -> None:
        """Raises or clears one alarm, if the reading changes it."""
        alarm = (name, reading.subject)
        subject, state, value, text = reading
        if state == "firing" and alarm not in self._firing:
            event = AlarmChanged(self._router, name, subject, True, value, text, now, now)
            self._firing[alarm] = event
        elif state == "cleared" and alarm in self._firing:
            since = self._firing.pop(alarm).since
            event = AlarmChanged(self._router, name, subject, False, value, text, since, now)
        else:
            return
        self._dispatcher.post("alarm_changed", event)


def _checked(rules: Iterable[AlarmRule]) -> tuple[AlarmRule, ...]:
    found = check.objects("alarms", rules, "rules")
    for rule in found:
        if not isinstance(rule, AlarmRule):
            why = f"must be a list of rules such as ProviderFailing(), got {rule!r} in it"
            raise ConfigurationError("alarms", why)
        what = f"{type(rule).__name__}.evaluate"
        hooks.plain_function(what, rule.evaluate, "now", "view", iterable=True)
    names = [check.name("alarms", rule.name) for rule in found]
    for name in names:
        if names.count(name) > 1:
            raise ConfigurationError(
                "alarms",
                f"must have different names, got {name!r} twice; pass name= to one of the rules",
            )
    return found
