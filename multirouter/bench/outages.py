"""Outages to order: a provider that fails for a part of the run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

import anyio

from multirouter.core import validation as check
from multirouter.errors import ConfigurationError
from multirouter.router import MultiProviderRouter
from multirouter.testing.chaos import FAULTS, Chaos, ChaosFault, chaos

_FORM = re.compile(r"(?P<provider>.+):(?P<begin>\d*\.?\d+)-(?P<end>\d*\.?\d+)(?::(?P<fault>\w+))?")


@dataclass(frozen=True, slots=True)
class PlannedOutage:
    """An outage of one provider.

    Attributes:
        provider: its name.
        begin: seconds from the start of the run.
        end: likewise, later.
        fault: what every attempt meets meanwhile, see `multirouter.testing.chaos`.
    """

    provider: str
    begin: float
    end: float
    fault: ChaosFault = "error"


def parse_outage(text: str) -> PlannedOutage:
    """Reads `provider:begin-end` or `provider:begin-end:fault`, in seconds.

    Raises:
        ConfigurationError: the text has another form, or the end is not after the begin.
    """
    found = _FORM.fullmatch(text)
    if found is None:
        raise ConfigurationError(
            "--outage", f"must be PROVIDER:BEGIN-END or PROVIDER:BEGIN-END:FAULT, got {text!r}"
        )
    fault: Any = found["fault"] or "error"
    check.one_of("--outage", fault, FAULTS)
    begin, end = float(found["begin"]), float(found["end"])
    if end <= begin:
        raise ConfigurationError("--outage", f"must have an end after its begin, got {text!r}")
    return PlannedOutage(found["provider"], begin, end, fault)


def prepare(
    router: MultiProviderRouter[Any, Any, Any], outages: Iterable[PlannedOutage], rng: Random
) -> list[tuple[PlannedOutage, Chaos[Any, Any]]]:
    """Wraps the call function of each provider that has an outage; streams are not affected.

    Raises:
        ConfigurationError: the router has no such provider, or it can only stream.
    """
    prepared = []
    for outage in outages:
        calls = {provider.name: provider.call for provider in router.providers}
        call = calls.get(outage.provider)
        if call is None:
            known = [name for name, function in calls.items() if function is not None]
            raise ConfigurationError(
                "--outage", f"unknown provider {check.suggestion(outage.provider, known)}"
            )
        wrapped = chaos(call, faults=(outage.fault,), rng=rng)
        changed: Any = {"call": wrapped}  # no setting in its type, since a program never does this
        router.update(outage.provider, **changed)
        prepared.append((outage, wrapped))
    return prepared


async def cause(prepared: Sequence[tuple[PlannedOutage, Chaos[Any, Any]]]) -> None:
    """Begins and ends each outage at its time from now on."""
    began = anyio.current_time()
    changes = [(outage.begin, 1.0, wrapped) for outage, wrapped in prepared]
    changes += [(outage.end, 0.0, wrapped) for outage, wrapped in prepared]
    for at, rate, wrapped in sorted(changes, key=lambda change: change[0]):
        await anyio.sleep(max(0.0, began + at - anyio.current_time()))
        wrapped.rate = rate
