"""Attaches the parts that a router may do without to its engine: history, alarms, and so on."""

from __future__ import annotations

from collections.abc import Iterable
from os import PathLike
from typing import TYPE_CHECKING

from multirouter.errors import ConfigurationError
from multirouter.listeners.metrics.gauges import RouterView
from multirouter.listeners.metrics.metrics import Metrics
from multirouter.runtime.engine import Engine

if TYPE_CHECKING:
    from multirouter.core.planning.steps import CallTracer
    from multirouter.listeners.alarms.alarms import AlarmRule, Alarms
    from multirouter.listeners.history.history import History
    from multirouter.runtime.fleet.operator_settings import SetWeight
    from multirouter.sharing.settings import Sharing


def attach_history(
    engine: Engine, history: History | str | PathLike[str], metrics: Metrics
) -> None:
    """Restores the state of earlier runs, then records the history."""
    from multirouter.listeners.history.history import as_history

    engine.attach_history(as_history(history), metrics)


def attach_alarms(engine: Engine, alarms: Alarms | Iterable[AlarmRule], view: RouterView) -> None:
    """Evaluates alarm rules, if there are any."""
    from multirouter.listeners.alarms.alarms import Alarms

    configured = alarms if isinstance(alarms, Alarms) else Alarms(alarms)
    if configured.rules:
        engine.attach_alarms(configured, view)


def attach_telemetry(engine: Engine, telemetry: CallTracer) -> None:
    """Traces calls and attempts.

    Raises:
        ConfigurationError: `telemetry` is no object such as `OpenTelemetry`.
    """
    # A protocol of a compiled module cannot be asked for its instances.
    if not callable(getattr(telemetry, "attempt_started", None)):
        raise ConfigurationError("telemetry", f"must be an OpenTelemetry, got {telemetry!r}")
    engine.attach_tracer(telemetry)


def join_fleet(engine: Engine, sharing: Sharing, set_weight: SetWeight, metrics: Metrics) -> None:
    """Shares the state with other processes, from the first call on.

    Raises:
        ConfigurationError: `sharing` is no object such as `RedisSharing`.
        UsageError: on trio.
    """
    from multirouter.runtime.fleet.membership import Membership

    membership = Membership(
        sharing,
        engine.context,
        engine.states,
        engine.half_open_timers,
        engine.serve_waiting,
        set_weight,
        metrics.of_sharing(),
    )
    engine.membership = membership
    engine.dispatcher.add(membership)
    engine.binding.join(membership)
