"""Notices when the calls of a route begin, and cease, to get the answer of `fallback=`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from typing_extensions import override

from multirouter.core.listener import Listener
from multirouter.core.routes.diversion import Diversion
from multirouter.model import CallOutcome

Report = Callable[[str, float | None], None]
"""Called with a route and None when it begins, and with the seconds it lasted when it has ended."""


class FallbackWatch(Listener):
    """Watches the results of calls; added to a router at its first answer of a fallback.

    As for a diversion, five calls in a row that span ten seconds begin or end it.

    Args:
        report: see `Report`.
    """

    def __init__(self, report: Report) -> None:
        self._report = report
        self._routes: dict[str, Diversion] = {}

    @override
    def call_ended(self, outcome: CallOutcome[Any]) -> None:
        if outcome.result not in {"success", "fallback"}:
            return
        state = self._routes.setdefault(outcome.route, Diversion())
        now, since = outcome.started + outcome.elapsed, state.since
        if state.record(now, by_first_choice=outcome.result == "success"):
            self._report(outcome.route, None if state.active else now - since)
