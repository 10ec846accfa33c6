"""Counts what keys use over all workers of a gateway, in their supervisor."""

from __future__ import annotations

import time

from multirouter.gateway.auth.key_limits import KeyLimits
from multirouter.gateway.auth.key_shares import KeyShares
from multirouter.gateway.workers.messages import (
    Acquire,
    Answer,
    ApplyGrants,
    FromSupervisor,
    KeyMessage,
    ReadDemands,
    ReadUsage,
    Release,
    RenewShares,
)
from multirouter.gateway.workers.worker_handle import WorkerHandle


class KeyCounter:
    """Counts what keys use, so that counts are exact over all workers and outlive a worker.

    The shares of the gateway in the limits of a fleet are held here too. The supervisor has no
    connection to the fleet: its workers report the demands, each when it reports its own.

    Args:
        shared: whether several gateways share the limits of keys.
    """

    def __init__(self, *, shared: bool) -> None:
        self._is_new = False
        self._shares = KeyShares(self._found_new) if shared else None
        self._limits = KeyLimits(self._shares)

    def handle(self, worker: WorkerHandle, message: KeyMessage) -> list[FromSupervisor]:
        """Handles a message of a worker; returns what is to be sent to it."""
        now = time.monotonic()
        match message:
            case Acquire():
                rejection = self._limits.admit(message.key, now)
                if rejection is None:
                    worker.key_acquired(message.key)
                is_new, self._is_new = self._is_new, False
                answer = Answer(message.id, rejection)
                return [answer, RenewShares()] if is_new else [answer]
            case Release():
                worker.key_released(message.key)
                self._limits.release(message.key, message.tokens, message.usd, now)
            case ReadUsage():
                return [Answer(message.id, self._limits.read())]
            case ReadDemands():
                shares = self._shares
                demands = None if shares is None else shares.report(message.interval, now)
                return [Answer(message.id, demands)]
            case ApplyGrants():
                self._limits.apply(message.grants, message.hosts)
        return []

    def worker_ended(self, worker: WorkerHandle) -> None:
        """Ends the requests that were under way in a worker."""
        for key in worker.keys_under_way():
            self._limits.release(key, 0, 0.0, time.monotonic())

    def _found_new(self) -> None:
        self._is_new = True
