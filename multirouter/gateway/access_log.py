"""The access log: one structlog event a request, with its id and its trail; never what was said."""

from __future__ import annotations

from typing import Any

from multirouter.gateway.http.exchange import Exchange


class AccessLog:
    """Tells each request once it has ended.

    Args:
        logger: a structlog logger; None asks structlog, as it is configured when first used.
        quiet: whether only failures are told.
    """

    def __init__(self, logger: Any = None, *, quiet: bool = False) -> None:
        self._given = logger
        self._quiet = quiet

    def ended(self, exchange: Exchange, status: int, seconds: float) -> None:
        """Tells a request that has ended; 499 is a client that left."""
        if not exchange.door or (self._quiet and status < 400):
            return
        fields = exchange.summary(status, seconds)
        told = {name: value for name, value in fields.items() if value}
        trail = [f"{a.provider} {a.verdict.kind} {a.elapsed * 1000:.0f}ms" for a in exchange.trail]
        self._log.info("request", **told, trail=trail)

    def broken(self, exchange: Exchange, error: Exception) -> None:
        """Tells an error that nobody foresaw, with where it came from."""
        self._log.error("gateway failed", request_id=exchange.id, exc_info=error)

    def changed(self, what: str, **fields: Any) -> None:
        """Tells what somebody has changed, or tried to."""
        self._log.info(what, **fields)

    def refused(self, what: str, **fields: Any) -> None:
        """Tells a change that was refused."""
        self._log.warning(what, **fields)

    @property
    def _log(self) -> Any:
        if self._given is None:
            import structlog

            # Bound once: what `get_logger` gives is bound anew for each event.
            self._given = structlog.get_logger("multirouter.gateway").bind()
        return self._given
