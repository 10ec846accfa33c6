"""Operations that all workers run, until the last of them is done."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from multirouter.gateway.workers.messages import Done
from multirouter.gateway.workers.worker_handle import WorkerHandle

OPERATION_TIMEOUT = 10.0
"""Seconds in which a worker must run an operation; then it is killed and replaced, so that no
worker is left with other settings than the rest."""

Then = Callable[[list[Any], Exception | None], None]
"""Called with the results and the first error, when all workers are done."""


@dataclass(slots=True)
class _Operation:
    waiting: set[WorkerHandle]
    deadline: float
    then: Then
    results: list[Any] = field(default_factory=list)
    error: Exception | None = None


class OperationsUnderWay:
    """Collects the results of operations; a worker that ends is not waited for."""

    def __init__(self) -> None:
        self._ids = count()
        self._operations: dict[int, _Operation] = {}

    def start(self, workers: Collection[WorkerHandle], now: float, then: Then) -> int:
        """The id of a new operation.

        Args:
            workers: those that run it.
            now: seconds of the monotonic clock.
            then: see `Then`.
        """
        id_ = next(self._ids)
        self._operations[id_] = _Operation(set(workers), now + OPERATION_TIMEOUT, then)
        return id_

    def done(self, worker: WorkerHandle, message: Done) -> None:
        """Records what a worker has done."""
        operation = self._operations[message.id]
        if message.error is None:
            operation.results.append(message.result)
        else:
            operation.error = operation.error or message.error
        self._leave(message.id, worker)

    def worker_ended(self, worker: WorkerHandle) -> None:
        """Does not wait for a worker any longer."""
        for id_ in list(self._operations):
            self._leave(id_, worker)

    def deadlines(self) -> Iterable[float]:
        """The times at which `overdue` has something to report."""
        return [operation.deadline for operation in self._operations.values()]

    def overdue(self, now: float) -> set[WorkerHandle]:
        """The workers that have taken too long; each is reported once per operation."""
        found: set[WorkerHandle] = set()
        for operation in self._operations.values():
            if now >= operation.deadline:
                operation.deadline = now + OPERATION_TIMEOUT
                found |= operation.waiting
        return found

    def _leave(self, id_: int, worker: WorkerHandle) -> None:
        operation = self._operations[id_]
        operation.waiting.discard(worker)
        if not operation.waiting:
            del self._operations[id_]
            operation.then(operation.results, operation.error)
