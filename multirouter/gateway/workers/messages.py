"""Messages between the supervisor and its workers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from multirouter.gateway.app import Gateway
from multirouter.gateway.auth.key_protocol import Key
from multirouter.sharing.transport import Grants

Operation = Callable[[Gateway], Any]
"""Runs on the gateway of one worker; can be pickled, as can what it returns."""

# -- from a worker -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The worker listens.

    Attributes:
        url: the URL of the gateway.
    """

    url: str


@dataclass(frozen=True, slots=True)
class Acquire:
    """A request of a key starts. The answer is a `Rejection` or None.

    Attributes:
        id: of this question.
        key: the key with its limits.
    """

    id: int
    key: Key


@dataclass(frozen=True, slots=True)
class Release:
    """A request of a key has ended.

    Attributes:
        key: as in `Acquire`.
        tokens: tokens that it used.
        usd: what it cost, USD.
    """

    key: Key
    tokens: int
    usd: float


@dataclass(frozen=True, slots=True)
class ReadUsage:
    """The answer is what each key uses, by name.

    Attributes:
        id: of this question.
    """

    id: int


@dataclass(frozen=True, slots=True)
class ReadDemands:
    """The answer is the `Demands` on the limits of keys, or None when they are not due.

    Attributes:
        id: of this question.
        interval: seconds between two reports.
    """

    id: int
    interval: float


@dataclass(frozen=True, slots=True)
class ApplyGrants:
    """The gateway was granted shares of the limits of its keys.

    Attributes:
        grants: the answer to its demands.
        hosts: the machines of its fleet.
    """

    grants: Grants
    hosts: int


@dataclass(frozen=True, slots=True)
class RunEverywhere:
    """Every worker shall run an operation. The answer is the list of results.

    Attributes:
        id: of this question.
        operation: the operation.
    """

    id: int
    operation: Operation


@dataclass(frozen=True, slots=True)
class Reload:
    """Every worker shall apply the current settings. The answer is what is wrong, or "".

    Attributes:
        id: of this question.
        reason: what caused it, for the log.
    """

    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Done:
    """An operation has run here.

    Attributes:
        id: of the `Run`.
        result: its result, if there is no error.
        error: what it raised.
    """

    id: int
    result: Any
    error: Exception | None


KeyMessage = Acquire | Release | ReadUsage | ReadDemands | ApplyGrants
"""What the limits of keys are counted by."""

FromWorker = Ready | RunEverywhere | Reload | Done | KeyMessage

# -- from the supervisor -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question.

    Attributes:
        id: of the question.
        value: the answer, if there is no error.
        error: what the worker shall raise.
    """

    id: int
    value: Any
    error: Exception | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """The worker shall run an operation, and answer with `Done`.

    Attributes:
        id: of this operation.
        operation: the operation.
    """

    id: int
    operation: Operation


@dataclass(frozen=True, slots=True)
class StopWorker:
    """The worker shall stop.

    Attributes:
        graceful: see `Stop`.
    """

    graceful: bool


@dataclass(frozen=True, slots=True)
class RenewShares:
    """A key has come into use: its limits are to be reported soon."""


FromSupervisor = Answer | Run | StopWorker | RenewShares
