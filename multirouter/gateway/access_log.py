"""Access log: one structlog event per request, with its id and attempts, without its content."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from multirouter.gateway.http.exchange import Exchange
from multirouter.model import AttemptRecord


class AccessLog:
    """Logs requests, internal errors, and changes of the configuration.

    Args:
        logger: a structlog logger; None uses structlog as it is configured at the first event.
        quiet: whether only failed requests are logged.
    """

    def __init__(self, logger: Any = None, *, quiet: bool = False) -> None:
        self._logger = logger
        self._quiet = quiet

    def request_ended(self, summary: Mapping[str, Any], attempts: Iterable[AttemptRecord]) -> None:
        """Logs a request.

        Args:
            summary: see `Exchange.summary`; the status is 499 if the client disconnected.
            attempts: its attempts.
        """
        if self._quiet and summary["status"] < 400:
            return
        fields = {name: value for name, value in summary.items() if value}
        trail = [f"{a.provider} {a.verdict.kind} {a.elapsed * 1000:.0f}ms" for a in attempts]
        self._log.info("request", **fields, trail=trail)

    def internal_error(self, exchange: Exchange, error: Exception) -> None:
        """Logs an unexpected error with its traceback."""
        self._log.error("internal error", request_id=exchange.id, exc_info=error)

    def changed(self, event: str, **fields: Any) -> None:
        """Logs a change that was applied."""
        self._log.info(event, **fields)

    def change_rejected(self, event: str, **fields: Any) -> None:
        """Logs a change that was rejected."""
        self._log.warning(event, **fields)

    def warning(self, event: str, **fields: Any) -> None:
        """Logs what is set up so that it cannot work as meant."""
        self._log.warning(event, **fields)

    @property
    def _log(self) -> Any:
        if self._logger is None:
            import structlog

            # Bound once: the proxy that `get_logger` returns binds anew for each event.
            self._logger = structlog.get_logger("multirouter.gateway").bind()
        return self._logger
